"""What a feature is: how many calls, how narrow, how fast, at what cost; and whether it could leave the frontier model."""

from smallfirst.planning.assess.judging.assessment import Assessed, Report, Settings, assess

__all__ = ["Assessed", "Report", "Settings", "assess"]
