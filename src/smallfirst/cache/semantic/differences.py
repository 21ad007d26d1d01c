"""Hard guards: what differs between two texts that may not share an answer, however near they are. Pure: two texts → the first reason, or "".

Where texts are the same but for a word or two (a *minimal pair*: "cancel my order", "track my order"), that is what the request is about: numbers,
names, negation, direction, what is asked for, opposites, and any other word refuse. Where they differ more, a *kind* of difference (other numbers,
one negates and the other does not) refuses until the task's own answers have shown that it says nothing; what is left is the probability's to weigh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from smallfirst import limits
from smallfirst.cache.semantic import lexicon
from smallfirst.cache.semantic.wording import Wording, stem, wording
from smallfirst.classify.language import language

Decides = Callable[[str], float | None]
"""How far a word (folded, stemmed), or a kind of difference, decides between answers: below 0 it was seen to vary freely. None: nothing is known."""

FREE_WORD = -0.5  # at most: it varies within answers clearly more often than between them
FREE_KIND = 0.7  # at most: it is not much rarer within answers than between them
DECIDING = 0.4  # at least: where such a word is added, the answer is mostly another
_REPLACED = 3  # words on each side of a minimal pair, in one place
_CHANGED = 1  # or in several
_IMPROBABLE = 0.8  # similarity of texts without a common word of content
_ROOT_LEAST = 4  # characters that are left of a word without its prefix
_EXCHANGED = 64  # words between which it is looked whether two parts have changed places
_TYPO_CHARS = 5  # words so long may differ in one character
_ROOT_CHARS = 5  # words that begin with so many same characters are taken for forms of one
_ASKED = frozenset(("asks who", "asks when", "asks where", "asks why", "asks how"))
_QUANTITIES = frozenset(("first", "last", "only"))
_LOOSE = frozenset(
    ("what is asked",)
)  # kinds that say no more of a minimal pair than of others: one text asks and the other tells
_OPPOSED = {frozenset(stem(word) for word in pair) for pair in lexicon.OPPOSITES}
_FUNCTION = frozenset(stem(word) for word in lexicon.FUNCTION)
_SOFT = frozenset(stem(word) for word in lexicon.SOFT)
_OPPOSITES_OF = {
    word: frozenset(peer for pair in _OPPOSED if word in pair for peer in pair - {word})
    for word in frozenset().union(*_OPPOSED)
}
_NONE: frozenset[str] = frozenset()
_OTHER_SCRIPTS = frozenset(
    ("ru", "el", "ar", "he", "hi", "th", "ja", "ko", "zh")
)  # known by their letters alone
_SMALL = {pair for pair in lexicon.OPPOSITES if all(word in lexicon.FUNCTION for word in pair)}


def difference(request: str, entry: str, *, similarity: float, decides: Decides) -> str:
    """Why these texts may not share an answer; empty where nothing is known against it. `similarity`: the cosine of their vectors."""
    if request == entry:
        return ""
    if max(len(request), len(entry)) > limits.MAX_EMBEDDED_CHARS:
        return "longer than is read"
    one, other = wording(request), wording(entry)
    if one.disguised or other.disguised:
        return "disguised characters"
    if not _same_language(request, entry):
        return "language"
    if similarity > _IMPROBABLE and _unlike(one, other):
        return "no word in common"
    return _minimal(one, other, decides) or next(
        (kind for kind in kinds(one, other) if not _free(kind, decides, FREE_KIND)), ""
    )


def kinds(one: Wording, other: Wording) -> Iterator[str]:
    """In which of the ways that mostly matter two texts differ."""
    if one.numbers != other.numbers:
        yield "other numbers" if one.numbers and other.numbers else "a number"
    if one.units != other.units:
        yield "other units" if one.units and other.units else "a unit"
    if _named(one, other) or _named(other, one):
        yield "names"
    marks = one.marks ^ other.marks
    if bool(one.negations) != bool(other.negations):
        yield "negation"
    if marks & _ASKED:
        yield "what else is asked" if one.marks & _ASKED and other.marks & _ASKED else "what is asked"
    if _opposite(frozenset(one.content), frozenset(other.content)):
        yield "opposites"
    if _turned(one, other):
        yield "direction"


def _named(one: Wording, other: Wording) -> bool:
    """Whether one names what the other does not speak of."""
    return not one.names <= (other.names | frozenset(other.words))


def _opposite(first: frozenset[str], second: frozenset[str]) -> bool:
    """Whether a word stands against its opposite, by the lexicon or by what it begins with. As fast as the texts are long."""
    alone, against = first - second, second - first
    return any(
        _OPPOSITES_OF.get(word, _NONE) & against or _without_prefix(word) & against for word in alone
    ) or any(_without_prefix(word) & alone for word in against)


def _without_prefix(word: str) -> frozenset[str]:
    if not word.startswith(lexicon.OPPOSING_PREFIXES):  # nearly all words: one step
        return _NONE
    found = (word.removeprefix(prefix) for prefix in lexicon.OPPOSING_PREFIXES if word.startswith(prefix))
    return frozenset(rest for rest in found if len(rest) >= _ROOT_LEAST)


def _turned(one: Wording, other: Wording) -> bool:
    """Whether the same word is come from here and gone to there."""
    towards = {word: direction for direction, word in one.directed}
    return any(
        word in towards and frozenset((direction, towards[word])) in _SMALL
        for direction, word in other.directed
    )


def _unlike(one: Wording, other: Wording) -> bool:
    """Vectors that are nearer than texts without a common word can be were made to be so, or are of words that the embedder does not know."""
    first, second = frozenset(one.content), frozenset(other.content)
    return bool(first) and bool(second) and not first & second


def _minimal(one: Wording, other: Wording, decides: Decides) -> str:
    """What refuses where little differs, whatever was learned; empty too where more does."""
    alone, against = Counter(one.words) - Counter(other.words), Counter(other.words) - Counter(one.words)
    changed = max(alone.total(), against.total())
    replaced = _replaced(one.words, other.words)
    most = _REPLACED if replaced else _CHANGED
    if changed > most or changed > max(len(one.words), len(other.words)) - changed:
        return ""
    found = next((kind for kind in kinds(one, other) if kind not in _LOOSE), "")
    if found:
        return found
    if one.negations != other.negations:
        return "negation"
    if any(frozenset((word, peer)) in _OPPOSED for word in alone for peer in against):
        return "opposites"
    if (one.marks ^ other.marks) & _QUANTITIES:
        return "quantity"
    if exchanged(one.words, other.words) or exchanged(one.content, other.content):
        return "order of words"
    return _words(alone, against, decides, replaced=replaced)


def _words(alone: Counter[str], against: Counter[str], decides: Decides, *, replaced: bool) -> str:
    """`replaced`: one stands just where the other stood, and nothing else differs."""
    gone, come = _without_forms(_content(alone), _content(against))
    if not gone and not come:
        return ""
    if bool(gone) != bool(come):
        soft = frozenset(against if gone else alone) & _SOFT
        if soft and replaced:
            return "another word"
        return "a deciding word" if any((decides(word) or 0.0) > DECIDING for word in gone | come) else ""
    if replaced or not all(_free(word, decides, FREE_WORD) for word in gone | come):
        return "another word"
    return ""


def _content(words: Iterable[str]) -> frozenset[str]:
    return frozenset(words) - _FUNCTION


def _replaced(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether the texts are the same before and after one place."""
    least = min(len(one), len(other))
    begin = next((at for at in range(least) if one[at] != other[at]), least)
    end = next((at for at in range(least - begin) if one[-1 - at] != other[-1 - at]), least - begin)
    return max(len(one), len(other)) - begin - end <= _REPLACED


def exchanged(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two parts of a text have changed places around something that stayed: "Ann pays Bob", "Bob pays Ann"."""
    if len(one) != len(other) or one == other or Counter(one) != Counter(other):
        return False
    begin = next(at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    end = next(at for at, (a, b) in enumerate(zip(one[::-1], other[::-1], strict=True)) if a != b)
    one, other = one[begin : len(one) - end], other[begin : len(other) - end]
    size = len(one)
    if size > _EXCHANGED:
        return True  # nothing is known for it, and finding out takes too long
    heads = [at for at in range(1, size - 1) if one[:at] == other[size - at :]]
    tails = [at for at in range(1, size - 1) if one[size - at :] == other[:at]]
    return any(
        head + tail < size and one[head : size - tail] == other[tail : size - head]
        for head in heads
        for tail in tails
    )


def _without_forms(gone: frozenset[str], come: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Without words that are forms or misspellings of one another."""
    same = [(word, peer) for word in gone for peer in come if _forms(word, peer)]
    return gone - {word for word, _ in same}, come - {peer for _, peer in same}


def _forms(word: str, peer: str) -> bool:
    if len(word) > len(peer):
        word, peer = peer, word
    if len(word) >= _ROOT_CHARS and len(peer) - len(word) <= 3 and peer.startswith(word[:-1]):
        return True
    if len(word) < _TYPO_CHARS or len(peer) - len(word) > 1 or word[0] != peer[0]:
        return False
    at = next((at for at, (a, b) in enumerate(zip(word, peer, strict=False)) if a != b), len(word))
    if len(word) == len(peer):
        swapped = word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :]
        return word[at + 1 :] == peer[at + 1 :] or swapped == peer[at:]
    return word[at:] == peer[at + 1 :]


def _free(what: str, decides: Decides, most: float) -> bool:
    known = decides(what)
    return known is not None and known <= most


def _same_language(request: str, entry: str) -> bool:
    if request.isascii() and entry.isascii():
        return True  # a few common words prove little of two short texts in Latin letters
    first, second = language(request), language(entry)
    return first == second or not ({first, second} & _OTHER_SCRIPTS or (first and second))
