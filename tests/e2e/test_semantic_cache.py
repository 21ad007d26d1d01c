"""Answers to calls in other words: earned, watched, taken back, and never another tenant's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess
from support.verdicts import verdict_on

from smallfirst.cache.semantic.observed import Row, read_rows
from smallfirst.cache.semantic.standing import Standing, Standings, read_standings
from smallfirst.config import load
from smallfirst.gate.cache_kept import write_standings
from smallfirst.ledger import Filter, Ledger
from smallfirst.ledger.records import Call
from smallfirst.releases import Verdicts

SEMANTIC = """
[tasks.words]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["frontier"]
rollout = {{ explore = 0 }}
cache = {{ exact = true, semantic = {{ delta = 0.2, min_checks = 0.3 }} }}

[tenants.globex]

[keys.other]
secret = "env:OTHER_KEY"
tenant = "globex"
"""
OTHER_KEY = "sf-other-key"
ABOUT = {
    "billing": ["the invoice of our last order", "the monthly invoice for our team", "my unpaid invoice"],
    "bug": ["the app that crashes at start", "a crash of the mobile app", "why the app crashes on upload"],
    "how-to": ["how to change the password", "the way to reset a password", "changing my old password"],
}
BEGIN = ["hello, this is about", "i have a question on", "please help me with", "we need support with", "could you look at",
         "my colleague asks about", "again a ticket about", "writing to you about", "good morning, it concerns"]  # fmt: skip
END = ["thanks", "thank you very much", "best regards", "it is urgent", "no hurry", "please answer soon", "see the attachment",
       "as discussed", "kind regards from the office"]  # fmt: skip
WORDS = {"billing": "invoice", "bug": "crash", "how-to": "password"}


def questions(seed: int) -> list[str]:
    """Different texts, in three ways of asking three things."""
    made = [
        f"{begin} {what}, {end}"
        for whats in ABOUT.values()
        for what, begin, end in itertools.product(whats, BEGIN, END)
    ]
    random.Random(seed).shuffle(made)
    return made


def answers(simulator: SimulatorProcess, *, turned: bool = False) -> None:
    """What the frontier says to each; `turned`: another thing than before."""
    labels = list(WORDS)
    for at, word in enumerate(WORDS.values()):
        simulator.fault(match={"contains": word}, answer=labels[(at + turned) % 3])


class Keeper:
    """The controller, started by the test so that it can be killed."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "smallfirst.gate.controller"]
        command += ["--config", str(self._gateway.path), "--state", str(self._gateway.state)]
        with (self._gateway.folder / "keeper.log").open("a") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=log, env=self._gateway.environ
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(20) == 0


class House(msgspec.Struct):
    gateway: GatewayProcess
    keeper: Keeper
    asked: Iterator[str]  # texts that were not asked yet

    def texts(self, count: int) -> list[str]:
        return list(itertools.islice(self.asked, count))


@pytest.fixture
def house(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[House]:
    """A gateway whose live release may answer in other words, once that is proven, and a controller."""
    answers(simulator)
    config = (CONFIG + SEMANTIC).format(sim=simulator.base_url)
    gateway = GatewayProcess(tmp_path, config, unproven=False, environ={"OTHER_KEY": OTHER_KEY})
    name = gateway.cli("release", "build")["id"]
    Verdicts(gateway.state).save(verdict_on(name, gateway.state, load(gateway.path)))
    gateway.cli("release", "promote", name)
    gateway.start()
    keeper = Keeper(gateway)
    keeper.start()
    try:
        yield House(gateway, keeper, iter(questions(1)))
    finally:
        keeper.stop()
        gateway.stop()
    assert "Traceback" not in gateway.log_text()
    assert "Traceback" not in (tmp_path / "keeper.log").read_text()


class Told(msgspec.Struct):
    """One call as its client saw it: by what the cache answered, or that it did not."""

    by: str
    said: str
    call: str


def ask(
    gateway: GatewayProcess, texts: list[str], *, key: str = KEY, system: str = "", **fields: Any
) -> list[Told]:
    """Asks them, some at a time."""
    before = [{"role": "system", "content": system}] if system else []

    async def all_of_them() -> list[Told]:
        turns = asyncio.Semaphore(4)
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=20)

        async def one(text: str) -> Told:
            asked = [*before, {"role": "user", "content": text}]
            body = {"model": "task/words", "temperature": 0, "messages": asked}
            async with turns:
                response = await client.chat.completions.with_raw_response.create(**(body | fields))
            found = response.headers
            by = found.get("x-smallfirst-cache-by", found["x-smallfirst-cache"])
            return Told(by, response.parse().choices[0].message.content, found["x-smallfirst-call"])

        async with client:
            return await asyncio.gather(*[one(text) for text in texts])

    return asyncio.run(all_of_them())


def earn(house: House, hits: int = 10) -> tuple[list[str], list[Told]]:
    """Asks until so many were answered in other words; all that was asked, and how it was answered."""
    asked: list[str] = []
    found: list[Told] = []
    for _ in range(24):
        texts = house.texts(30)
        asked += texts
        found += ask(house.gateway, texts)
        if counts(found)["semantic"] >= hits:
            return asked, found
        time.sleep(0.3)
    raise AssertionError(f"no hits were earned: {standing(house.gateway)}")


def soon(holds: Callable[[], Any], within_s: float = 20.0) -> Any:
    deadline_s = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.1)
    return found


def standing(gateway: GatewayProcess) -> Standing | None:
    return next(iter(read_standings(gateway.state).policies.values()), None)


def _now(gateway: GatewayProcess) -> Standing:
    found = standing(gateway)
    assert found is not None
    return found


def _all_counted(gateway: GatewayProcess) -> bool:
    """Whether everything that was observed is known, and in what is published."""
    found = rows(gateway)
    return not any(row.pending for row in found) and _now(gateway).figures.requests == len(found)


def rows(gateway: GatewayProcess) -> list[Row]:
    """All that was observed."""
    return read_rows(gateway.state, _now(gateway).policy, after=0, most=10_000)[1]


def hits_on_record(gateway: GatewayProcess) -> list[str]:
    return [row.call for row in rows(gateway) if row.kind == "hit"]


def events(gateway: GatewayProcess, kind: str) -> list[dict[str, Any]]:
    with Ledger.read(gateway.state) as ledger:
        return [event.detail for event in ledger.queries.events(kind=kind)]


def tell(gateway: GatewayProcess, outcome: dict[str, Any]) -> int:
    request = urllib.request.Request(
        gateway.url + "/smallfirst/outcomes",
        json.dumps(outcome).encode(),
        {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.status


def is_open(gateway: GatewayProcess) -> bool:
    found = standing(gateway)
    return found is not None and found.threshold is not None


def counts(found: list[Told]) -> Counter[str]:
    return Counter(one.by for one in found)


def right(text: str) -> str:
    """What the frontier says to it."""
    return next(label for label, word in WORDS.items() if word in text)


def calls(gateway: GatewayProcess, **fields: Any) -> list[Call]:
    with Ledger.read(gateway.state) as ledger:
        return [one.call for one in ledger.queries.calls(Filter(**fields), limit=10_000)]


def test_hits_in_other_words_are_earned_checked_and_taken_back(house: House) -> None:
    gateway = house.gateway
    texts, found = earn(house, 25)
    assert set(counts(found)) == {"miss", "semantic"}
    assert counts(found[:30]) == {"miss": 30}  # nothing is served on hope
    assert [one.said for one in found] == [right(text) for text in texts]

    # spot checks are calls of their own, and what they found is published
    soon(lambda: _now(gateway).figures.hits == counts(found)["semantic"])
    now = _now(gateway)
    assert (now.figures.wrong, now.delta) == (0, 0.2)
    drawn = [row for row in rows(gateway) if row.drawn]
    assert len(drawn) == now.figures.checked > 0
    checks = soon(lambda: [call for call in calls(gateway, origin="spot-check") if call.status == "ok"])
    soon(lambda: len(calls(gateway, origin="spot-check")) == len(drawn))
    assert all(check.decision["of"] and check.cost_nusd for check in checks)
    hit = next(one for one in calls(gateway, origin="client") if one.cache == "semantic")
    told = hit.decision["cache"]
    assert told["probability"] >= told["threshold"]
    assert (hit.cost_nusd, hit.attempts) == (0, ())
    (event,) = events(gateway, "cache")
    assert (event["how"], event["task"]) == ("opened", "words")

    # another tenant's calls are answered by its own answers, and so are those with another system prompt or other parameters
    others: list[dict[str, Any]] = [{"key": OTHER_KEY}, {"system": "Say bug."}, {"seed": 7}]
    for fields in others:
        apart = ask(gateway, texts[:30], **fields)
        assert apart[0].by == "miss"
        soon(lambda apart=apart: {one.call for one in apart} <= {call.id for call in calls(gateway)})
        own = {one.call for one in apart}
        by_call = {call.id: call for call in calls(gateway)}
        own |= {check.id for check in calls(gateway, origin="spot-check") if check.decision["of"] in own}
        given = [by_call[one.call].decision["cache"]["of"] for one in apart if one.by != "miss"]
        assert set(given) <= own

    # a client says that one was wrong: it counts, and that entry is gone
    soon(lambda: _all_counted(gateway))  # spot checks of the calls above find wrong hits, too
    wrong = _now(gateway).figures.wrong
    of = {call.id: (call.decision.get("cache") or {}).get("of") for call in calls(gateway, origin="client")}
    asked = {one.call: text for one, text in zip(found, texts, strict=True)}
    bad = next(one.call for one in found if one.by == "semantic" and of[one.call] in asked)
    assert tell(gateway, {"call": bad, "kind": "bad-hit"}) == 200
    soon(lambda: _now(gateway).figures.wrong == wrong + 1)
    assert ask(gateway, [asked[str(of[bad])]])[0].by != "exact"


def test_without_a_controller_hits_end_with_the_lease_and_come_back_with_it(house: House) -> None:
    gateway = house.gateway
    earn(house)
    house.keeper.kill()
    before = _now(gateway)
    over = msgspec.structs.replace(before, lease_until_ms=int(time.time() * 1000))
    write_standings(gateway.state, Standings(policies={over.policy: over}))
    time.sleep(0.5)
    assert counts(ask(gateway, house.texts(20))) == {"miss": 20}
    house.keeper.start()
    soon(
        lambda: _now(gateway).figures.requests == len(rows(gateway)) > before.figures.requests
    )  # nothing twice
    assert is_open(gateway)
    gateway.kill()
    gateway.start()
    ask(gateway, house.texts(1))  # reads what was kept into memory
    time.sleep(0.5)
    found = ask(gateway, house.texts(20))
    assert counts(found)["semantic"]


def test_answers_that_change_close_it_by_itself(house: House, simulator: SimulatorProcess) -> None:
    gateway = house.gateway
    earn(house, 40)
    simulator.clear_faults()
    answers(simulator, turned=True)
    wrong = 0
    for _ in range(24):
        texts = house.texts(20)
        found = ask(gateway, texts)
        wrong += sum(one.said == right(text) for one, text in zip(found, texts, strict=True))
        time.sleep(0.3)
        if not is_open(gateway):
            break
    now = _now(gateway)
    assert now.threshold is None
    assert now.why
    assert wrong <= now.delta * now.figures.requests  # what was promised, whatever came
    time.sleep(0.5)
    assert counts(ask(gateway, house.texts(10))) == {"miss": 10}


def test_a_file_that_is_deleted_under_it_costs_hits_and_no_evidence(house: House) -> None:
    gateway = house.gateway
    earn(house)
    soon(lambda: not any(row.pending for row in rows(gateway)))
    soon(lambda: _now(gateway).figures.requests == len(rows(gateway)))
    before = _now(gateway).figures
    for suffix in ("", "-wal", "-shm"):
        (gateway.state / f"cache.sqlite{suffix}").unlink(missing_ok=True)
    wrong = 0  # of the answers in other words since; with so few entries some are, and no more than those may count
    for _ in range(12):
        texts = house.texts(20)
        found = ask(gateway, texts)
        wrong += sum(
            one.by == "semantic" and one.said != right(text) for one, text in zip(found, texts, strict=True)
        )
        time.sleep(0.3)
        if counts(found)["semantic"]:
            break
    else:
        raise AssertionError(f"no hits were earned again: {standing(gateway)}")
    after = soon(lambda: (now := _now(gateway).figures).hits > before.hits and now)
    assert after.requests > before.requests
    assert before.wrong <= after.wrong <= before.wrong + wrong


def test_every_hit_that_a_client_got_is_on_record_whatever_kills_the_gateway(house: House) -> None:
    gateway = house.gateway
    earn(house)
    soon(lambda: _now(gateway).read == hits_on_record(gateway)[-1])
    house.keeper.kill()  # so that nobody reads what comes
    lease = msgspec.structs.replace(_now(gateway), lease_until_ms=int(time.time() * 1000) + 60_000, room=12)
    write_standings(gateway.state, Standings(policies={lease.policy: lease}))
    time.sleep(0.5)
    served = 0
    for _ in range(2):
        got: list[Told] = []
        killer = threading.Timer(1.0, gateway.kill)
        killer.start()
        with contextlib.suppress(openai.APIConnectionError):
            while True:
                got += ask(gateway, house.texts(1))
        killer.join()
        hits = {one.call for one in got if one.by == "semantic"}
        assert hits <= set(hits_on_record(gateway))
        served += len(hits)
        gateway.start()
        ask(gateway, house.texts(1))  # reads what was kept into memory
        time.sleep(0.5)
    on_record = hits_on_record(gateway)
    assert served
    assert len(on_record) - 1 - on_record.index(lease.read) <= lease.room  # starting anew gives no room again
    house.keeper.start()
    soon(lambda: _now(gateway).read == on_record[-1])
