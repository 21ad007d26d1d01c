"""Single flight, by the official SDKs over sockets: those who ask the same at once are answered by one request, and none fails by another."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from support.cached import Asker, fresh


@pytest.mark.parametrize("task", ["ask", "claude", "label"])
def test_twenty_clients_that_ask_the_same_at_once_make_one_request(asking: Asker, task: str) -> None:
    asking.simulator.fault(answer="billing", hang_before_headers=1)
    question = fresh()
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda number: (asking.stream if number % 2 else asking.ask)(task, question), range(20))
        )
    assert {answer.text for answer in answers} == {"billing"}
    assert asking.asked == 1
    by = [answer.headers.get("x-smallfirst-cache-by", "") for answer in answers]
    assert by.count("") == 1
    assert by.count("flight") >= 1  # who came after the answer has an exact hit


def test_a_leader_that_leaves_does_not_take_those_with_it_who_wait(asking: Asker) -> None:
    asking.simulator.fault(slow_ms=30)
    question = fresh("Tell me at length about scanners, docks and printers")
    body: dict[str, Any] = {"messages": [{"role": "user", "content": question}], "temperature": 0}
    leader = asking.openai.chat.completions.create(model="task/ask", stream=True, **body)
    next(iter(leader))
    with ThreadPoolExecutor(5) as pool:
        followers = [pool.submit(asking.stream, "ask", question) for _ in range(5)]
        time.sleep(0.3)
        asking.simulator.clear_faults()
        leader.close()
        answers = [each.result(timeout=20) for each in followers]
    assert len({answer.text for answer in answers}) == 1
    assert asking.asked == 2, "one that waited asks, and the others wait for it"
    assert sorted(answer.cache for answer in answers) == ["hit"] * 4 + ["miss"]


def test_a_leader_that_fails_does_not_fail_those_who_wait(asking: Asker) -> None:
    asking.simulator.fault(status=400, times=1, match={})
    asking.simulator.fault(hang_before_headers=0.3, times=1)
    question = fresh()
    results: list[str] = []
    lock = threading.Lock()

    def one(_number: int) -> None:
        try:
            said = asking.ask("ask", question).cache
        except openai.BadRequestError:
            said = "failed"
        with lock:
            results.append(said)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(6)))
    assert results.count("failed") == 1
    assert results.count("miss") == 1
    assert results.count("hit") == 4
    assert asking.asked == 2


def test_an_answer_that_may_not_be_shared_lets_all_ask(asking: Asker) -> None:
    asking.simulator.fault(finish_reason="length", hang_before_headers=0.3)
    question = fresh()
    with ThreadPoolExecutor(4) as pool:
        caches = list(pool.map(lambda _: asking.ask("ask", question).cache, range(4)))
    assert caches == ["miss"] * 4
    assert asking.asked == 4


def test_calls_that_say_no_store_neither_lead_nor_follow(asking: Asker) -> None:
    asking.simulator.fault(hang_before_headers=0.3)
    question = fresh()
    with ThreadPoolExecutor(4) as pool:
        caches = list(pool.map(lambda _: asking.ask("ask", question, control="no-store").cache, range(4)))
    assert caches == ["bypass"] * 4
    assert asking.asked == 4
