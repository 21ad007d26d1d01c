"""Scorers of the user's own, as an installed package brings them."""

import asyncio

import pytest

from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import TextContract
from smallfirst.errors import ScorerError
from smallfirst.scoring import open_scorer

MODULE = """
from smallfirst.scoring import Score

def half(output, reference, messages):
    return 0.5

async def length(output, reference, messages):
    return Score(min(1.0, len(output) / 10), {"turns": float(len(messages))}, "why")

def broken(output, reference, messages):
    raise RuntimeError("no luck")

def outside(output, reference, messages):
    return 1.5

def words(output, reference, messages):
    return "a lot"

def nan(output, reference, messages):
    return Score(float("nan"))

class Own:
    def __call__(self, output, reference, messages):
        return 1

    def summary(self, outputs, references):
        return {"rows": len(outputs)}

own = Own()
constant = 3
"""
NAMES = ("half", "length", "broken", "outside", "words", "nan", "own", "constant", "missing")


@pytest.fixture(autouse=True)
def _installed(tmp_path, monkeypatch):
    (tmp_path / "acme_scorers.py").write_text(MODULE)
    made = tmp_path / "acme_scorers-1.2.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-scorers\nVersion: 1.2\n")
    points = "\n".join(f"{name} = acme_scorers:{name}" for name in NAMES)
    (made / "entry_points.txt").write_text(f"[smallfirst.scorers]\n{points}\n")
    monkeypatch.syspath_prepend(tmp_path)


def scorer(name):
    return open_scorer(Spec(kind="python", entry_point=name), TextContract())


def score(name, output="hello", **options):
    return asyncio.run(scorer(name).score(output, None, **options))


def test_a_callable_that_is_installed_scores():
    assert score("half").value == 0.5
    told = score("length", messages=[{"role": "user", "content": "x"}])
    assert (told.value, told.parts, told.note) == (0.5, {"turns": 1.0}, "why")
    assert scorer("own").summary(["a", "b"], [1, 2]) == {"rows": 2.0}
    assert scorer("half").summary(["a"], [1]) == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", r"the scorer 'broken' failed: RuntimeError\('no luck'\)"),
        ("outside", r"'outside' returned 1.5, and a score is in \[0, 1\]"),
        ("words", "'words' returned 'a lot'"),
        ("nan", "'nan' returned nan"),
    ],
)
def test_what_is_no_score_names_its_scorer(name, words):
    with pytest.raises(ScorerError, match=words):
        score(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("constant", "is no callable"),
        ("missing", "cannot be loaded"),
        ("unknown", "no 'unknown' is installed .* broken"),
        ("", "needs the name"),
    ],
)
def test_what_cannot_be_opened_says_why(name, words):
    with pytest.raises(ScorerError, match=words):
        scorer(name)


def test_a_new_version_of_its_package_is_another_scorer(tmp_path):
    before = scorer("half").id
    metadata = tmp_path / "acme_scorers-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.2", "1.3"))
    assert scorer("half").id != before
