"""The rounds of a run become rows: medians, ratios to the yardstick of the same round, and what to doubt."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.entrants import Entrant
from benchmarks.measure import Round
from benchmarks.soak import Soak

_SPREAD = 1.25
_OTHERS_CORES = 0.25


@dataclass(frozen=True)
class Row:
    """One line of the table. Figures are None when the entrant was skipped; `reason` says why."""

    key: str
    name: str
    does: str
    baseline: str
    reason: str | None = None
    cpu_us_per_call: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    calls_per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    rss_mb: float | None = None
    calls: int = 0
    errors: int = 0
    start_s: float | None = None
    notes: tuple[str, ...] = ()
    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True)
class Result:
    """A whole run, as it is written to `latest.json`."""

    taken_at: str
    command: str
    machine: dict[str, str | int | float]
    seconds: float
    rounds: int
    rows: list[Row]
    soak: Soak | None = None
    soak_reason: str | None = None


def skipped(entrant: Entrant, reason: str) -> Row:
    """The row of an entrant that was not measured."""
    return Row(entrant.key, entrant.name, entrant.does, entrant.baseline, reason=reason)


def measured(
    entrant: Entrant, start_s: float, rounds: Sequence[Round], baseline: Sequence[Round | None]
) -> Row:
    """The row of an entrant's rounds; `baseline` holds the yardstick's figures of the same rounds."""
    pairs = zip(rounds, baseline, strict=True)
    ratios = [mine.cpu_us_per_call / base.cpu_us_per_call for mine, base in pairs if base is not None]
    return Row(
        entrant.key,
        entrant.name,
        entrant.does,
        entrant.baseline,
        cpu_us_per_call=median(r.cpu_us_per_call for r in rounds),
        ratio=median(ratios) if ratios else None,
        ratio_low=min(ratios, default=None),
        ratio_high=max(ratios, default=None),
        calls_per_s=median(r.calls_per_s for r in rounds),
        p50_ms=median(r.p50_ms for r in rounds),
        p99_ms=median(r.p99_ms for r in rounds),
        rss_mb=rounds[-1].rss_mb,
        calls=sum(r.calls for r in rounds),
        errors=sum(r.errors for r in rounds),
        start_s=start_s,
        notes=tuple(_notes(rounds, ratios)),
        rounds=tuple(rounds),
    )


def _notes(rounds: Sequence[Round], ratios: Sequence[float]) -> list[str]:
    notes = []
    if errors := sum(r.errors for r in rounds):
        notes.append(f"{errors} ERRORS: not comparable")
    if ratios and max(ratios) > _SPREAD * min(ratios):
        notes.append(f"ratio between {min(ratios):.2f} and {max(ratios):.2f} over the rounds")
    upstream = median(r.upstream_per_call for r in rounds)
    if abs(upstream - 1) > 0.01:
        notes.append(f"{upstream:.2f} upstream calls per call")
    others = median(r.others_cores for r in rounds)
    if others > _OTHERS_CORES:
        notes.append(f"other programs took {others:.1f} cores meanwhile")
    return notes
