"""The exact cache, by the official SDKs over sockets: what is given again, to whom, in which form, and what never is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from support.cached import NARROW_KEY, OTHER_KEY, POOR_KEY, SILENT_KEY, Asker, fresh
from support.gateway import KEY, GatewayProcess

TOOL = {
    "type": "function",
    "function": {"name": "find_order", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def gateway(cached: GatewayProcess) -> GatewayProcess:
    return cached


def test_the_same_call_is_answered_from_the_cache_for_nothing(asking: Asker, gateway: GatewayProcess) -> None:
    question = fresh()
    first, second = asking.ask("ask", question), asking.ask("ask", question)
    assert (first.cache, second.cache) == ("miss", "hit")
    assert first.text == second.text
    assert asking.asked == 1
    assert second.headers["x-smallfirst-cache-by"] == "exact"
    assert second.headers["x-smallfirst-cost-usd"] == "0.000000000"
    assert second.headers["x-smallfirst-model"] == first.headers["x-smallfirst-model"] == "frontier"
    assert second.headers["x-smallfirst-rung"] == "0"
    assert second.headers["x-smallfirst-simulated"] == "1"
    call, of = (gateway.call(each.headers["x-smallfirst-call"]) for each in (second, first))
    assert (call["cache"], call["attempts"], call["cost_nusd"]) == ("exact", [], 0)
    assert call["saved_nusd"] == call["saved_frontier_nusd"] == of["cost_nusd"] > 0
    assert (of["cache"], of["saved_nusd"]) == ("miss", 0)
    told = call["decision"]["cache"]
    assert (told["by"], told["of"]) == ("exact", of["id"])


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("task", ["ask", "claude", "label"])
def test_a_stream_and_a_whole_answer_share_an_entry_both_ways_and_across_dialects(
    asking: Asker, task: str, usage: bool
) -> None:
    asking.simulator.fault(answer="billing")
    question = fresh()
    whole, streamed = asking.ask(task, question), asking.stream(task, question, usage=usage)
    assert (whole.cache, streamed.cache) == ("miss", "hit")
    assert whole.text == streamed.text == "billing"
    question = fresh()
    streamed, whole = asking.stream(task, question, usage=usage), asking.ask(task, question)
    assert (streamed.cache, whole.cache) == ("miss", "hit")
    assert streamed.text == whole.text == "billing"


@pytest.mark.parametrize("task", ["ask", "claude"])
def test_messages_share_an_entry_with_their_streams(asking: Asker, task: str) -> None:
    question = fresh()
    body: dict[str, Any] = {
        "model": f"task/{task}",
        "max_tokens": 100,
        "extra_body": {"temperature": 0},
        "messages": [{"role": "user", "content": question}],
    }
    first = asking.anthropic.messages.with_raw_response.create(**body)
    with asking.anthropic.messages.stream(**body) as stream:
        told = stream.get_final_message()
        headers = stream.response.headers
    assert (first.headers["x-smallfirst-cache"], headers["x-smallfirst-cache"]) == ("miss", "hit")
    assert told.model == f"task/{task}"
    assert told.content[0].text == first.parse().content[0].text
    assert told.stop_reason == "end_turn"
    assert told.usage.output_tokens == first.parse().usage.output_tokens
    assert asking.asked == 1


def test_age_grows_and_a_hit_does_not_make_an_entry_younger(asking: Asker) -> None:
    """RedisVL refreshed an entry's time at each hit, so that what was asked for often never grew old."""
    question = fresh()
    began_s = time.monotonic()
    assert asking.ask("brief", question).age_s == 0
    answers = []
    while time.monotonic() - began_s < 1.3:
        answers.append(asking.ask("brief", question).cache)
        time.sleep(0.1)
    assert answers[0] == "hit"
    assert "miss" in answers, "an entry that is used all the time must end all the same"
    question = fresh()
    asking.ask("ask", question)
    time.sleep(1.1)
    assert asking.ask("ask", question).age_s >= 1


def test_what_the_client_says_about_caching_is_obeyed(asking: Asker) -> None:
    question = fresh()
    assert asking.ask("ask", question, control="no-store").cache == "bypass"
    assert asking.ask("ask", question).cache == "miss", "no-store kept something"
    assert asking.ask("ask", question, control="no-store").cache == "bypass"
    assert asking.ask("ask", question, control="no-cache").cache == "miss"
    assert asking.ask("ask", question, control="max-age=0").cache == "miss"
    assert asking.ask("ask", question, control="max-age=60").cache == "hit"
    assert asking.asked == 5
    time.sleep(1.1)
    assert asking.ask("ask", question, control="max-age=1").cache == "miss"
    assert asking.ask("ask", question, control="only-if-cached").cache == "hit"


def test_only_if_cached_is_never_paid_for(asking: Asker) -> None:
    for task in ("ask", "summary"):  # one without a cache, too
        with pytest.raises(openai.InternalServerError) as refused:
            asking.ask(task, fresh(), control="only-if-cached")
        assert refused.value.status_code == 504
        assert refused.value.code == "not_cached"
        assert refused.value.response.headers["x-smallfirst-cache"] in ("miss", "bypass")
        assert refused.value.response.headers["x-should-retry"] == "false"
    assert asking.asked == 0


def test_what_is_sampled_is_cached_only_where_the_task_says_so(asking: Asker) -> None:
    """OrcaRouter took a missing temperature for 0."""
    for temperature in (openai.omit, 0.7):
        question = fresh()
        assert [asking.ask("ask", question, temperature=temperature).cache for _ in range(2)] == [
            "bypass"
        ] * 2
        told = [asking.ask("sampled", question, temperature=temperature).cache for _ in range(2)]
        assert told == ["miss", "hit"]


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 40},
        {"top_p": 0.5},
        {"stop": ["x"]},
        {"seed": 7},
        {"user": "somebody"},
        {"extra_body": {"safe_prompt": True}},
        {"response_format": {"type": "json_object"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_parameter_is_part_of_the_key(asking: Asker, change: dict[str, Any]) -> None:
    """LiteLLM left provider-specific parameters out; OrcaRouter max_tokens, top_p and stop."""
    question = fresh()
    asking.ask("ask", question)
    assert asking.ask("ask", question, **change).cache in ("miss", "bypass")
    assert asking.ask("ask", question).cache == "hit"


def test_the_system_prompt_is_part_of_the_key(asking: Asker) -> None:
    """Portkey and GPTCache ignored it."""
    question = fresh()
    turns = [{"role": "system", "content": "Answer in verse."}, {"role": "user", "content": question}]
    asking.ask("ask", question)
    assert asking.ask("ask", "", messages=turns).cache == "miss"


def test_no_tenant_gets_another_tenants_answer(asking: Asker, gateway: GatewayProcess) -> None:
    """LiteLLM's exact key lacks team and key."""
    question = fresh()
    asking.ask("ask", question)
    other = Asker(gateway, asking.simulator, OTHER_KEY)
    assert other.ask("ask", question).cache == "miss"
    assert other.ask("ask", question).cache == "hit"
    assert asking.ask("ask", question).cache == "hit"
    assert asking.asked == 2


def test_of_a_tenant_of_which_nothing_may_be_kept_nothing_is(asking: Asker, gateway: GatewayProcess) -> None:
    silent = Asker(gateway, asking.simulator, SILENT_KEY)
    question = fresh()
    assert [silent.ask("ask", question).cache for _ in range(2)] == ["bypass", "bypass"]


@pytest.mark.parametrize(
    ("task", "fault"),
    [
        ("ask", {"finish_reason": "length"}),
        ("ask", {"refuse": True}),
        ("label", {"answer": "none of these"}),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_is_cut_short_refused_or_unmet_is_never_given_again(
    asking: Asker, task: str, fault: dict[str, Any], stream: bool
) -> None:
    """LightRAG cached finish_reason=length."""
    asking.simulator.fault(**fault)
    question = fresh()
    body: dict[str, Any] = {"messages": [{"role": "user", "content": question}], "temperature": 0}
    for _ in range(2):
        raw = asking.openai.chat.completions.with_raw_response.create(
            model=f"task/{task}", stream=stream, **body
        )
        parsed = raw.parse()
        if stream:
            list(parsed)
        assert raw.headers["x-smallfirst-cache"] == "miss"
    asking.simulator.clear_faults()
    asking.simulator.fault(answer="billing")
    assert asking.ask(task, question).cache == "miss"
    assert asking.ask(task, question).cache == "hit"


@pytest.mark.parametrize("fault", [{"status": 400}, {"garbage_json": True}, {"cut_before_body": True}])
def test_a_failure_is_never_given_again(asking: Asker, fault: dict[str, Any]) -> None:
    asking.simulator.fault(**fault)
    question = fresh()
    with pytest.raises(openai.APIError) as failed:
        asking.ask("ask", question)
    told = failed.value.response.headers  # type: ignore[attr-defined]
    assert (told["x-smallfirst-cache"], told["age"]) == ("miss", "0")
    asking.simulator.clear_faults()
    assert asking.ask("ask", question).cache == "miss"


@pytest.mark.parametrize(
    "fault", [{"cut_after_chunks": 2}, {"silent_end": 2}, {"error_event_after_chunks": 2}]
)
def test_a_stream_that_breaks_is_never_given_again(asking: Asker, fault: dict[str, Any]) -> None:
    asking.simulator.fault(**fault)
    question = fresh("Tell me at length about scanners, docks and printers")
    with pytest.raises(openai.APIError):
        asking.stream("ask", question)
    asking.simulator.clear_faults()
    assert asking.ask("ask", question).cache == "miss"


def test_an_agent_never_gets_its_previous_turn_again(asking: Asker) -> None:
    """litellm-docs #833: loops replayed the turn before. What calls a tool is never kept, nor looked up unless the task says so."""
    question = fresh("Look up order 17 with the tool, for bay")
    body: dict[str, Any] = {"tools": [TOOL], "tool_choice": "required", "temperature": 0}
    messages: list[Any] = [{"role": "user", "content": question}]
    for task, cache in (("ask", "bypass"), ("tools", "miss")):
        for stream in (False, True, False):
            raw = asking.openai.chat.completions.with_raw_response.create(
                model=f"task/{task}", messages=messages, stream=stream, **body
            )
            assert raw.headers["x-smallfirst-cache"] == cache
            parsed = raw.parse()
            if stream:
                list(parsed)
            else:
                assert parsed.choices[0].message.tool_calls


def test_a_call_without_a_task_or_whose_task_has_no_cache_says_bypass(asking: Asker) -> None:
    for model in ("frontier", "task/summary"):
        raw = asking.openai.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": fresh()}]
        )
        assert (raw.headers["x-smallfirst-cache"], raw.headers["age"]) == ("bypass", "0")
    with pytest.raises(openai.NotFoundError) as unknown:
        asking.openai.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])
    assert unknown.value.response.headers["x-smallfirst-cache"] == "bypass"


def test_what_is_relayed_or_refused_says_bypass_too(asking: Asker, gateway: GatewayProcess) -> None:
    messages: list[Any] = [{"role": "user", "content": fresh()}]
    relayed = asking.anthropic.messages.with_raw_response.count_tokens(model="sim-claude", messages=messages)
    assert relayed.headers.get_list("age") == ["0"]
    assert relayed.headers.get_list("x-smallfirst-cache") == ["bypass"]
    nobody = Asker(gateway, asking.simulator, "sf-nobody")
    with pytest.raises(openai.AuthenticationError) as refused:
        nobody.ask("ask", fresh())
    told = refused.value.response.headers
    assert (told["x-smallfirst-cache"], told["age"]) == ("bypass", "0")


def test_who_may_not_ask_a_task_gets_nothing_that_it_has_answered(
    asking: Asker, gateway: GatewayProcess
) -> None:
    question = fresh()
    asking.ask("ask", question)
    narrow = Asker(gateway, asking.simulator, NARROW_KEY)  # of the same tenant
    with pytest.raises(openai.PermissionDeniedError):
        narrow.ask("ask", question)
    with pytest.raises(openai.PermissionDeniedError):
        narrow.ask("ask", question, control="only-if-cached")
    assert narrow.ask("sampled", question).cache == "miss"


def test_an_answer_from_the_cache_needs_no_money_and_a_miss_does(
    asking: Asker, gateway: GatewayProcess
) -> None:
    question = fresh()
    asking.ask("ask", question)
    poor = Asker(gateway, asking.simulator, POOR_KEY)  # of the same tenant
    assert poor.ask("ask", question).cache == "hit"
    with pytest.raises(openai.APIStatusError) as refused:
        poor.ask("ask", fresh())
    assert refused.value.response.headers["x-smallfirst-cache"] == "miss"


def test_the_models_name_behind_an_alias_is_one_key_and_each_client_reads_its_own(asking: Asker) -> None:
    question = fresh()
    seen = []
    for model in ("gpt-4o", "frontier"):
        raw = asking.openai.chat.completions.with_raw_response.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            extra_headers={"x-smallfirst-task": "ask"},
        )
        seen.append((raw.headers["x-smallfirst-cache"], raw.parse().model))
    assert seen == [("miss", "gpt-4o"), ("hit", "frontier")]


def test_why_a_call_was_not_looked_up_is_explained(asking: Asker) -> None:
    raw = asking.openai.chat.completions.with_raw_response.create(
        model="task/ask",
        messages=[{"role": "user", "content": fresh()}],
        extra_headers={"x-smallfirst-explain": "1"},
    )
    assert json.loads(raw.headers["x-smallfirst-explain"])["cache"] == {
        "why": "it samples: it gives no temperature of 0"
    }


# What is told.


def test_the_bill_says_what_was_saved_and_metrics_count(asking: Asker, gateway: GatewayProcess) -> None:
    question = fresh()
    first = asking.ask("claude", question)
    paid = gateway.call(first.headers["x-smallfirst-call"])["cost_nusd"]
    last = [asking.ask("claude", question) for _ in range(3)][-1]
    gateway.call(last.headers["x-smallfirst-call"])
    bill = gateway.bill()
    line = next(each for each in bill["cached"] if each["task"] == "claude")
    assert line["exact_hits"] >= 3
    assert line["saved_nusd"] >= 3 * paid
    total = bill["cached"][0]
    assert total["task"] == ""
    assert bill["uncached_nusd"] == bill["total_nusd"] + total["saved_nusd"]
    compared = next(each for each in bill["counterfactual"]["tasks"] if each["task"] == "claude")
    assert compared["hit_calls"] == line["exact_hits"] + line["semantic_hits"] + line["flight_hits"]
    assert compared["hit_nusd"] == line["saved_nusd"]
    saved = bill["savings"]["total"]
    parts = ("paid_nusd", "prompt_cache_nusd", "cache_nusd", "ladder_nusd")
    assert sum(saved[part] for part in parts) == saved["full_nusd"]
    shown = gateway.run("bill", "--config", str(gateway.path)).stdout
    assert "without them the bill would have been" in " ".join(shown.split())
    metrics = httpx2.get(f"{gateway.url}/metrics", headers={"authorization": f"Bearer {KEY}"}).text
    assert 'smallfirst_cache_lookups_total{result="exact",task="claude"}' in metrics
    assert "smallfirst_cache_flights_waiting 0.0" in metrics
    assert "smallfirst_cache_entries" in metrics


def test_a_bad_hit_is_not_given_again(asking: Asker, gateway: GatewayProcess) -> None:
    question = fresh()
    asking.ask("ask", question)
    hit = asking.ask("ask", question)
    assert hit.cache == "hit"
    told = httpx2.post(
        f"{gateway.url}/smallfirst/outcomes",
        headers={"authorization": f"Bearer {KEY}"},
        json={"call": hit.headers["x-smallfirst-call"], "kind": "bad-hit"},
    )
    assert told.json()["new"] == 1
    assert asking.ask("ask", question).cache == "miss"


def test_a_bad_hit_that_is_imported_by_a_command_is_not_given_again(
    asking: Asker, gateway: GatewayProcess, tmp_path: Path
) -> None:
    question = fresh()
    asking.ask("ask", question)
    hit = asking.ask("ask", question)
    gateway.call(hit.headers["x-smallfirst-call"])
    rows = tmp_path / "outcomes.jsonl"
    row = {"call": hit.headers["x-smallfirst-call"], "kind": "bad-hit"}
    rows.write_text(json.dumps(row) + "\n", "utf-8")
    gateway.cli("outcomes", "import", str(rows))
    wait_until_gone(asking, question)


def wait_until_gone(asking: Asker, question: str) -> None:
    for _ in range(100):
        try:
            asking.ask("ask", question, control="only-if-cached")
        except openai.InternalServerError as gone:
            assert gone.code == "not_cached"
            return
        time.sleep(0.1)
    raise AssertionError("it is given again still")
