"""Small models first, frontier when needed, proof before every change."""

__version__ = "0.1.0"
