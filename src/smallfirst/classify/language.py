"""Which language a text is in, coarsely and in microseconds: by its script, and where that is Latin by its commonest words.

Not a translator's judgement: it only has to notice that a call is in a language that a router has never seen. Short or mixed texts have none.
"""

from __future__ import annotations

import re
from collections import Counter

_READ_CHARS = 1000
_LEAST_WORDS = 6
_LEAST_SHARE = 0.12  # of a text's words that are common ones
_CLEARLY = 1.5  # times as many as of the next language
_SCRIPTS = {
    "ru": re.compile("[\u0400-\u04ff]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "ar": re.compile("[\u0600-\u06ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
    "ja": re.compile("[\u3040-\u30ff]"),
    "ko": re.compile("[\uac00-\ud7af]"),
    "zh": re.compile("[\u4e00-\u9fff]"),
}
_COMMON = {
    "en": "the of and to in is that for it was with as be by on this are from have an or not you which what how my can do does if when where will",
    "de": "der die das und ist nicht ein eine ich zu mit den von für auf dem sich auch es wie wir sie kann bei mein haben wird",
    "fr": "le la les des et est une que pour dans pas sur avec qui vous nous je du au ce ne plus mon cette sont mais être",
    "es": "el la los las de que en un una por con no para es se lo mi como del al pero está cómo qué puedo más",
    "it": "il lo gli di che un una per con non è sono della nel come mi ho del più anche questo si alla posso",
    "pt": "os de que em um uma para com não é por do da no na se meu como mais eu você está foi",
    "nl": "de het een en van ik niet te dat is op voor met zijn mijn er maar ook als wat hoe kan naar aan bij",
    "pl": "nie na się jest że jak czy po mam dla od ale tak moje moja moją proszę przez tego który są być mogę",
    "sv": "och att det som en på är av för med inte jag den till har ett om var så kan min",
    "tr": "ve bir bu için de da ile ne var mı çok benim nasıl olarak daha gibi ama en",
}
_WORD = re.compile(r"[^\W\d_]+")
_LANGUAGES_OF = {
    word: tuple(name for name, words in _COMMON.items() if word in words.split())
    for words in _COMMON.values()
    for word in words.split()
}


def language(text: str) -> str:
    """An ISO 639-1 code; empty where the text does not say."""
    text = text[:_READ_CHARS]
    if not text.isascii():
        for name, script in _SCRIPTS.items():
            if len(script.findall(text)) * 3 > len(text):
                return name
    words = _WORD.findall(text.lower())
    if len(words) < _LEAST_WORDS:
        return ""
    found: Counter[str] = Counter()
    for word in words:
        found.update(_LANGUAGES_OF.get(word, ()))
    ranked = found.most_common(2)
    if not ranked or ranked[0][1] < _LEAST_SHARE * len(words):
        return ""
    if len(ranked) > 1 and ranked[0][1] < _CLEARLY * ranked[1][1]:
        return ""
    return ranked[0][0]
