"""Fits routers, label heads and intent classifiers, and chooses thresholds under the quality bound. The gateway imports nothing of it."""
