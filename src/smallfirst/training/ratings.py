"""Ratings of many calls, asked of a model once each: what it has said is kept, so that the same command goes on from where it was broken off.

    STATE/ratings/<16 hex digits>.jsonl     a line an answer: the text's hash, the rating, what it took and cost

The file's name is a hash of the model's identity and the question; nothing of the texts is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from smallfirst import limits
from smallfirst.answering.asker import Asker
from smallfirst.answering.attempt import Clock
from smallfirst.answering.climb import Answerer
from smallfirst.answering.offline import Purse, offline_answerer
from smallfirst.classify.prompt import Prompt
from smallfirst.config.schema import Config
from smallfirst.errors import CallError, ConfigError, UpstreamRefused
from smallfirst.routing.asking import question_of
from smallfirst.routing.fitted import Asked
from smallfirst.routing.judgement import Question
from smallfirst.routing.rating import QUESTION, read_rating
from smallfirst.training.source import Progress

_VERSION = 1  # of what an answer depends on besides: how decoding is constrained, how a rating is read
_TRIES = 4
_TIMEOUT_S = 120.0  # a fit has time: no client waits
_NOT_THIS_TEXT = (400, 413, 422)  # refused for what the text is
_NOT_EVER = (401, 403, 404)  # refused for what the configuration is


class Rated(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `rating` is None where it was none; `cost_nusd` None where the price is unknown."""

    text: str  # SHA-256 of the question asked
    rating: float | None
    latency_ms: float
    cost_nusd: int | None


class Rater:
    """The ratings that one model gives. `concurrency`: how many questions are put to it at once."""

    def __init__(
        self,
        config: Config,
        name: str,
        *,
        state: Path,
        base: Path,
        environ: Mapping[str, str],
        concurrency: int,
    ) -> None:
        """Raises `ConfigError` where the configuration has no such model."""
        model = config.models.get(name)
        if model is None:
            raise ConfigError(f"model {name!r} is not in [models]: it is to be asked how hard calls are")
        self.asked = Asked(
            model=name,
            provider=model.provider,
            upstream_id=model.id or name,
            weights_sha256=model.weights_sha256,
            question=QUESTION,
        )
        self._config, self._environ = config, environ
        self._state, self._base = state, base
        self._concurrency = concurrency
        self._known = Kept(state / "ratings" / f"{_name(self.asked)}.jsonl")

    def rate(self, prompts: Sequence[Prompt], progress: Progress) -> list[Rated]:
        """The model's answers about these calls, in their order; what it was asked before it is not asked again.

        Raises `ConfigError` where it does not answer: what it has answered until then is kept.
        """
        questions = [question_of(self.asked, prompt) for prompt in prompts]
        keys = [text_hash(question.text) for question in questions]
        by_key = dict(zip(keys, questions, strict=True))
        missing = [(key, question) for key, question in by_key.items() if key not in self._known.answers]
        if missing:
            with self._known.appending() as file:
                asyncio.run(self._ask_all(missing, len(by_key), file, progress))
        return [self._known.answers[key] for key in keys]

    async def _ask_all(
        self, missing: Sequence[tuple[str, Question]], total: int, file: IO[bytes], progress: Progress
    ) -> None:
        waiting = iter(missing)
        done = total - len(missing)
        progress("asking", done, total)

        async def work(answerer: Answerer) -> None:
            nonlocal done
            for key, question in waiting:  # shared: each takes the next one
                self._known.add(await self._ask(answerer, key, question), file)
                done += 1
                progress("asking", done, total)

        async with offline_answerer(
            self._config, self.asked.model, state=self._state, base=self._base, environ=self._environ
        ) as answerer:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self._concurrency, len(missing))):
                        group.create_task(work(answerer))
            except ExceptionGroup as errors:  # the first ends the others
                raise errors.exceptions[0] from None

    async def _ask(self, answerer: Answerer, key: str, question: Question) -> Rated:
        for number in range(1, _TRIES + 1):
            purse = Purse()
            ask = Asker(answerer, task="", account=purse, clock=Clock(), timeout_s=_TIMEOUT_S)
            try:
                said = await ask(question)
            except CallError as error:
                status = error.status if isinstance(error, UpstreamRefused) else 0
                if status in _NOT_THIS_TEXT:
                    return Rated(text=key, rating=None, latency_ms=purse.attempts[-1].latency_ms, cost_nusd=0)
                if number == _TRIES or status in _NOT_EVER:
                    raise ConfigError(
                        f"{question.model} does not say how hard a call is: {error.message}; what it has said is kept, "
                        "and the same command goes on from there"
                    ) from error
                await asyncio.sleep(
                    min(limits.RETRY_BACKOFF_MAX_S, error.retry_after_s or 2.0 ** (number - 2))
                )
                continue
            attempt = purse.attempts[-1]
            return Rated(
                text=key, rating=read_rating(said), latency_ms=attempt.latency_ms, cost_nusd=attempt.cost_nusd
            )
        raise AssertionError("asked at least once")


class Kept:
    """The answers of one file. A line that a kill cut short is left out, and asked again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.answers: dict[str, Rated] = {}
        if path.exists():
            for line in path.read_bytes().split(b"\n"):
                try:
                    rated = msgspec.json.decode(line, type=Rated)
                except msgspec.DecodeError:
                    continue
                self.answers[rated.text] = rated

    def appending(self) -> IO[bytes]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._path.open("ab", buffering=0)
        file.write(b"\n")  # ends a line that was cut short
        return file

    def add(self, rated: Rated, file: IO[bytes]) -> None:
        self.answers[rated.text] = rated
        file.write(msgspec.json.encode(rated) + b"\n")


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _name(asked: Asked) -> str:
    told = msgspec.json.encode([_VERSION, asked], order="sorted")
    return hashlib.sha256(told).hexdigest()[:16]
