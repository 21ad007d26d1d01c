"""An answer's own record: it is served while as much speaks for it as against it."""

import pytest

from smallfirst.cache.semantic.trust import is_trusted


@pytest.mark.parametrize(
    ("confirmed", "refuted", "trusted"),
    [(0, 0, True), (5, 0, True), (0, 1, False), (1, 1, True), (1, 2, False), (8, 2, True), (40, 41, False)],
)
def test_as_much_speaks_for_it_as_against_it(confirmed, refuted, trusted):
    assert is_trusted(confirmed, refuted) is trusted
