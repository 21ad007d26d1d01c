"""How the embedded servers are reached: what a catalogue of models is told of them. It changes while the gateway runs."""

from __future__ import annotations

import secrets

import msgspec

from smallfirst.models.adapters.served import ServedAdapters
from smallfirst.models.endpoints import Endpoint


class EmbeddedReach(msgspec.Struct, frozen=True, kw_only=True):
    """`endpoints` by model, `merged` by the served name of an adapter that has a server of its own. `key` opens them all."""

    endpoints: dict[str, Endpoint] = {}
    merged: dict[str, Endpoint] = {}
    served: ServedAdapters = msgspec.field(default_factory=ServedAdapters)
    key: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(24))
