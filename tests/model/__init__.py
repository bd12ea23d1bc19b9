"""The save protocol as an explicit-state model, explored exhaustively.

Read `protocol.py` first: the protocol of DESIGN section 4, one small function a step, on the values of `world.py`; then
`parts.py`, its writers of several blobs. `twins.py` and `parts_twins.py` hold them with one thing wrong each time;
`versions.py` the counting of versions; `explorer.py` the search. The tests say what is explored and what must be found.
"""
