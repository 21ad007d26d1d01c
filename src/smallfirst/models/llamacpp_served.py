"""What one embedded server is asked for by: its base, and the adapters over it; and the body that llama.cpp is sent for either."""

from __future__ import annotations

from typing import Any

import msgspec


class Served(msgspec.Struct, frozen=True):
    """The names that `model` may hold. An adapter's place in `adapters` is llama.cpp's number of it."""

    base: str
    adapters: tuple[str, ...] = ()

    def knows(self, fields: dict[str, Any]) -> bool:
        """Whether a request names something that is served here. One that names nothing asks the base."""
        return fields.get("model", self.base) in (self.base, *self.adapters)

    def told(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The request with llama.cpp's own field for the adapter that `model` names; a client's is dropped.

        Every adapter is told its scale: llama.cpp leaves one that a list does not name as the server started with it.
        """
        kept = {name: value for name, value in fields.items() if name != "lora"}
        if not self.adapters:
            return kept
        wanted = fields.get("model")
        scales = [
            {"id": at, "scale": 1.0 if name == wanted else 0.0} for at, name in enumerate(self.adapters)
        ]
        return kept | {"lora": scales}

    def signed(self, event: bytes, fields: dict[str, Any]) -> bytes:
        """An event of the answer with the name that was asked in `model`, where llama.cpp writes the base's: who answered is what a ledger keeps.

        Within a string of the answer the quotes would be escaped.
        """
        asked = fields.get("model", self.base)
        return event if asked == self.base else event.replace(_model(self.base), _model(asked), 1)

    def listed(self, created: int) -> dict[str, Any]:
        """`/v1/models`, as vLLM says it: an adapter's `parent` is its base."""
        rows = [_row(self.base, None, created), *(_row(name, self.base, created) for name in self.adapters)]
        return {"object": "list", "data": rows}


def _model(name: str) -> bytes:
    return b'"model":' + msgspec.json.encode(name)


def _row(name: str, parent: str | None, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "smallfirst", "parent": parent}
