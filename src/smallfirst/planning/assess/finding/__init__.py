"""Which features are in a stream of calls: one pass, bounded memory."""

from smallfirst.planning.assess.finding.find import find_features
from smallfirst.planning.assess.finding.found import Found

__all__ = ["Found", "find_features"]
