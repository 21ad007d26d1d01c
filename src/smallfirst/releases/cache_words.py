"""A cache rule in words, as commands show it."""

from __future__ import annotations

from smallfirst.config.schema import TaskCache

_UNITS = (("days", 86_400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def cache_words(rule: TaskCache) -> str:
    """Which answers are given again; empty where none are."""
    if not rule.exact:
        return ""
    words = [f"the same call is given the same answer for {_span(rule.ttl_s)}"]
    if rule.sampled:
        words.append("also where it samples")
    if rule.tools:
        words.append("also where it offers tools")
    if rule.ignore:
        words.append(f"whatever its {', '.join(rule.ignore)}")
    if (semantic := rule.semantic) is not None:
        words.append(
            f"one that asks it in other words too, once it is shown that at most {semantic.delta:.2%} of all calls are answered wrongly so "
            f"({semantic.confidence:.0%} confidence)"
        )
    return ", ".join(words)


def _span(seconds: float) -> str:
    """In the largest unit of which it is two or more."""
    name, unit = next((one for one in _UNITS if seconds >= 2 * one[1]), _UNITS[-1])
    return f"{seconds / unit:g} {name}"
