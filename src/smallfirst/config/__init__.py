"""`smallfirst.toml`: read once into frozen structs, checked, compared."""

from smallfirst.config.load import find, load
from smallfirst.config.schema import Config

__all__ = ["Config", "find", "load"]
