"""Writes every ticket's right answers for the simulated frontier: `python answers.py FILE.jsonl`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tickets import Row, read_splits, write_rows


def answers_of(row: Row) -> dict[str, Any]:
    """A ticket and its right answer for each task of smallfirst.toml, in the simulator's format."""
    answers = {
        "ticket-triage": row["category"],
        "ticket-extract": row["record"],
        "ticket-summary": row["summary"],
    }
    return {"input": row["input"], "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="the JSONL file to write")
    path = parser.parse_args().path
    rows = [answers_of(row) for part in read_splits().values() for row in part]
    write_rows(path, rows)
    print(f"{path}: {len(rows):,} tickets")


if __name__ == "__main__":
    main()
