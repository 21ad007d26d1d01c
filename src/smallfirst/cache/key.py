"""A request as digests: `exact` over everything that can change its answer, and the partition of those that differ in the last user text alone.

Canonical JSON (sorted names, no blank space) of the request's whole body, known fields or not, under whose call it is and what answers it. Nothing
is normalised but JSON itself: names in another order, blank space and escapes are the same request; another number (`1` and `1.0`), another
type and another Unicode form are another one. What is absent is absent.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn

import msgspec

from smallfirst import limits
from smallfirst.config.cache import DECIDES, NOT_IN_THE_KEY
from smallfirst.wire.incoming import Incoming

_VERSION = 1  # of the key: what an older one has kept is not found by a newer one
_BLANK = b" \t\n\r"
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_canonical = msgspec.json.Encoder(order="sorted").encode


class Keyed(msgspec.Struct, frozen=True):
    """A request that has a key: `exact`, 32 bytes.

    `scope` is under what it was asked (tenant, route, task, policy, model), `body` what was asked, without what the key leaves out.
    """

    exact: bytes
    scope: tuple[str, ...]
    body: dict[str, Any]


class NoKey(msgspec.Struct, frozen=True):
    """A request that is never cached, and why."""

    why: str


class Partition(msgspec.Struct, frozen=True):
    """What must be the same, as 32 bytes, and the text that may differ."""

    digest: bytes
    question: str


def key_of(
    incoming: Incoming, *, tenant: str, task: str, policy: str, model: str, ignore: frozenset[str]
) -> Keyed | NoKey:
    """The key of a request of `tenant` that the policy with the hash `policy` answers.

    `model` is what was asked for, with aliases resolved; `ignore` names top-level fields that change nothing about an answer (the task's cache
    rule), of which those that do are taken in all the same. Takes some microseconds, and microseconds more for each kilobyte.
    """
    data = incoming.data
    if len(data) > limits.CACHE_KEY_COMMAS and data.count(b",") > limits.CACHE_KEY_COMMAS:
        return NoKey("it has too many fields and numbers")
    try:
        body = _read(data)
    except _Unkeyable as error:
        return NoKey(str(error))
    for name in NOT_IN_THE_KEY:
        body.pop(name, None)
    for name in ignore:
        if name not in DECIDES:
            body.pop(name, None)
    scope = (tenant, incoming.route, task, policy, model)
    try:
        exact = _digest("exact", scope, body)
    except UnicodeEncodeError:
        return NoKey("a text is not Unicode: it holds half of a surrogate pair")
    return Keyed(exact, scope, body)


def partition_of(
    keyed: Keyed,
    *,
    embedder_sha256: str,
    after: str = "",
    before: str = "",
    most_chars: int = limits.MAX_EMBEDDED_CHARS,
) -> Partition | None:
    """The partition of a chat or messages request; None where no text of it may differ.

    Its last message must be a user's, with exactly one text, which is no longer than the embedder reads (`most_chars`); everything else of
    that message stays in the digest. With marks (`after`, `before`: a task's `question_after`, `question_before`) only what stands between the last
    `after` and the next `before` may differ, and a text without them has no partition.
    """
    messages = keyed.body.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        return None
    found = _only_text(last.get("content"))
    if found is None:
        return None
    text, at = found
    cut = _cut(text, after, before)
    if cut is None:
        return None
    head, question, tail = cut
    if not question or len(question) > most_chars:
        return None
    # an object stands where a request can only have a text: no request has this digest by its own words
    held: Any = {"before": head, "after": tail}
    content = held
    if at is not None:
        content = list(last["content"])
        content[at] = content[at] | {"text": held}
    body = keyed.body | {"messages": [*messages[:-1], last | {"content": content}]}
    return Partition(_digest("partition", (embedder_sha256, *keyed.scope), body), question)


def _digest(kind: str, scope: tuple[str, ...], body: dict[str, Any]) -> bytes:
    """One array, so that no field's end can be taken for the next one's beginning."""
    return hashlib.sha256(_canonical((kind, _VERSION, scope, body))).digest()


def _only_text(content: Any) -> tuple[str, int | None] | None:
    """A message's one text, and which of its parts that is; None where it has none, or several."""
    if isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        return None
    texts = [
        (part["text"], at)
        for at, part in enumerate(content)
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    if len(texts) != 1 or content[texts[0][1]].get("type") != "text":
        return None
    return texts[0]


def _cut(text: str, after: str, before: str) -> tuple[str, str, str] | None:
    """What stands before the question, the question, and what stands after it."""
    start, end = 0, len(text)
    if after:
        found = text.rfind(after)
        if found < 0:
            return None
        start = found + len(after)
    if before:
        end = text.find(before, start)
        if end < 0:
            return None
    return text[:start], text[start:end].strip(), text[end:]


class _Unkeyable(ValueError):
    """Why a body has no key."""


def _read(data: bytes) -> dict[str, Any]:
    """The body, every number of it as it was written. Raises `_Unkeyable`.

    A body that is written as we would write it, up to blank space, has no name twice and no number in another form: the two texts have the same
    tokens, so the same objects with as many fields. That is nearly every body, and is found out at the speed of copying.
    """
    try:
        body = _decode(data)
    except (
        msgspec.DecodeError,
        ValueError,
        RecursionError,
    ):  # a number beyond a double: it can be read as a text
        return _read_exactly(data)
    written = _encode(body)
    if written == data or written.translate(None, _BLANK) == data.translate(None, _BLANK):
        return body
    return _read_exactly(data)


def _read_exactly(data: bytes) -> dict[str, Any]:
    """The slow way: names that are given twice are found wherever they stand, and numbers stay texts."""
    try:
        body = json.loads(
            data.decode(),
            object_pairs_hook=_fields,
            parse_float=msgspec.Raw,
            parse_int=msgspec.Raw,
            parse_constant=_no_number,
        )
    except _Unkeyable:
        raise
    except (ValueError, RecursionError) as error:
        raise _Unkeyable(f"the body cannot be read exactly ({type(error).__name__})") from None
    if not isinstance(body, dict):
        raise _Unkeyable("the body is no object")
    return body


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):  # parsers differ on which one counts
        raise _Unkeyable("a name is given twice in one object")
    return fields


def _no_number(text: str) -> NoReturn:
    raise _Unkeyable(f"{text} is no number of JSON")
