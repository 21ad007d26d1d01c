"""From an output and a reference to a score in [0, 1]: scorers, and the judge with its correction."""
