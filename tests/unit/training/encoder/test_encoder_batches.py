"""What the loop is fed: each text once an epoch, texts of a length together, each label in every part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.tiny_encoder import tiny_encoder

from smallfirst.training.encoder.part import deal
from smallfirst.training.encoder.tokens import by_length, drawn, padded, tokens_of


@pytest.mark.parametrize(("texts", "size"), [(1, 4), (4, 4), (5, 4), (300, 8)])
def test_each_text_is_in_one_batch_and_none_stands_alone(texts: int, size: int) -> None:
    ids = [[1] * (1 + at % 7) for at in range(texts)]
    batches = drawn(ids, size, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(texts))
    assert texts == 1 or min(len(batch) for batch in batches) > 1
    assert sorted(np.concatenate(list(by_length(ids, size))).tolist()) == list(range(texts))


def test_batches_are_of_about_one_length_and_drawn_anew() -> None:
    ids = [[1] * (1 + at % 50) for at in range(800)]
    draw = np.random.default_rng(0)
    first, second = drawn(ids, 8, draw), drawn(ids, 8, draw)
    spread = np.mean(
        [max(len(ids[at]) for at in batch) - min(len(ids[at]) for at in batch) for batch in first]
    )
    assert spread < 8
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}


def test_what_is_padded_is_masked() -> None:
    tokens, mask = padded([[5, 6, 7], [8]], np.array([1, 0]))
    assert tokens.tolist() == [[8, 0, 0], [5, 6, 7]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_every_label_of_two_rows_is_in_every_part() -> None:
    label = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3])
    fold = deal(label, 3, seed=0)
    for part in range(3):
        assert set(label[fold != part]) == {0, 1, 2, 3}
    assert np.bincount(fold).tolist() == [4, 4, 3]
    assert not np.array_equal(fold, deal(label, 3, seed=1))


def test_a_long_text_is_cut_and_keeps_its_end_mark(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "tiny")
    short, long = tokens_of(folder / "tokenizer.json", ["invoice", "invoice " * 500], most=16)
    assert (len(short), len(long)) == (3, 16)
    assert short[0] == long[0]
    assert short[-1] == long[-1]
