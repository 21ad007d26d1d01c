"""What instructions ask for: the few verbs of which prompts are made, and what they are done to."""

from __future__ import annotations

import re
from collections import Counter

_WORDS_BY_ASK = {
    "classify": "classify classifies classification categorize categorise categorization categorisation triage label category categories",
    "extract fields from": "extract extracts extraction",
    "summarise": "summarize summarise summary summarization summarisation tldr condense shorten",
    "translate": "translate translates translation translator",
    "reply to": "reply respond response draft",
    "answer": "answering question questions",
    "rewrite": "rewrite rephrase paraphrase reword polish",
    "correct": "proofread correct grammar",
    "score": "score rate grade rating grading evaluate",
    "moderate": "moderate moderation toxic toxicity policy-violating",
    "detect": "detect detection identify flag",
    "write": "write compose generate create",
    "explain": "explain explanation",
    "review": "review reviewing",
    "convert": "convert conversion transform",
    "rank": "rank ranking rerank",
    "route": "route routing",
    "compare": "compare comparison",
}
ASK_BY_WORD = {word: ask for ask, words in _WORDS_BY_ASK.items() for word in words.split()}
_OBJECTS = (
    *(
        "ticket",
        "email",
        "e-mail",
        "mail",
        "message",
        "review",
        "article",
        "document",
        "contract",
        "invoice",
        "receipt",
    ),
    *(
        "resume",
        "cv",
        "transcript",
        "conversation",
        "chat",
        "comment",
        "post",
        "tweet",
        "product",
        "listing",
        "claim",
    ),
    *(
        "report",
        "question",
        "query",
        "order",
        "abstract",
        "paper",
        "note",
        "sentence",
        "paragraph",
        "code",
        "diff",
    ),
    *(
        "log",
        "incident",
        "lead",
        "form",
        "page",
        "passage",
        "utterance",
        "request",
        "feedback",
        "complaint",
        "text",
    ),
)
_VAGUE_OBJECTS = "text request query question note form page sentence paragraph passage log order"
_VAGUE = frozenset(_VAGUE_OBJECTS.split())  # they say little where there is a plainer word
_BREAK = re.compile(r"[^\w\s-]+|\n")
_WORD = re.compile(r"[a-z][a-z-]*[a-z]|[a-z]")
_SMALL_WORDS = """
a an the this that these those each every one two three of to for in on by with from and or your our their its his her following given whole same
new next which what is are as at into any all some user users customer customers json below above input single own main other another per about
out up it be been was were
"""
_NO_MODIFIERS = frozenset(_SMALL_WORDS.split())
_NOT_PLURAL = {
    "code": "code",
    "feedback": "feedback",
    "text": "texts",
    "query": "queries",
    "cv": "CVs",
    "mail": "mail",
}


def asks_in(text: str) -> Counter[str]:
    """How often each thing is asked for in instructions, the first one first."""
    return Counter(ASK_BY_WORD[word] for word in _WORD.findall(text.lower()) if word in ASK_BY_WORD)


def first_ask(text: str) -> str:
    """What is asked for first; empty where nothing known is."""
    return next((ASK_BY_WORD[word] for word in _WORD.findall(text.lower()) if word in ASK_BY_WORD), "")


def object_in(text: str) -> str:
    """What the instructions are about, in the plural, with the word that usually stands before it: "support tickets". Empty where unknown."""
    counts: Counter[str] = Counter()
    before: dict[str, Counter[str]] = {}
    words = [word for part in _BREAK.split(text.lower()) for word in (*_WORD.findall(part), "")]
    for at, word in enumerate(words):
        name = word[:-1] if word.endswith("s") and word[:-1] in _OBJECTS else word
        if name in _OBJECTS:
            counts[name] += 1
            earlier = words[at - 1] if at else ""
            if (
                earlier
                and earlier[:-1] != name
                and earlier != name
                and earlier not in _NO_MODIFIERS
                and earlier not in ASK_BY_WORD
                and len(earlier) > 2
            ):
                before.setdefault(name, Counter())[earlier] += 1
    if not counts:
        return ""
    name = min(counts, key=lambda one: (one in _VAGUE, -counts[one], _OBJECTS.index(one)))
    modifier, seen = (before.get(name) or Counter({"": 0})).most_common(1)[0]
    plural = _NOT_PLURAL.get(name, name + "s")
    return f"{modifier} {plural}" if seen >= max(1, counts[name] / 3) else plural
