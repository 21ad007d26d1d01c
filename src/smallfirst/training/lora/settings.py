"""What may be set of a run that trains an adapter, and what it is where nothing is said: by the size of the base and the number of examples."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.models.adapters.adapter import Method

Backend = Literal["own", "trl"]
Device = Literal["auto", "cpu", "cuda"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that decides an adapter beside its base, its examples and how they are asked. Part of its name.

    `batch_examples` make one step of the optimiser; they go through the model `batch_tokens` at a time, padding included.
    """

    method: Method = "lora"
    epochs: int
    rate: (
        float  # the highest: it rises over the first `warmup` of the steps, then falls as a cosine to a tenth
    )
    rank: int
    alpha: int
    dropout: float = 0.0
    warmup: float = 0.06
    weight_decay: float = 0.0
    clip: float = 1.0  # the longest gradient that is believed
    batch_examples: int
    batch_tokens: int
    seed: int = 0
    evaluations: int = 4  # of the calibration part, beside the first
    patience: int = 2  # evaluations without a better one, after which it stops
    skip_long: bool = False  # examples that are longer than the context are left out, not refused
    backend: Backend = "own"

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return msgspec.to_builtins(self)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said; None is the default for the base."""

    method: Method = "lora"
    epochs: int | None = None
    rate: float | None = None
    rank: int | None = None
    alpha: int | None = None
    batch_examples: int | None = None
    batch_tokens: int | None = None
    seed: int = 0
    skip_long: bool = False
    backend: Backend = "own"


class _Size(NamedTuple):
    most_parameters: float
    rate: float
    rank: int


# Adapters on all linear layers, at about ten times the rate of full fine-tuning, and that rate nearly the same for every rank where alpha is
# kept ("LoRA Without Regret", Thinking Machines, 2025). Smaller bases bear higher rates; a rank of 16 holds far more than some
# thousand short answers can teach.
_SIZES = (
    _Size(0.4e9, 1e-3, 16),
    _Size(1.5e9, 5e-4, 16),
    _Size(5e9, 3e-4, 16),
    _Size(20e9, 2e-4, 16),
    _Size(float("inf"), 1e-4, 16),
)
_ALPHA = 32
_BATCH_EXAMPLES = 16
_FEWEST_EVALUATIONS, _MOST_EVALUATIONS = 4, 12
_BATCH_TOKENS: dict[str, int] = {"cpu": 1024, "cuda": 8192}
_EPOCHS = ((200, 4), (8000, 3))  # up to so many examples; more are seen twice


def settings_for(wanted: Wanted, *, parameters: int, examples: int, device: str) -> Settings:
    """What is set, with defaults for a base of so many parameters and so many examples. Raises `ConfigError` that names the option."""
    size = next(size for size in _SIZES if parameters <= size.most_parameters)
    batch = min(_BATCH_EXAMPLES, max(4, examples // 25))
    batch = batch if wanted.batch_examples is None else wanted.batch_examples
    epochs = _epochs(examples) if wanted.epochs is None else wanted.epochs
    settings = Settings(
        method=wanted.method,
        epochs=epochs,
        evaluations=min(_MOST_EVALUATIONS, max(_FEWEST_EVALUATIONS, epochs)),
        rate=size.rate if wanted.rate is None else wanted.rate,
        rank=size.rank if wanted.rank is None else wanted.rank,
        alpha=_ALPHA if wanted.alpha is None else wanted.alpha,
        batch_examples=batch,
        batch_tokens=_BATCH_TOKENS[device] if wanted.batch_tokens is None else wanted.batch_tokens,
        seed=wanted.seed,
        skip_long=wanted.skip_long,
        backend=wanted.backend,
    )
    _check(settings)
    return settings


def _epochs(examples: int) -> int:
    """Few examples are seen more often."""
    return next((epochs for most, epochs in _EPOCHS if examples <= most), 2)


def _check(settings: Settings) -> None:
    for option, value, low, high in (
        ("--epochs", settings.epochs, 1, 1000),
        ("--rank", settings.rank, 1, 1024),
        ("--alpha", settings.alpha, 1, 4096),
        ("--batch-tokens", settings.batch_tokens, 16, 1 << 24),
        ("--batch", settings.batch_examples, 1, 4096),
        ("--seed", settings.seed, 0, 2**31 - 1),
    ):
        if not low <= value <= high:
            raise ConfigError(f"expected a number from {low} to {high}, not {value}", path=option)
    if not 0 < settings.rate <= 1:
        raise ConfigError(
            f"expected a rate above 0 and at most 1 (1e-4 to 1e-3 are usual), not {settings.rate}",
            path="--rate",
        )
