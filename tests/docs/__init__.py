"""The documents, run: the README's blocks and commands, the examples, the words."""
