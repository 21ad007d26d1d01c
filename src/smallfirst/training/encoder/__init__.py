"""A sentence encoder tuned to the labels of one head. Needs the extra `[train]`; what it makes is served without it."""

from __future__ import annotations

from smallfirst.training.encoder.base import EncoderBase, open_base
from smallfirst.training.encoder.encoder import TunedBy
from smallfirst.training.encoder.settings import EncoderSettings

__all__ = ["EncoderBase", "EncoderSettings", "TunedBy", "open_base"]
