"""`smallfirst plan`, as a user meets it."""

from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest
from support.ledger import AT_MS, HOUR_MS, attempt, call, settlement
from typer.testing import CliRunner

from smallfirst.cli.plan import app
from smallfirst.errors import ConfigError, SmallfirstError, StateError
from smallfirst.ledger.ledger import Ledger

WORK = [
    "--calls-per-day",
    "10000000",
    "--input-tokens",
    "800",
    "--output-tokens",
    "200",
    "--frontier",
    "3/15",
]
SMALL = [
    "--hosted",
    "0.1/0.5",
    "--own",
    "8b",
    "--rps-per-gpu",
    "35",
    "--gpu-usd-per-hour",
    "2",
    "--cache-hit-rate",
    "0.3",
]


def run(state, *arguments, columns="80"):
    result = CliRunner().invoke(app, [*arguments, "--state", str(state)], env={"COLUMNS": columns})
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def words(text):
    return " ".join(text.split())


def test_the_ways_stand_beside_each_other_in_eighty_columns(tmp_path):
    text = run(tmp_path, *WORK, *SMALL, "--target", "40")
    assert max(map(len, text.splitlines())) <= 80
    for told in (
        "frontier $0.00540 $5,400 $54,000 $1,642,500 $19,710,000 100.0%",
        "hosted $0.000857",
        "own $0.000799",
        "own, the cheapest, leaves 1/6.8 of the all-frontier bill, at h = 30% and f = 20%.",
        "Own GPUs cost $432.00 a day provisioned, 4.9 times what the same calls would cost on saturated ones ($88.89).",
        "8 replicas for the busiest hour, each at 70% of what it can do (70% load), and 1 spare.",
        "own hosted 1,428,571 at first from 952,381, until the next GPU",
        "1/40 of the bill needs h = 88% at f = 20%, or f = 2.2% at h = 30% (s = 1.4%: a call to 8b on own GPUs",
        "hosted: hosted_price at most x 0.429 (not plausible)",
        "calls_per_day 10,000,000 given",
        "peak_factor 3 assumed: the busiest hour has three times the mean's calls",
    ):
        assert told in words(text), told


def test_the_numbers_are_all_in_the_json(tmp_path):
    plan = json.loads(run(tmp_path, *WORK, *SMALL, "--json"))["plan"]
    ways = {way["name"]: way for way in plan["ways"]}
    assert ways["frontier"]["year_usd"] == 19_710_000
    assert ways["own"]["use"]["gpus"] == 9
    assert {"cheapest", "break_even", "sensitivity", "turns", "sources", "inputs"} <= set(plan)
    assert plan["frontier"]["price"]["input"] == "3"


def test_gpus_stand_beside_each_other_where_the_choice_is_left_open(tmp_path):
    own = [*WORK, "--own", "llama-3.1-8b", "--gpu", "H100,L40S,RTX-4090,B200,A10G", "--latency-ms", "4500"]
    text = run(tmp_path, *own)
    assert max(map(len, text.splitlines())) <= 80
    plan = json.loads(run(tmp_path, *own, "--json"))["plan"]
    first, *_ = plan["which_gpu"]["candidates"]
    assert (plan["inputs"]["gpu"], plan["which_gpu"]["chosen"]) == (first["gpu"], first["gpu"])
    for told in (
        "which GPU: provisioned; p95 of first token/whole answer at the peak, simulated",
        f"{first['gpu']} {first['use']['gpus']} ${first['usd_per_hour']:.2f}",
        f"${first['day_usd']:,.0f}",
        "Left out: A10G: no known price.",
        "Left out: L40S: cannot keep the latency target: even idle, p95 is 4,",
        f"gpu {first['gpu']} chosen: the cheapest of {first['gpu']}, ",
    ):
        assert told in words(text), told


def test_a_file_a_picture_and_a_saved_forecast(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(
        'calls_per_day = 1_000_000\ninput_tokens = 800\noutput_tokens = 200\nfrontier = "3/15"\nhosted = "0.1/0.5"\n'
    )
    ways, swings = tmp_path / "ways.svg", tmp_path / "swings.svg"
    text = run(
        tmp_path, "--file", str(file), "--frontier-share", "0.1", "--range", "frontier-share=0.05..0.2",
        "--save", "autumn", "--picture", str(ways), "--picture-sensitivity", str(swings),
    )  # fmt: skip
    assert "smallfirst bill --plan autumn compares it with what happens" in words(text)
    assert "frontier_share 10.0% 5.0% to 20.0% $161 k to $447 k" in words(text)
    assert ways.read_text().startswith("<svg")
    assert "ladder, hosted small model" in ways.read_text()
    assert "frontier_share" in swings.read_text()
    assert "autumn" in run(tmp_path, "list")
    assert words("A day: 1,000,000 calls, 0 of them from the cache, 100,000 by the frontier") in words(
        run(tmp_path, "show", "autumn")
    )
    assert json.loads(run(tmp_path, "list", "--json"))[0]["way"] == "hosted"
    assert json.loads(run(tmp_path, "show", "autumn", "--json"))["inputs"]["frontier_share"] == 0.1
    with pytest.raises(ConfigError, match="--replace"):
        run(tmp_path, "--file", str(file), "--save", "autumn")
    assert "removed the plan autumn" in run(tmp_path, "rm", "autumn")
    with pytest.raises(StateError):
        run(tmp_path, "show", "autumn")


def test_it_says_what_was_measured(tmp_path):
    ledger = Ledger.open(tmp_path)
    for number in range(120):
        small = attempt(0, model="small", frontier=False, cost_nusd=10)
        made = call(small, attempt(1)) if number % 4 == 0 else call(small)
        made = msgspec.structs.replace(made, at_ms=AT_MS + number // 12 * HOUR_MS)
        ledger.journal.append_settlement(settlement(made))
    ledger.close()
    text = words(
        run(tmp_path, "--from-ledger", "--task", "triage", "--frontier", "3/15", "--hosted", "0.1/0.5")
    )
    for told in (
        "calls_per_day 288 measured: 120 calls over 10 h",
        "frontier_share 25.0% measured: the frontier answered 30 of 120 calls",
        "climbed_share 100.0% measured: small models had been asked first in about 30 of those 30",
        "input_tokens 100 measured: the mean of 30 answers of frontier",
        "what calls took, as recorded",
        "only 10 h were observed",
    ):
        assert told in text, told


def recorded(state, *, times=120):
    """Ten calls an hour that a head is asked first, of which five climb, and two that the frontier answers at once."""
    ledger = Ledger.open(state)
    for number in range(times):
        at = {"at_ms": AT_MS + number // 12 * HOUR_MS}
        head, frontier = attempt(0, model="head", frontier=False, cost_nusd=0), attempt(1)
        made = (
            call(frontier, **at) if number % 6 == 0 else call(head, *([frontier] if number % 2 else []), **at)
        )
        ledger.journal.append_settlement(settlement(made))
    ledger.close()


def test_what_runs_now_stands_beside_the_others(tmp_path):
    recorded(tmp_path)
    measured = ["--from-ledger", "--frontier", "3/15"]
    text = words(run(tmp_path, *measured))
    for told in (
        "what the same calls cost (h = 0%, f = 67%)",
        "now, the cheapest, leaves 1/1.5 of the all-frontier bill, at h = 0% and f = 67%.",
        "now: head as the ledger measured it, with the frontier's calls at the price below; own models' hours $0 a day.",
    ):
        assert told in text, told
    assert "Not as measured" not in text
    other = words(run(tmp_path, *measured, "--calls-per-day", "1000000", "--hosted", "0.1/0.5"))
    assert "Not as measured: calls_per_day; what calls cost follows." in other
    assert "hosted $0.000417" in other


def test_without_a_ladder_no_share_of_the_frontiers_is_told(tmp_path):
    text = run(tmp_path, *WORK, "--cache-hit-rate", "0.3")
    assert "what the same calls cost (h = 30%, no ladder)" in text
    assert (
        "frontier-cache, the cheapest, leaves 1/1.4 of the all-frontier bill, at h = 30% and f = 100%."
        in words(text)
    )


def test_one_span_of_the_ledger_is_taken(tmp_path):
    recorded(tmp_path)
    hour = "2026-05-28T23:00"
    first, last = (
        json.loads(run(tmp_path, "--from-ledger", "--frontier", "3/15", option, hour, "--json"))["measured"][
            "inputs"
        ]
        for option in ("--until", "--since")
    )
    assert (first["calls_per_day"][1], last["calls_per_day"][1]) == ("36 calls over 3 h", "84 calls over 7 h")


def test_small_models_that_cost_as_much_share_one_table(tmp_path):
    recorded(tmp_path)
    text = run(
        tmp_path, "--from-ledger", "--frontier", "3/15", "--hosted", "0/0", "--target", "10", columns="200"
    )
    assert text.count("f at most") == 1
    assert "(s = 0.0%: a call to $0/$0 or to head as measured over a frontier call)" in text
    apart = run(tmp_path, "--from-ledger", "--frontier", "3/15", "--hosted", "1/5", "--target", "10")
    assert apart.count("f at most") == 2


def test_the_ways_as_csv(tmp_path):
    file = tmp_path / "ways.csv"
    told = run(tmp_path, *WORK, *SMALL, "--csv", str(file))
    assert "what the same calls cost" in told
    assert run(tmp_path, *WORK, *SMALL, "--csv", "-").splitlines() == file.read_text().splitlines()
    assert file.read_bytes().count(b"\r\n") == 6
    rows = {row["way"]: row for row in csv.DictReader(io.StringIO(file.read_text(), newline=""))}
    assert list(rows) == ["frontier", "frontier-cache", "hosted", "own", "own-saturated"]
    assert [name for name, row in rows.items() if row["chosen"] == "1"] == ["own"]
    assert (rows["frontier"]["year_usd"], rows["frontier"]["gpus"]) == ("19710000", "")
    assert (rows["own"]["gpus"], rows["own"]["gpus_usd_per_day"]) == ("9", "432.0")
    assert rows["own-saturated"]["served"] == "0"


def test_gpus_and_models_are_listed():
    for command, told in (("gpus", "H100"), ("models", "llama-3.1-8b")):
        result = CliRunner().invoke(app, [command], env={"COLUMNS": "80"})
        assert result.exit_code == 0
        assert told in result.stdout
        listed = json.loads(CliRunner().invoke(app, [command, "--json"]).stdout)
        assert any(one["name"] == told for one in listed)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--range", "load"], "--range: expected NAME=LOW..HIGH"),
        (["--range", "weather=1..2"], "--range: no input 'weather' matters here"),
        (["--way", "spot"], "--way: no way 'spot' here; those there are: frontier"),
        (["--precision", "int3"], "--precision: expected bf16 or fp8"),
        (["--picture", "x.jpg"], "a picture is .png or .svg"),
        (["--save", "a/b"], "expected letters, digits"),
        (["--from-ledger"], "there is no ledger in"),
        (["--since", "7d"], "--since: goes with --from-ledger alone"),
        (["--until", "7d"], "--until: goes with --from-ledger alone"),
        (["--from-ledger", "--since", "2d", "--until", "3d"], "--until: ends at 3d, and begins no earlier"),
        (["--csv", "-", "--json"], "--csv: not both on stdout"),
        (["--csv", "nowhere/x.csv"], "--csv: nowhere is no folder that can be written to"),
        (["--picture", "nowhere/x.svg"], "--picture: nowhere is no folder"),
        (["--picture-sensitivity", "nowhere/x.svg"], "--picture-sensitivity: nowhere is no folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, arguments, told):
    with pytest.raises(SmallfirstError) as caught:
        run(tmp_path, *WORK, *SMALL[:2], *arguments)
    assert told in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_forecast_that_cannot_be_read_hides_no_other(tmp_path):
    run(tmp_path, *WORK, *SMALL, "--save", "autumn")
    (tmp_path / "plans" / "old.json").write_text('{"format": 99}')
    result = CliRunner().invoke(app, ["list", "--state", str(tmp_path)])
    assert result.exit_code == 0
    assert "autumn" in result.stdout
    assert "not listed:" in result.stderr
    assert "format 99" in result.stderr
