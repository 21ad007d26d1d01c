"""Examples of the tasks of `support.gateway.CONFIG`, as `smallfirst router intents` takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SYSTEM = {
    "triage": "You sort the tickets of a help desk. Answer with one label: billing, bug or how-to.",
    "extract": "Read the shipping note and give the number of parcels in it as JSON with the field n.",
    "summary": "Write one plain sentence that says what the minutes of this meeting decided.",
}
_SAID = {
    "triage": (
        "I was charged twice on my invoice {}",
        "The app crashes with an error {}",
        "How do I invite a colleague to my account {}",
        "Please refund the payment for my subscription {}",
        "The export button does nothing {}",
        "Where can I change my password {}",
    ),
    "extract": (
        "Shipping note: 4 parcels to Hamburg, two pallets, carrier DHL {}",
        "Delivery slip, 12 boxes of screws, 38 kg, warehouse 3 {}",
        "Consignment of 7 parcels from Lyon to Turin, express {}",
        "Waybill: nine cartons, fragile, insured freight {}",
    ),
    "summary": (
        "Minutes: the board met at ten, approved the budget and moved the launch {}",
        "Meeting notes. Present: Ana, Bo. The committee agreed to hire a designer {}",
        "Protocol of the weekly meeting: the team decided to postpone the migration {}",
        "The council discussed the agenda and voted for the new statutes {}",
    ),
}
_ENDS = (
    "today",
    "since Monday",
    "last week",
    "in the EU",
    "again",
    "for order 77",
    "this morning",
    "as agreed",
)
ASKED = {
    "triage": "My invoice was charged twice this month, please refund it",
    "extract": "Shipping note: 11 parcels to Bremen with carrier DHL",
    "summary": "Minutes of the meeting: the team approved the new budget and agreed to hire Bo",
}
JUNK = (
    "Write a poem about the moon in the style of Rilke",
    "What is the capital of Peru?",
    "Is a tomato a fruit or a vegetable?",
    "asdf qwer zxcv",
    "Translate good night into Finnish",
    "Who won the world cup in 1974?",
)


def examples(*, system: bool = True, junk: bool = False) -> list[dict[str, Any]]:
    """Rows of all three tasks, half of them with their system prompt; `junk`: and rows that are none."""
    rows: list[dict[str, Any]] = []
    for task, sentences in _SAID.items():
        for at, text in enumerate(sentence.format(end) for sentence in sentences for end in _ENDS):
            row: dict[str, Any] = {"id": f"{task}-{at}", "task": task}
            if system and at % 2:
                told = [{"role": "system", "content": SYSTEM[task]}, {"role": "user", "content": text}]
                rows.append(row | {"messages": told})
            else:
                rows.append(row | {"input": text})
    if junk:
        rows += [{"id": f"junk-{at}", "input": text, "task": None} for at, text in enumerate(JUNK)]
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path
