"""What the pages say about files, configuration, headers and metrics is so."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smallfirst.config import toml_text
from smallfirst.config.check import check
from smallfirst.config.example import starter
from smallfirst.config.finding import Finding, Surroundings
from smallfirst.config.load import parse

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "src" / "smallfirst"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    + [path for folder in ("docs", "design", "examples") for path in (ROOT / folder).rglob("*.md")]
)

_ENVIRON = {
    "OPENAI_API_KEY": "x",
    "ANTHROPIC_API_KEY": "x",
    "CACHE_URL": "redis://127.0.0.1",
    "GPU_KEY": "x",
    "SMALLFIRST_APP_KEY": "x",
    "ALARM_URL": "https://hooks.example/x",
    "ALARM_SECRET": "x",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Every fenced block of a language: where it stands, and its text."""
    for path in PAGES:
        text = path.read_text("utf-8")
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield f"{name_of(path)}:{text.count(chr(10), 0, found.start()) + 2}", found[1]


# Links.


def links(path: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`(?!\])", "", text)
    found = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        assert ROOT in file.parents, link
        assert not anchor or anchor in anchors(file), link


def test_links_are_found() -> None:
    assert "docs/ledger.md" in links(ROOT / "README.md")
    assert "../src/smallfirst/gateway/pipeline.py" in links(ROOT / "docs" / "architecture.md")


# Configuration.


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for key, value in other.items():
        before = both.get(key)
        both[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return both


def around() -> dict[str, Any]:
    """What a reader has when he comes to a fragment: what `smallfirst init` wrote, and the README's own piece."""
    readme = next(text for where, text in blocks("toml") if where.startswith("README.md:"))
    return merged(tomllib.loads(starter(_ENVIRON, installed=lambda _: True)), tomllib.loads(readme))


def problems(fragment: str) -> list[Finding]:
    """What is wrong with a configuration that the fragment is added to. Raises `ConfigError` for its shape."""
    config = parse(toml_text.write(merged(around(), tomllib.loads(fragment))))
    surroundings = Surroundings(environ=_ENVIRON, installed=lambda _: True)
    return [finding for finding in check(config, surroundings) if finding.level == "error"]


def table_of(fragment: str) -> str:
    """The table that the fragment is a part of: its first field says which."""
    first = next(iter(tomllib.loads(fragment)))
    fields = {
        "ladder": "[tasks.example]\n",
        "contract": "[tasks.example]\n",
        "prices": "[models.example]\n",
        "hourly_usd": "[models.example]\n",
        "base_url": "[providers.example]\n",
    }
    return fields.get(first, "")


@pytest.mark.parametrize(("where", "text"), [pytest.param(*block, id=block[0]) for block in blocks("toml")])
def test_every_piece_of_configuration_is_valid(where: str, text: str) -> None:
    assert problems(table_of(text) + text) == []


def test_a_wrong_piece_would_be_found() -> None:
    assert problems('[tasks.triage]\nladder = ["small", "nobody"]')


# Headers.


def constants(path: Path) -> Iterator[str]:
    """Every string and bytes literal of a module, but for docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose:
            if isinstance(node.value, bytes):
                yield node.value.decode("latin-1")
            elif isinstance(node.value, str):
                yield node.value


def test_every_header_of_ours_is_named_and_no_other() -> None:
    gateway = [path for path in SOURCE.rglob("*.py") if "simulator" not in path.relative_to(SOURCE).parts]
    header = re.compile(r"x-smallfirst-[a-z]+(?:-[a-z]+)*")
    used = {found for path in gateway for text in constants(path) for found in header.findall(text)}
    named = set(header.findall((ROOT / "docs" / "ladders.md").read_text("utf-8")))
    assert len(used) > 10
    assert named == used


# Metrics.


def test_every_metric_is_named_and_no_other() -> None:
    texts = [
        text
        for name in (
            "metrics.py",
            "aside_counts.py",
            "cache/counts.py",
            "cache/cached.py",
            "budget/exposed.py",
            "serve.py",
        )
        for text in constants(SOURCE / "gateway" / name)
    ]
    used = {text for text in texts if re.fullmatch(r"smallfirst_[a-z_]+", text)}
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    named = {
        found.removesuffix("_total")
        for found in re.findall(r"^\| `(smallfirst_[a-z_]+)`", page, re.MULTILINE)
    }
    assert len(used) > 10
    assert named == used
