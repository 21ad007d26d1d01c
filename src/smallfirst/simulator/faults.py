"""Faults to order: rules that match requests, and what then goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .settings import InputError

_RULES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request. The default is nothing.

    A count of chunks means chunks that carry something generated, not the frames around them.
    """

    # instead of an answer
    status: int | None = None
    body: str = "dialect"  # dialect | html | empty | any other text is sent as it is
    message: str | None = None
    error_type: str | None = None
    retry_after: float | None = None  # seconds
    retry_after_ms: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # added to any answer
    # the connection
    hang_before_headers: bool | float = False  # true: until the client leaves; a number: so many seconds
    hang_after_chunks: int | None = None
    cut_before_body: bool = False
    cut_after_chunks: int | None = None
    reset: bool = False  # cuts send RST in place of FIN
    silent_end: bool | int = False  # a clean end without a terminal event; a number: after so many chunks
    error_event_after_chunks: int | None = None
    slow_ms: float = 0.0  # before every chunk
    # the content
    garbage_json: bool = False
    truncated_json: bool = False
    wrong_content_type: bool | str = False
    no_usage: bool = False
    usage_null_choices: bool = False
    huge_body_bytes: int = 0
    answer: str | None = None
    finish_reason: str | None = None
    refuse: bool = False
    # the framing of a stream
    split_bytes: int = 0
    line_ending: str = "\n"
    bom: bool = False
    comments: bool = False
    multi_line_data: bool = False
    no_space: bool = False


NO_FAULT = Fault()


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a rule is for; ``nth`` counts those that fit the rest, from 1, since it was given."""

    model: str | None = None
    contains: str | None = None  # in the raw body
    endpoint: str | None = None  # chat/completions, messages, embeddings, ...
    stream: bool | None = None
    nth: tuple[int, ...] = ()


@dataclass(slots=True)
class Rule:
    """A fault, the requests it is for, and how often it has been used."""

    match: Match
    fault: Fault
    given: Mapping[str, Any]
    times: int | None = None
    seen: int = 0
    fired: int = 0

    def fits(self, endpoint: str, model: str, stream: bool, raw: bytes) -> bool:
        """Whether a request fits all but ``nth`` and ``times``."""
        match = self.match
        return (
            (match.model is None or match.model == model)
            and (match.endpoint is None or match.endpoint == endpoint)
            and (match.stream is None or match.stream == stream)
            and (match.contains is None or match.contains.encode() in raw)
        )


class FaultRules:
    """The rules in force, in the order given; the first that fits a request decides its fault."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rules: object) -> None:
        """Append ``rules`` (decoded JSON). ``InputError`` names what is wrong, and then none is added."""
        if not isinstance(rules, list):
            raise InputError("faults: expected a list of rules")
        parsed = [_rule(row, f"faults[{index}]") for index, row in enumerate(rules)]
        if len(self._rules) + len(parsed) > _RULES_MAX:
            raise InputError(f"faults: more than {_RULES_MAX} rules")
        self._rules += parsed

    def clear(self) -> None:
        """Drop all rules."""
        self._rules.clear()

    def describe(self) -> list[dict[str, Any]]:
        """The rules as given, with how often each was seen and fired."""
        return [{**rule.given, "seen": rule.seen, "fired": rule.fired} for rule in self._rules]

    def take(self, endpoint: str, model: str, stream: bool, raw: bytes) -> Fault:
        """The fault of a request that just arrived, counted as used; ``NO_FAULT`` if no rule is for it."""
        chosen = NO_FAULT
        for rule in self._rules:
            if not rule.fits(endpoint, model, stream, raw):
                continue
            rule.seen += 1
            due = not rule.match.nth or rule.seen in rule.match.nth
            if chosen is NO_FAULT and due and (rule.times is None or rule.fired < rule.times):
                rule.fired += 1
                chosen = rule.fault
        return chosen


def _rule(row: object, where: str) -> Rule:
    if not isinstance(row, dict) or not isinstance(row.get("fault"), dict):
        raise InputError(f'{where}: expected an object with "fault"')
    unknown = set(row) - {"match", "times", "fault"}
    if unknown:
        raise InputError(f"{where}.{min(unknown)}: unknown entry")
    times = row.get("times")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
        raise InputError(f"{where}.times: expected a whole number of at least 1, or null")
    match = dict(row.get("match") or {})
    match["nth"] = tuple(_nth(match.get("nth"), f"{where}.match.nth"))
    return Rule(_typed(Match, match, f"{where}.match"), _fault(row["fault"], f"{where}.fault"), row, times)


def _nth(value: object, where: str) -> list[int]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(number, int) and number >= 1 for number in value):
        raise InputError(f"{where}: expected a list of whole numbers of at least 1")
    return value


def _fault(row: Mapping[str, Any], where: str) -> Fault:
    fault: Fault = _typed(Fault, row, where)
    if fault.line_ending not in ("\n", "\r", "\r\n"):
        raise InputError(f"{where}.line_ending: expected LF, CR or CRLF")
    if fault.status is not None and not 200 <= fault.status <= 599:
        raise InputError(f"{where}.status: expected 200 to 599")
    for name, value in asdict(fault).items():
        if isinstance(value, int | float) and value < 0:
            raise InputError(f"{where}.{name}: expected a number that is not negative")
    return fault


def _typed(kind: type[Any], row: Mapping[str, Any], where: str) -> Any:
    """``kind`` from ``row``, each entry checked against the declared type."""
    declared = {f.name: str(f.type) for f in fields(kind)}
    for name, value in row.items():
        if name not in declared:
            raise InputError(f"{where}.{name}: unknown entry; known are {', '.join(declared)}")
        if not _is_of(value, declared[name]):
            raise InputError(f"{where}.{name}: expected {declared[name].split('[')[0]}")
    return kind(**row)


def _is_of(value: object, declared: str) -> bool:
    for option in declared.split(" | "):
        match option:
            case "bool" if isinstance(value, bool):
                return True
            case "int" if isinstance(value, int) and not isinstance(value, bool):
                return True
            case "float" if isinstance(value, int | float) and not isinstance(value, bool):
                return True
            case "str" if isinstance(value, str):
                return True
            case "None" if value is None:
                return True
            case "tuple[int, ...]" if isinstance(value, tuple):
                return True
            case "Mapping[str, str]" if isinstance(value, dict):
                return all(isinstance(entry, str) for entry in value.values())
            case _:
                continue
    return False
