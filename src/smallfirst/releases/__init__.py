"""What is served: policies, the immutable releases that hold them, and the channels they serve through."""

from smallfirst.releases.bundle import BASELINE, Release, Releases, baseline, release_from_config
from smallfirst.releases.channels import Live, Serving, load_serving, read_live, weights_path, write_live
from smallfirst.releases.learned import Learned, LearnedHere
from smallfirst.releases.policy import Policy, RouterPolicy, RungPolicy

__all__ = [
    "BASELINE",
    "Learned",
    "LearnedHere",
    "Live",
    "Policy",
    "Release",
    "Releases",
    "RouterPolicy",
    "RungPolicy",
    "Serving",
    "baseline",
    "load_serving",
    "read_live",
    "release_from_config",
    "weights_path",
    "write_live",
]
