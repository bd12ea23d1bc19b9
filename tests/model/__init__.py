"""The save protocol as an explicit-state model, explored exhaustively.

Read `protocol.py` first: the protocol of DESIGN section 4, one small function a step, on the values of `world.py`.
`twins.py` holds the same protocol with one thing wrong each time; `versions.py` the counting of versions; `explorer.py` the
search. `test_protocol_model.py` says what is explored and what must be found.
"""
