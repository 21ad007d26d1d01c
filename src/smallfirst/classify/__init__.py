"""Text to numbers to probabilities: embedders, features, calibrated classifiers, and the artifacts that hold them. Nothing is fitted here."""
