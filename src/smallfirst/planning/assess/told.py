"""A feature's figures in words, the same in the terminal and on a page."""

from __future__ import annotations

import datetime

from smallfirst.money import NUSD_PER_USD, format_usd
from smallfirst.planning.assess.judging.assessment import Assessed, Report
from smallfirst.planning.assess.judging.money import Money, WithSmall
from smallfirst.planning.assess.judging.share import Share
from smallfirst.planning.assess.judging.volume import HOURS_A_DAY

QUESTIONS = {"volume": "Is there enough of it?", "narrow": "Is it narrow?", "latency": "Must it be faster?"}
_SECONDS_PER_HOUR = 3600
_LABELS_SHOWN = 12
_APART = 0.1  # near repeats above exact ones, to be spoken of

Row = tuple[str, str]
"""What it is, and its figures."""


def title_of(report: Report) -> str:
    """All of it in a line."""
    count = len(report.features) + report.rest.features
    calls = "call" if report.calls == 1 else "calls"
    return f"{report.calls:,} {calls}, {count:,} {'feature' if count == 1 else 'features'}{_span(report)}"


def total_of(report: Report) -> str:
    """What its features cost a year, as far as that is known."""
    known = [one.money.usd_per_year for one in report.features if one.money.usd_per_year is not None]
    if not known:
        return ""
    rest = len(report.features) - len(known)
    without = f", without {rest:,} whose cost is unknown" if rest else ""
    return f"As it is, they cost {about_usd(sum(known))} a year at this volume and today's prices{without}."


def _span(report: Report) -> str:
    if report.span is None:
        return "; no call says its time"
    first, last = report.span
    hours = last - first + 1
    length = f"{hours / HOURS_A_DAY:.1f} days" if hours >= HOURS_A_DAY else f"{hours} h"
    return f", {_hour(first)} to {_hour(last + 1)} UTC ({length})"


def _hour(hour: int) -> str:
    return datetime.datetime.fromtimestamp(hour * _SECONDS_PER_HOUR, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def per_day(one: Assessed) -> str:
    calls = one.volume.calls_per_day
    return "unknown" if calls is None else f"{calls:,.0f}"


def usd(value: float | None) -> str:
    return "unknown" if value is None else format_usd(round(value * NUSD_PER_USD))


def about_usd(value: float | None) -> str:
    """Of what is projected: three digits, for more would say more than is known."""
    return "unknown" if value is None else usd(float(f"{value:.3g}")).removesuffix(".00")


def now(money: Money) -> str:
    """The yearly cost as it is."""
    return about_usd(money.usd_per_year)


def then(money: Money) -> str:
    """The yearly cost with a cache and a small model first."""
    less = money.with_small
    if less is None or less.usd_per_year_low is None or less.usd_per_year_high is None:
        return "unknown"
    mark = "≈ " if less.rough else ""
    return f"{mark}{about_usd(less.usd_per_year_low)} to {about_usd(less.usd_per_year_high)}"


def small_share(one: Assessed) -> str:
    small = one.small
    if small.low is None or small.high is None:
        return "unknown"
    if small.middle is None:
        return f"≈ {small.low:.0%} to {small.high:.0%}"
    return f"{small.middle:.0%} ({small.low:.0%} to {small.high:.0%})"


def rows_of(one: Assessed) -> list[Row]:
    """Everything but the questions and the verdict."""
    return [
        row
        for row in (
            ("calls", _calls(one)),
            ("input", _input(one)),
            ("answers", _answers(one)),
            ("latency", _latency(one)),
            ("a cache", _cache(one)),
            ("a small model", f"{small_share(one)}: {one.small.told}"),
            ("cost now", _cost_now(one)),
            ("it would cost", _would_cost(one)),
            ("own GPUs", _own(one)),
            ("contract", "" if one.suggestion is None else one.suggestion.remark),
        )
        if row[1]
    ]


def _calls(one: Assessed) -> str:
    volume = one.volume
    words = [f"{one.calls:,} ({one.share:.1%} of all)"]
    if one.failed_calls:
        words.append(f"{one.failed_calls:,} failed")
    if volume.calls_per_day is not None:
        words.append(f"{volume.calls_per_day:,.0f} a day" + (" as you said" if volume.stated else ""))
    of = " of these" if volume.stated else ""
    if volume.busiest_day_calls is not None:
        words.append(f"busiest day {volume.busiest_day_calls:,}{of}")
    if volume.busiest_hour_calls is not None:
        words.append(f"busiest hour {volume.busiest_hour_calls:,}{of}")
    if volume.peak_factor is not None:
        words.append(f"which is {volume.peak_factor:.1f} times the mean")
    if volume.undated_calls:
        words.append(f"{volume.undated_calls:,} without a time")
    if one.models:
        words.append(printable(f"by {', '.join(list(one.models)[:3])}"))
    if one.tokens is not None:
        about = "about " if one.tokens.estimated else ""
        words.append(
            f"{about}{one.tokens.input:,.0f} tokens in ({one.tokens.cached:,.0f} cached), {one.tokens.output:,.0f} out"
        )
    return ", ".join(words)


def _input(one: Assessed) -> str:
    width = one.width
    if not width.sample:
        return "no inputs are recorded"
    kinds = (
        f"{width.kinds_80:,}, {width.kinds_90:,} and {width.kinds_95:,} kinds cover 80, 90 and 95 % of a sample of {width.sample:,}",
        f"{width.entropy_bits:.1f} bits",
        f"of a kind seen once {interval(width.unseen)}",
    )
    words = [
        *(kinds if width.kinds else (f"a sample of {width.sample:,}, too long to count kinds",)),
        f"repeats {width.repeat_share:.1%} of all calls",
        f"nearly repeats {interval(width.near_repeats)} of the sample",
        f"{width.chars_p50:,} characters, p95 {width.chars_p95:,}",
    ]
    return "; ".join(words)


def _answers(one: Assessed) -> str:
    output = one.output
    if output.form == "none":
        return "none are recorded"
    if output.form == "unknown":
        return f"{output.answers:,}: too few to say what they look like"
    words = [f"{output.distinct:,} different of {output.answers:,}", f"{output.entropy_bits:.1f} bits"]
    if output.form == "label":
        shown = ", ".join(printable(label) for label, _ in output.labels[:_LABELS_SHOWN])
        more = len(output.labels) - _LABELS_SHOWN
        words.insert(0, f"labels: {shown}" + (f" and {more:,} more" if more > 0 else ""))
        words.append(f"within the set {interval(output.fits)}")
        words.append(f"with a label seen once {interval(output.new)}")
    elif output.form == "json":
        words.insert(0, f"JSON of {output.fields} fields")
        words.append(f"valid against the schema inferred from the other half {interval(output.fits)}")
    else:
        words.insert(0, f"text of {output.chars_p50:,} characters, p95 {output.chars_p95:,}")
    return "; ".join(words)


def _latency(one: Assessed) -> str:
    latency = one.latency
    words = [f"{latency.streamed_share:.0%} streamed"]
    if (
        latency.streamed_share > 0
        and latency.first_token_p50_ms is not None
        and latency.first_token_p95_ms is not None
    ):
        words.append(
            f"first token p50 {latency.first_token_p50_ms:,.0f} ms, p95 {latency.first_token_p95_ms:,.0f} ms"
        )
    if latency.total_p50_ms is not None and latency.total_p95_ms is not None:
        words.append(f"whole p50 {latency.total_p50_ms:,.0f} ms, p95 {latency.total_p95_ms:,.0f} ms")
    if latency.budget_ms is not None:
        words.append(f"wanted: {latency.budget_ms:,.0f} ms")
    return "; ".join(words)


def _cache(one: Assessed) -> str:
    cache = one.cacheable
    if cache.exact is None:
        return "unknown: the inputs are not recorded"
    kept = f", keeping answers for {cache.span_hours} h" if cache.span_hours else ""
    text = f"{cache.exact:.1%} exact{kept}"
    if cache.exact and cache.within_ttl is not None and cache.span_hours > cache.ttl_hours:
        text += f", at least {cache.within_ttl:.1%} for {cache.ttl_hours:g} h"
    near = one.width.near_repeats
    if near is not None and near.low > cache.exact + _APART:
        text += f"; {near.value:.0%} of the sample nearly repeat another: what changes in each call, such as an id or a date, keeps them apart"
    if cache.semantic_high is None:
        return text
    text += (
        f"; in other words at most {cache.semantic_high:.1%}, of which `smallfirst cache eval` proves a part"
    )
    if cache.semantic_agree is not None:
        text += f" (answers of such pairs are equal: {interval(cache.semantic_agree)})"
    return text


def _cost_now(one: Assessed) -> str:
    money = one.money
    if money.usd_per_call is None:
        return f"unknown: {_unknown(one)}"
    words = [f"{usd(money.usd_per_call)} a call"]
    if money.usd_per_day is not None and money.usd_per_year is not None:
        words.append(
            f"{about_usd(money.usd_per_day)} a day, {about_usd(money.usd_per_year)} a year at this volume"
        )
    if money.known_nusd:
        words.append(f"{format_usd(money.known_nusd)} as recorded")
    if money.estimated_nusd:
        words.append(f"{format_usd(money.estimated_nusd)} by {', '.join(money.versions)}")
    if money.simulated:
        words.append("simulated: charged by a simulated provider")
    if money.free_calls:
        words.append("failed calls that tell no tokens count as free")
    if money.unknown_calls:
        words.append(f"in no sum: {_unknown(one)}")
    return "; ".join(words)


def _unknown(one: Assessed) -> str:
    named = printable(", ".join(one.money.unknown_models)) or "no tokens or no model told"
    calls = "call" if one.money.unknown_calls == 1 else "calls"
    return f"{one.money.unknown_calls:,} {calls} without a known price ({named}); --price-as MODEL prices them as another"


def _would_cost(one: Assessed) -> str:
    less = one.money.with_small
    if less is None:
        return ""
    hits = _hits(less) if one.cacheable.exact is not None else "h taken as 0, since the inputs are unknown"
    start = f"with {less.model} at {usd(less.usd_per_call)} a call (s = {less.small_price:.1%}, {less.version}) and {hits}"
    if less.left_low is None or less.left_high is None:
        return f"{start}: unknown, since f is"
    shares = f"f = {less.frontier_share_low:.0%} to {less.frontier_share_high:.0%}"
    year = f", {then(one.money)} a year" if less.usd_per_year_low is not None else ""
    return f"{less.left_low:.0%} to {less.left_high:.0%} of the bill{year}, {start}, {shares}{'; f is a rough range' if less.rough else ''}"


def _hits(less: WithSmall) -> str:
    low, high = f"{less.hit_rate_low:.0%}", f"{less.hit_rate_high:.0%}"
    return f"h = {low}" if low == high else f"h = {low} to {high}"


def _own(one: Assessed) -> str:
    own = one.money.own
    if own is None or own.above_frontier is None:
        return ""

    def above(volume: float | None, than: str) -> str:
        return (
            f"unknown against {than}"
            if volume is None
            else f"from {volume:,.0f} calls a day cheaper than {than}"
        )

    assumed = "assumed" if own.peak_assumed else "measured"
    return (
        f"if they answer every call: {above(own.above_frontier, 'now')}, {above(own.above_small, 'a hosted small model')}: {own.gpu.name} at "
        f"${own.gpu.usd_per_hour:g}/h, {own.gpu.planned_rps:.1f} calls a second ({own.gpu.source}), bought for a peak of "
        f"{own.peak_factor:.1f} times the mean ({assumed}) and one to spare"
    )


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def interval(found: Share | None) -> str:
    return "unknown" if found is None else f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def rest_of(report: Report) -> list[str]:
    """What was not looked at closely."""
    rest, lines = report.rest, [printable(line) for line in report.told]
    if rest.features:
        lines.append(
            f"Not looked at: {rest.features:,} smaller {'feature' if rest.features == 1 else 'features'} with {rest.feature_calls:,} calls; "
            "--top N looks at more."
        )
    if rest.unsorted_calls:
        lines.append(
            f"Unsorted: {rest.unsorted_calls:,} calls ({rest.unsorted_calls / max(1, report.calls):.1%}) that fit no feature."
        )
    return lines
