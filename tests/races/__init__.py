"""Races: real processes that a test commands, on all three databases. Every claim has a twin with the fault in it.

`crew` starts processes and stops them at failpoints, `work` is what they do, `twins` puts one fault in, `faults` is the one
check that claim and twin share.
"""
