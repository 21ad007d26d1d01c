"""`smallfirst plan calibrate`, as a user meets it: an engine on a thread beside it, a fit, and a plan made with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.paced_engine import PacedEngine, PacedEngineThread
from typer.testing import CliRunner

from smallfirst.cli import plan_calibrate
from smallfirst.cli.plan import app
from smallfirst.errors import ConfigError, SmallfirstError, StateError
from smallfirst.planning.fleet.calibrate.saved import CALIBRATIONS

LOAD = ("--input-tokens", "60", "--output-tokens", "4", "--spread", "0.3")
SERVED = ("--own", "qwen2.5-0.5b", "--gpu", "other", "--max-sequences", "64")


def run(state: Path, *arguments: str) -> str:
    result = CliRunner().invoke(
        app, [*arguments, "--state", str(state)], env={"COLUMNS": "80", "ENGINE_KEY": "secret"}
    )
    if isinstance(result.exception, SmallfirstError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def calibrate(engine: PacedEngine, state: Path, *more: str, rates: str = "10,30") -> str:
    to = ("--endpoint", engine.base_url, "--model", "tiny", "--api-key-env", "ENGINE_KEY")
    return run(state, "calibrate", *to, *LOAD, *SERVED, "--rates", rates, "--seconds", "1", *more)


@pytest.fixture(scope="module")
def engine() -> Iterator[PacedEngine]:
    with PacedEngineThread(step_s=0.005, prompt_token_s=0.0002) as running:
        yield running


@pytest.fixture(scope="module")
def measured(engine: PacedEngine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    state = tmp_path_factory.mktemp("state")
    return state, calibrate(engine, state, "--save", "one", "--picture", str(state / "curve.svg"))


def test_it_says_what_it_will_send_and_what_came_of_it(
    measured: tuple[Path, str], engine: PacedEngine
) -> None:
    state, text = measured
    words = " ".join(text.split())
    for told in (
        f"to {engine.base_url}, model tiny",
        "rates: 10, 30; 1 s each",
        "prompts of 60 tokens, no two begin alike; answers of 4, spread 0.3 (as given)",
        "at most 10,000 calls and 20 minutes",
        "fitted as qwen2.5-0.5b in bf16",
        "half of the fitted figures are off by less than",
        "TFLOP/s and reads",
        "smallfirst plan … --calibration one plans with it",
    ):
        assert told in words
    assert "secret" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert b"secret" not in (state / "calibrations" / "one.json").read_bytes()
    assert "milliseconds to the first token" in (state / "curve.svg").read_text("utf-8")
    kept = CALIBRATIONS.load(state, "one")
    assert [point.rate_per_s for point in kept.points] == [10, 30]
    assert kept.kv_tokens == 16 * 4096
    assert kept.stopped == ""


def test_the_fitted_machine_is_the_engines(measured: tuple[Path, str]) -> None:
    """The engine reads a prompt's token in 0.2 ms at best: arithmetic is no faster than that, and no slower than a loaded test machine makes it."""
    kept = CALIBRATIONS.load(measured[0], "one")
    assert kept.fit is not None
    token_s = 2 * kept.setting.shape.layer_parameters / (kept.fit.gpu.bf16_tflops_per_s * 1e12)
    assert 0.00005 < token_s < 0.002


def test_it_goes_on_where_it_ended_and_asks_nothing_twice(
    measured: tuple[Path, str], engine: PacedEngine
) -> None:
    state, _ = measured
    before = len(engine.bodies)
    text = calibrate(engine, state, "--save", "one", rates="10,30,20")
    assert "goes on with one: measured are 10, 30" in " ".join(text.split())
    assert len(engine.bodies) - before == 3 + 40  # the first calls, and the new rate alone
    assert [point.rate_per_s for point in CALIBRATIONS.load(state, "one").points] == [10, 20, 30]
    with pytest.raises(ConfigError, match="another seed; --replace"):
        calibrate(engine, state, "--save", "one", "--seed", "4")


def test_calibrations_are_listed_shown_drawn_and_removed(measured: tuple[Path, str], tmp_path: Path) -> None:
    state, _ = measured
    assert "qwen2.5-0.5b" in run(state, "calibrations")
    listed = json.loads(run(state, "calibrations", "list", "--json"))
    assert [each["name"] for each in listed] == ["one"]
    assert "half of the fitted figures" in run(
        state, "calibrations", "show", "one", "--picture", str(tmp_path / "a.png")
    )
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert json.loads(run(state, "calibrations", "show", "one", "--json"))["points"][0]["shots"]
    assert "no calibration is saved" in run(tmp_path, "calibrations")
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations" / "one.json").write_bytes((state / "calibrations" / "one.json").read_bytes())
    (tmp_path / "calibrations" / "old.json").write_bytes(b'{"format": 0}')
    text = run(tmp_path, "calibrations")
    assert "qwen2.5-0.5b" in text
    assert "not listed:" in text
    assert "another smallfirst (format 0" in text
    assert "removed" in run(tmp_path, "calibrations", "rm", "one")
    with pytest.raises(StateError, match="no calibration 'one'"):
        run(tmp_path, "calibrations", "show", "one")


def test_a_plan_is_made_with_it(measured: tuple[Path, str]) -> None:
    state, _ = measured
    work = ("--calls-per-day", "100000", "--input-tokens", "60", "--output-tokens", "4", "--frontier", "3/15")
    own = ("--own", "qwen2.5-0.5b", "--gpu", "other", "--gpu-usd-per-hour", "1", "--calibration", "one")
    plan = json.loads(run(state, *work, *own, "--json"))["plan"]
    assert "the calibration one" in json.dumps(plan)
    with pytest.raises(ConfigError, match=r"--gpu: .* was measured with other, not h100"):
        run(state, *work, *own, "--gpu", "H100")
    with pytest.raises(ConfigError, match="--precision"):
        run(state, *work, *own, "--precision", "fp8")
    with pytest.raises(StateError, match="no calibration 'two'"):
        run(state, *work, *own, "--calibration", "two")


def test_a_dry_run_sends_nothing(engine: PacedEngine, tmp_path: Path) -> None:
    before = len(engine.bodies)
    text = calibrate(engine, tmp_path, "--dry-run", "--price", "0.1/0.4", "--max-usd", "2")
    assert "and 20 minutes, $0.0760" in " ".join(text.split())
    assert len(engine.bodies) == before
    assert not list(tmp_path.iterdir())


def test_json_has_no_single_requests(engine: PacedEngine, tmp_path: Path) -> None:
    to = ["--endpoint", engine.base_url, "--model", "tiny", "--rates", "20", "--seconds", "1", "--json"]
    result = CliRunner().invoke(app, ["calibrate", *to, *LOAD, *SERVED, "--state", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["points"][0]["shots"] == []
    assert found["fit"]["compared"][0]["measured"]["asked"] > 10
    assert not (tmp_path / "calibrations").exists()


def test_one_that_was_stopped_keeps_what_was_measured_and_goes_on(
    engine: PacedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second Ctrl-C in the middle of a rate ends it at once: the rates before it are kept, and fitted."""

    def cut(work: Any) -> None:
        import asyncio

        looked = 0

        def should_stop() -> bool:
            nonlocal looked
            looked += 1
            if looked == 2:
                raise asyncio.CancelledError
            return False

        try:
            asyncio.run(work(should_stop))
        except asyncio.CancelledError:
            return

    monkeypatch.setattr(plan_calibrate, "run_interruptibly", cut)
    text = calibrate(engine, tmp_path, "--save", "cut")
    assert "not complete: stopped by hand" in text
    assert [point.rate_per_s for point in CALIBRATIONS.load(tmp_path, "cut").points] == [10]
    monkeypatch.undo()
    calibrate(engine, tmp_path, "--save", "cut")
    kept = CALIBRATIONS.load(tmp_path, "cut")
    assert ([point.rate_per_s for point in kept.points], kept.stopped) == ([10, 30], "")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--rates", "1,x"), "--rates: expected auto"),
        (("--rates", "0"), "--rates: expected 0.001"),
        (("--seconds", "0"), "--seconds"),
        (("--gpu", "H1000"), "no GPU 'H1000'"),
        (("--own", "gpt-5"), "no model 'gpt-5'"),
        (("--precision", "int4"), "weights: expected bf16 or fp8"),
        (("--api-key-env", "NOT_SET_AT_ALL"), "NOT_SET_AT_ALL is not set"),
        (("--endpoint", "http://user:hush@h/v1"), "--api-key-env"),
        (("--lengths", "x.csv"), "how long are the calls"),
        (("--price", "cheap"), "--price: expected dollars"),
        (("--max-usd", "1"), "--price IN/OUT"),
        (("--save", "../x"), "expected letters"),
        (("--text", "/no/such/file"), "cannot be read"),
        (("--max-calls", "3"), "nothing was measured: .*--max-calls"),
    ],
)
def test_what_cannot_be_done_is_told(
    engine: PacedEngine, tmp_path: Path, more: tuple[str, ...], told: str
) -> None:
    with pytest.raises(SmallfirstError, match=told):
        calibrate(engine, tmp_path, *more)


def test_an_endpoint_that_is_not_there_is_told(engine: PacedEngine, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="does not answer"):
        calibrate(engine, tmp_path, "--endpoint", "http://127.0.0.1:9/v1", "--memory-gb", "4")
    with pytest.raises(ConfigError, match="--memory-gb"):
        calibrate(engine, tmp_path, "--endpoint", "http://127.0.0.1:9/v1")


def test_the_setting_is_kept_as_it_was_given(measured: tuple[Path, str]) -> None:
    kept = CALIBRATIONS.load(measured[0], "one").setting
    assert (kept.model, kept.gpu.name, kept.engine.max_sequences) == ("tiny", "other", 64)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=type(kept)) == kept
