"""A fixed sequence of policies: the last one before the first failure, and what the others would need."""

import msgspec
import numpy as np
import pytest

from smallfirst.statistics import RiskControl, betting, binomial, fixed_sequence


def policies(n, *shares):
    """A column for each share: so many of the n examples lose a point."""
    return np.stack([(np.arange(n) < round(share * n)).astype(float) for share in shares], axis=1)


def test_the_last_before_the_first_failure_is_chosen():
    made = fixed_sequence(policies(1000, 0, 0.01, 0.02, 0.2, 0.03), margin=0.05)
    assert made.certified == 2
    assert made.failed == 3
    assert made.mean_loss == pytest.approx(0.02)
    assert len(made.p_values) == len(made.mean_losses) == 4  # what comes after a failure is not looked at
    assert made.p_values[3] > 0.05
    assert 0.02 < made.loss_bound <= 0.05
    assert (made.examples, made.policies) == (1000, 5)


def test_where_all_pass_nothing_is_needed():
    made = fixed_sequence(policies(1000, 0, 0.01), margin=0.05)
    assert (made.certified, made.failed, made.examples_needed) == (1, None, None)


def test_too_few_examples_certify_none_and_say_how_many_it_takes():
    made = fixed_sequence(policies(40, 0, 0.01), margin=0.05)
    assert (made.certified, made.failed) == (None, 0)
    assert (made.mean_loss, made.loss_bound) == (None, None)
    assert made.examples_needed == betting.examples_needed([0.0] * 40, 0.05) > 59
    assert fixed_sequence(policies(made.examples_needed, 0), margin=0.05).certified == 0
    assert fixed_sequence(policies(made.examples_needed - 1, 0), margin=0.05).certified is None


def test_what_loses_more_than_the_margin_needs_no_number():
    made = fixed_sequence(policies(40, 0.3), margin=0.05)
    assert made.certified is None
    assert made.examples_needed is None


def test_binary_losses_are_counted():
    matrix = policies(80, 0, 0.05)
    made = fixed_sequence(matrix, margin=0.05, binary=True)
    assert made.certified == 0
    assert made.p_values == (binomial.p_value(0, 80, margin=0.05), binomial.p_value(4, 80, margin=0.05))
    assert made.loss_bound == pytest.approx(binomial.upper_bound(0, 80))
    assert made.examples_needed is None
    assert fixed_sequence(matrix, margin=0.05).certified is None  # betting needs a few more examples


def test_a_binary_loss_that_is_not_is_refused():
    with pytest.raises(ValueError, match="binary"):
        fixed_sequence([[0.0], [0.5]], margin=0.05, binary=True)


@pytest.mark.parametrize("losses", [[0.0, 0.0], [[[0.0]]]])
def test_what_is_no_matrix_is_refused(losses):
    with pytest.raises(ValueError, match="shape"):
        fixed_sequence(losses, margin=0.05)


def test_bets_aimed_by_other_examples_are_sharper():
    matrix, others = policies(400, 0, 0.02), policies(300, 0, 0.02)
    plain, made = (fixed_sequence(matrix, margin=0.05, expected=e) for e in (None, others))
    assert made.certified == 1
    assert made.p_values[1] < plain.p_values[1]
    assert made.loss_bound < plain.loss_bound
    stakes = betting.aimed(others[:, 1], 0.05, examples=400)
    assert made.p_values[1] == betting.p_value(matrix[:, 1], 0.05, stakes=stakes)
    short = fixed_sequence(matrix[::10], margin=0.05, expected=others)
    assert short.examples_needed == betting.examples_needed(matrix[::10, 0], 0.05, expected=others[:, 0])


def test_other_examples_of_other_policies_are_refused():
    with pytest.raises(ValueError, match="policies"):
        fixed_sequence(policies(10, 0, 0.1), margin=0.05, expected=policies(10, 0))


def test_no_policies_and_no_examples():
    none = fixed_sequence(np.empty((10, 0)), margin=0.05)
    assert (none.certified, none.failed, none.p_values) == (None, None, ())
    empty = fixed_sequence(np.empty((0, 2)), margin=0.05)
    assert (empty.certified, empty.p_values, empty.examples_needed) == (None, (1.0,), None)
    assert empty.mean_losses == ()


def test_the_result_survives_json():
    made = fixed_sequence(policies(1000, 0, 0.2), margin=0.05, delta=0.1)
    assert msgspec.json.decode(msgspec.json.encode(made), type=RiskControl) == made
