"""Prompts of a wanted length, each with a beginning of its own, so that a prefix cache does not flatter the engine."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.errors import ConfigError

_LARGEST_BYTES = 64 << 20
_FEWEST_WORDS = 50
_TEXT = (
    "the order came late and box was open when it got here so please send a new one or give back what i paid for last week we want to know "
    "how long this will take because our team needs part before next month some people think that water light time house work day year way "
    "look make good first right place thing hand small large number point world school state story fact group problem service system program"
)
_WORDS = _TEXT.split()


class TokenRate(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint counts our words: `tokens = fixed_tokens + tokens_per_word x words`, from two calls that were asked first."""

    tokens_per_word: float
    fixed_tokens: float

    def words(self, tokens: float) -> int:
        """How many words make a prompt of so many tokens; at least one."""
        return max(1, round((tokens - self.fixed_tokens) / self.tokens_per_word))


class Prompts:
    """Makes prompts of words of ours, or of passages of the user's own text. The same seed makes the same words; what stands before them is new in
    each run, so that a run does not find the prompts of the one before in the engine's cache.
    """

    def __init__(self, *, text: Path | None = None, seed: int = 0) -> None:
        self._words = _WORDS if text is None else _words_of(text)
        self._own = text is not None
        self._draws = np.random.default_rng(seed)
        self._run = secrets.token_hex(3)
        self._made = 0

    def make(self, words: int, *, shared_words: int = 0) -> str:
        """A prompt of so many words, of which the first `shared_words` are the same in all prompts of this run."""
        shared = self._passage(np.random.default_rng(0), min(shared_words, words - 1)) if shared_words else []
        self._made += 1
        start = [f"{self._run} {word}" if at == 0 else word for at, word in enumerate(shared)]
        return " ".join(
            [*start, f"{self._made}-{self._run}", *self._passage(self._draws, words - len(shared) - 1)]
        )

    def _passage(self, draws: np.random.Generator, count: int) -> list[str]:
        words = self._words
        if count <= 0:
            return []
        if not self._own:
            return [words[at] for at in draws.integers(len(words), size=count)]
        start = int(draws.integers(len(words)))
        return [words[(start + at) % len(words)] for at in range(count)]


def _words_of(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError("is larger than 64 MB: a few pages are enough", path=str(path))
        words = path.read_text("utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", path=str(path)) from error
    if len(words) < _FEWEST_WORDS:
        raise ConfigError(f"has {len(words)} words: expected at least {_FEWEST_WORDS}", path=str(path))
    return words
