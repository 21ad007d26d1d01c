"""Who can open a held-out file at all, in the source: the gate's door, and what compares without telling."""

from __future__ import annotations

import ast
from pathlib import Path

import smallfirst

SOURCE = Path(smallfirst.__file__).parent


def _importers(name: str) -> set[str]:
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
                found.add(path.relative_to(SOURCE).as_posix())
    return found


def test_a_held_out_file_is_opened_in_two_places() -> None:
    assert _importers("read_part") == {"datasets/heldout.py", "datasets/screen.py"}
    assert _importers("part_path") == {"datasets/build.py", "datasets/addition.py"}, (
        "who writes and copies it"
    )


def test_only_what_models_teach_is_held_against_held_out_texts() -> None:
    assert {path.split("/")[0] for path in _importers("Screen")} == {"teaching"}
