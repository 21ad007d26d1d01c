"""What a release changes, in words."""

from __future__ import annotations

import msgspec

from smallfirst.config.schema import (
    Config,
    Model,
    Provider,
    Rung,
    Scorer,
    SemanticCache,
    Task,
    TaskCache,
)
from smallfirst.contracts import LabelContract
from smallfirst.releases import baseline, release_from_config
from smallfirst.releases.cache_words import cache_words
from smallfirst.releases.difference import differences, intents_difference

TASK = Task(
    ladder=("small", "large"), contract=LabelContract(labels=("a", "b")), instructions="Say a.\nOr b."
)


def config(**tasks: Task) -> Config:
    return Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
        models={name: Model(provider="p") for name in ("small", "middle", "large")},
        tasks=tasks,
    )


def changed(**fields: object) -> list[str]:
    before = release_from_config(config(t=TASK))
    after = release_from_config(config(t=msgspec.structs.replace(TASK, **fields)))
    (item,) = differences(before, after)
    assert item.kind == "changed"
    return list(item.changes)


def test_every_part_of_a_policy_is_said() -> None:
    assert changed(ladder=("small", "middle", "large")) == ["ladder: small, large → small, middle, large"]
    assert changed(margin=0.05) == ["margin: 0.02 → 0.05"]
    assert changed(latency_ms=200.0) == ["latency_ms: none → 200.0"]
    assert changed(contract=LabelContract(labels=("a", "c"))) == ["contract.labels: without b; with c"]
    assert changed(contract=LabelContract(labels=("b", "a"))) == ['contract.labels: ["a","b"] → ["b","a"]']
    assert changed(scorer=Scorer(kind="label", normalise=True)) == ["scorer.normalise: false → true"]
    sampled = (Rung(model="small", sample=0.05, temperature=0.0), "large")
    assert changed(ladder=sampled) == [
        "rung small, temperature: none → 0.0",
        "rung small, share of calls that may begin here: 1.0 → 0.05",
    ]


def test_what_is_given_again_is_said() -> None:
    assert changed(cache=TaskCache(exact=True, ttl_s=60.0)) == [
        "cache.exact: false → true",
        "cache.ttl_s: 86400.0 → 60.0",
    ]
    rule = TaskCache(exact=True, semantic=SemanticCache(delta=0.02), ignore=("user", "x"))
    (item,) = differences(
        release_from_config(config(a=TASK)),
        release_from_config(config(a=TASK, b=msgspec.structs.replace(TASK, cache=rule))),
    )[1:]
    assert item.changes[0].startswith(
        "is answered by small, large; cache: the same call is given the same answer for 24 hours"
    )
    assert "whatever its user, x" in item.changes[0]
    assert "at most 2.00% of all calls are answered wrongly so (95% confidence)" in item.changes[0]
    assert cache_words(TaskCache()) == ""
    assert cache_words(TaskCache(exact=True, ttl_s=7 * 86_400.0, sampled=True, tools=True)) == (
        "the same call is given the same answer for 7 days, also where it samples, also where it offers tools"
    )


def test_the_baseline_has_no_cache() -> None:
    cached = config(t=msgspec.structs.replace(TASK, cache=TaskCache(exact=True)))
    assert baseline(cached).policies["t"].cache == TaskCache()
    assert release_from_config(cached).policies["t"].cache.exact


def test_a_prompt_is_a_text_diff() -> None:
    before = release_from_config(config(t=TASK))
    after = release_from_config(config(t=msgspec.structs.replace(TASK, instructions="Say a.\nOr c.")))
    (prompt,) = differences(before, after)[0].prompts
    assert prompt.where == "task"
    assert prompt.diff.splitlines()[-3:] == [" Say a.", "-Or b.", "+Or c."]


def test_tasks_come_and_go() -> None:
    one, other = config(a=TASK, b=TASK), config(b=TASK, c=TASK)
    found = differences(release_from_config(one), release_from_config(other))
    assert [(item.task, item.kind) for item in found] == [("a", "gone"), ("b", "same"), ("c", "new")]


def test_another_intent_classifier_is_told() -> None:
    before = release_from_config(config(t=TASK))
    after = msgspec.structs.replace(before, intents="a" * 64)
    assert intents_difference(before, before) == ""
    assert intents_difference(before, after).endswith("none → aaaaaaaaaaaa")
