"""The accounts that can be read, found by their columns."""

from smallfirst.planning.reconcile.formats.format import Format
from smallfirst.planning.reconcile.formats.generic import generic
from smallfirst.planning.reconcile.formats.known import FORMATS, format_of

__all__ = ["FORMATS", "Format", "format_of", "generic"]
