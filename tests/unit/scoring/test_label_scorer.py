"""Labels scored, by hand and against scikit-learn and scipy."""

import asyncio
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score, precision_recall_fscore_support

from smallfirst.contracts import LabelContract
from smallfirst.errors import ScorerError
from smallfirst.scoring.label import NO_LABEL, LabelScorer, normalised
from smallfirst.scoring.label_figures import cohens_kappa, macro_f1

LABELS = ("billing", "bug", "other")


def scorer(pick="one", labels=LABELS, **options):
    return LabelScorer(LabelContract(labels=labels, pick=pick), **options)


def score(found, output, reference):
    return asyncio.run(found.score(output, reference))


def test_one_label_is_right_or_wrong():
    assert score(scorer(), " bug\n", "bug").value == 1
    assert score(scorer(), "Bug", "bug").value == 0
    assert score(scorer(), "the label is bug", "bug").value == 0
    assert score(scorer(), "", "bug").value == 0


def test_normalised_labels_forgive_case_space_and_punctuation():
    found = scorer(labels=("feature-request", "bug"), normalise=True)
    assert score(found, "**Feature  Request.**", "feature-request").value == 1
    assert score(found, "a feature request", "feature-request").value == 0
    assert found.id != scorer(labels=("feature-request", "bug")).id
    assert normalised("?!") == "?!"


def test_labels_that_normalising_makes_the_same_are_refused():
    with pytest.raises(ScorerError, match=r"'C#' and 'c' are the same"):
        scorer(labels=("C#", "c"), normalise=True)


def test_a_reference_outside_the_labels_can_be_met_by_itself():
    assert score(scorer(), "oos", "oos").value == 1
    assert score(scorer(), "bug", "oos").value == 0


def test_several_labels_score_the_f1_of_the_sets():
    found = scorer("several")
    told = score(found, '["bug", "billing"]', ["bug", "other"])
    assert (told.value, told.parts) == (0.5, {"exact": 0.0, "precision": 0.5, "recall": 0.5})
    assert told.note == "1 missing, 1 too many"
    assert score(found, "bug, bug", ["bug"]).value == 1
    assert score(found, "", []).value == 1
    assert score(found, "", ["bug"]).value == 0
    assert score(found, "bug, nonsense", ["bug"]).value == pytest.approx(2 / 3)


def test_an_ordinal_label_scores_by_its_distance():
    found = scorer("ordinal", labels=("low", "normal", "high", "urgent"))
    told = [score(found, label, "urgent").value for label in ("urgent", "high", "normal", "low", "none")]
    assert told == pytest.approx([1, 2 / 3, 1 / 3, 0, 0])
    assert score(found, "high", "urgent").parts == {"exact": 0.0, "distance": 1.0}
    with pytest.raises(ScorerError, match="no place on the scale"):
        score(found, "low", "lowest")


def test_a_ranking_scores_kendalls_tau():
    found = scorer("ranked", labels=("a", "b", "c", "d"))
    truth = ["a", "b", "c", "d"]
    for given in permutations(truth):
        told = score(found, ",".join(given), truth)
        tau = kendalltau([given.index(label) for label in truth], range(4)).statistic
        assert told.parts["tau"] == pytest.approx(tau)
        assert told.value == pytest.approx((tau + 1) / 2)
        assert told.parts["top1"] == (given[0] == "a")


def test_a_ranking_is_wrong_about_what_it_leaves_out():
    found = scorer("ranked", labels=("a", "b", "c"))
    assert score(found, "a, b", ["a", "b", "c"]).value == pytest.approx(1 / 3)
    assert score(found, "nonsense", ["a", "b", "c"]).value == 0
    # the reference ranks two of three: the third belongs below them
    assert score(found, "a, b, c", ["a", "b"]).value == 1
    assert score(found, "c, a, b", ["a", "b"]).value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("pick", "reference", "words"),
    [
        ("one", None, "is none"),
        ("one", ["bug"], "is a list"),
        ("several", "bug", "is a str"),
        ("several", [1], "other things than labels"),
        ("ranked", [], "ranks no label"),
    ],
)
def test_a_reference_of_another_kind_is_an_error(pick, reference, words):
    with pytest.raises(ScorerError, match=words):
        score(scorer(pick), "bug", reference)


def test_the_summary_is_what_scikit_learn_says():
    rng = np.random.default_rng(5)
    gold = rng.choice(LABELS, 300).tolist()
    given = [label if rng.random() < 0.7 else str(rng.choice(LABELS)) for label in gold]
    told = scorer().summary(given, gold)
    precision, recall, f1, _ = precision_recall_fscore_support(gold, given, labels=list(LABELS))
    for at, label in enumerate(LABELS):
        assert told[f"precision/{label}"] == pytest.approx(precision[at])
        assert told[f"recall/{label}"] == pytest.approx(recall[at])
        assert told[f"f1/{label}"] == pytest.approx(f1[at])
    assert told["macro_f1"] == pytest.approx(f1_score(gold, given, average="macro"))
    assert told["kappa"] == pytest.approx(cohen_kappa_score(gold, given))
    table = scorer().confusion(given, gold)
    expected = confusion_matrix(gold, given, labels=list(LABELS))
    assert [[table[row].get(column, 0) for column in LABELS] for row in LABELS] == expected.tolist()


def test_the_summary_of_several_labels_is_what_scikit_learn_says():
    rng = np.random.default_rng(6)
    gold = (rng.random((200, 3)) < 0.4).astype(int)
    given = np.where(rng.random((200, 3)) < 0.8, gold, 1 - gold)
    named = [
        [[label for label, on in zip(LABELS, row, strict=True) if on] for row in rows]
        for rows in (gold, given)
    ]
    told = scorer("several").summary([",".join(row) for row in named[1]], named[0])
    assert told["micro_f1"] == pytest.approx(f1_score(gold, given, average="micro"))
    assert told["macro_f1"] == pytest.approx(f1_score(gold, given, average="macro"))
    assert told["exact"] == pytest.approx((gold == given).all(axis=1).mean())


def test_answers_that_are_no_label_stand_together():
    told = scorer().confusion(["dunno", "who knows", "bug"], ["bug", "bug", "bug"])
    assert told == {"bug": {NO_LABEL: 2, "bug": 1}}
    assert not any("dunno" in name or NO_LABEL in name for name in scorer().summary(["dunno"], ["bug"]))


def test_weighted_kappa_is_what_scikit_learn_says():
    rng = np.random.default_rng(7)
    order = ["1", "2", "3", "4"]
    gold = rng.choice(order, 200).tolist()
    given = rng.choice(order, 200).tolist()
    assert cohens_kappa(gold, given, order=order) == pytest.approx(
        cohen_kappa_score(gold, given, weights="quadratic", labels=order)
    )
    assert cohens_kappa(["1", "1"], ["1", "1"]) is None
    assert cohens_kappa([], []) is None


def test_macro_f1_counts_labels_of_the_truth_alone():
    assert macro_f1(["a", "a", "b"], ["a", "c", "b"]) == pytest.approx((2 / 3 + 1) / 2)
    assert macro_f1(["a"], ["b"]) == 0.0
    assert macro_f1([], []) is None
