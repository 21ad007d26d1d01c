"""A real endpoint, measured with calls that do not wait for each other, and the fleet's model fitted to it."""

from smallfirst.planning.fleet.calibrate.saved import CALIBRATIONS, Calibration

__all__ = ["CALIBRATIONS", "Calibration"]
