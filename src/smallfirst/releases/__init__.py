"""What is served: policies, the immutable releases that hold them, and the channels they serve through."""

from smallfirst.releases.bundle import BASELINE, Release, Releases, baseline, release_from_config
from smallfirst.releases.channels import Live, Serving, load_serving, read_live, write_live
from smallfirst.releases.policy import Policy, RungPolicy

__all__ = [
    "BASELINE",
    "Live",
    "Policy",
    "Release",
    "Releases",
    "RungPolicy",
    "Serving",
    "baseline",
    "load_serving",
    "read_live",
    "release_from_config",
    "write_live",
]
