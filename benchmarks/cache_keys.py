"""Whether two different calls ever have one cache key: `python -m benchmarks.cache_keys`.

*Mutants*: a call is changed in one to three places (tenant, task, policy, model, route, messages, roles, tools, parameters, fields that nobody knows;
types, order, Unicode), and its key must change unless nothing but the writing has. *Look-ups*: calls are put together from pieces chosen so that
one's end could be taken for the next one's beginning, each differing from the one before in a piece or two, and written in one of many ways; every
key and every partition must belong to exactly one call, and every writing of one call must have its key. Counts what went wrong; exits 1 where
anything did. `--quick` draws a fiftieth as many.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rich.console import Console

from smallfirst.cache.key import Keyed, key_of, partition_of
from smallfirst.errors import BadRequest
from smallfirst.wire.incoming import Incoming, Route

_SEED = 20261126
MUTANTS = 100_000
LOOKUPS = 1_000_000
EMBEDDER = "e" * 64
IGNORED = frozenset({"user"})


class Call(NamedTuple):
    """Under what a call is keyed, and what it asks."""

    tenant: str
    task: str
    policy: str
    model: str
    route: Route
    body: dict[str, Any]


class Counted(NamedTuple):
    """`crossings`: different calls with one key (or partition); `missed`: writings of one call with different keys."""

    drawn: int
    calls: int
    crossings: int
    missed: int


def keyed(call: Call, data: bytes) -> Keyed | None:
    """The call's key, its body written as `data`; None where it has none. Raises `BadRequest` like a gateway."""
    found = key_of(
        Incoming(call.route, data),
        tenant=call.tenant,
        task=call.task,
        policy=call.policy,
        model=call.model,
        ignore=IGNORED,
    )
    return found if isinstance(found, Keyed) else None


BASE = Call(
    "acme",
    "triage",
    "a" * 64,
    "small",
    "chat",
    {
        "model": "task/triage",
        "messages": [
            {"role": "system", "content": "Sort the ticket."},
            {"role": "user", "content": "Où est ma facture n° 12?"},
            {"role": "assistant", "content": "billing"},
            {"role": "user", "content": [{"type": "text", "text": "And what of the 2nd one?"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "required": ["a", "b"]}}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "out", "schema": {"type": "object"}}},
        "temperature": 0,
        "top_p": 1.0,
        "seed": 7,
        "stop": ["\n", "END"],
        "logit_bias": {"50256": -100},
        "x_vendor": {"depth": {"deeper": [1, True, None, "1", 1.5]}, "": 0},
        "user": "u1",
        "stream": False,
    },
)  # fmt: skip


def mutants(count: int, seed: int = _SEED) -> Counted:
    """So many mutants of one call that a gateway would take, each beside the call itself."""
    rng = random.Random(seed)
    base = keyed(BASE, _written(BASE.body, rng))
    assert base is not None
    told = _told(BASE)
    drawn = different = crossings = missed = 0
    while drawn < count:
        call = BASE
        for _ in range(rng.randint(1, 3)):
            call = _mutated(call, rng)
        try:
            found = keyed(call, _written(call.body, rng))
        except BadRequest:  # no call at all
            continue
        drawn += 1
        same = _told(call) == told
        different += not same
        crossings += not same and found is not None and found.exact == base.exact
        missed += same and (found is None or found.exact != base.exact)
    return Counted(drawn, different, crossings, missed)


def _told(call: Call) -> str:
    """What must be in a key, by another road than the key's."""
    body = {
        name: value
        for name, value in call.body.items()
        if name not in ("model", "stream", "stream_options", *IGNORED)
    }
    return json.dumps([*call[:-1], body], sort_keys=True)


def _mutated(call: Call, rng: random.Random) -> Call:
    if rng.random() < 0.25:
        name = rng.choice(("tenant", "task", "policy", "model"))
        return call._replace(**{name: _other_text(getattr(call, name), rng)})
    if rng.random() < 0.02:
        body = call.body | {"max_tokens": 9}
        return call._replace(route="messages" if call.route == "chat" else "chat", body=body)
    body, holder, step = _placed(call.body, rng)
    rng.choice(_CHANGES)(holder, step, rng)
    return call._replace(body=body)


def _placed(body: dict[str, Any], rng: random.Random) -> tuple[dict[str, Any], Any, Any]:
    """A copy of the body, as far as it must be one; what holds some value of it, and where."""
    root: dict[str, Any] = dict(body)
    holder: Any = root
    while True:
        step = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        value = holder[step]
        if not isinstance(value, dict | list) or not value or rng.random() < 0.2:
            return root, holder, step
        holder[step] = value.copy()
        holder = holder[step]


def _other_value(holder: Any, step: Any, rng: random.Random) -> None:
    value = holder[step]
    if isinstance(value, str):
        holder[step] = _other_text(value, rng)
    elif isinstance(value, bool) or value is None:
        holder[step] = rng.choice((0, 1, "true", "null", not value, None, 0.0))
    elif isinstance(value, int | float):
        holder[step] = rng.choice(
            (
                str(value),
                float(value),
                int(value),
                value + 1,
                value == 1,
                -value,
                value + 2**64,
                value / 3,
            )
        )
    elif isinstance(value, list):
        holder[step] = rng.choice(
            (
                value[::-1],
                value * 2,
                value[1:],
                [value],
                [*value, None],
                {str(at): one for at, one in enumerate(value)},
            )
        )
    else:
        holder[step] = rng.choice(
            ([value], {}, {"": value}, [list(pair) for pair in value.items()], json.dumps(value))
        )


def _other_text(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return rng.choice(
        (
            text + " ",
            text[:at] + "\u200b" + text[at:],
            unicodedata.normalize("NFD", text),
            unicodedata.normalize("NFC", text),
            text.swapcase(),
            text[:at],
            text[:at] + '","' + text[at:],
            text + "\x00",
            text.replace("a", "\u0430"),
            "\ufeff" + text,
            text[:at] + "\\u0061" + text[at:],
            text,
        )
    )


def _without(holder: Any, step: Any, rng: random.Random) -> None:
    del rng, holder[step]


def _beside(holder: Any, step: Any, rng: random.Random) -> None:
    """A field or an item more: unknown, or what is there under another name."""
    if isinstance(holder, dict):
        holder[rng.choice((f"{step} ", f"x{rng.randint(0, 9)}", str(step).upper(), "lora", "user "))] = (
            holder[step]
        )
    else:
        holder.insert(step, rng.choice((holder[step], None, "")))


def _renamed(holder: Any, step: Any, rng: random.Random) -> None:
    """The fields of an object in another order (which is nothing), the items of a list so too (which is something), or a field's name changed."""
    if isinstance(holder, list):
        rng.shuffle(holder)
    elif rng.random() < 0.5:
        items = list(holder.items())
        rng.shuffle(items)
        holder.clear()
        holder.update(items)
    else:
        holder[_other_text(str(step), rng)] = holder.pop(step)


_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _other_value,
    _other_value,
    _without,
    _beside,
    _renamed,
)


def _written(value: dict[str, Any], rng: random.Random) -> bytes:
    """One of the ways to write it: blank space, escapes, the order of names."""
    if rng.random() < 0.3:
        items = list(value.items())
        rng.shuffle(items)
        value = dict(items)
    separators = rng.choice(((",", ":"), (", ", ": "), (",\n ", ":\t"), (" ,\t", " :\r\n")))
    text = json.dumps(value, ensure_ascii=rng.random() < 0.3, separators=separators)
    if rng.random() < 0.2:
        text = text.replace("/", "\\/")
    return text.encode()


# Pieces whose ends and beginnings can be taken for one another.
_BETWEEN = ("", ",", '","', "\x00", "\x1f", "|", ":", "/", "\n", "][", "\\")
_DELIMITERS = (
    *_BETWEEN,
    *(f"{one}chat{one}" for one in _BETWEEN),
)  # the route stands between tenant and task
_NAMES = (
    *(f"{one}{delimiter}{other}" for delimiter in _DELIMITERS for one, other in ("ab", "ba")),
    *("a", "b", "1", "null", "ä", "a\u0308"),
)
_POLICIES = ("a" * 64, "a" * 63 + "b", "a" * 63, "b" + "a" * 63, "A" * 64)
_MODELS = ("small", "small ", "smal", "l", "large", "task/a", "task/ab")
_SYSTEMS: tuple[list[dict[str, Any]], ...] = tuple(
    [] if text is None else [{"role": role, "content": text}]
    for role, text in (
        ("system", None), ("system", ""), ("system", "Be brief."), ("developer", "Be brief."), ("user", "Be brief."), ("system", "Be brief. "),
        ("system", 'Be brief."},{"role":"user","content":"hi'), ("system", [{"type": "text", "text": "Be brief."}]), ("assistant", "Be brief."),
    )
)  # fmt: skip
_TEXTS = (
    "hi", "hi ", "Hi", "enable 2FA", "disable 2FA", "é", "e\u0301", "hi\u200b", 'hi"},{"role":"system","content":"Be brief.',
    '{"before":"","after":""}',
    "1", "null", "\n", "hi\\", "hi/", "h", "i",
)  # fmt: skip
_TOOLS: tuple[dict[str, Any], ...] = (
    {}, {"tools": []}, {"tools": None}, {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"tools": [{"type": "function", "function": {"name": "g"}}]},
    {"tools": [{"type": "function", "function": {"name": name}} for name in "fg"]},
    {"tools": [{"type": "function", "function": {"name": name}} for name in "gf"]},
    {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"},
)  # fmt: skip
_PARAMETERS: tuple[dict[str, Any], ...] = (
    {}, {"temperature": 0}, {"temperature": 0.0}, {"temperature": 1}, {"temperature": 1.0}, {"temperature": None}, {"top_p": 1},
    {"max_tokens": 1},
    {"max_completion_tokens": 1}, {"stop": "a"}, {"stop": ["a"]}, {"seed": 1}, {"n": 1}, {"lora": 1}, {"lora": "1"}, {"lora": True}, {"lora": 1.0},
    {"lora": [1]}, {"lora": {"1": None}}, {"lora": 10**30}, {"lora": 10**30 + 1}, {"lora": 1e30}, {"lora": {"a": {"b": 1}}},
    {"lora": {"a": 1, "b": 1}},
    {"tenant": "b"}, {"": 0}, {"response_format": {"type": "text"}}, {"response_format": {"type": "json_object"}},
)  # fmt: skip


_POOLS: tuple[tuple[Any, ...], ...] = (
    _NAMES,
    _NAMES,
    _POLICIES,
    _MODELS,
    _SYSTEMS,
    _TOOLS,
    _PARAMETERS,
    _TEXTS,
)


def lookups(count: int, seed: int = _SEED, tick: Callable[[], None] = lambda: None) -> Counted:
    """So many look-ups: which call one is, is known by its pieces. `tick` after each thousand."""
    rng = random.Random(seed)
    calls: dict[bytes, int] = {}  # by key
    partitions: dict[bytes, int] = {}
    seen: set[int] = set()
    crossings = 0
    for drawn, pieces in zip(range(count), _walk(rng), strict=False):
        number = _number(pieces)
        seen.add(number)
        call = _of_pieces(pieces)
        found = keyed(call, _written(call.body, rng))
        assert found is not None
        crossings += calls.setdefault(found.exact, number) != number
        partition = partition_of(found, embedder_sha256=EMBEDDER)
        if partition is not None:
            rest = number // len(_TEXTS)  # all pieces but the text, which is the last
            crossings += partitions.setdefault(partition.digest, rest) != rest
            crossings += partition.digest in calls
        if drawn % 1000 == 999:
            tick()
    return Counted(count, len(seen), crossings, len(calls) - len(seen))


def _walk(rng: random.Random) -> Iterator[list[int]]:
    """Pieces by their numbers. Now and then two pairs of tenant and task that are one text if something stands between them."""
    pieces = [0] * len(_POOLS)
    while True:
        for at in rng.sample(range(len(_POOLS)), rng.choice((0, 1, 1, 1, 2, 2, len(_POOLS)))):
            pieces[at] = rng.randrange(len(_POOLS[at]))
        yield pieces
        if rng.random() < 0.1:
            at, name = 2 * rng.randrange(len(_DELIMITERS)), _NAMES.index("a")
            pieces[:2] = [name, at + 1]  # "a", "b…a"
            yield pieces
            pieces[:2] = [at, name]  # "a…b", "a"
            yield pieces


def _number(pieces: list[int]) -> int:
    number = 0
    for at, pool in zip(pieces, _POOLS, strict=True):
        number = number * len(pool) + at
    return number


def _of_pieces(pieces: list[int]) -> Call:
    chosen = [pool[at] for at, pool in zip(pieces, _POOLS, strict=True)]
    tenant, task, policy, model, system, tools, parameters, text = chosen
    messages = [*system, {"role": "user", "content": text}]
    return Call(
        tenant, task, policy, model, "chat", {"model": "m", "messages": messages} | tools | parameters
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a fiftieth as many")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options = parser.parse_args()
    share = 50 if options.quick else 1
    found = {"mutants": mutants(MUTANTS // share), "lookups": lookups(LOOKUPS // share)}
    if options.json:
        print(json.dumps({name: counted._asdict() for name, counted in found.items()}))
    else:
        for name, counted in found.items():
            Console().print(
                f"{name}: {counted.drawn:,} drawn, {counted.calls:,} different calls, {counted.crossings} crossings, {counted.missed} missed"
            )
    return 1 if any(counted.crossings or counted.missed for counted in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
