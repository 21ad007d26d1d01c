"""`smallfirst adapters`: what it shows, what it compares, what it writes out, and what it refuses to delete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.adapters import TOML, home_at, plain_adapter, release_with
from support.datasets import AT_MS
from typer.testing import CliRunner, Result

from smallfirst.cli.main import app
from smallfirst.errors import SmallfirstError
from smallfirst.evals.session import Home
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import Deployment, add_deployment, deployments
from smallfirst.models.adapters.store import Adapter, Adapters
from smallfirst.releases import Channels
from smallfirst.releases.channels import Canary, Live, Shadow, change_channels

URL = "http://127.0.0.1:1/v1"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_at(tmp_path, TOML.format(url=URL))


def run(home: Home, *arguments: str) -> Result:
    config = str(home.base / "smallfirst.toml")
    return CliRunner().invoke(
        app, ["adapters", *arguments, "--config", config], env={"COLUMNS": "160", "GPU_KEY": "k"}
    )


def shown(home: Home, *arguments: str) -> str:
    done = run(home, *arguments)
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def told(home: Home, *arguments: str) -> Any:
    return json.loads(shown(home, *arguments, "--json"))


def refused(home: Home, *arguments: str) -> str:
    done = run(home, *arguments)
    assert isinstance(done.exception, SmallfirstError), done.output
    return str(done.exception)


def deploy(home: Home, adapter: Adapter, target: str = "embedded", form: Form = "lora") -> None:
    add_deployment(
        home.state,
        Deployment(
            adapter=adapter.id,
            task="triage",
            form=form,
            sha256="f" * 64,
            target=target,
            base="base-8b",
            at_ms=AT_MS,
            by="a test",
            probes=24,
            same=1.0,
        ),
    )


def place(home: Home, channel: str, release: str) -> None:
    placed: dict[str, Channels] = {
        "live": Channels(live=Live(release=release)),
        "canary": Channels(
            canary=Canary(release=release, stages=(0.5,), began_ms=1, stage_began_ms=1, lease_until_ms=2)
        ),
        "shadow": Channels(shadow=Shadow(release=release, share=0.5, began_ms=1)),
        "previous": Channels(previous=Live(release=release)),
    }
    change_channels(home.state, lambda _: placed[channel])


def test_nothing_yet(home: Home) -> None:
    done = run(home, "list")
    assert "`smallfirst train TASK --method lora` makes one" in done.stderr
    assert told(home, "list") == {"adapters": [], "damaged": {}}
    assert "known: none; `smallfirst train" in refused(home, "show", "abc")


def test_adapters_are_listed_newest_first_with_where_they_are_deployed(home: Home) -> None:
    old = plain_adapter(home.state, seed=1, scores={"score": 0.5})
    new = plain_adapter(home.state, seed=2, at_ms=AT_MS + 1)
    other = plain_adapter(home.state, seed=3, task="extract", at_ms=AT_MS + 2)
    deploy(home, old)
    deploy(home, old, URL, "peft")
    listed = told(home, "list")["adapters"]
    assert [one["id"] for one in listed] == [other.id, new.id, old.id]
    assert [one["target"] for one in listed[2]["deployed"]] == ["embedded", URL]
    assert listed[1]["size_bytes"] == sum(path.stat().st_size for path in new.peft.iterdir())
    assert [one["id"] for one in told(home, "list", "--task", "extract")["adapters"]] == [other.id]
    text = shown(home, "list")
    for word in (
        old.id[:12],
        "triage",
        "lora",
        "a-base",
        "dddddddddddd",
        "0.500",
        "0.900",
        f"embedded, {URL}",
    ):
        assert word in text


def test_a_damaged_one_is_said_to_be_and_can_be_removed(home: Home) -> None:
    good, bad = plain_adapter(home.state, seed=1), plain_adapter(home.state, seed=2)
    (bad.folder / "adapter.json").write_bytes(b"{}")
    done = run(home, "list")
    assert good.id[:12] in done.stdout
    assert f"`smallfirst adapters rm {bad.id[:12]}` removes it" in " ".join(done.stderr.split())
    assert "was altered" in refused(home, "show", bad.id)
    assert told(home, "rm", bad.id) == {"removed": bad.id, "forgotten": []}
    assert told(home, "list")["damaged"] == {}


def test_everything_of_one_is_shown(home: Home, tmp_path: Path) -> None:
    one = plain_adapter(home.state)
    deploy(home, one)
    release = release_with(home, one)
    text = shown(home, "show", one.id[:8])
    for word in (
        one.id,
        one.manifest.served_name,
        "alpha 8, rank 4, seed 1",
        "loss 0.1, score 0.9",
        "peft",
        "deployed to embedded over base-8b as lora",
        f"release {release[:12]} (task triage, model frontier)",
    ):
        assert word in text
    plain = told(home, "show", "triage")
    assert plain["manifest"]["settings"] == {"rank": 4, "alpha": 8, "seed": 1}
    assert plain["uses"] == [{"channel": "none", "release": release, "task": "triage", "model": "frontier"}]
    picture = tmp_path / "curves.json"
    shown(home, "show", "newest", "--picture", str(picture))
    assert json.loads(picture.read_bytes())[1]["loss"] == 1.0


def test_newest_of_several_tasks_is_asked_back(home: Home) -> None:
    plain_adapter(home.state)
    plain_adapter(home.state, task="extract")
    assert "newest of which task? Name one instead: extract, triage" in refused(home, "show", "newest")
    assert told(home, "show", "extract")["task"] == "extract"


def test_what_differs_between_two(home: Home) -> None:
    one = plain_adapter(home.state, seed=1, scores={"score": 0.5})
    other = plain_adapter(home.state, seed=2, dataset="e" * 64)
    found = told(home, "diff", one.id, other.id)["differences"]
    assert [(change["what"], change["one"], change["other"]) for change in found] == [
        ("dataset", "d" * 64, "e" * 64),
        ("settings.seed", 1, 2),
        ("scores.score", 0.5, 0.9),
        ("scores.loss", None, 0.1),
    ]
    assert "settings.seed 1 2" in shown(home, "diff", one.id, other.id)
    assert shown(home, "diff", one.id, one.id) == "nothing differs"


def test_a_form_is_written_out_whole_or_not_at_all(home: Home, tmp_path: Path) -> None:
    one = plain_adapter(home.state)
    out = tmp_path / "out" / "peft"
    assert told(home, "export", one.id, "--form", "peft", "--out", str(out))["exported"]["form"] == "peft"
    assert {path.name for path in out.iterdir()} == set(one.manifest.files)
    assert "is there already" in refused(home, "export", one.id, "--form", "peft", "--out", str(out))
    assert "expected peft, lora" in refused(home, "export", one.id, "--form", "gguf", "--out", "x")
    (one.peft / "adapter_model.safetensors").write_bytes(b"x")
    assert "was altered" in refused(home, "export", one.id, "--form", "peft", "--out", str(tmp_path / "b"))
    assert [path.name for path in out.parent.iterdir()] == ["peft"]


def test_a_deployed_one_is_deleted_by_force_alone(home: Home) -> None:
    one = plain_adapter(home.state)
    deploy(home, one)
    assert f"`smallfirst adapters undeploy {one.id[:12]}` first" in refused(home, "rm", one.id)
    assert [item["target"] for item in told(home, "rm", one.id, "--force")["forgotten"]] == ["embedded"]
    assert (deployments(home.state), Adapters(home.state).list()) == ((), [])
    assert list((home.state / "adapters").glob("*removing*")) == []


@pytest.mark.parametrize("channel", ["live", "canary", "shadow"])
@pytest.mark.parametrize("force", [False, True])
def test_what_answers_is_never_deleted(home: Home, channel: str, force: bool) -> None:
    one = plain_adapter(home.state)
    place(home, channel, release_with(home, one))
    assert f", {channel} (task triage" in refused(home, "rm", one.id, *["--force"] * force)
    assert Adapters(home.state).open(one.id).id == one.id


def test_where_a_rollback_goes_is_deleted_by_force_alone(home: Home) -> None:
    one = plain_adapter(home.state)
    place(home, "previous", release_with(home, one))
    assert "where a rollback goes" in refused(home, "rm", one.id)
    shown(home, "rm", one.id, "--force")


@pytest.mark.parametrize("channel", ["live", "canary", "shadow"])
def test_what_answers_is_undeployed_by_force_alone(home: Home, channel: str) -> None:
    """Only from where it answers: elsewhere nobody misses it."""
    one = plain_adapter(home.state)
    deploy(home, one, URL, "peft")
    deploy(home, one)
    place(home, channel, release_with(home, one))
    assert "--to says which" in refused(home, "undeploy", one.id)
    assert f", {channel} (task triage" in refused(home, "undeploy", one.id, "--to", URL)
    assert told(home, "undeploy", one.id, "--to", "embedded")["target"] == "embedded"
    shown(home, "undeploy", one.id, "--to", URL, "--force")  # and nothing listens there any more
    assert deployments(home.state) == ()


def test_deploying_says_what_is_wrong_before_it_begins(home: Home) -> None:
    one = plain_adapter(home.state)
    assert "no adapter begins with 'beef'" in refused(home, "deploy", "beef", "--to", "embedded")
    assert "which is no GGUF" in refused(home, "deploy", one.id, "--to", "embedded")
    assert "cannot be reached" in refused(home, "deploy", one.id, "--to", URL)
    assert 'engine = "vllm"' in refused(home, "deploy", one.id, "--to", "http://10.0.0.1:8000/v1")
    assert "is not deployed (it is: nowhere)" in refused(home, "undeploy", one.id)
