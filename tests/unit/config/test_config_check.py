"""Whether a configuration makes sense: every finding has its own exact sentence and its level."""

from __future__ import annotations

import datetime
import os

import pytest
from wrong_sense import FINDINGS, GOOD

from smallfirst.classify import embedders
from smallfirst.config import cache
from smallfirst.config.check import check, problems_at_start
from smallfirst.config.finding import Surroundings
from smallfirst.config.load import parse
from smallfirst.config.tasks import RELEASE_NOTE

TODAY = datetime.date(2026, 7, 1)


def _found(text: str, **around: object) -> list[str]:
    environ = {"SET": "canary", "EMPTY": ""}
    surroundings = Surroundings(environ=environ, today=TODAY, **around)  # type: ignore[arg-type]
    return [f"{finding.level} {finding}" for finding in check(parse(text), surroundings)]


@pytest.mark.parametrize(("piece", "findings"), FINDINGS, ids=[f"{at}" for at in range(len(FINDINGS))])
def test_every_finding_has_its_sentence(piece: str, findings: str) -> None:
    found = _found(GOOD + piece, installed=lambda _: True)
    assert [line for line in found if not line.startswith("note")] == (
        findings.split("\n") if findings else []
    )
    assert "canary" not in repr(found)


def test_a_sensible_file_has_no_findings() -> None:
    assert _found(GOOD) == []


def test_the_standing_note_about_releases() -> None:
    assert _found(GOOD + "[tasks.t]\nladder = ['m']") == [f"note tasks: {RELEASE_NOTE}"]


def test_notes() -> None:
    text = (
        GOOD + "[providers.r]\nbase_url = 'https://r.example/v1'\n[tasks.t]\nladder = ['m']\nredact = ['x']"
    )
    assert _found(text) == [
        "note providers.r: no model, `accepts` or relay uses it",
        "note tasks.t.redact: while keep_bodies is false it has an effect on imported datasets alone",
        f"note tasks: {RELEASE_NOTE}",
    ]


def test_an_empty_file_answers_nothing() -> None:
    assert _found("") == ["warning providers: none is declared, so no call can be answered"]


def test_an_unknown_frontier_is_an_error() -> None:
    assert _found("frontier = 'mm'\n" + GOOD) == [
        'error frontier: model "mm" is not declared; did you mean "m"?'
    ]


def test_a_label_head_is_no_frontier() -> None:
    head = "[providers.h]\nkind = 'head'\n[models.x]\nprovider = 'h'\nid = '0123456789ab'"
    assert _found("frontier = 'x'\n" + GOOD + head) == [
        'error frontier: "x" is a label head, which cannot answer every call'
    ]


def test_a_ladder_has_an_end() -> None:
    models = "".join(f"[models.m{at}]\nprovider = 'p'\n" for at in range(9))
    ladder = [f"m{at}" for at in range(9)]
    assert _found(GOOD + models + f"[tasks.t]\nladder = {ladder}")[0] == (
        "error tasks.t.ladder: has 9 rungs, at most 8 are allowed"
    )


def test_the_embedded_model_needs_its_extra() -> None:
    text = GOOD + "[providers.a]\nkind = 'embedded'\n[models.x]\nprovider = 'a'"
    assert _found(text, installed=lambda module: module != "xllamacpp") == [
        'error providers.a: kind "embedded" needs an extra: pip install "smallfirst[embedded]"'
    ]


def test_doubts_about_prices_are_warnings() -> None:
    doubts = {"m": "its price is unknown", "n": None}
    assert _found(GOOD, price_doubt=lambda model, _: doubts[model]) == [
        "warning models.m: its price is unknown"
    ]


def test_without_an_environment_secrets_are_not_looked_up() -> None:
    config = parse(GOOD + "[keys.k]\nsecret = 'env:UNSET'")
    assert check(config, Surroundings(environ=None)) == []
    assert problems_at_start(config, {"UNSET": "x"}) == []
    assert problems_at_start(config, {}) == ["keys.k.secret: the environment variable UNSET is not set"]


def test_the_gateway_starts_with_the_process_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse(GOOD + "[keys.k]\nsecret = 'env:SMALLFIRST_TEST_KEY'")
    monkeypatch.delenv("SMALLFIRST_TEST_KEY", raising=False)
    assert len(problems_at_start(config)) == 1
    monkeypatch.setitem(os.environ, "SMALLFIRST_TEST_KEY", "x")
    assert problems_at_start(config) == []


def test_errors_come_first() -> None:
    levels = [
        line.split()[0] for line in _found(GOOD + FINDINGS[0][0] + "\n[tenants.z]\nbudget.usd_per_day = 0")
    ]
    assert levels == ["error", "warning"]


def test_notes_on_the_cache() -> None:
    text = (
        GOOD
        + "bodies_days = 0\n[storage]\nbodies_days = 1\n[tasks.t]\nladder = ['m']\n[tasks.t.cache]\nexact = true\n"
        + "ttl_s = 100_000\nignore = ['user']\n"
        + "[tasks.t.cache.semantic]\nmin_checks = 0"
    )
    assert _found(text) == [
        f"note tasks: {RELEASE_NOTE}",
        "note tasks.t.cache.ignore: end users of one tenant are then given each other's answers to the same call",
        (
            "note tasks.t.cache.sampled: only calls that give temperature 0 are looked up; for the others, every rung needs temperature = 0, "
            "or sampled = true gives an answer again that might have come out otherwise"
        ),
        (
            "note tasks.t.cache.semantic.same: 1 asks for the same text to the word, which free answers hardly ever are; below it, answers to "
            "which the scorer gives that much are taken for the same"
        ),
        (
            "note tasks.t.cache.semantic.min_checks: with 0, hits are checked only while the bound needs it, and what goes wrong later may be "
            "found by nobody"
        ),
        "note tenants.acme.bodies_days: with 0 none of its texts may be kept, and so none of its answers is cached",
        "note tasks.t.cache.ttl_s: answers are kept no longer than storage.bodies_days, 1",
    ]


def test_rungs_that_do_not_sample_need_no_note() -> None:
    rungs = "[{model = 'x'}, {model = 'm', temperature = 0}]"
    head = "[providers.h]\nkind = 'head'\n[models.x]\nprovider = 'h'\nid = '0123456789ab'\n"
    contract = "contract = {type = 'label', labels = ['a', 'b']}\n"
    text = GOOD + head + f"[tasks.t]\nladder = {rungs}\n{contract}[tasks.t.cache]\nexact = true"
    assert _found(text) == [f"note tasks: {RELEASE_NOTE}"]


@pytest.mark.parametrize(
    ("embedder", "module", "extra"),
    [
        ("minilm", "onnxruntime", "minilm"),
        ("onnx:folder", "onnxruntime", "minilm"),
        ("model2vec:folder", "model2vec", "model2vec"),
    ],
)
def test_embedders_of_the_cache_need_their_extra(embedder: str, module: str, extra: str) -> None:
    text = (
        GOOD
        + f"[tasks.t]\nladder = ['m']\n[tasks.t.cache]\nexact = true\nsemantic = {{embedder = '{embedder}'}}"
    )
    found = _found(text, installed=lambda name: name != module)
    assert found[0] == (
        f'error tasks.t.cache.semantic.embedder: "{embedder.partition(":")[0]}" needs an extra: pip install "smallfirst[{extra}]"'
    )


def test_a_shared_cache_needs_its_extra() -> None:
    config = parse(GOOD + "[cache]\nurl = 'env:CACHE_URL'")
    around = Surroundings(
        environ={"CACHE_URL": "redis://:canary@h/0"}, installed=lambda name: name != "redis"
    )
    assert [str(one) for one in check(config, around)] == [
        'cache.url: needs an extra: pip install "smallfirst[redis]"'
    ]


def test_embedders_are_those_that_can_be_opened() -> None:
    assert cache.EMBEDDERS == embedders.KINDS
