"""What is served: policies, the immutable releases that hold them, the verdicts that prove them, and the channels they serve through."""

from smallfirst.releases.bundle import BASELINE, Release, Releases, baseline, release_from_config
from smallfirst.releases.channels import (
    Canary,
    Channels,
    Live,
    Shadow,
    change_channels,
    read_channels,
    read_live,
    write_channels,
)
from smallfirst.releases.learned import Learned, LearnedHere
from smallfirst.releases.policy import Policy, RouterPolicy, RungPolicy
from smallfirst.releases.serving import Serving, load_serving, weights_path
from smallfirst.releases.verdict import Verdict
from smallfirst.releases.verdicts import Verdicts

__all__ = [
    "BASELINE",
    "Canary",
    "Channels",
    "Learned",
    "LearnedHere",
    "Live",
    "Policy",
    "Release",
    "Releases",
    "RouterPolicy",
    "RungPolicy",
    "Serving",
    "Shadow",
    "Verdict",
    "Verdicts",
    "baseline",
    "change_channels",
    "load_serving",
    "read_channels",
    "read_live",
    "release_from_config",
    "weights_path",
    "write_channels",
]
