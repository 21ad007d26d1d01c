"""Versioned, immutable sets of examples with lineage to the ledger, split into train, calibration and held-out."""

from smallfirst.datasets.example import Example, Lineage, Split
from smallfirst.datasets.manifest import Manifest, Part
from smallfirst.datasets.store import Dataset, Datasets

__all__ = ["Dataset", "Datasets", "Example", "Lineage", "Manifest", "Part", "Split"]
