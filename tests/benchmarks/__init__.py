"""Measurements: ratios to a floor or a peer in the same run, printed as JSON lines; no tests."""
