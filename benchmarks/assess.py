"""`python -m benchmarks.assess`: a log of a million calls of six features, read and sorted: time, memory, and how well it was sorted.

The calls are made of the helpdesk's tickets (examples/helpdesk) and of public texts under SMALLFIRST_DATA (banking77, clinc150, snips); prompts come
in five forms. Each call carries the feature that it was made for in its conversation's name, which nothing that sorts looks at. The score is
of the features' samples, weighted by their calls: the adjusted Rand index (Hubert and Arabie, 1985) and purity.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_HELPDESK = Path(__file__).parent.parent / "examples" / "helpdesk"
_TASKS = {"ticket-triage": "category", "ticket-extract": "record", "ticket-summary": "summary"}
_ASKS = {
    "ticket-triage": "Classify this support ticket as one of the labels that you know. Answer with the label alone.",
    "ticket-extract": "Extract customer, contact, product, order_id, invoice_id and error_code from this support ticket as JSON.",
    "ticket-summary": "Summarise this support ticket in one line:",
}
_BANK = (
    "You are the assistant of Northbank, a bank for people who travel. Answer questions about cards, transfers, top-ups and accounts in "
    "two or three sentences. Never ask for a card number or a PIN. Where you do not know, say that a colleague will write within the day."
)
_SLOTS = (
    "Take the slots out of what a person said to a smart speaker. Answer with one JSON object: the intent, and each slot that was named, with the "
    "words as they were said. Leave out what was not said.\nUtterance: {text}\nJSON:"
)
VARIANTS = ("system", "inlined", "dated", "dated-inlined", "generic")
_WEEK_S = 7 * 86_400
_FIRST_S = 1_790_000_000

Call = tuple[str, list[dict[str, str]], str]


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.assess", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument(
        "--variant", choices=[*VARIANTS, "all"], default="all", help="how the helpdesk's prompts are written"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", type=Path, help="only write the log, there")
    options = parser.parse_args()
    if options.log is not None:
        _write(options.log, options.calls, options.variant, options.seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="smallfirst-assess-") as folder:
        path = Path(folder) / "calls.jsonl"
        _write(path, options.calls, options.variant, options.seed)
        size = path.stat().st_size
        # A process of its own, so that its memory is not that of whoever wrote the log.
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            figures: dict[str, Any] = pool.apply(measure, (str(path),))
    figures |= {"variant": options.variant, "log_bytes": size, "cores": os.cpu_count()}
    if options.json:
        print(json.dumps(figures, indent=2))
        return 0
    print(f"{figures['calls']:,} calls, {size / 1e9:.2f} GB, variant {options.variant}")
    print(
        f"{figures['seconds']:.1f} s, {figures['cpu_seconds']:.1f} s of one core, {figures['peak_mib']:,} MiB at most"
    )
    print(
        f"adjusted Rand index {figures['rand']:.4f}, purity {figures['purity']:.4f}, unsorted {figures['unsorted']:.2%}"
    )
    for name, calls, made_of in figures["features"]:
        print(f"  {calls:>9,}  {name:45}  {made_of}")
    return 0


def measure(path: str) -> dict[str, Any]:
    """Reads and sorts a log; its time, its memory, and its score."""
    from smallfirst.datasets.row import Tally
    from smallfirst.planning.assess import find_features, read_logs
    from smallfirst.planning.assess.reading.columns import Columns

    began, cpu = time.perf_counter(), time.process_time()
    tally = Tally()
    found = find_features(read_logs([Path(path)], Columns(), tally), tally=tally)
    seconds = time.perf_counter() - began
    cpu_seconds = time.process_time() - cpu
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parts = [*found.features, *([found.unsorted] if found.unsorted else [])]
    table = []
    for feature in parts:
        seen = Counter(observed.conversation.partition(":")[0] for observed in feature.sample)
        scale = feature.calls / max(1, len(feature.sample))
        table.append({name: count * scale for name, count in seen.items()})
    return {
        "calls": found.calls,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": peak_kib // 1024,
        "rand": adjusted_rand(table),
        "purity": sum(max(row.values(), default=0.0) for row in table) / max(1, found.calls),
        "unsorted": found.unsorted_share,
        "features": [
            (feature.name, feature.calls, ", ".join(f"{name} {count:,.0f}" for name, count in row.items()))
            for feature, row in zip(parts, table, strict=True)
        ],
    }


def adjusted_rand(table: list[dict[str, float]]) -> float:
    """Of a table of counts: features that were found by features that were made."""
    made: Counter[str] = Counter()
    for row in table:
        made.update(row)
    total = sum(made.values())

    def pairs(count: float) -> float:
        return count * (count - 1) / 2

    both = sum(pairs(count) for row in table for count in row.values())
    found, given = sum(pairs(sum(row.values())) for row in table), sum(map(pairs, made.values()))
    expected = found * given / max(1.0, pairs(total))
    most = (found + given) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _write(path: Path, calls: int, variant: str, seed: int) -> None:
    draw = random.Random(seed)
    made = makers(draw, variant)
    names = list(made)
    with path.open("w", encoding="utf-8") as out:
        for number in range(calls):
            name, messages, answer = made[draw.choice(names)]()
            tokens = [sum(len(message["content"]) for message in messages) // 4, len(answer) // 4]
            row = {
                "at": _FIRST_S + number * _WEEK_S / calls,
                "conversation": f"{name}:{number}",
                "latency_ms": round(draw.lognormvariate(6.5, 0.5)),
                "request": {"model": "gpt-4.1", "messages": messages},
                "response": {
                    "model": "gpt-4.1-2025-04-14",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": answer},
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": {
                        "prompt_tokens": tokens[0],
                        "completion_tokens": tokens[1],
                        "total_tokens": sum(tokens),
                    },
                },
            }
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def makers(draw: random.Random, variant: str) -> dict[str, Callable[[], Call]]:
    """What makes a call of each feature: its name, messages and answer."""
    tasks = tomllib.loads((_HELPDESK / "smallfirst.toml").read_text("utf-8"))["tasks"]
    tickets = list(_rows(_HELPDESK / "train.jsonl"))

    def ticket(name: str) -> Call:
        row = draw.choice(tickets)
        told = row[_TASKS[name]]
        form = draw.choice(VARIANTS) if variant == "all" else variant
        answer = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
        return (
            name,
            ticket_messages(form, name, tasks[name]["instructions"].strip(), row["input"], draw),
            answer,
        )

    made: dict[str, Callable[[], Call]] = {name: lambda name=name: ticket(name) for name in _TASKS}
    data = os.environ.get("SMALLFIRST_DATA")
    if not data:
        print("SMALLFIRST_DATA is not set: the helpdesk's tickets alone", file=sys.stderr)
        return made
    bank, talk = (
        list(_rows(Path(data) / "banking77/train.jsonl")),
        list(_rows(Path(data) / "clinc150/train.jsonl")),
    )
    slots = [row for path in sorted(Path(data).glob("snips/train-*.jsonl")) for row in _rows(path)]

    def said(text: str) -> str:
        return f"Thank you for asking about that. Here is what I know of it: {text}"

    def banking() -> Call:
        text = draw.choice(bank)["input"]
        return "banking", _told(_BANK, text), said(text)

    def chatter() -> Call:
        text = draw.choice(talk)["input"]
        return "chatter", [{"role": "user", "content": text}], said(text)

    def speaker() -> Call:
        row = draw.choice(slots)
        answer = json.dumps({"intent": row["intent"], **row["fields"]}, ensure_ascii=False)
        return "speaker", [{"role": "user", "content": _SLOTS.format(text=row["input"])}], answer

    return made | {"banking": banking, "chatter": chatter, "speaker": speaker}


def ticket_messages(
    form: str, name: str, instructions: str, text: str, draw: random.Random
) -> list[dict[str, str]]:
    """A ticket's prompt in one of the forms: with the date and an id on top, or not; as a system prompt, or in the user's message."""
    day = f"{draw.randint(1, 28)} {draw.choice(('January', 'April', 'November'))} 2026"
    if form == "system":
        return _told(instructions, text)
    if form == "inlined":
        return [{"role": "user", "content": f"{instructions}\n\nTicket:\n{text}"}]
    if form == "dated":
        return _told(f"Today is {day}. Request {draw.getrandbits(48):x}.\n{instructions}", text)
    if form == "dated-inlined":
        head = f"[{day}, request {draw.getrandbits(48):x}] {instructions}"
        return [
            {
                "role": "user",
                "content": f"{head}\n\nTicket no. {draw.randint(1, 99999)}:\n{text}\n\nAnswer now.",
            }
        ]
    return _told("You are a helpful assistant.", f"{_ASKS[name]}\n{text}")


def _told(system: str, text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


if __name__ == "__main__":
    sys.exit(main())
