"""Published runs of engines, and how far the model is from each."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from importlib import resources

import msgspec
import numpy as np

from smallfirst.planning.fleet import catalogue
from smallfirst.planning.fleet.batching import Request, run
from smallfirst.planning.fleet.server import Efficiency, Engine, Server

_SEED = 7


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where runs were published. Sources of one `group` are by the same people, and are left out together."""

    title: str
    url: str
    read: date
    engine: str
    group: str
    note: str = ""


class PublishedRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run: what was asked of what, and what was measured. See the head of `published.toml`."""

    source: str
    gpu: str
    model: str
    weights: str
    kv: str
    input_tokens: float
    output_tokens: float
    prompts: int
    concurrency: int
    requests_per_s: float = 0.0
    output_tokens_per_s: float = 0.0
    spread: float = 0.0
    max_sequences: int = 256
    batched_tokens: int = 8192
    lengths: str = "stated"
    left_out: str = ""

    @property
    def measured_per_s(self) -> float:
        """Requests a second."""
        return self.requests_per_s or self.output_tokens_per_s / self.output_tokens

    @property
    def group(self) -> str:
        """Whose run it is."""
        return sources()[self.source].group

    @property
    def counted(self) -> bool:
        """Whether it is held against the model: its lengths are stated, and it measures what the model says."""
        return self.lengths == "stated" and not self.left_out


@cache
def sources() -> dict[str, Source]:
    """All sources, by name."""
    return msgspec.convert(_tables()["sources"], dict[str, Source])


@cache
def published_runs() -> tuple[PublishedRun, ...]:
    """All runs, as they stand in `published.toml`."""
    return msgspec.convert(_tables()["runs"], tuple[PublishedRun, ...])


def predicted_per_s(measured: PublishedRun, left: Efficiency) -> float:
    """Requests a second that the model says of the same run: as many requests, at once, from the first to the last."""
    bound = min(measured.max_sequences, measured.concurrency or measured.max_sequences)
    engine = Engine(
        weights=measured.weights,
        kv=measured.kv,
        max_sequences=bound,
        batched_tokens=max(measured.batched_tokens, bound),
    )
    server = Server(
        gpu=catalogue.gpu(measured.gpu), shape=catalogue.model(measured.model), engine=engine, efficiency=left
    )
    draws = np.random.default_rng(_SEED)
    requests = [
        Request(
            0.0,
            _length(measured.input_tokens, measured.spread, draws),
            _length(measured.output_tokens, measured.spread, draws),
        )
        for _ in range(measured.prompts)
    ]
    return len(requests) / max(run(server, requests).last_s)


def left_out_error(measured: PublishedRun) -> float:
    """How far off the model is when it was fitted without any run of these people."""
    return error(measured, catalogue.efficiency_without().get(measured.group, catalogue.efficiency()))


def error(measured: PublishedRun, left: Efficiency) -> float:
    """How far off the model is: 0.1 is a tenth too fast, -0.1 a tenth too slow."""
    return predicted_per_s(measured, left) / measured.measured_per_s - 1


def fitted(runs: Sequence[PublishedRun], start: Efficiency) -> Efficiency:
    """The efficiencies that fit these runs best: least squares of the logarithms, every run alike, with large errors damped. Needs scipy."""
    from scipy.optimize import least_squares

    names = ("bf16_share", "fp8_share", "bandwidth_share", "layer_overhead_us", "sequence_overhead_us")
    low, high = (0.15, 0.1, 0.4, 5.0, 2.0), (0.9, 0.9, 0.95, 300.0, 60.0)

    def residuals(logs: np.ndarray) -> np.ndarray:
        left = msgspec.structs.replace(start, **dict(zip(names, np.exp(logs).tolist(), strict=True)))
        return np.array([math.log1p(error(each, left)) for each in runs])

    at = np.log([min(max(getattr(start, name), a), b) for name, a, b in zip(names, low, high, strict=True)])
    found = least_squares(
        residuals, at, bounds=(np.log(low), np.log(high)), loss="soft_l1", f_scale=0.1, diff_step=1e-2
    )
    return msgspec.structs.replace(start, **dict(zip(names, np.exp(found.x).tolist(), strict=True)))


def without(runs: Iterable[PublishedRun], group: str) -> list[PublishedRun]:
    """The runs of all other people."""
    return [each for each in runs if each.group != group]


def _length(mean: float, spread: float, draws: np.random.Generator) -> float:
    if spread == 0:
        return mean
    sigma = math.sqrt(math.log1p(spread**2))
    return float(max(1.0, round(mean * math.exp(sigma * draws.standard_normal() - sigma**2 / 2))))


def _tables() -> dict[str, object]:
    return tomllib.loads(
        resources.files("smallfirst.planning.fleet").joinpath("published.toml").read_text("utf-8")
    )
