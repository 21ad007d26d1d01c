"""Versioned, immutable sets of examples with lineage to the ledger, split into train, calibration and held-out."""
