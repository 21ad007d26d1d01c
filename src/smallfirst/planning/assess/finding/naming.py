"""Names for features that a person recognises, and the words that set each apart from the others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from smallfirst.planning.assess.finding.answer_shape import Shape
from smallfirst.planning.assess.finding.asks import ASK_BY_WORD, asks_in, object_in

_MOST_WORDS, _LEAST_WORDS = 6, 3
_AGREED = 0.9  # of the calls name one task: that is its name
_COMMON = 0.02  # of what users said: a word in less says nothing of it
_OVER_LABELS = ("score", "moderate", "detect", "route", "rank")
_OVER_JSON = ("extract fields from", "convert", "classify", "score", "moderate", "review", "translate")
_OPENING_CHARS = 400
_WORD = re.compile(r"[^\W\d_]{3,}")
_STOP_WORDS = """
the and for with that this are was were you your our their its not but from have has had can could will would should may might must any all one two
three each every other another such than then them they there here what which who whom whose when where why how into onto over under out off only
own same too very just about after again before being been both more most some does did doing don didn doesn isn wasn won couldn also use using used
want wants need get got let please thank thanks hello dear answer exactly alone given following below above without nothing else never always make
sure like tell know help set put see say says his her him she write written writes find found helpful assistant many much good now since back last
next once still well really long today time times even per yes okay user users text input output context new something anything someone ones those
these while because during though however therefore
"""
_STOP = frozenset(_STOP_WORDS.split())


class Named(msgspec.Struct, kw_only=True):
    """What a name is made of: `shared` is the prompt that a feature's calls have in common, `said` some of what their users gave."""

    shared: str
    said: Sequence[str]
    shape: Shape
    tasks: dict[str, int]
    calls: int
    models: dict[str, int] = {}
    prompts_kept: bool = True
    uses_tools: bool = False
    name: str = ""
    words: tuple[str, ...] = ()


def name_features(features: Sequence[Named]) -> None:
    """Gives each its words and its name; no two have the same name."""
    bags = [_bag(feature) for feature in features]
    having = Counter(word for bag in bags for word in bag)
    everywhere = (
        set.intersection(*(set(asks_in(feature.shared)) for feature in features))
        if len(features) > 1
        else set()
    )
    for feature, bag in zip(features, bags, strict=True):
        told = {word: count * math.log((1 + len(features)) / having[word]) for word, count in bag.items()}
        best = sorted(told, key=lambda word: (-told[word], word))
        best = [word for word in best if word.removesuffix("s") == word or word.removesuffix("s") not in told]
        strong = [word for word in best if told[word] > 0 or len(features) == 1]
        feature.words = tuple((strong if len(strong) >= _LEAST_WORDS else best)[:_MOST_WORDS])
        feature.name = _name(feature, everywhere)
    _apart(features)


def _name(feature: Named, everywhere: set[str]) -> str:
    task, count = max(feature.tasks.items(), key=lambda entry: entry[1], default=("", 0))
    if task and count >= _AGREED * feature.calls:
        return task
    if not feature.prompts_kept:
        model = next(iter(feature.models), "")
        return f"calls without prompts ({model})" if model else "calls without prompts"
    if feature.uses_tools:
        return f"agent for {', '.join(feature.words[:3])}"
    about = object_in(feature.shared[:_OPENING_CHARS]) or object_in(feature.shared)
    ask = _ask(feature, everywhere)
    if ask == "answer":
        return (
            f"answer questions about {', '.join(feature.words[:2])}" if feature.words else "answer questions"
        )
    if ask:
        return f"{ask} {about or 'messages'}"
    about = ", ".join(feature.words[:3])
    return f"chat about {about}" if about else "chat"


def _ask(feature: Named, everywhere: set[str]) -> str:
    """What is asked for first, before what all features ask for, as a company's preamble does."""
    asks = asks_in(feature.shared)
    own = [ask for ask in asks if ask not in everywhere]
    first = next(iter(own), next(iter(asks), ""))
    if feature.shape.kind == "label":
        return next((ask for ask in _OVER_LABELS if ask == first), "classify")
    if feature.shape.kind == "json":
        return (
            first
            if first in _OVER_JSON
            else next((ask for ask in _OVER_JSON if ask in asks), "extract fields from")
        )
    return first


def _bag(feature: Named) -> dict[str, float]:
    """Words with how much they say: those of the prompt, and those of what users gave where many gave them."""
    shared = Counter(_words(feature.shared))
    total = max(1, sum(shared.values()))
    bag = {word: (1 + math.log(count)) / math.sqrt(total) for word, count in shared.items()}
    said = Counter(word for text in feature.said for word in set(_words(text[:2000])))
    weight = 0.1 if shared else 1.0
    for word, count in said.items():
        if count >= max(3, _COMMON * len(feature.said)):
            bag[word] = bag.get(word, 0.0) + weight * count / len(feature.said)
    return bag


def _words(text: str) -> list[str]:
    found = (word.lower() for word in _WORD.findall(text))
    return [word for word in found if word not in _STOP and word not in ASK_BY_WORD]


def _apart(features: Sequence[Named]) -> None:
    """The same name again gets the word that sets it apart, or a number."""
    taken: set[str] = set()
    twice = {name for name, count in Counter(feature.name for feature in features).items() if count > 1}
    for feature in features:
        name = feature.name
        if name in twice and feature.words:
            name = f"{name} ({', '.join(feature.words[:2])})"
        number = 1
        while name in taken:
            number += 1
            name = f"{feature.name} ({number})"
        taken.add(name)
        feature.name = name
