"""The page on the arithmetic computes what it says: its examples are run, and its commands print the lines beside them."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from smallfirst.cli.plan import app

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "arithmetic.md").read_text("utf-8")
SHOWN = [
    (page.name, command, lines)
    for page in (DOCS / "arithmetic.md", DOCS / "plan.md", DOCS.parent / "README.md")
    for command, lines in re.findall(
        r"^```bash\n(smallfirst plan[^`]+)```\n+```text\n([^`]+)```", page.read_text("utf-8"), re.MULTILINE
    )
]


def test_every_example_prints_what_stands_there():
    source = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    examples = doctest.DocTestParser().get_doctest(
        source, {}, "arithmetic.md", str(DOCS / "arithmetic.md"), 0
    )
    told: list[str] = []
    done = doctest.DocTestRunner().run(examples, out=told.append)
    assert done.attempted > 40
    assert done.failed == 0, "".join(told)


@pytest.mark.parametrize(
    ("page", "command", "lines"), SHOWN, ids=[f"{page}-{n}" for n, (page, _, _) in enumerate(SHOWN)]
)
def test_every_command_prints_the_lines_beside_it(page, command, lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(command.replace("\\\n", " "))[2:], env={"COLUMNS": "160"})
    assert result.exit_code == 0, (result.output, result.exception)
    printed = "\n".join(" ".join(line.split()) for line in result.stdout.splitlines())
    for line in lines.splitlines():
        if line.strip() not in ("", "…"):
            assert " ".join(line.split()) in printed, (line, printed)


def test_there_are_commands_to_be_run():
    assert {name for name, _, _ in SHOWN} == {"arithmetic.md", "plan.md", "README.md"}
