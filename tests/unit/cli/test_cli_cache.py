"""`smallfirst cache`, as a user meets it, beside a store that is not running; and what erasing calls removes from it."""

from __future__ import annotations

import asyncio
import json
import time

import msgspec
import pytest
from support.ledger import AT_MS, call, settlement
from typer.testing import CliRunner

from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic import standing as standings
from smallfirst.cache.semantic.standing import Figures, Standing, Standings
from smallfirst.cache.stores.sqlite_store import SqliteStore
from smallfirst.cli.main import app
from smallfirst.config.load import parse
from smallfirst.config.schema import Cache
from smallfirst.durable import write_whole
from smallfirst.errors import ConfigError, SmallfirstError, StateError
from smallfirst.ledger import Ledger
from smallfirst.ledger.records import Bodies
from smallfirst.releases import Live, Releases, release_from_config, write_channels
from smallfirst.releases.channels import Channels

CONFIG = """
[storage]
path = "state"
[providers.p]
base_url = "https://p.example/v1"
[models.large]
provider = "p"
[tasks.triage]
ladder = ["large"]
[tasks.triage.cache]
exact = true
semantic = { delta = 0.01 }
"""
HOUR_MS = 3_600_000


@pytest.fixture
def home(tmp_path):
    (tmp_path / "smallfirst.toml").write_text(CONFIG)
    return tmp_path


def run(home, *arguments):
    """What a command prints; its error is raised, as it is for `cli.main`."""
    command = [*arguments, "--config", str(home / "smallfirst.toml")]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def entry(key, **fields):
    now_ms = time.time_ns() // 1_000_000
    defaults = {
        "key": key.encode(),
        "tenant": "acme",
        "task": "triage",
        "policy": "p" * 64,
        "release": "r" * 64,
        "call": f"0{key}",
        "model": "large",
        "rung": 0,
        "dialect": "openai",
        "answer": b'{"choices":[]}',
        "text": f"the answer to {key}",
        "question": f"what is [{key}]?",
        "cost_nusd": 1000,
        "at_ms": now_ms - 2 * HOUR_MS,
        "expires_ms": now_ms + 22 * HOUR_MS,
    }
    return Entry(**(defaults | fields))


def kept(home, *entries):
    """Puts them into the store, and returns their ids."""

    async def put():
        store = SqliteStore(home / "state", Cache())
        ids = [store.put(one) for one in entries]
        await store.close()
        return ids

    return asyncio.run(put())


def listed(home):
    return [json.loads(line) for line in run(home, "cache", "inspect", "--json").splitlines()]


def in_ledger(home, *calls):
    ledger = Ledger.open(home / "state")
    for one in calls:
        ledger.journal.append_settlement(settlement(one))
    ledger.close()


def events(home):
    with Ledger.read(home / "state") as ledger:
        return [event.detail for event in ledger.queries.events(kind="cache-purged")]


def live(home):
    """The configuration's release, live; its policy's hash."""
    release = release_from_config(parse(CONFIG))
    name, _ = Releases(home / "state").save(release)
    now = Channels(live=Live(release=name, unproven="a test"))
    write_channels(home / "state", now, expected=Channels())
    return release.policies["triage"].hash


def test_without_a_cache_there_is_nothing_to_see(home):
    assert "Nothing is cached" in run(home, "cache", "stats")
    assert run(home, "cache", "inspect", "--json") == ""
    assert not (home / "state" / "cache.sqlite").exists()
    with pytest.raises(StateError, match="nothing was removed"):
        run(home, "cache", "evict", "5")


def test_stats_say_what_is_kept_and_what_it_saved(home):
    live(home)
    kept(home, entry("a"), entry("b", tenant="globex"), entry("c", task="other"))
    calls = [
        call(cache="miss"),
        call(cache="miss"),
        call(cache="exact", saved_nusd=3000),
        call(cache="semantic", saved_nusd=None),
        call(cache="flight", saved_nusd=500, tenant="globex"),
        call(),
    ]
    in_ledger(home, *calls)
    told = json.loads(run(home, "cache", "stats", "--json"))
    other, triage = told["lines"]
    assert (other["task"], other["entries"], other["hit_rate"]) == ("other", 1, None)
    assert triage["calls"] == 5
    assert (triage["exact_hits"], triage["semantic_hits"], triage["flight_hits"]) == (1, 1, 1)
    assert (triage["hits"], triage["hit_rate"], triage["unknown_hits"]) == (3, 0.6, 1)
    assert (triage["saved_nusd"], triage["entries"], told["entries"]) == (3500, 2, 3)
    assert "at most 1.00% of all calls" in told["rules"]["triage"]

    by = json.loads(run(home, "cache", "stats", "--by", "tenant", "--json"))["lines"]
    assert [(one["task"], one["tenant"], one["hits"], one["entries"]) for one in by] == [
        ("other", "acme", 0, 1),
        ("triage", "acme", 2, 1),
        ("triage", "globex", 1, 1),
    ]
    alone = json.loads(run(home, "cache", "stats", "--tenant", "globex", "--json"))
    assert [(one["hits"], one["entries"]) for one in alone["lines"]] == [(1, 1)]
    later = json.loads(run(home, "cache", "stats", "--since", "2031-01-01", "--json"))
    assert {one["task"]: one["calls"] for one in later["lines"]} == {"other": 0, "triage": 0}
    shown = run(home, "cache", "stats")
    assert "60.0%" in shown
    assert "1 unknown" in shown


def test_stats_say_what_is_proven_of_semantic_answers(home):
    policy = live(home)
    figures = Figures(
        requests=1000, hits=400, checked=50, wrong=1, wrong_rate=0.004, wrong_low=0.001, wrong_high=0.009
    )

    def stats(**changes):
        standing = Standing(
            task="triage", policy=policy, lease_until_ms=2**50, threshold=0.9, check=0.05, figures=figures
        )
        standing = msgspec.structs.replace(standing, **changes)
        write_whole(
            standings.folder_of(home / "state") / standings.FILE,
            msgspec.json.encode(Standings(policies={policy: standing})),
        )
        (told,) = json.loads(run(home, "cache", "stats", "--json"))["semantic"]
        return told

    (told,) = json.loads(run(home, "cache", "stats", "--json"))["semantic"]
    assert told["state"] == "unknown"
    told = stats()
    assert (told["state"], told["channel"], told["policy"]) == ("open", "live", policy)
    assert (told["figures"]["wrong"], told["figures"]["wrong_high"], told["delta"]) == (1, 0.009, 0.01)
    shown = run(home, "cache", "stats")
    assert "served from probability 0.900 on, 5.0% of hits checked" in shown
    assert "0.40% (0.10% to 0.90% with 95% confidence); held to 1.00%" in shown
    assert stats(threshold=None, why="too few calls yet")["why"] == "too few calls yet"
    assert "too few calls yet" in run(home, "cache", "stats")
    assert stats(lease_until_ms=1)["state"] == "unattended"


def test_inspect_lists_and_shows(home):
    one, other = kept(home, entry("a", confirmed=2), entry("b", tenant="globex", text="x" * 500))
    shown = run(home, "cache", "inspect")
    assert "what is [a]?" in shown
    assert "right 2×" in shown
    assert "x" * 70 not in shown
    assert [row["id"] for row in listed(home)] == [other, one]
    assert [row["id"] for row in map(json.loads, run(home, "cache", "inspect", "--tenant", "acme", "--json").splitlines())] == [one]  # fmt: skip
    whole = run(home, "cache", "inspect", str(other))
    assert "x" * 500 in whole.replace("\n", "")
    told = json.loads(run(home, "cache", "inspect", str(one), "--json"))
    assert (told["answer"], told["fresh"], told["key"]) == ({"choices": []}, True, b"a".hex())
    assert 7000 < told["age_s"] < 7300
    with pytest.raises(StateError, match="no answer"):
        run(home, "cache", "inspect", str(other), "--tenant", "acme")


def test_one_shows_what_was_asked_where_the_ledger_keeps_it(home):
    request = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "why so [blue]?"}]})
    first = call()
    ledger = Ledger.open(home / "state")
    ledger.journal.append_settlement(settlement(first))
    ledger.journal.append(
        Bodies(
            call=first.id,
            at_ms=AT_MS,
            tenant="acme",
            task="triage",
            request=request,
            answer=b"{}",
            keep_days=30_000,
        )
    )
    ledger.close()
    (one,) = kept(home, entry("a", call=first.id, question=""))
    assert "why so [blue]?" in run(home, "cache", "inspect", str(one))


def test_aliases_are_shown_with_what_they_are_the_same_as(home):
    (one,) = kept(home, entry("a"))
    (alias,) = kept(home, entry("b", group=one))
    assert f"{alias}: what is [b]?" in run(home, "cache", "inspect", str(one))


def test_a_call_names_its_answer_and_a_hit_the_one_it_was_given(home):
    first = call(cache="miss")
    hit = call(cache="exact", decision={"cache": {"by": "exact", "of": first.id}})
    in_ledger(home, first, hit)
    (one,) = kept(home, entry("a", call=first.id))
    for name in (first.id, hit.id, hit.id[:28]):
        assert json.loads(run(home, "cache", "inspect", name, "--json"))["id"] == one
    assert run(home, "cache", "evict", "--call", hit.id) == "removed 1 answer\n"
    assert listed(home) == []


def test_single_answers_are_evicted(home):
    one, other = kept(home, entry("a"), entry("b", tenant="globex"))
    with pytest.raises(StateError, match="nothing was removed"):
        run(home, "cache", "evict", str(one), "--tenant", "globex")
    assert json.loads(run(home, "cache", "evict", str(one), "--json")) == {"removed": 1}
    assert [row["id"] for row in listed(home)] == [other]
    assert [(event["which"], event["removed"]) for event in events(home)] == [([{"id": one}], 1)]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--task", "other"], {"a", "b", "d"}),
        (["--tenant", "acme", "--task", "triage"], {"b", "c", "d"}),
        (["--policy", "q" * 64], {"a", "b", "c"}),
        (["--release", "s" * 64], {"a", "b", "c"}),
        (["--before", "1h"], {"d"}),
        (["--all", "--yes"], set()),
    ],
)
def test_purges_remove_what_fits_all_that_is_given(home, words, left):
    kept(
        home,
        entry("a"),
        entry("b", tenant="globex"),
        entry("c", task="other", tenant="globex"),
        entry("d", tenant="globex", policy="q" * 64, release="s" * 64, at_ms=time.time_ns() // 1_000_000),
    )
    run(home, "cache", "purge", *words)
    assert {bytes.fromhex(row["key"]).decode() for row in listed(home)} == left
    (event,) = events(home)
    assert event["removed"] == 4 - len(left)
    assert event["by"]


def test_a_purge_says_what_it_means(home):
    kept(home, entry("a"))
    for words in ([], ["--all", "--task", "triage"]):
        with pytest.raises(ConfigError, match="cache purge"):
            run(home, "cache", "purge", *words)
    refused = CliRunner().invoke(
        app, ["cache", "purge", "--all", "--config", str(home / "smallfirst.toml")], input="n\n"
    )
    assert refused.exit_code == 1
    assert len(listed(home)) == 1


def test_policies_and_releases_are_known_by_their_beginnings(home):
    policy = live(home)
    kept(home, entry("a", policy=policy), entry("b"))
    run(home, "cache", "purge", "--policy", policy[:12])
    assert [row["policy"] for row in listed(home)] == ["p" * 64]
    with pytest.raises(SmallfirstError, match="no policy"):
        run(home, "cache", "purge", "--policy", "zzz")
    with pytest.raises(SmallfirstError, match="no release begins"):
        run(home, "cache", "purge", "--release", "zzz")


def test_what_is_erased_is_erased_from_the_cache(home):
    asked, others = call(), call(tenant="globex")
    again = call(origin="spot-check", decision={"of": asked.id})
    in_ledger(home, asked, others, again)
    kept(
        home,
        entry("a", call=asked.id),
        entry("b", call=again.id),
        entry("c", call=others.id, tenant="globex"),
    )
    done = run(home, "calls", "erase", "--call", asked.id, "--yes")
    assert "erased 2 calls, 0 bodies and 2 cached answers" in done
    assert [bytes.fromhex(row["key"]).decode() for row in listed(home)] == ["c"]
    assert "1 cached answers" in run(home, "calls", "erase", "--tenant", "globex", "--bodies-only", "--yes")
    assert listed(home) == []


def test_what_is_erased_is_not_left_in_the_file(home):
    in_ledger(home, call())
    kept(home, entry("a", text="a very secret answer", question="a very secret question"))
    assert b"very secret" in b"".join(path.read_bytes() for path in (home / "state").glob("cache.sqlite*"))
    run(home, "calls", "erase", "--tenant", "acme", "--yes")
    assert b"very secret" not in b"".join(
        path.read_bytes() for path in (home / "state").glob("cache.sqlite*")
    )


def test_a_damaged_cache_is_an_error_that_says_what_to_do(home):
    kept(home, entry("a"))
    (home / "state" / "cache.sqlite").write_bytes(b"nothing of the kind" * 500)
    with pytest.raises(StateError, match="delete it"):
        run(home, "cache", "stats")
