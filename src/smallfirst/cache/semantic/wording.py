"""A text's wording: what is compared where two texts may share an answer. Words are folded and stemmed; what was written otherwise is kept apart."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import msgspec

from smallfirst.cache.semantic import lexicon
from smallfirst.classify.embedder import bounded

# What may repeat is bounded: a text made to be slow to read costs no more than another.
_TOKEN = re.compile(
    r"(?P<mail>[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{0,128}\w)|(?P<url>(?:https?://|www\.)\S{1,2000})"
    r"|(?P<code>(?=[\w-]{0,64}\d)(?=[\w-]{0,64}[^\W\d_])\w{1,64}(?:-\w{1,64}){0,8})|(?P<number>\d+(?:[.,:/-]\d+)*)|(?P<word>[^\W\d_]+(?:'[^\W\d_]+)?)"
    r"|(?P<sign>[$€£¥₹%°+*/=<>#&-])"
)
_BARE = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+")
_QUOTED = re.compile(r'"([^"\n]{1,200})"|(?<!\w)\'([^\'\n]{2,200})\'(?!\w)')
_ACCENTS = re.compile("[\u0300-\u036f\ufe0f]")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)$")
_MEASURED = re.compile(r"(\d+(?:[.,]\d+)?)([^\W\d_]{1,12})$")
_SUFFIXES = frozenset(["am", "pm", "k", "m", "h", "s", "x", "p", "min", "mins", "hr", "hrs"])
_SENTENCE_END = ".!?:\n"
_CACHED = 16_384  # texts: entries are compared again and again
_STEMS = 65_536
_LONG_CACHED = 1024  # characters; longer ones are read each time


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """A text as it is compared."""

    words: tuple[str, ...]  # folded, stemmed, in their order; numbers and signs are none
    content: tuple[str, ...]  # those of them that carry the meaning, in their order
    numbers: tuple[str, ...]  # numbers, dates, number words: in their order, in digits where they are digits
    units: frozenset[str]  # currencies, measures, percent
    names: frozenset[str]  # capitalised inside a sentence, in quotes, addresses, codes
    negations: int
    marks: frozenset[str]  # groups of the lexicon: "asks when", "first", …
    directed: tuple[tuple[str, str], ...]  # a word of direction, and the content word that follows it
    disguised: bool  # letters of two alphabets in a word, or characters that nobody sees


def words_of(text: str) -> frozenset[str]:
    """A text's words, folded and stemmed, and its numbers. Far cheaper than its whole wording; cached."""
    return _cached_words(text) if len(text) <= _LONG_CACHED else _read_words(text)


@lru_cache(maxsize=_CACHED)
def _cached_words(text: str) -> frozenset[str]:
    return _read_words(text)


def _read_words(text: str) -> frozenset[str]:
    text = bounded(text)
    found: set[str] = set()
    for token in _BARE.findall(text if text.isascii() else _plain(text)):
        found.update(_bare(token.casefold()))
    return frozenset(found)


@lru_cache(maxsize=_STEMS)
def _bare(token: str) -> tuple[str, ...]:
    return tuple(stem(part) for part in lexicon.CONTRACTIONS.get(token) or _parts(token))


def wording(text: str) -> Wording:
    """The wording of a text; cached."""
    return _cached(text) if len(text) <= _LONG_CACHED else _read(text)


@lru_cache(maxsize=_CACHED)
def _cached(text: str) -> Wording:
    return _read(text)


def _read(text: str) -> Wording:
    text = bounded(text)
    plain = text if text.isascii() else _plain(text)
    reading = _Reading()
    end = 0
    opens = True  # a sentence
    for match in _TOKEN.finditer(plain):
        opens = opens or any(sign in plain[end : match.start()] for sign in _SENTENCE_END)
        reading.take(match.lastgroup or "", match.group(), opens=opens)
        opens, end = False, match.end()
    for one, other in _QUOTED.findall(plain):
        reading.names.add(f'"{(one or other).strip().casefold()}"')
    return reading.done(disguised=not text.isascii() and _disguised(text))


class _Reading:
    """What has been read of a text so far."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.content: list[str] = []
        self.numbers: list[str] = []
        self.units: set[str] = set()
        self.names: set[str] = set()
        self.negations = 0
        self.marks: set[str] = set()
        self.directed: list[tuple[str, str]] = []
        self._direction = ""

    def take(self, kind: str, token: str, *, opens: bool) -> None:
        """One token; `opens`: it begins a sentence, so that its capital says nothing."""
        if kind == "word":
            self._word(token, opens=opens)
        elif kind == "number":
            self.numbers.append(_number(token))
        elif kind == "sign":
            self._sign(token)
        elif kind == "code":
            self._code(token.casefold())
        else:
            self.names.add(token.casefold().rstrip(".,;!?"))

    def done(self, *, disguised: bool) -> Wording:
        return Wording(
            words=tuple(self.words),
            content=tuple(self.content),
            numbers=tuple(self.numbers),
            units=frozenset(self.units),
            names=frozenset(self.names),
            negations=self.negations,
            marks=frozenset(self.marks),
            directed=tuple(self.directed),
            disguised=disguised,
        )

    def _word(self, token: str, *, opens: bool) -> None:
        folded = token.casefold()
        for part in lexicon.CONTRACTIONS.get(folded) or _parts(folded):
            self._part(part)
        if (
            not opens
            and token[0].isupper()
            and folded not in lexicon.FUNCTION
            and folded not in lexicon.CAPITALISED
        ):
            self.names.add(stem(folded.partition("'")[0]))

    def _part(self, word: str) -> None:
        if word in lexicon.NUMBERS:
            self.numbers.append(lexicon.NUMBERS[word])
            return
        if word in lexicon.DATES:
            self.numbers.append(lexicon.DATES[word])
        unit = lexicon.UNITS.get(word)
        if unit is not None:
            self.units.add(unit)
        self.negations += word in lexicon.NEGATIONS
        mark = lexicon.MARKS.get(word)
        if mark is not None:
            self.marks.add(mark)
        if word in lexicon.DIRECTIONS:
            self._direction = word
        stemmed = stem(word)
        self.words.append(stemmed)
        if word in lexicon.FUNCTION:
            return
        self.content.append(stemmed)
        if self._direction:
            self.directed.append((self._direction, stemmed))
            self._direction = ""

    def _sign(self, sign: str) -> None:
        unit = lexicon.UNITS.get(sign)
        if unit is not None:
            self.units.add(unit)

    def _code(self, token: str) -> None:
        ordinal, measured = _ORDINAL.match(token), _MEASURED.match(token)
        if ordinal is not None:
            self.numbers.append(ordinal[1])
        elif measured is not None and measured[2] in lexicon.UNITS:
            self.numbers.append(_number(measured[1]))
            self.units.add(lexicon.UNITS[measured[2]])
        elif measured is not None and measured[2] in _SUFFIXES:
            self.numbers.append(_number(measured[1]))
            self.words.append(measured[2])
        else:
            self.names.add(token.replace("-", ""))
            self.words.append(token.replace("-", ""))


@lru_cache(maxsize=_STEMS)
def stem(word: str) -> str:
    """A word without its commonest English endings. Coarse, and the same for every text."""
    if len(word) <= 3 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            cut = word[: -len(ending)]
            if len(cut) > 3 and cut[-1] == cut[-2] and cut[-1] not in "lsz":
                return cut[:-1]
            return cut.removesuffix("e")
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-2] if word.endswith(("sses", "shes", "ches", "xes", "zes")) else word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def _parts(word: str) -> tuple[str, ...]:
    """A word with an apostrophe as the words it is made of."""
    head, apostrophe, tail = word.partition("'")
    if not apostrophe:
        return (word,)
    if tail == "t" and head.endswith("n"):
        return (head[:-1], "not")
    expanded = lexicon.ENDINGS.get(tail)
    return (head,) if expanded is None else (head, expanded)


def _number(token: str) -> str:
    """`1,000.50`, `1000.5` and `1,000.5` are the same; dates and times stay as they are written."""
    if any(sign in token for sign in ":/-"):
        return token
    whole, point, part = token.replace(",", "").partition(".")
    part = part.rstrip("0")
    return f"{whole.lstrip('0') or '0'}{point if part else ''}{part}"


def _plain(text: str) -> str:
    """Compatibility forms resolved, Latin letters without accents, quotes as they are mostly typed, unseen characters gone."""
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).translate(lexicon.QUOTES)
    return unicodedata.normalize("NFC", "".join(char for char in text if unicodedata.category(char) != "Cf"))


def _disguised(text: str) -> bool:
    """Whether it has characters that nobody sees, or a word of letters of several alphabets that look alike."""
    if any(unicodedata.category(char) in ("Cf", "Co", "Cn") and char not in lexicon.JOINERS for char in text):
        return True
    if unicodedata.normalize("NFKC", text) != unicodedata.normalize("NFC", text) and _styled(text):
        return True
    return any(
        len({_alphabet(char) for char in word} & lexicon.ALIKE) > 1 for word in re.findall(r"[^\W\d_]+", text)
    )


def _styled(text: str) -> bool:
    """Whether letters are written in another form than is typed (full width, mathematical, circled)."""
    return any(ord(char) > 0x2FFF and unicodedata.normalize("NFKC", char).isascii() for char in text)


def _alphabet(char: str) -> str:
    return "LATIN" if char.isascii() else unicodedata.name(char, "").partition(" ")[0]
