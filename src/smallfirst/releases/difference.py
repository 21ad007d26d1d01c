"""What is different between two releases, in words: task by task, prompts as text diffs."""

from __future__ import annotations

import difflib
from typing import Any, Literal

import msgspec

from smallfirst.releases.bundle import Release
from smallfirst.releases.cache_words import cache_words
from smallfirst.releases.policy import Policy, RouterPolicy

_RUNG_WORDS = {
    "provider": "provider",
    "upstream_id": "asked as",
    "weights_sha256": "weights",
    "constrained": "held to the contract while it decodes",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "timeout_s": "time-out in seconds",
    "sample": "share of calls that may begin here",
    "head": "a label head",
    "retrieve": "examples that it is shown",
}
_ROUTER_WORDS = {
    "weights_sha256": "weights",
    "embedder": "embedder",
    "embedder_sha256": "embedder's weights",
    "question_after": "question after",
    "question_before": "question before",
    "verify": "text answers are judged before they are released",
    "sticky": "conversations stay with their model",
    "unknown_share": "share of unknown calls that may go to the frontier",
    "by": "decided by",
    "asked": "model asked",
    "timeout_s": "time-out in seconds",
}


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that differs, as a unified diff. `where` is "task", or the rung's model."""

    where: str
    diff: str


class TaskDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One task: `changes` in words, a line each."""

    task: str
    kind: Literal["same", "changed", "new", "gone"]
    changes: tuple[str, ...] = ()
    prompts: tuple[Prompt, ...] = ()


def differences(before: Release, after: Release) -> list[TaskDifference]:
    """All tasks of either release, in alphabetical order."""
    found = []
    for task in sorted({*before.policies, *after.policies}):
        one, other = before.policies.get(task), after.policies.get(task)
        if one is None or other is None:
            kind = "new" if one is None else "gone"
            found.append(TaskDifference(task=task, kind=kind, changes=(_alone(other or one, kind),)))
        elif one == other:
            found.append(TaskDifference(task=task, kind="same"))
        else:
            found.append(_changed(task, one, other))
    return found


def intents_difference(before: Release, after: Release) -> str:
    """What becomes of calls that leave it to the release which task they are; empty where nothing does."""
    if before.intents == after.intents:
        return ""
    one, other = (_text(release.intents) for release in (before, after))
    return f"calls that name no task are taken for one by the classifier: {one} → {other}"


def _alone(policy: Policy | None, kind: str) -> str:
    if policy is None or kind == "gone":
        return "without a policy, its calls go to the frontier"
    cache = cache_words(policy.cache)
    return f"is answered by {_ladder(policy)}{'; cache: ' if cache else ''}{cache}"


def _changed(task: str, one: Policy, other: Policy) -> TaskDifference:
    changes: list[str] = []
    prompts: list[Prompt] = []
    if _ladder(one) != _ladder(other):
        changes.append(f"ladder: {_ladder(one)} → {_ladder(other)}")
    changes += _values("contract", one.contract, other.contract)
    changes += _values("scorer", one.scorer, other.scorer)
    for name in ("margin", "latency_ms"):
        changes += _values(name, getattr(one, name), getattr(other, name))
    _prompt(prompts, "task", one.instructions, other.instructions)
    rungs = {rung.model: rung for rung in one.ladder}
    for rung in other.ladder:
        before = rungs.get(rung.model)
        if before is not None:
            changes += _fields(f"rung {rung.model}", before, rung, _RUNG_WORDS)
            adapters = [str(one.adapter) if one.adapter is not None else None for one in (before, rung)]
            changes += _values(f"rung {rung.model}, adapter", *adapters)
            _prompt(prompts, rung.model, before.instructions, rung.instructions)
    changes += _router(one.router, other.router)
    changes += _values("cache", one.cache, other.cache)
    return TaskDifference(task=task, kind="changed", changes=tuple(changes), prompts=tuple(prompts))


def _router(one: RouterPolicy | None, other: RouterPolicy | None) -> list[str]:
    if one is None or other is None:
        if one is other:
            return []
        return [
            "router: none → one" if one is None else "router: one → none, every call begins at the first rung"
        ]
    changes = _fields("router", one, other, _ROUTER_WORDS)
    for name, what in (("ask", "asked from an uplift below"), ("accept", "released from P")):
        changes += _values(f"router {what}", getattr(one.thresholds, name), getattr(other.thresholds, name))
    if one.bound != other.bound:
        changes.append(f"router's quality bound: {_bound(one)} → {_bound(other)}")
    return changes


def _bound(router: RouterPolicy) -> str:
    bound = router.bound
    promised = f"loss at most {bound.loss_bound:.2%}" if bound.kept else "no promise"
    return f"{promised}, {bound.small_share:.1%} stay small"


def _fields(where: str, one: Any, other: Any, words: dict[str, str]) -> list[str]:
    found: list[str] = []
    for name, word in words.items():
        found += _values(f"{where}, {word}", getattr(one, name), getattr(other, name))
    return found


def _values(where: str, one: Any, other: Any) -> list[str]:
    """One line for each value that differs, however deep it stands."""
    if one == other:
        return []
    plain = [msgspec.to_builtins(value) for value in (one, other)]
    if all(isinstance(value, dict) for value in plain) and plain[0].get("type") == plain[1].get("type"):
        lines: list[str] = []
        for name in sorted({*plain[0], *plain[1]}):
            lines += _values(f"{where}.{name}", plain[0].get(name), plain[1].get(name))
        return lines
    if all(isinstance(value, list | tuple) for value in plain) and sorted(map(_text, plain[0])) != sorted(
        map(_text, plain[1])
    ):
        gone = [_text(item) for item in plain[0] if item not in plain[1]]
        new = [_text(item) for item in plain[1] if item not in plain[0]]
        told = [f"without {', '.join(gone)}"] if gone else []
        told += [f"with {', '.join(new)}"] if new else []
        return [f"{where}: {'; '.join(told)}" if told else f"{where}: {_text(plain[0])} → {_text(plain[1])}"]
    return [f"{where}: {_text(plain[0])} → {_text(plain[1])}"]


def _text(value: Any) -> str:
    """A value as it is written in JSON; hashes and long texts by their beginning."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) == 64 and all(digit in "0123456789abcdef" for digit in text):
        return text[:12]
    return f"{text[:160]}…" if len(text) > 160 else text


def _ladder(policy: Policy) -> str:
    return ", ".join(rung.model for rung in policy.ladder)


def _prompt(prompts: list[Prompt], where: str, one: str | None, other: str | None) -> None:
    if one == other:
        return
    lines = difflib.unified_diff(
        (one or "").splitlines(), (other or "").splitlines(), "before", "after", lineterm=""
    )
    prompts.append(Prompt(where=where, diff="\n".join(lines)))
