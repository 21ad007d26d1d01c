"""A run as one HTML file to look at: its figures, and every example with its answers side by side. Nothing is fetched, all text is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from smallfirst.evals.inspection import Inspected
from smallfirst.evals.interval import interval
from smallfirst.evals.run_report import RunReport
from smallfirst.evals.store import Answered
from smallfirst.evals.text_diff import Piece, side_by_side

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; margin: 2rem auto; max-width: 90rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem } p { margin: .3rem 0 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-top: 1px solid #e4e8ec }
th { color: #6b7785; font-weight: 600; white-space: nowrap } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.said { white-space: pre-wrap; overflow-wrap: anywhere } .quiet { color: #6b7785; font-size: .85rem }
mark { background: #fde8c8; color: inherit } .wrong { color: #b42318 } .right { color: #0a7d5a }
.examples { table-layout: fixed } label { margin-right: 1rem } .sim { background: #eef1f3; border-radius: 3px; padding: 0 .3rem; font-size: .8rem }
""".strip()

_SCRIPT = """
const rows = [...document.querySelectorAll('tbody tr[data-kind]')], told = document.getElementById('told');
const words = document.getElementById('words'), kinds = [...document.querySelectorAll('input[name=kind]')];
function show() {
  const kind = kinds.find(one => one.checked).value, text = words.value.toLowerCase();
  let count = 0;
  for (const row of rows) {
    const fits = (kind === 'all' || row.dataset.kind.split(' ').includes(kind)) && row.textContent.toLowerCase().includes(text);
    row.hidden = !fits; count += fits;
  }
  told.textContent = count + ' of ' + rows.length;
}
for (const one of [...kinds, words]) one.addEventListener('input', show);
show();
""".strip()


def run_page(report: RunReport, found: Sequence[Inspected]) -> str:
    """The page. Each answer is set against the reference arm's, and what differs is marked."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    title = escape(f"{report.run} · {report.manifest.task}")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<p class="quiet">{escape(_about(report))}</p>
<h2>What answered</h2>
{_arms(report)}
<h2>Examples</h2>
<p>{_choices()} <input id="words" type="search" placeholder="contains" aria-label="contains"> <span id="told" class="quiet"></span></p>
{_examples(report, found)}
<script>{_SCRIPT}</script></body></html>
"""


def _about(report: RunReport) -> str:
    told = report.manifest
    words = [f"{report.compared:,} examples compared", f"scored by {told.scorer}"]
    if told.dataset:
        words.append(f"dataset {told.dataset[:12]}" + (f", {told.split} part" if told.split else ""))
    if report.left_out:
        words.append(f"{report.left_out:,} left out: not answered by every arm")
    if report.simulated:
        words.append(f"simulated: {', '.join(report.simulated)}")
    return "; ".join(words) + ". Intervals are 95 %, errors cluster-robust."


def _arms(report: RunReport) -> str:
    rows = "".join(
        f"<tr><td>{escape(arm.name)}{_pretend(arm.simulated)}</td>"
        f'<td class="n">{interval(arm.score)}</td>'
        f'<td class="n">{interval(arm.cost_usd_per_1000, digits=4)}</td>'
        f'<td class="n">{interval(arm.latency.ms["p50"], digits=0)}</td>'
        f'<td class="n">{interval(arm.latency.ms["p95"], digits=0)}</td>'
        f'<td class="n">{arm.unmet:.1%}</td><td class="n">{arm.errors:.1%}</td></tr>'
        for arm in report.arms
    )
    head = "".join(
        f'<th class="n">{name}</th>'
        for name in ("score", "USD per 1,000", "p50 ms", "p95 ms", "unmet", "errors")
    )
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _pretend(models: Sequence[str]) -> str:
    return ' <span class="sim">simulated</span>' if models else ""


def _choices() -> str:
    names = ("all", "wrong", "differ", "unmet", "failed")
    return "".join(
        f'<label><input type="radio" name="kind" value="{name}"{" checked" if name == "all" else ""}> {name}</label>'
        for name in names
    )


def _examples(report: RunReport, found: Sequence[Inspected]) -> str:
    names = [arm.name for arm in report.arms]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = "".join(_row(one, names, report.reference) for one in found)
    return (
        '<table class="examples"><thead><tr><th>asked</th><th>right</th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(one: Inspected, names: Sequence[str], reference: str) -> str:
    other = one.answers.get(reference)
    cells = "".join(_answer(one.answers.get(name), None if name == reference else other) for name in names)
    slices = ", ".join(f"{name} {value}" for name, value in sorted(one.example.slices.items()))
    return (
        f'<tr data-kind="{_kinds(one)}"><td><div class="said">{escape(one.question)}</div>'
        f'<div class="quiet">{escape(one.example.id)}{" · " + escape(slices) if slices else ""}</div></td>'
        f'<td class="said">{escape(one.reference)}</td>{cells}</tr>'
    )


def _kinds(one: Inspected) -> str:
    answers = one.answers.values()
    kinds = {
        "wrong": any(answer.score is not None and answer.score < 1 for answer in answers),
        "differ": len(one.outputs) > 1,
        "unmet": any(answer.unmet for answer in answers),
        "failed": any(answer.error or answer.score is None for answer in answers),
    }
    return " ".join(name for name, holds in kinds.items() if holds)


def _answer(answer: Answered | None, other: Answered | None) -> str:
    if answer is None:
        return '<td class="quiet">not asked yet</td>'
    pieces = [Piece(answer.output, True)] if other is None else side_by_side(answer.output, other.output)[0]
    said = "".join(
        escape(piece.text) if piece.same else f"<mark>{escape(piece.text)}</mark>" for piece in pieces
    )
    score = "not scored" if answer.score is None else f"{answer.score:.2f}"
    mood = "right" if answer.score == 1 else "wrong" if answer.score == 0 else ""
    words = [score, answer.model, f"{answer.latency_ms:,.0f} ms"]
    words += [text for text in (answer.note, answer.unmet, answer.error) if text]
    told = escape(" · ".join(dict.fromkeys(words)))
    return f'<td><div class="said">{said}</div><div class="quiet {mood}">{told}</div></td>'
