"""The command line: one file a noun; each parses, calls and prints."""

from smallfirst.cli.main import main

__all__ = ["main"]
