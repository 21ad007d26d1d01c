"""The three questions of whether a feature can leave the frontier: is there enough of it, is it narrow, must it be fast."""

from __future__ import annotations

from typing import Literal

import msgspec

from smallfirst.planning.assess.judging.latency import Latency
from smallfirst.planning.assess.judging.output import Output
from smallfirst.planning.assess.judging.volume import HOURS_A_DAY, Volume
from smallfirst.planning.assess.judging.width import Width

CALLS_PER_DAY = (
    100_000  # from here on it is worth a team's time; a rule of thumb, beside which the break-even is printed
)
MOST_KINDS = 50  # that cover nine calls in ten of a narrow feature
MOST_UNSEEN = 0.1  # of the calls are of a kind that the sample lacks
MOST_LABELS = 100  # that cover nine answers in ten of a narrow feature
FITS = 0.95  # of the answers are of one shape
LEAST_SAMPLE = 100

Answer = Literal["yes", "no", "unknown"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`figures` are the numbers behind the answer, by what they are, and `threshold` what they were held against."""

    name: Literal["volume", "narrow", "latency"]
    answer: Answer
    why: str
    figures: dict[str, float | int | None] = {}
    threshold: str = ""


def volume_question(volume: Volume, *, least: int = CALLS_PER_DAY) -> Question:
    mean = volume.calls_per_day
    told = {
        "calls_per_day": mean,
        "busiest_day_calls": volume.busiest_day_calls,
        "busiest_hour_calls": volume.busiest_hour_calls,
        "span_hours": volume.span_hours,
    }
    answer: Answer
    if mean is None and volume.span_hours and volume.calls >= least:
        answer, why = "yes", f"{volume.calls:,} calls within {volume.span_hours} h alone"
    elif mean is None:
        seen = (
            f"the calls are of {volume.span_hours} h, and a day is needed"
            if volume.span_hours
            else "no call says its time"
        )
        answer, why = "unknown", f"{seen}: say --calls-per-day, or give logs of a day or more"
    else:
        answer = "yes" if mean >= least else "no"
        by = "as you said" if volume.stated else f"over {volume.span_hours / HOURS_A_DAY:.1f} days"
        why = f"{mean:,.0f} calls a day, {by}"
        if volume.short:
            why += "; less than a week, so weekends are not in it"
    return Question(
        name="volume", answer=answer, why=why, figures=told, threshold=f"at least {least:,} calls a day"
    )


def narrow_question(width: Width, output: Output) -> Question:
    """Narrow: few kinds of input, or answers from a closed set or of one shape, which bound what there is to learn."""
    unseen = None if width.unseen is None else width.unseen.value
    told = {
        "kinds_80": width.kinds_80 or None,
        "kinds_90": width.kinds_90 or None,
        "kinds_95": width.kinds_95 or None,
        "entropy_bits": round(width.entropy_bits, 2) if width.kinds else None,
        "unseen_share": unseen,
        "labels": len(output.labels) or None,
        "labels_90": output.labels_90 or None,
        "output_entropy_bits": round(output.entropy_bits, 2),
        "fits_share": None if output.fits is None else output.fits.value,
        "sample": width.sample,
    }
    answer, why = _narrow(width, output, unseen)
    threshold = (
        f"{MOST_KINDS} kinds cover 90 % and at most {MOST_UNSEEN:.0%} are new, or {MOST_LABELS} labels cover 90 %, "
        f"or {FITS:.0%} of the answers have one shape"
    )
    return Question(name="narrow", answer=answer, why=why, figures=told, threshold=threshold)


def _narrow(width: Width, output: Output, unseen: float | None) -> tuple[Answer, str]:
    if width.sample < LEAST_SAMPLE:
        return "unknown", f"a sample of {width.sample:,} is too small: {LEAST_SAMPLE} are needed"
    fits = 0.0 if output.fits is None else output.fits.value
    if output.form == "label" and output.labels_90 <= MOST_LABELS:
        return (
            "yes",
            f"{output.labels_90} of {len(output.labels)} labels cover 90 % of the answers, and {fits:.1%} are of that set",
        )
    if output.form == "json" and output.closed and fits >= FITS:
        return "yes", f"{fits:.1%} of the answers have one JSON shape"
    if unseen is None:
        long = f"inputs of {width.chars_p50:,} characters are too long to count their kinds"
        return "unknown", f"{long}, and the answers are written text"
    kinds = (
        f"{width.kinds_90:,} kinds of input cover 90 % of the calls, and {unseen:.0%} are of a kind seen once"
    )
    if width.kinds_90 <= MOST_KINDS and unseen <= MOST_UNSEEN:
        return "yes", kinds
    return "no", kinds


def latency_question(latency: Latency) -> Question:
    """Must it be faster than the frontier is: the 95th percentile against what the user wants."""
    told = {
        "total_p50_ms": latency.total_p50_ms,
        "total_p95_ms": latency.total_p95_ms,
        "first_token_p50_ms": latency.first_token_p50_ms,
        "first_token_p95_ms": latency.first_token_p95_ms,
        "streamed_share": round(latency.streamed_share, 4),
        "budget_ms": latency.budget_ms,
    }
    budget, felt = latency.budget_ms, latency.felt_p95_ms
    threshold = "p95 above the budget" if budget is None else f"p95 above {budget:,.0f} ms"
    answer: Answer
    if felt is None:
        answer, why = "unknown", "no call says how long it took"
    elif budget is None:
        answer = "unknown"
        why = f"p95 is {felt:,.0f} ms {latency.felt}; how long may it take? Say --latency-ms, or the task's latency_ms"
    else:
        answer = "yes" if felt > budget else "no"
        kept = "is missed" if felt > budget else "is kept already"
        why = f"p95 is {felt:,.0f} ms {latency.felt}: {budget:,.0f} ms {kept}"
    return Question(name="latency", answer=answer, why=why, figures=told, threshold=threshold)
