"""What happens when a process is killed, the power goes, a disk is full or lies, at every step of the save protocol.

Each claim has a known-bad twin (`twins`): the same code with one promise taken out, which the same check must catch.
"""
