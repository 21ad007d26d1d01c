"""What an adapter says of itself: its content, from which its name is made, and beside it when, by whom and with what it was made."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

import msgspec

FORMAT = 1
Method = Literal["lora", "qlora"]
Form = Literal["peft", "lora", "q8_0", "f16", "q4_1", "merged"]
"""How an adapter is served. `peft`: the folder, as vLLM loads it. `lora`: a GGUF of the adapter alone, over the base's own GGUF.
`q8_0`, `f16`, `q4_1`: merged into the base, one GGUF. `merged`: merged, a Hugging Face checkpoint.
"""

_SERVED = re.compile(r"@[0-9a-f]{12}$")
_PREFIX = re.compile(r"[0-9a-f]{12,64}")
SERVED_EMBEDDED: tuple[Form, ...] = ("lora", "q8_0", "f16", "q4_1")


class BaseTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base that an adapter was trained on, and fits alone. `name` is as it was asked for: `embedded:NAME`, a hub's id, a path's last part."""

    name: str
    sha256: str  # of its weights, as `training.lora.base` makes it
    template_sha256: str  # of its chat template
    architecture: str  # its `model_type`
    parameters: int
    gguf_sha256: str | None = None  # of the GGUF that it came from; the embedded server has the same one


class AskedTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How its examples were put to it: a rung that asks otherwise asks something that it was not trained for.

    `instructions` replace a client's system prompt (a rung's); `default_instructions` stand where a client sends none (a task's).
    """

    instructions: str | None = None
    default_instructions: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of an adapter. The same examples, base, settings and seed on the same machine give the same manifest.

    `files` are those of `peft/`, by name, to their SHA-256. `scores` are what the trainer's model had on the calibration part; what counts
    is what the served artefact has.
    """

    task: str
    method: Method
    base: BaseTold
    dataset: str  # its hash
    asked: AskedTold
    contract_sha256: str  # of the contract's canonical JSON
    settings: dict[str, Any]  # rank, alpha, learning rate, epochs, batch, seed, …
    files: dict[str, str]
    probes_sha256: str
    scores: dict[str, float]
    version: str  # of smallfirst
    format: int = FORMAT

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def data(self) -> bytes:
        """The canonical JSON."""
        return msgspec.json.encode(msgspec.to_builtins(self), order="sorted")

    @property
    def served_name(self) -> str:
        """What servers know it by: its task and the beginning of its hash."""
        return served_name(self.task, self.id)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """When, by whom, on what, how long and for how much: not part of the name. `curves`: by step, what was measured while it was trained."""

    at_ms: int
    by: str
    version: str
    hardware: str
    seconds: float
    usd: float | None = None
    note: str = ""
    curves: list[dict[str, float]] = []


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One calibration example and what the trainer's model answered to it, decoding greedily under the contract.

    Holds no text of the example: its `id` finds it in the dataset. `prompt_sha256` is that of the prompt's token ids as JSON, so that a server's
    own rendering can be compared; empty where the chat template writes the day, and tomorrow's prompt is another.
    """

    id: str
    answer: str
    logprob: float  # of the whole answer, natural
    prompt_sha256: str


def is_named(wanted: str, *, task: str, adapter: str) -> bool:
    """Whether a model's `adapter`, a task or the beginning of a hash, names this one. Fewer than 12 digits are no hash: "bad" is a task."""
    return wanted == task or (_PREFIX.fullmatch(wanted) is not None and adapter.startswith(wanted))


def is_served_name(name: str) -> bool:
    """Whether a server's model of that name is an adapter: `task@hash12`."""
    return _SERVED.search(name) is not None


def served_name(task: str, adapter: str) -> str:
    """`task@hash12`: the model's name in a server's requests."""
    return f"{task}@{adapter[:12]}"
