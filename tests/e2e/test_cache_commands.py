"""`smallfirst cache` beside a running gateway: what a command removes is not given again from the next call on; and what is never kept."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from support.cached import OTHER_KEY, Asker, fresh
from support.gateway import GatewayProcess

_IMPORTED_S = 10.0


def run(gateway: GatewayProcess, *words: str) -> str:
    done: subprocess.CompletedProcess[str] = gateway.run(*words, "--config", str(gateway.path))
    assert done.returncode == 0, done.stderr
    return done.stdout


def entry_of(gateway: GatewayProcess, call: str) -> dict[str, Any]:
    gateway.call(call)  # it is in the ledger
    return json.loads(run(gateway, "cache", "inspect", call, "--json"))


def test_an_evicted_answer_is_not_given_again(asking: Asker, cached: GatewayProcess) -> None:
    question, other = fresh(), fresh()
    first = asking.ask("ask", question)
    hit = asking.ask("ask", question)
    asking.ask("ask", other)
    entry = entry_of(cached, hit.headers["x-smallfirst-call"])
    assert entry["call"] == first.headers["x-smallfirst-call"]
    assert entry["text"] == first.text
    assert run(cached, "cache", "evict", str(entry["id"])) == "removed 1 answer\n"
    assert asking.ask("ask", question).cache == "miss"
    assert asking.ask("ask", question).cache == "hit"
    assert asking.ask("ask", other).cache == "hit"


def test_a_purge_takes_what_it_names_and_no_more(asking: Asker, cached: GatewayProcess) -> None:
    theirs = Asker(cached, asking.simulator, OTHER_KEY)
    question = fresh()
    for one in (asking, theirs):
        one.ask("ask", question)
    asking.ask("sampled", question)
    assert run(cached, "cache", "purge", "--task", "ask", "--tenant", "acme").startswith("removed ")
    assert asking.ask("ask", question).cache == "miss"
    assert theirs.ask("ask", question).cache == "hit"
    assert asking.ask("sampled", question).cache == "hit"
    run(cached, "cache", "purge", "--all", "--yes")
    assert [one.ask("ask", question).cache for one in (asking, theirs)] == ["miss", "miss"]


def test_erased_calls_leave_no_answer_behind(asking: Asker, cached: GatewayProcess) -> None:
    theirs = Asker(cached, asking.simulator, OTHER_KEY)
    question, other = fresh(), fresh()
    theirs.ask("ask", question)
    mine, kept = asking.ask("ask", question), asking.ask("ask", other)
    assert "cached answers" in run(cached, "calls", "erase", "--tenant", "globex", "--yes")
    assert theirs.ask("ask", question).cache == "miss"
    assert asking.ask("ask", question).cache == "hit"
    call = mine.headers["x-smallfirst-call"]
    cached.call(call)
    assert "1 cached answers" in run(cached, "calls", "erase", "--call", call, "--bodies-only", "--yes")
    assert asking.ask("ask", question).cache == "miss"
    assert asking.ask("ask", other).text == kept.text


def test_stats_and_the_bill_say_the_same(asking: Asker, cached: GatewayProcess) -> None:
    def hits() -> dict[str, Any]:
        told = json.loads(run(cached, "cache", "stats", "--json"))
        return next((line for line in told["lines"] if line["task"] == "ask"), {"calls": 0, "exact_hits": 0})

    before, question = hits(), fresh()
    for _ in range(4):
        asking.ask("ask", question)
    deadline_s = time.monotonic() + _IMPORTED_S
    while (after := hits())["calls"] < before["calls"] + 4 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert (after["calls"], after["exact_hits"]) == (before["calls"] + 4, before["exact_hits"] + 3)
    assert after["saved_nusd"] > 0
    assert after["entries"] > 0
    bill = next(line for line in cached.bill()["cached"] if line["task"] == "ask")
    assert {name: bill[name] for name in ("calls", "exact_hits", "saved_nusd")} == {
        name: after[name] for name in ("calls", "exact_hits", "saved_nusd")
    }


def test_one_answer_shows_when_it_ends(asking: Asker, cached: GatewayProcess) -> None:
    call = asking.ask("brief", fresh()).headers["x-smallfirst-call"]
    entry = entry_of(cached, call)
    assert entry["expires_ms"] - entry["at_ms"] == 1000


def test_what_would_be_redacted_is_not_kept(asking: Asker, cached: GatewayProcess) -> None:
    told, plain = fresh("Where is INV-123456, and bay"), fresh()
    assert [asking.ask("private", told).cache for _ in range(2)] == ["miss", "miss"]
    assert [asking.stream("private", told).cache for _ in range(2)] == ["miss", "miss"]
    assert [asking.ask("private", plain).cache for _ in range(2)] == ["miss", "hit"]
    run(cached, "cache", "stats")
    assert b"INV-123456" not in b"".join(path.read_bytes() for path in cached.state.glob("cache.sqlite*"))
