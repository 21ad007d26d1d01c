"""A real endpoint, measured with calls that do not wait for each other, and the fleet's model fitted to it."""

from smallfirst.planning.fleet.calibrate.saved import Calibration, load_calibration

__all__ = ["Calibration", "load_calibration"]
