"""The router on the hot path: easy calls stay small, hard ones go to the frontier, and every decision can be explained and made again."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from support.routed import EASY_CALL, HARD_CALL, UNLIKE_CALL, fit, give
from support.routing_gateway import KEYS, TWO, RoutedGateway, explained, said
from support.simulator import SimulatorProcess

EXPLAIN = {"x-smallfirst-explain": "1"}


def ask(client: openai.OpenAI, task: str, text: str, **more: Any) -> Any:
    return client.chat.completions.with_raw_response.create(
        model=f"task/{task}", messages=said(text), extra_headers=EXPLAIN, **more
    )


@pytest.mark.parametrize(("text", "rung"), [(EASY_CALL, "0"), (HARD_CALL, "1")])
@pytest.mark.parametrize("stream", [False, True])
def test_easy_calls_are_answered_small_and_hard_ones_by_the_frontier(
    asker: openai.OpenAI,
    routed: RoutedGateway,
    upstream: SimulatorProcess,
    text: str,
    rung: str,
    stream: bool,
) -> None:
    response = ask(asker, "reply", text, stream=stream)
    if stream:
        assert list(response.parse())
    assert response.headers["x-smallfirst-rung"] == rung
    told = explained(response)
    judgement = told["judgement"]
    assert 0 <= judgement["adequate"][0] <= 1
    assert judgement["uplift"][1] == 0
    assert [near["id"][:2] for near in judgement["near"]] == ["r-", "r-", "r-"]
    skipped = told["steps"][0]["skipped"]
    assert skipped.startswith("the frontier is expected to gain") == (rung == "1")
    call = routed.recorded(response.headers["x-smallfirst-call"])
    assert call.decision["judgement"] == judgement
    assert call.decision["begin"] == int(rung)
    assert not call.outside_bound


def test_what_is_unlike_anything_seen_goes_to_the_frontier(
    asker: openai.OpenAI, routed: RoutedGateway
) -> None:
    response = ask(asker, "reply", UNLIKE_CALL)
    assert response.headers["x-smallfirst-model"] == "frontier"
    assert explained(response)["judgement"]["unknown"].startswith("unlike anything seen (cosine ")
    assert explained(response)["steps"][0]["skipped"].startswith("unlike anything seen (cosine ")


@pytest.mark.parametrize(
    ("task", "text", "source"),
    [
        ("reply", EASY_CALL, "request"),
        ("reply", HARD_CALL, "request"),
        ("bare", EASY_CALL, "numbers"),
        ("masked", "Please send me the invoice INV-123456 of July.", "numbers"),
        ("masked", EASY_CALL, "request"),
    ],
)
def test_a_recorded_decision_is_made_again_to_the_bit(
    asker: openai.OpenAI, routed: RoutedGateway, task: str, text: str, source: str
) -> None:
    call = ask(asker, task, text).headers["x-smallfirst-call"]
    routed.recorded(call)
    again = routed.cli("explain", "--call", call)
    assert (again["source"], again["same"]) == (source, True)
    assert again["stored"] == again["replayed"]


def test_explain_says_so_in_words(asker: openai.OpenAI, routed: RoutedGateway) -> None:
    call = ask(asker, "reply", EASY_CALL).headers["x-smallfirst-call"]
    routed.recorded(call)
    shown = routed.run("explain", "--call", call, "--config", str(routed.path))
    assert "the same, to the bit" in " ".join(shown.stdout.split())


def test_explain_shows_the_numbers_of_a_text(routed: RoutedGateway) -> None:
    told = routed.cli("explain", HARD_CALL, "--task", "reply", "--release", "candidate")
    small, frontier = told["steps"]
    assert (small["asked"], frontier["asked"], told["begin"]) == (False, True, 1)
    assert small["uplift"] > small["ask"]
    assert 0 < small["adequate"] < frontier["adequate"] <= 1
    assert len(told["near"]) == 3
    assert {near["text"] for near in told["near"]} == {""}  # they are no calls of this ledger
    shown = routed.run(
        "explain", EASY_CALL, "--task", "reply", "--release", "candidate", "--config", str(routed.path)
    )
    assert "asked first" in shown.stdout
    assert "loss at most" in shown.stdout


def test_texts_of_near_examples_are_shown_to_their_own_tenant_alone(
    asker: openai.OpenAI, routed: RoutedGateway
) -> None:
    texts = [
        "Please send me the invoice of January.",
        "Prove with induction that the theorem holds for every finite group.",
    ]
    mine = [ask(asker, "reply", texts[0]).headers["x-smallfirst-call"]]
    with openai.OpenAI(base_url=f"{routed.url}/v1", api_key=KEYS["rival"], max_retries=0) as rival:
        theirs = ask(rival, "reply", texts[1]).headers["x-smallfirst-call"]
    for call in (*mine, theirs):
        routed.recorded(call)
    # The router of a task of its own: what is served is not touched.
    prefix = mine[0][:4]  # an example's id that happens to be the beginning of a call's
    give(routed.state, fit(TWO, ids=[mine[0], theirs, prefix]), "reply", TWO)
    seen: dict[tuple[str, str], str] = {}
    for tenant in ("acme", "rival"):
        for text in texts:
            told = routed.cli(
                "explain", text, "--task", "reply", "--release", "candidate", "--tenant", tenant
            )
            seen |= {(tenant, near["id"]): near["text"] for near in told["near"]}
    assert seen["acme", mine[0]] == texts[0]
    assert seen["rival", theirs] == texts[1]
    assert seen["acme", theirs] == seen["rival", mine[0]] == ""
    assert {text for (_, name), text in seen.items() if name not in (mine[0], theirs)} == {""}


def test_a_call_without_a_router_cannot_be_made_again(asker: openai.OpenAI, routed: RoutedGateway) -> None:
    response = asker.chat.completions.with_raw_response.create(model="mini", messages=said("hi"))
    call = response.headers["x-smallfirst-call"]
    routed.recorded(call)
    refused = routed.run("explain", "--call", call, "--config", str(routed.path))
    assert refused.returncode == 1
    assert "nothing was decided for it" in refused.stderr


# What must not cost more, or break, because of what somebody writes.


def test_only_the_ends_of_a_huge_question_are_read(asker: openai.OpenAI, routed: RoutedGateway) -> None:
    filler = "Please send me the invoice of July. " * 150_000  # 5 MB
    response = ask(asker, "reply", filler)
    told = explained(response)
    assert response.headers["x-smallfirst-model"] == "frontier"
    assert told["judgement"]["unknown"] == f"{len(filler):,} characters, longer than what was learned from"
    other = ask(asker, "reply", filler[:3000] + "x" * 4_000_000 + filler[-3000:])
    middle = ask(asker, "reply", filler[:3000] + "y" * 4_000_000 + filler[-3000:])
    assert explained(other)["judgement"] == explained(middle)["judgement"]


@pytest.mark.parametrize(
    "text",
    [
        "\x00\x01\x1b[2J\x7f",
        "\u202e\u200b\ufeff" * 200,
        "\n" * 4000,
        "!" * 4000 + "x",
        "'\";--<script>",
        "👩‍👩‍👧" * 300,
        " ",
    ],
)
def test_odd_texts_are_decided_like_others(asker: openai.OpenAI, routed: RoutedGateway, text: str) -> None:
    response = ask(asker, "reply", text)
    assert response.status_code == 200
    call = routed.recorded(response.headers["x-smallfirst-call"])
    assert "judgement" in call.decision
    assert call.overhead_ms < 5000


@pytest.mark.parametrize(
    "content",
    [
        [],
        [{"type": "text", "text": ""}],
        [{"type": "text", "text": EASY_CALL}],
        [{"type": "odd", "odd": {"a": [1]}}],
        None,
    ],
)
def test_contents_of_other_shapes_are_read_or_refused_never_a_fault(
    asker: openai.OpenAI, routed: RoutedGateway, content: Any
) -> None:
    try:
        response = asker.post(
            "/chat/completions",
            body={"model": "task/reply", "messages": [{"role": "user", "content": content}]},
            cast_to=object,
            options={"headers": EXPLAIN},
        )
        assert json.dumps(response)
    except openai.APIStatusError as error:
        assert error.status_code == 400


@pytest.mark.parametrize("half", ["\\ud800", "\\udc00x", "\\ud800\\ud800"])
def test_half_of_a_surrogate_pair_is_a_bad_request(asker: openai.OpenAI, half: str) -> None:
    body = f'{{"model": "task/reply", "messages": [{{"role": "user", "content": "{half}"}}]}}'
    refused = asker._client.post("chat/completions", content=body, headers=asker.auth_headers)
    assert refused.status_code == 400
