"""What is made less, and what of the encoder moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_encoder import tiny_encoder

from smallfirst.errors import ConfigError
from smallfirst.training.encoder import EncoderSettings, open_base
from smallfirst.training.encoder.learn import learn, scores_of
from smallfirst.training.encoder.network import Network, contrast, loss_of

IDS = [[2, 4 + at % 9, 5 + at % 4, 3] for at in range(24)]
LABEL = np.arange(24) % 4
SETTINGS = EncoderSettings(epochs=2, batch=8, frozen=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


def test_texts_of_a_label_are_to_be_near() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    label, temperature = torch.tensor([0, 0, 1]), 0.5
    inside = torch.ones(3, dtype=torch.bool)
    wanted = -np.log(np.exp(2) / (np.exp(2) + 1))
    assert float(contrast(vectors, label, inside, temperature)) == pytest.approx(wanted, abs=1e-5)
    far = torch.tensor([0, 1, 0])
    assert float(contrast(vectors, far, inside, temperature)) > wanted + 1


def test_without_two_of_a_label_there_is_no_contrast() -> None:
    vectors = torch.eye(3)
    inside = torch.tensor([True, True, False])
    assert float(contrast(vectors, torch.tensor([0, 1, 2]), inside, 0.1)) == 0
    assert float(contrast(vectors, torch.tensor([2, 2, 2]), torch.zeros(3, dtype=torch.bool), 0.1)) == 0


def test_a_text_of_no_label_is_to_be_like_all_of_them(folder: Path) -> None:
    settings = EncoderSettings(contrast=0, smoothing=0)
    network = Network(open_base(str(folder)), 3, settings)
    vectors = torch.nn.functional.normalize(torch.ones(1, 32), dim=1)
    none, even = torch.tensor([3]), loss_of(network, vectors, torch.tensor([3]), settings).detach()
    assert float(even) == pytest.approx(np.log(3), abs=1e-5)
    with torch.no_grad():
        network.labels.bias[0] = 5
    assert float(loss_of(network, vectors, none, settings).detach()) > float(even) + 1
    assert float(loss_of(network, vectors, torch.tensor([0]), settings).detach()) < float(even)


def test_words_and_the_lower_layers_stay_and_the_upper_learn(folder: Path) -> None:
    base = open_base(str(folder))
    before = {name: one.clone() for name, one in Network(base, 3, SETTINGS).encoder.named_parameters()}
    steps: list[int] = []
    network = learn(base, IDS, LABEL, 3, SETTINGS, seed=0, stepped=lambda: steps.append(1))
    moved = {name for name, one in network.encoder.named_parameters() if not torch.equal(one, before[name])}
    assert moved == {name for name in before if name.startswith("encoder.layer.1.")}
    assert len(steps) == 6


def test_a_seed_makes_the_same_encoder_again(folder: Path) -> None:
    base = open_base(str(folder))

    def scores(seed: int) -> np.ndarray:
        return scores_of(learn(base, IDS, LABEL, 3, SETTINGS, seed=seed, stepped=lambda: None), IDS)

    first = scores(0)
    assert np.array_equal(first, scores(0))
    assert not np.array_equal(first, scores(1))
    assert first.shape == (24, 3)


def test_an_encoder_of_another_family_is_refused(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "distil", model_type="distilbert")
    config = folder / "config.json"
    config.write_text(config.read_text("utf-8").replace('"n_layers"', '"num_hidden_layers"'), "utf-8")
    with pytest.raises(ConfigError, match=r"--base: .*distil"):
        Network(open_base(str(folder)), 3, SETTINGS)
