"""Adversarial pairs: a text, and the same text with one thing changed that changes what is right: no hits.

    pairs(texts, seed=0)        → (kind, text, changed) for kinds negation, number, entity, direction, action

Deterministic. Only texts that have something to change yield a pair.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

KINDS = ("negation", "number", "entity", "direction", "action")

_NEGATED = {
    "can": "can not", "could": "could not", "is": "is not", "are": "are not", "was": "was not", "do": "do not", "does": "does not", "did": "did not",
    "will": "will not", "would": "would not", "should": "should not", "have": "have not", "has": "has not",
    "need": "never need", "want": "never want",
}  # fmt: skip
_SPELLED = "two three four five six seven eight nine ten eleven twelve twenty thirty fifty hundred thousand"
_NUMBER_WORDS = _SPELLED.split()
_ENTITIES = [
    group.split("|")
    for group in (
        "dallas|denver|boston|chicago|houston|seattle|atlanta|miami|phoenix|tampa|reno|omaha",
        "new york|los angeles|san francisco|las vegas|salt lake city",
        "france|germany|spain|italy|japan|china|mexico|canada|brazil|india|turkey|australia|england|russia|portugal",
        "french|german|spanish|italian|japanese|chinese|portuguese|russian|turkish|english",
        "monday|tuesday|wednesday|thursday|friday|saturday|sunday",
        "january|february|april|june|july|august|september|october|november|december",
        "euro|dollar|pound|yen|peso|rupee|franc", "euros|dollars|pounds|pesos|rupees|francs", "usd|eur|gbp|aud|cad|jpy",
        "visa|mastercard|amex|discover", "apple|google|samsung|microsoft|amazon|netflix|spotify|ikea|target|walmart",
        "chase|citibank|barclays|hsbc|santander", "mom|dad|brother|sister|wife|husband|boss|landlord|roommate",
        "chicken|beef|pork|salmon|tofu|shrimp|lasagna|pizza|rice|pasta", "honda|toyota|ford|tesla|nissan|bmw",
        "checking|savings|retirement", "android|iphone|windows|linux", "uk|us|eu",
    )
]  # fmt: skip
_ACTIONS = [
    group.split("|")
    for group in (
        "activate|deactivate|cancel|replace|freeze|order|return|track|verify|block|unblock",
        "transfer|withdraw|deposit|exchange|request|borrow|donate", "add|remove|rename|share|read|clear|export",
        "book|cancel|reschedule|confirm|postpone", "change|check|reset|hide|confirm|explain|delete|find",
        "increase|decrease|double|lower|raise", "open|close|lock|unlock", "play|pause|skip|record|stop", "send|receive|forward|delete",
        "pay|dispute|refund|split|schedule", "translate|spell|define|pronounce", "turn on|turn off", "top up|empty", "get|sell|lose",
    )
]  # fmt: skip
_DIRECTIONS = {
    "from": "to", "to": "from", "into": "out of", "before": "after", "after": "before", "in": "out", "with": "without", "over": "under", "on": "off",
    "above": "below", "until": "since", "onto": "off",
}  # fmt: skip
_BETWEEN = re.compile(r"\b(from) (\w+(?: \w+)?) (to|into) (\w+)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


class Pair(NamedTuple):
    kind: str
    text: str
    changed: str


def pairs(texts: Iterable[str], *, seed: int = 0, kinds: Iterable[str] = KINDS) -> Iterator[Pair]:
    """Of each text and kind at most one pair."""
    chance = random.Random(seed)
    kinds = tuple(kinds)
    for text in texts:
        for kind in kinds:
            changed = _CHANGES[kind](text, chance)
            if changed is not None and changed != text:
                yield Pair(kind, text, changed)


def _negation(text: str, chance: random.Random) -> str | None:
    for word in text.split():
        if word.lower() in _NEGATED:
            return _swap(text, word, _NEGATED[word.lower()])
    return None


def _number(text: str, chance: random.Random) -> str | None:
    found = _NUMBER.search(text)
    if found is not None:
        other = str(int(found.group()[:9]) + chance.choice((1, 2, 5, 10)))
        return text[: found.start()] + other + text[found.end() :]
    word = next((word for word in text.split() if word.lower().strip(".,?!") in _NUMBER_WORDS), None)
    if word is None:
        return None
    word = word.strip(".,?!")
    return _swap(text, word, chance.choice([one for one in _NUMBER_WORDS if one != word.lower()]))


def _entity(text: str, chance: random.Random) -> str | None:
    return _of_groups(text, _ENTITIES, chance)


def _action(text: str, chance: random.Random) -> str | None:
    return _of_groups(text, _ACTIONS, chance)


def _direction(text: str, chance: random.Random) -> str | None:
    found = _BETWEEN.search(text)
    if found is not None:
        turned = f"{found[1]} {found[4]} {found[3]} {found[2]}"
        return text[: found.start()] + turned + text[found.end() :]
    known = [word for word in text.split() if word.lower() in _DIRECTIONS]
    known = [
        word
        for word in known
        if word.lower() in ("before", "after", "from", "into", "with", "over", "above", "until")
    ]
    if not known:
        return None
    word = chance.choice(known)
    return _swap(text, word, _DIRECTIONS[word.lower()])


def _of_groups(text: str, groups: Sequence[Sequence[str]], chance: random.Random) -> str | None:
    found = [
        (word, group) for group in groups for word in group if re.search(rf"\b{word}\b", text, re.IGNORECASE)
    ]
    if not found:
        return None
    word, group = chance.choice(found)
    return _swap(text, word, chance.choice([one for one in group if one != word]))


def _swap(text: str, word: str, other: str) -> str:
    def cased(found: re.Match[str]) -> str:
        return other[:1].upper() + other[1:] if found.group()[:1].isupper() else other

    return re.sub(rf"\b{re.escape(word)}\b", cased, text, count=1)


_CHANGES: dict[str, Callable[[str, random.Random], str | None]] = {
    "negation": _negation, "number": _number, "entity": _entity, "direction": _direction, "action": _action,
}  # fmt: skip
