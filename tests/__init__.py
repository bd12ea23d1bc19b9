"""The tests of simpleml; a package, so that a folder `tests` of some other distribution cannot be taken for it."""
