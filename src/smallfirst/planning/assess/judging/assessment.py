"""A stream's features, judged one by one: the story of `smallfirst assess` once the features are found."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from smallfirst.classify.embedders import open_embedder
from smallfirst.config.schema import Config
from smallfirst.planning.assess.feature import Feature
from smallfirst.planning.assess.judging.cacheable import Cacheable, cacheable_of
from smallfirst.planning.assess.judging.inputs import inputs_of
from smallfirst.planning.assess.judging.latency import Latency, latency_of
from smallfirst.planning.assess.judging.money import (
    LABEL_HEAD,
    Money,
    Prices,
    hosted_call_usd,
    mean_tokens,
    money_of,
    own_gpus,
    with_small,
)
from smallfirst.planning.assess.judging.output import Output, output_of
from smallfirst.planning.assess.judging.questions import (
    CALLS_PER_DAY,
    Question,
    latency_question,
    narrow_question,
    volume_question,
)
from smallfirst.planning.assess.judging.small_share import SmallShare, small_share_of
from smallfirst.planning.assess.judging.suggestion import Suggestion, suggestion_of
from smallfirst.planning.assess.judging.verdict import Verdict, verdict_of
from smallfirst.planning.assess.judging.volume import Span, Volume, span_of, volume_of
from smallfirst.planning.assess.judging.width import Width, width_of

MOST_JUDGED = 20  # features that are looked at closely, the largest
_MARGIN = 0.02
_EXAMPLES = 3
_EMBEDDED = 256

Progress = Callable[[str, int, int], None]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the user said. `calls_per_day`: of all features together, where the stream does not tell; `margin`: the loss that is acceptable, where the
    configuration has no such task.
    """

    latency_ms: float | None = None
    calls_per_day: float | None = None
    margin: float | None = None
    volume: int = CALLS_PER_DAY
    frontier: str = "frontier"  # its name in the configuration
    judged: int = MOST_JUDGED
    examples: bool = False  # whether the report holds what was asked and answered
    seed: int = 0


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Of a mean call; `estimated` where no source told them."""

    input: float
    cached: float
    output: float
    estimated: bool = False


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and answered, for a report that was asked to show it."""

    input: str
    answer: str


class Assessed(msgspec.Struct, frozen=True, kw_only=True):
    """One feature. `share` is of all calls of the stream; `models` and `tasks` are as its calls named them, most frequent first."""

    name: str
    words: tuple[str, ...]
    prompt: str
    calls: int
    share: float
    failed_calls: int
    tenants: int
    tools: int
    tasks: dict[str, int]
    models: dict[str, int]
    tokens: Tokens | None
    volume: Volume
    latency: Latency
    width: Width
    output: Output
    cacheable: Cacheable
    small: SmallShare
    money: Money
    questions: tuple[Question, ...]
    verdict: Verdict
    suggestion: Suggestion | None
    examples: tuple[Example, ...] = ()


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What was not looked at closely: features after the largest, and calls that fit none."""

    features: int = 0
    feature_calls: int = 0
    unsorted_calls: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole stream. `made_on`: the day whose prices hold. `told`: what a reader must know of how it was made."""

    calls: int
    span: Span | None
    features: tuple[Assessed, ...]
    rest: Rest
    made_on: datetime.date
    told: tuple[str, ...] = ()


def assess(
    features: Sequence[Feature],
    prices: Prices,
    settings: Settings,
    *,
    config: Config | None = None,
    unsorted: Feature | None = None,
    progress: Progress = lambda *_: None,
) -> Report:
    """Judges the largest features. Bounded: a feature's sample is all that is looked at."""
    whole = [*features, *([unsorted] if unsorted is not None else [])]
    span, calls = span_of(whole), sum(feature.calls for feature in whole)
    close = sorted(features, key=lambda feature: -feature.calls)[: settings.judged]
    judged = []
    for at, feature in enumerate(close):
        progress(f"judging {feature.name[:40]}", at, len(close))
        judged.append(_Judge(feature, settings, config or Config(), prices).judge(span, calls))
    others = sum(feature.calls for feature in features) - sum(feature.calls for feature in close)
    return Report(
        calls=calls,
        span=span,
        features=tuple(judged),
        rest=Rest(
            features=len(features) - len(close),
            feature_calls=others,
            unsorted_calls=0 if unsorted is None else unsorted.calls,
        ),
        made_on=prices.catalogue.on,
    )


class _Judge:
    """One feature, with what the configuration says of the task that its calls name."""

    def __init__(self, feature: Feature, settings: Settings, config: Config, prices: Prices) -> None:
        self._feature = feature
        self._settings = settings
        self._prices = prices
        named = Counter(feature.tasks).most_common(1)
        task = config.tasks.get(named[0][0]) if named else None
        self._margin = settings.margin if settings.margin is not None else task.margin if task else _MARGIN
        self._latency_ms = settings.latency_ms or (task.latency_ms if task else None)

    def judge(self, span: Span | None, calls: int) -> Assessed:
        feature, settings = self._feature, self._settings
        answered = [call for call in feature.sample if not call.failed]
        inputs = inputs_of(answered)
        vectors = _vectors(inputs)
        stated = settings.calls_per_day
        volume = volume_of(
            feature,
            span,
            calls_per_day=None if stated is None or not calls else stated * feature.calls / calls,
        )
        latency = latency_of(feature, self._latency_ms)
        output = output_of(answered)
        given = [at for at, text in enumerate(inputs) if text.strip()]
        width = width_of(
            [inputs[at] for at in given],
            vectors[given],
            repeat_share=1 - feature.distinct_inputs / feature.inputs if feature.inputs else 0.0,
        )
        small = small_share_of(answered, inputs, vectors, output, margin=self._margin, seed=settings.seed)
        cacheable = cacheable_of(feature, answered, inputs, vectors, span_hours=volume.span_hours)
        questions = (
            volume_question(volume, least=settings.volume),
            narrow_question(width, output),
            latency_question(latency),
        )
        return Assessed(
            **self._counted(calls),
            volume=volume,
            latency=latency,
            width=width,
            output=output,
            cacheable=cacheable,
            small=small,
            money=self._money(volume, cacheable, small),
            questions=questions,
            verdict=verdict_of(questions, feature, width, output, small),
            suggestion=suggestion_of(
                feature.name,
                output,
                latency,
                frontier=settings.frontier,
                words=feature.words,
                repeats=cacheable.hit_rates[0],
            ),
            examples=tuple(
                Example(input=inputs[at], answer=answered[at].answer)
                for at in given[: _EXAMPLES if settings.examples else 0]
            ),
        )

    def _counted(self, calls: int) -> dict[str, Any]:
        """The fields of `Assessed` that need no judging."""
        feature = self._feature
        return {
            "name": feature.name,
            "words": feature.words,
            "prompt": feature.prompt if self._settings.examples else "",
            "calls": feature.calls,
            "share": feature.calls / calls if calls else 0.0,
            "failed_calls": feature.failed_calls,
            "tenants": feature.tenants,
            "tools": feature.tools,
            "tasks": _most(feature.tasks),
            "models": _most(feature.models),
            "tokens": _tokens(feature),
        }

    def _money(self, volume: Volume, cacheable: Cacheable, small: SmallShare) -> Money:
        gpu = self._prices.gpu_for(self._feature) if self._prices.gpu_for else None
        money = money_of(self._feature, self._prices, calls_per_day=volume.calls_per_day)
        quote = LABEL_HEAD if small.known == "measured" else self._prices.small
        shares = None if small.low is None or small.high is None else (small.low, small.high)
        less = quote and with_small(
            money,
            self._feature,
            quote,
            hit_rates=cacheable.hit_rates,
            shares=shares,
            rough=small.known == "rough",
        )
        own = (
            own_gpus(
                money, hosted_call_usd(self._feature, self._prices.small), gpu, peak_factor=volume.peak_factor
            )
            if gpu is not None
            else None
        )
        return msgspec.structs.replace(money, with_small=less, own=own)


def _vectors(inputs: Sequence[str]) -> np.ndarray:
    embedder = open_embedder("wordllama")
    parts: list[Any] = [
        embedder.embed(inputs[at : at + _EMBEDDED]) for at in range(0, len(inputs), _EMBEDDED)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, embedder.dimensions), np.float32)


def _tokens(feature: Feature) -> Tokens | None:
    means = mean_tokens(feature)
    if means is None:
        return None
    return Tokens(input=means[0], cached=means[1], output=means[2], estimated=feature.tokens_estimated)


def _most(counts: dict[str, int]) -> dict[str, int]:
    return dict(Counter(counts).most_common(10))
