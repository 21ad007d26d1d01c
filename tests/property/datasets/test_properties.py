"""What holds for all examples: nothing straddles, order does not matter, nothing planted stays."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from support.datasets import ALL_KINDS, AT_MS, LABELS, make, part_by_text, row

from smallfirst.datasets.heldout import open_heldout
from smallfirst.datasets.likeness import like_pairs, shingles, signatures
from smallfirst.datasets.manifest import Rule
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.row import Row
from smallfirst.datasets.store import Datasets

WORDS = ["invoice", "printer", "login", "refund", "crash", "export", "user", "password"]
WORDS += ["order", "screen", "Monday", "error", "card", "team", "page", "month"]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Texts of which many are alike, in groups that overlap; some pinned, some not to be trained on."""
    chance = random.Random(draw(st.integers(0, 10**6)))
    found: list[Row] = []
    for at in range(draw(st.integers(1, 60))):
        words = chance.choices(WORDS, k=chance.randint(1, 20))
        if found and chance.random() < 0.5:
            words = found[chance.randrange(len(found))].messages[0]["content"].split()
            words[chance.randrange(len(words))] = chance.choice(WORDS)
        found.append(
            row(
                " ".join(words),
                chance.choice(LABELS.labels),
                id=f"r{at}",
                keys=tuple(f"user:{chance.randrange(30)}" for _ in range(chance.randint(0, 2))),
                at_ms=AT_MS + chance.randrange(1000),
                trainable=chance.random() < 0.9,
                synthetic=chance.random() < 0.1,
                split=chance.choice([None, None, None, "train", "heldout"]),
            )
        )
    return found


@settings(max_examples=60)
@given(rows(), st.booleans(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_nothing_straddles_and_order_does_not_matter(
    given_rows: list[Row], by_time: bool, seed: int, chance: random.Random
) -> None:
    rule = Rule(by_time=by_time, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        dataset = Datasets(Path(folder)).open(make(Path(folder), given_rows, rule=rule).id)
        shuffled = chance.sample(given_rows, len(given_rows))
        assert make(Path(folder), shuffled, rule=rule).id == dataset.id
        parts = {
            "train": list(dataset.examples("train")),
            "calibration": list(dataset.examples("calibration")),
            "heldout": open_heldout(dataset, lambda _: None),
        }
    part_of = {one.id: part for part, examples in parts.items() for one in examples}
    text_of = {one.id: one.messages[0]["content"] for examples in parts.values() for one in examples}
    keys_of = {one.id: one.keys for one in given_rows}
    assert all(one.trainable for one in parts["train"])
    assert not any(one.synthetic for part in ("calibration", "heldout") for one in parts[part])
    for key in {key for keys in keys_of.values() for key in keys}:
        assert len({part_of[name] for name, keys in keys_of.items() if key in keys and name in part_of}) <= 1
    names = sorted(text_of)
    for left, right, likeness in like_pairs(signatures([text_of[name] for name in names], frozenset()), 0.6):
        assert part_of[names[left]] == part_of[names[right]], likeness
    groups: dict[str, set[str]] = {}
    for part, examples in parts.items():
        for one in examples:
            groups.setdefault(one.group, set()).add(part)
    assert all(len(found) == 1 for found in groups.values())


@settings(max_examples=40)
@given(rows(), st.integers(0, 60))
def test_a_later_version_takes_nobody_out_of_held_out(given_rows: list[Row], cut: int) -> None:
    first_rows = given_rows[: max(1, cut)]
    with tempfile.TemporaryDirectory() as folder:
        datasets = Datasets(Path(folder))
        first = datasets.open(make(Path(folder), first_rows).id)
        second = datasets.open(make(Path(folder), given_rows, parent=first).id)
        before, now = part_by_text(first), part_by_text(second)
    assert all(now.get(text, part) == part for text, part in before.items() if part == "heldout")
    assert not any(part == "heldout" and before.get(text) == "train" for text, part in now.items())


@settings(max_examples=60)
@given(st.lists(st.sampled_from(WORDS), min_size=12, max_size=40), st.data())
def test_likeness_is_estimated_well(words: list[str], data: st.DataObject) -> None:
    """Within five standard deviations of what 128 permutations allow."""
    other = list(words)
    other[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.sampled_from(WORDS))
    left, right = shingles(" ".join(words)), shingles(" ".join(other))
    true = len(left & right) / len(left | right)
    found = list(like_pairs(signatures([" ".join(words), " ".join(other)], frozenset()), 0.0))
    if true > 0.75:
        assert found
    for _, _, likeness in found:
        assert abs(likeness - true) <= 5 * (true * (1 - true) / 128) ** 0.5 + 1e-9


def _luhn(digits: str) -> str:
    """The digits with the one that makes them a card's number."""
    told = [int(digit) for digit in reversed(digits)]
    total = sum(digit if at % 2 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(told))
    return digits + str(-total % 10)


names = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
emails = st.builds(lambda a, b, c: f"{a}.{b}@{c}.example.com", names, names, names)
cards = st.integers(10**13, 10**14 - 1).map(lambda body: _luhn(f"4{body}"))
phones = st.builds(
    lambda area, rest: f"+1 {area} 555 {rest:04d}",
    st.sampled_from([212, 415, 503, 617]),
    st.integers(100, 199),
)
ips = st.ip_addresses(v=4).map(str)
between = st.sampled_from([" ", ", ", "\n", " (", "; "])


@settings(max_examples=100)
@given(st.lists(st.tuples(st.one_of(emails, cards, phones, ips), between), min_size=1, max_size=6))
def test_nothing_planted_stays(planted: list[tuple[str, str]]) -> None:
    text = "Please look at" + "".join(f"{gap}{value} and{gap}then" for value, gap in planted)
    found = Redactor(ALL_KINDS).redact(row(text, {"all": [value for value, _ in planted], "text": text}))
    for value, _ in planted:
        assert value not in str(found.messages)
        assert value not in str(found.reference)
    placeholders = found.reference["all"]
    assert all(one.startswith("<") and one.endswith(">") for one in placeholders)
    assert [placeholders[at] in found.messages[0]["content"] for at in range(len(planted))] == [True] * len(
        planted
    )
