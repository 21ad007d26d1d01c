"""From a dataset to an adapter in the store, over the tiny base: it learns, it is the same every time, and it can be stopped anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from support.datasets import row
from support.tiny_adapter import opened_tiny_base
from support.tuned import QUICK, dataset_of, ordered, tuned

from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import JsonContract, TextContract
from smallfirst.errors import ConfigError, StateError, TrainingError
from smallfirst.models.adapters.store import Adapters
from smallfirst.scoring import open_scorer
from smallfirst.training.lora import loop
from smallfirst.training.lora.loop import Hooks, rate_at
from smallfirst.training.lora.prepare import prepare
from smallfirst.training.lora.settings import settings_for
from smallfirst.training.lora.tune import tune

pytestmark = pytest.mark.embedded
LONGER = msgspec.structs.replace(QUICK, epochs=6)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that nothing disturbed: its state directory and its adapter."""
    state = tmp_path_factory.mktemp("once")
    return state, tuned(ordered(state, LONGER)).id


def stops_at(call: int) -> Callable[[], None]:
    """A Ctrl-C at the loop's so many-th look."""
    looks = iter(range(1, 10**6))

    def stop() -> None:
        if next(looks) == call:
            raise KeyboardInterrupt

    return stop


def test_it_learns_and_says_of_what(once: tuple[Path, str]) -> None:
    state, name = once
    (listed,) = Adapters(state).list("triage")
    manifest, made = listed.manifest, listed.made
    adapter = Adapters(state).open(name)
    adapter.check()
    assert manifest.scores["score"] > 0.8
    before = next(point for point in made.curves if point["step"] == 0)
    assert before["score"] < 0.6
    assert before["calibration_loss"] > 10 * manifest.scores["loss"]
    assert manifest.scores["valid"] == 1.0
    assert manifest.base == opened_tiny_base().told()
    assert manifest.dataset == dataset_of(state).id
    assert manifest.settings["rate"] == LONGER.rate
    assert made.seconds > 0
    assert made.hardware
    probes = adapter.probes()
    assert probes
    assert all(probe.logprob < 0 for probe in probes)


def test_nothing_is_left_behind_and_all_is_for_its_owners_eyes(once: tuple[Path, str]) -> None:
    state, name = once
    assert not list((state / "training").iterdir())
    assert [path.name for path in (state / "adapters").iterdir()] == [name]
    for path in (state / "adapters").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_the_folder_is_pefts_and_names_no_path(once: tuple[Path, str]) -> None:
    from peft import PeftModel

    state, name = once
    base = opened_tiny_base()
    folder = Adapters(state).open(name).peft
    model = PeftModel.from_pretrained(base.model(), str(folder))
    assert any("lora_B" in key and value.any() for key, value in model.state_dict().items())
    config = (folder / "adapter_config.json").read_text()
    assert str(base.folder) not in config
    assert msgspec.json.decode(config)["target_modules"] == sorted(
        msgspec.json.decode(config)["target_modules"]
    )


def test_the_same_seed_gives_the_same_adapter_and_another_another(
    once: tuple[Path, str], tmp_path: Path
) -> None:
    _, name = once
    assert tuned(ordered(tmp_path, LONGER)).id == name
    other = tuned(ordered(tmp_path, msgspec.structs.replace(LONGER, seed=1)))
    assert other.manifest.files != Adapters(tmp_path).open(name).manifest.files


@pytest.mark.parametrize("call", [1, 7, 22])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    once: tuple[Path, str], tmp_path: Path, call: int
) -> None:
    _, name = once
    order = ordered(tmp_path, LONGER)
    with pytest.raises(KeyboardInterrupt):
        tuned(order, Hooks(stop=stops_at(call)))
    assert not list((tmp_path / "adapters").glob("*")) if (tmp_path / "adapters").exists() else True
    again = prepare(order, Hooks())
    assert again.goes_on
    done = tune(again, Hooks())
    assert done.id == name
    assert not again.checkpoints.exists


def test_one_that_was_stopped_while_it_was_measured_is_not_trained_again(tmp_path: Path) -> None:
    order = ordered(tmp_path)
    steps = len(loop.plan_steps(prepare(order, Hooks()).work))

    measured = itertools.count(1)

    def late(what: str, done: int, total: int) -> None:
        if what.startswith("answering") and done == total and next(measured) == 6:  # after five evaluations
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(order, Hooks(progress=late))
    said: list[str] = []
    done = tuned(order, Hooks(progress=lambda what, *_: said.append(what)))
    assert done.manifest.settings["steps"] == steps
    assert not any(what.startswith("training") for what in said)


def test_a_damaged_checkpoint_is_refused_and_restart_begins_anew(
    once: tuple[Path, str], tmp_path: Path
) -> None:
    order = ordered(tmp_path, LONGER)
    with pytest.raises(KeyboardInterrupt):
        tuned(order, Hooks(stop=stops_at(5)))
    folder = prepare(order, Hooks()).checkpoints.folder
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(b"\x00" * 100)
    with pytest.raises(StateError, match="--restart"):
        tuned(order)
    anew = tuned(msgspec.structs.replace(order, restart=True))
    assert anew.id == once[1]


def test_four_bits_learn_too(once: tuple[Path, str], tmp_path: Path) -> None:
    done = tuned(ordered(tmp_path, msgspec.structs.replace(LONGER, method="qlora")))
    plain = Adapters(once[0]).open(once[1]).manifest.settings["base_bytes"]
    assert done.manifest.method == "qlora"
    assert done.manifest.settings["base_bytes"] < plain
    assert done.manifest.scores["score"] > 0.8


def test_a_loss_that_is_no_number_ends_the_run_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(ordered(tmp_path), Hooks())
    real = loop.supervised_loss

    def broken(model: object, batch: object) -> tuple[torch.Tensor, int]:
        loss, tokens = real(model, batch)
        return loss * float("nan"), tokens

    monkeypatch.setattr(loop, "supervised_loss", broken)
    with pytest.raises(TrainingError, match="no number any more; a lower --rate"):
        tune(prepared, Hooks())
    assert not (tmp_path / "adapters").exists()


def test_it_stops_where_nothing_gets_better(tmp_path: Path) -> None:
    prepared = prepare(ordered(tmp_path, msgspec.structs.replace(QUICK, epochs=60)), Hooks())
    assert tune(prepared, Hooks()).manifest.settings["steps"] < len(loop.plan_steps(prepared.work))


def test_what_cannot_be_saved_leaves_nothing_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(ordered(tmp_path), Hooks())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Adapters, "save", full)
    with pytest.raises(OSError, match="No space left"):
        tune(prepared, Hooks())
    assert not list((tmp_path / "adapters").iterdir())
    monkeypatch.undo()
    assert tune(prepared, Hooks()).new


def test_what_a_killed_command_left_is_removed(tmp_path: Path) -> None:
    adapters = Adapters(tmp_path)
    mine = adapters.workplace()
    gone = mine.with_name(f".{2**22 + 1}.1.making")  # no process has such a number
    (gone / "peft").mkdir(parents=True)
    adapters.workplace()
    assert mine.exists()
    assert not gone.exists()


def test_no_memory_refuses_before_the_base_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from smallfirst.training.lora import estimate
    from smallfirst.training.lora.base import Base

    monkeypatch.setattr(estimate, "free_memory", lambda _: 10**8)
    monkeypatch.setattr(Base, "model", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(ConfigError, match=r"needs about .* GB of memory, and 0\.1 GB are free"):
        prepare(ordered(tmp_path), Hooks())


def test_where_memory_is_short_layers_are_computed_twice_and_the_adapter_is_the_same(
    once: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smallfirst.training.lora import estimate

    monkeypatch.setattr(estimate, "free_memory", lambda _: 750_000_000)
    prepared = prepare(ordered(tmp_path, LONGER), Hooks())
    layers = [module for module in prepared.work.model.modules() if hasattr(module, "gradient_checkpointing")]
    assert any(module.gradient_checkpointing for module in layers)
    assert tune(prepared, Hooks()).id == once[1]


def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match="--device: this torch sees no GPU"):
        prepare(ordered(tmp_path, device="cuda"), Hooks())
    with pytest.raises(ConfigError, match="known: auto, cpu, cuda"):
        prepare(ordered(tmp_path, device="tpu"), Hooks())


def test_texts_are_scored_by_the_tasks_own_scorer(tmp_path: Path) -> None:
    contract = TextContract()
    rows = [row(f"Say number {at % 5} please, {at}", [f"It is {at % 5}."]) for at in range(60)]
    dataset = dataset_of(tmp_path, rows, contract=contract)
    done = tuned(ordered(tmp_path, dataset=dataset, contract=contract, scorer=open_scorer(Spec(), contract)))
    before = next(point for point in Adapters(tmp_path).list()[0].made.curves if "score" in point)
    assert done.manifest.scores["score"] > before["score"]


def test_json_is_learned_under_its_schema(tmp_path: Path) -> None:
    contract = JsonContract(
        {
            "type": "object",
            "properties": {"kind": {"enum": ["a", "b"]}},
            "required": ["kind"],
            "additionalProperties": False,
        }
    )
    rows = [row(f"It is {kind} number {at}", {"kind": kind}) for at in range(30) for kind in ("a", "b")]
    dataset = dataset_of(tmp_path, rows, contract=contract)
    done = tuned(ordered(tmp_path, dataset=dataset, contract=contract, scorer=open_scorer(Spec(), contract)))
    assert done.manifest.scores["valid"] == 1.0


def test_without_a_scorer_the_loss_decides(tmp_path: Path) -> None:
    done = tuned(ordered(tmp_path, scorer=None))
    assert "score" not in done.manifest.scores
    assert done.manifest.scores["loss"] < 5


@pytest.mark.filterwarnings("ignore")  # its own, of names that transformers no longer likes
def test_trl_trains_the_same_kind_of_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trl")
    done = tuned(ordered(tmp_path, msgspec.structs.replace(LONGER, backend="trl")))
    assert done.manifest.scores["score"] > 0.6
    assert set(done.manifest.files) == {"adapter_config.json", "adapter_model.safetensors"}
    assert capsys.readouterr().out == ""


def test_the_rate_rises_and_falls() -> None:
    settings = settings_for(QUICK, parameters=10**8, examples=100, device="cpu")
    rates = [rate_at(step, 100, settings) for step in range(100)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(settings.rate)
    assert 0.1 * settings.rate <= rates[-1] < 0.12 * settings.rate
