"""The facts of a call by the names that logs, exports and tables give them: which field of a row is which."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import UNSET

from smallfirst.config.nearest import did_you_mean
from smallfirst.datasets.mapping import field, moment_ms, text_of
from smallfirst.errors import DatasetError
from smallfirst.money import NUSD_PER_USD
from smallfirst.planning.assess.observed import Observed

_MS_PER_S = 1000.0
_MOST_TOKENS = 10**9
_MICROSECONDS_FROM = 1e14  # of Unix milliseconds that is the year 5138
_LAST_MS = 4_102_444_800_000  # 2100
_SIGN = re.compile(r"[^a-z0-9.]+")

NAMES: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "chat", "conversation messages"),
    "prompt": (
        *("prompt", "input", "question", "query", "user prompt", "user message", "input text", "prompt text"),
        *("request", "instruction", "content", "text"),
    ),
    "system": ("system", "system prompt", "system message", "instructions"),
    "answer": (
        *("answer", "completion", "response", "output", "reply", "result", "output text", "completion text"),
        *("response text", "generated text", "assistant", "model output"),
    ),
    "model": ("model", "model name", "model id", "engine", "deployment"),
    "provider": ("provider", "vendor", "custom llm provider"),
    "at": (
        *("at", "at ms", "timestamp", "created", "created at", "start time", "started at", "request time"),
        *("datetime", "date", "time", "ts"),
    ),
    "ended": ("end time", "ended at", "finished at", "completed at"),
    "first_token_at": ("completion start time", "first token at"),
    "latency_ms": (
        "latency ms",
        "duration ms",
        "response time ms",
        "elapsed ms",
        "total ms",
        "request duration ms",
    ),
    "latency_s": (
        *("latency s", "latency seconds", "latency sec", "duration s", "duration seconds", "elapsed s"),
        *("elapsed seconds", "response time s", "response time seconds"),
    ),
    "first_token_ms": ("first token ms", "ttft ms", "time to first token ms"),
    "first_token_s": ("first token s", "ttft s", "time to first token s", "time to first token"),
    "input_tokens": (
        *(
            "input tokens",
            "prompt tokens",
            "tokens in",
            "usage.prompt_tokens",
            "usage.input_tokens",
            "usage.input",
        ),
        *("prompt token count", "input token count", "n prompt tokens"),
    ),
    "cached_tokens": (
        *("cached tokens", "cached input tokens", "cache read tokens", "cache read input tokens"),
        "usage.prompt_tokens_details.cached_tokens",
    ),
    "output_tokens": (
        *(
            "output tokens",
            "completion tokens",
            "tokens out",
            "usage.completion_tokens",
            "usage.output_tokens",
        ),
        *("usage.output", "completion token count", "output token count", "n completion tokens"),
    ),
    "reasoning_tokens": ("reasoning tokens", "usage.completion_tokens_details.reasoning_tokens"),
    "cost_usd": ("cost usd", "cost", "spend", "total cost", "calculated total cost", "price usd"),
    "tenant": ("tenant", "tenant id", "team id", "org id", "organization id", "customer id", "account id"),
    "task": ("task", "task name", "feature", "use case"),
    "conversation": ("conversation", "conversation id", "session id", "thread id"),
    "tools": ("tools", "functions"),
    "schema": ("schema", "response format"),
    "stream": ("stream", "streaming", "streamed", "is stream"),
    "status": ("status", "status code", "http status", "response code", "level"),
    "error": ("error", "error message", "exception", "failure reason"),
}
"""Facts, and the names of fields that mean them, in the order in which they are tried: in lower case, words apart, and as paths."""

_UNITLESS = ("latency", "duration", "response time", "elapsed", "ttft")
_FAILED = ("error", "failed", "failure", "fail", "timeout", "cancelled", "canceled", "exception", "false")
_FIRST_BAD_STATUS = 400


class Columns:
    """Which field of a row is which fact. Rows with the same fields are looked at once."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        """`given` says where facts lie that are not found by their names. Raises `DatasetError` for a fact that there is none of."""
        self._given = dict(given or {})
        for fact in self._given:
            if fact not in NAMES:
                raise DatasetError(
                    f"--map {fact}=…: no such fact{did_you_mean(fact, NAMES)} (known: {', '.join(NAMES)})"
                )
        self._plans: dict[tuple[str, ...], tuple[dict[str, str], str]] = {}

    def found(self, value: dict[str, Any]) -> tuple[dict[str, str], str]:
        """Each fact's field in rows with these fields, and a field that is one but for its unit ("" if none)."""
        keys = tuple(value)
        plan = self._plans.get(keys)
        if plan is None:
            plan = self._look(value)
            if len(self._plans) < _PLANS_KEPT:
                self._plans[keys] = plan
        return plan

    def require(self, value: dict[str, Any], where: str) -> None:
        """Raises `DatasetError` where a row lacks a field that was named, which is a mistake in the name."""
        for fact, path in self._given.items():
            if field(value, path) is UNSET:
                raise DatasetError(
                    f"--map {fact}={path}: {where} has no field {path} (it has: {names_in(value)})"
                )

    def _look(self, value: dict[str, Any]) -> tuple[dict[str, str], str]:
        by_name = {plain_name(key): key for key in reversed(value)}
        found = dict(self._given)
        for fact, names in NAMES.items():
            if fact not in found:
                path = _first(value, by_name, names)
                if path:
                    found[fact] = path
        timed = "latency_ms" in found or "latency_s" in found
        unitless = "" if timed else next((by_name[name] for name in _UNITLESS if name in by_name), "")
        return found, unitless


_PLANS_KEPT = 4096


def names_in(value: Mapping[str, Any]) -> str:
    """The names of a row's fields, for a message; what a terminal would obey is escaped."""
    return ", ".join(name if name.isprintable() else repr(name) for name in sorted(value)[:20]) or "nothing"


def plain_name(name: str) -> str:
    """A field's name in lower case with its words apart: `promptTokens`, `Prompt Tokens` and `prompt_tokens` are one."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return _SIGN.sub(" ", apart.lower()).strip()


def _first(value: dict[str, Any], by_name: Mapping[str, str], names: Iterable[str]) -> str:
    for name in names:
        if "." in name:
            if field(value, name) is not UNSET:
                return name
        elif name in by_name:
            return by_name[name]
    return ""


class Facts:
    """What stands beside request and answer in one row. Raises `ValueError` that names the field, where one cannot be what it is called."""

    def __init__(self, columns: Columns, value: dict[str, Any]) -> None:
        self._value = value
        self._paths, self.unitless = columns.found(value)

    def __contains__(self, fact: str) -> bool:
        return fact in self._paths

    def raw(self, fact: str) -> Any:
        """As it stands there; None where it does not."""
        path = self._paths.get(fact)
        if path is None:
            return None
        found = self._value.get(path, UNSET) if "." not in path else field(self._value, path)
        return None if found is UNSET or found == "" else found

    def text(self, fact: str) -> str:
        """As text; empty where it is none."""
        return text_of(self.raw(fact))

    def moment_ms(self, fact: str) -> int:
        """Unix milliseconds; 0 where unknown."""
        return self._read(fact, _moment) or 0

    def number(self, fact: str) -> float | None:
        """A number of at least 0; None where unknown."""
        return self._read(fact, _number)

    def count(self, fact: str) -> int | None:
        """A whole number of at least 0; None where unknown."""
        found = self._read(fact, _number)
        return None if found is None else int(min(found, _MOST_TOKENS))

    def milliseconds(self, name: str) -> float | None:
        """`NAME_ms`, or `NAME_s` in milliseconds."""
        found = self.number(f"{name}_ms")
        if found is not None:
            return found
        seconds = self.number(f"{name}_s")
        return None if seconds is None else seconds * _MS_PER_S

    def cost_nusd(self) -> int | None:
        """What the row says it cost, in nano-dollars; None where unknown."""
        return self._read("cost_usd", cost_nusd)

    def stream(self) -> bool | None:
        found = self.raw("stream")
        return found if isinstance(found, bool) else _BOOLEANS.get(str(found).strip().lower())

    def failed(self) -> bool:
        """Whether it says that the call did."""
        status = self.raw("status")
        if isinstance(status, str):
            status = int(status) if status.isdecimal() and len(status) == 3 else status.strip().lower()
        if isinstance(status, int) and not isinstance(status, bool):
            return status >= _FIRST_BAD_STATUS
        return status in _FAILED or bool(self.raw("error"))

    def _read(self, fact: str, read: Callable[[Any], Any]) -> Any:
        found = self.raw(fact)
        if found is None:
            return None
        try:
            return read(found)
        except (ValueError, InvalidOperation) as error:
            raise ValueError(f"{self._paths[fact]}: {error}") from error


_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _moment(value: Any) -> int:
    if isinstance(value, str):
        value = value.strip()
        if value.replace(".", "", 1).isdecimal():
            value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        for _ in ("microseconds", "nanoseconds"):
            value = value / 1000 if value >= _MICROSECONDS_FROM else value
    try:
        found = max(0, moment_ms(value))
    except OverflowError as error:
        raise ValueError(f"no date: {value!r}") from error
    if found >= _LAST_MS:
        raise ValueError(f"no date before 2100: {str(value)[:40]!r}")
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a number, not {str(value)[:40]!r}")  # noqa: TRY004 (its caller tells of a wrong value, not type)
    try:
        found = float(value)
    except ValueError:
        raise ValueError(f"expected a number, not {str(value)[:40]!r}") from None
    if not 0 <= found < float("inf"):
        raise ValueError(f"expected a number of at least 0, not {value}")
    return found


def cost_nusd(value: Any) -> int:
    """Dollars as a number or as text, in nano-dollars. Raises `ValueError`."""
    text = str(value).strip().removeprefix("$")
    usd = Decimal(text)
    if not usd.is_finite() or usd < 0:
        raise ValueError(f"expected dollars of at least 0, not {str(value)[:40]!r}")
    return int((usd * NUSD_PER_USD).to_integral_value())


def with_facts(observed: dict[str, Any], facts: Facts) -> Observed:
    """A call of what its request and answer say, and of what the row says beside them, which counts where those say nothing."""
    seen = {name: value for name, value in observed.items() if value is not None}
    at_ms = facts.moment_ms("at") or seen.get("at_ms", 0)
    for fact, field_name, read in _BESIDE:
        if fact in facts and field_name not in seen:
            value = read(facts, fact)
            if value is not None:
                seen[field_name] = value
    if at_ms:
        seen["at_ms"] = at_ms
    _time(seen, facts, at_ms)
    if not seen.get("failed"):
        seen["failed"] = facts.failed()
    return Observed(**seen)


def _time(seen: dict[str, Any], facts: Facts, at_ms: int) -> None:
    """Latencies as they are given, or as moments tell them."""
    latency_ms = facts.milliseconds("latency")
    ended = facts.moment_ms("ended") if at_ms else 0
    if latency_ms is None and ended >= at_ms > 0:
        latency_ms = float(ended - at_ms)
    first_token_ms = facts.milliseconds("first_token")
    begun = facts.moment_ms("first_token_at") if first_token_ms is None and at_ms else 0
    if begun > at_ms > 0 and begun != ended:  # LiteLLM writes the end where nothing was streamed
        first_token_ms = float(begun - at_ms)
    seen["latency_ms"], seen["first_token_ms"] = latency_ms, first_token_ms


_BESIDE: tuple[tuple[str, str, Callable[[Facts, str], Any]], ...] = (
    *((name, name, Facts.text) for name in ("tenant", "task", "model", "provider", "conversation")),
    *(
        (name, name, Facts.count)
        for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    ),
    ("stream", "stream", lambda facts, _: facts.stream()),
    ("cost_usd", "cost_nusd", lambda facts, _: facts.cost_nusd()),
)
"""Facts that stand beside a request, the fields of a call that they fill, and how they are read."""
