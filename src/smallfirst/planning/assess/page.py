"""A report as one HTML file for people who decide: no script, nothing fetched, all text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from smallfirst.drawing import GREY, INK
from smallfirst.planning.assess.judging.assessment import Assessed, Report
from smallfirst.planning.assess.picture import COLOURS
from smallfirst.planning.assess.told import (
    QUESTIONS,
    now,
    per_day,
    rest_of,
    rows_of,
    small_share,
    then,
    title_of,
    total_of,
)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; margin: 2rem auto; max-width: 64rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem } p { margin: .3rem 0 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-top: 1px solid #e4e8ec }
th { color: #6b7785; font-weight: 600; white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td { overflow-wrap: anywhere } td.a { white-space: nowrap } .quiet { color: #6b7785; font-size: .85rem }
pre { background: #f5f7f8; padding: .8rem; overflow-x: auto; font-size: .85rem }
.verdict { color: #fff; border-radius: 3px; padding: .1rem .5rem; font-size: .85rem; white-space: nowrap }
.said { white-space: pre-wrap; overflow-wrap: anywhere }
""".strip()
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_DARK = {
    "candidate": COLOURS["candidate"],
    "prototype": "#8a5f12",
    "frontier": "#4b5563",
    "unknown": "#4b5563",
}
_BAR_WIDTH, _BAR_HEIGHT, _NAME_WIDTH, _MOST_BARS = 480, 26, 300, 30
_NAME_CHARS = 42
_EXAMPLE_CHARS = 1500


def assess_page(report: Report, *, made_by: str = "smallfirst assess") -> str:
    """The page. What was asked and answered is on it only where the report holds examples."""
    title = "Which features could leave the frontier model"
    lines = "".join(f'<p class="quiet">{escape(line)}</p>' for line in rest_of(report))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p>{escape(title_of(report))}</p>
<p class="quiet">Prices of {report.made_on.isoformat()}; made by {escape(made_by)}.</p>
{_summary(report.features)}
<p>{escape(total_of(report))}</p>
{_bars(report.features)}
{_table(report.features)}
{lines}
{"".join(_feature(at, one) for at, one in enumerate(report.features, start=1))}
{_ABOUT}
</body></html>
"""


def _summary(features: Sequence[Assessed]) -> str:
    if not features:
        return "<p>No feature was found.</p>"
    counts = {decision: sum(one.verdict.decision == decision for one in features) for decision in COLOURS}
    words = {
        "candidate": "candidates",
        "prototype": "to try as a prototype",
        "frontier": "to keep on the frontier",
        "unknown": "not known yet",
    }
    told = ", ".join(f"{counts[decision]} {words[decision]}" for decision in COLOURS if counts[decision])
    return f"<p>Of {len(features)} that were looked at: {escape(told)}.</p>"


def _bars(features: Sequence[Assessed]) -> str:
    """Calls a day as an inline picture."""
    shown = features[:_MOST_BARS]
    daily = all(one.volume.calls_per_day is not None for one in shown)
    values = [(one.volume.calls_per_day if daily else one.calls) or 0.0 for one in shown]
    most = max(values, default=0.0) or 1.0
    height = len(shown) * _BAR_HEIGHT
    width = _NAME_WIDTH + _BAR_WIDTH + 120
    parts = []
    for at, (one, value) in enumerate(zip(shown, values, strict=True)):
        y, length = at * _BAR_HEIGHT, max(1.0, _BAR_WIDTH * value / most)
        name = one.name if len(one.name) <= _NAME_CHARS else one.name[: _NAME_CHARS - 1] + "…"
        parts.append(
            f'<text x="{_NAME_WIDTH - 8}" y="{y + 17}" text-anchor="end" fill="{INK}">{escape(name)}</text>'
            f'<rect x="{_NAME_WIDTH}" y="{y + 4}" width="{length:.1f}" height="{_BAR_HEIGHT - 8}" fill="{COLOURS[one.verdict.decision]}"/>'
            f'<text x="{_NAME_WIDTH + length + 6:.1f}" y="{y + 17}" fill="{GREY}">{value:,.0f}</text>'
        )
    label = "calls a day" if daily else "calls"
    return (
        f'<h2>{label.capitalize()}</h2><svg role="img" aria-label="{label} of each feature" viewBox="0 0 {width} {height}" width="100%" '
        f'style="max-width:{width}px" font-family="system-ui, sans-serif" font-size="13">{"".join(parts)}</svg>'
    )


def _table(features: Sequence[Assessed]) -> str:
    rows = "".join(
        f'<tr><td><a href="#f{at}">{escape(one.name)}</a></td><td>{_verdict(one)}</td><td class="n">{escape(per_day(one))}</td>'
        f'<td class="n">{escape(now(one.money))}{_simulated(one)}</td>'
        f'<td class="n">{escape(then(one.money))}</td><td class="n">{escape(small_share(one))}</td></tr>'
        for at, one in enumerate(features, start=1)
    )
    heads = "".join(
        f'<th class="n">{head}</th>'
        for head in ("calls a day", "a year now", "a year, small first", "a small model takes")
    )
    head = f"<tr><th>feature</th><th>what to do</th>{heads}</tr>"
    return f"<h2>The features</h2><table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _verdict(one: Assessed) -> str:
    verdict = one.verdict
    return (
        f'<span class="verdict" style="background:{_DARK[verdict.decision]}">{escape(verdict.words)}</span>'
    )


def _simulated(one: Assessed) -> str:
    return ' <span class="quiet">simulated</span>' if one.money.simulated else ""


def _feature(at: int, one: Assessed) -> str:
    words = f'<p class="quiet">{escape(", ".join(one.words))}</p>' if one.words else ""
    against = "".join(f"<li>{escape(reason)}</li>" for reason in one.verdict.against)
    missing = "".join(f"<li>{escape(what)}</li>" for what in one.verdict.missing)
    return (
        f'<h2 id="f{at}">{at}. {escape(one.name)} {_verdict(one)}</h2>{words}{_questions(one)}'
        + (f"<h3>What speaks against it</h3><ul>{against}</ul>" if against else "")
        + (f"<h3>Not known yet</h3><ul>{missing}</ul>" if missing else "")
        + _figures(one)
        + _suggestion(one)
        + _examples(one)
    )


def _questions(one: Assessed) -> str:
    rows = "".join(
        f'<tr><td>{escape(QUESTIONS[question.name])}</td><td class="a"><b>{question.answer}</b></td><td>{escape(question.why)}</td>'
        f'<td class="quiet">yes from: {escape(question.threshold)}</td></tr>'
        for question in one.questions
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _figures(one: Assessed) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows_of(one))
    return f"<h3>Figures</h3><table><tbody>{rows}</tbody></table>"


def _suggestion(one: Assessed) -> str:
    if one.suggestion is None:
        return ""
    notes = "".join(f'<p class="quiet">{escape(note)}</p>' for note in one.suggestion.notes)
    return f"<h3>As a task</h3><pre>{escape(one.suggestion.toml)}</pre>{notes}"


def _examples(one: Assessed) -> str:
    rows = "".join(
        f'<tr><td class="said">{escape(example.input[:_EXAMPLE_CHARS])}</td><td class="said">{escape(example.answer[:_EXAMPLE_CHARS])}</td></tr>'
        for example in one.examples
    )
    return (
        f"<h3>Examples</h3><table><thead><tr><th>asked</th><th>answered</th></tr></thead><tbody>{rows}</tbody></table>"
        if rows
        else ""
    )


_ABOUT = """<h2>How to read this</h2>
<p class="quiet">Three questions: is there enough of it, is it narrow, must it be faster than it is. Three times yes is a candidate, where a small
model has shown that it takes something; twice is a prototype. Shares in brackets are 95 % intervals. What a small model takes is measured as
agreement with the recorded answers, not as correctness; ≈ marks a rough range without a confidence. A year is 365 days at the volume and the prices
of today, and what is projected is rounded to three digits. h is the share of calls that a cache answers, f the frontier's share of the rest, s a
small call's price as a share of today's: the bill is (1 − h)(f + (1 − f)s) of what it is. Nothing changes by this report: a task, its data and a
gate come first.</p>"""
