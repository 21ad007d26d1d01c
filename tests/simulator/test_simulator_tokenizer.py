"""The simulator's own tokens, and the fragments that they are streamed in."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.simulator.completion import Choice, Completion, ToolCall, deltas, fragments
from smallfirst.simulator.tokenizer import count, tokens


@given(st.text())
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text
    assert count(text) == len(tokens(text)) <= len(text)


@given(st.text(), st.text())
def test_counting_is_nearly_additive(left: str, right: str) -> None:
    assert count(left + "\n" + right) <= count(left) + count(right) + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world", ["Hello", ",", " world"]),
        ("internationalisation", ["interna", "tionali", "sation"]),
        ("1234567", ["123", "456", "7"]),
        ("日本 🎉", ["日", "本", " ", "🎉"]),
        ("a    b", ["a", "    ", "b"]),
        ("snake_case", ["snake", "_", "case"]),
        ("", []),
    ],
)
def test_tokens_by_hand(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@given(st.text(min_size=1), st.integers(), st.booleans())
def test_fragments_lose_nothing(text: str, seed: int, whole: bool) -> None:
    pieces = tokens(text)
    found = list(fragments(pieces, Random(seed), whole_tokens=whole))
    assert "".join(piece for piece, _ in found) == text
    assert [token for _, run in found for token in run] == pieces
    assert all(1 <= len(run) <= 5 for _, run in found)
    assert all(piece for piece, _ in found)


@given(st.text(), st.text(), st.integers(0, 50), st.integers())
def test_deltas_sum_to_the_completion(text: str, arguments: str, reasoning: int, seed: int) -> None:
    call = ToolCall("id", "tool", tuple(tokens(arguments)))
    first = Choice(text=tuple(tokens(text)), hidden_reasoning_tokens=reasoning, tool_calls=(call,))
    second = Choice(thinking=tuple(tokens(arguments)), hidden_reasoning_tokens=reasoning)
    completion = Completion((first, second))
    found = list(deltas(completion, Random(seed)))
    assert sum(delta.output_tokens for delta in found) == completion.output_tokens
    assert sum(delta.reasoning_tokens for delta in found) == completion.reasoning_tokens


def test_some_fragments_end_inside_a_word() -> None:
    pieces = tokens("several longer words follow one another here " * 20)
    found = list(fragments(pieces, Random(0), whole_tokens=False))
    assert any("".join(run) != text for text, run in found)
