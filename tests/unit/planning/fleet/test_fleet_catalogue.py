"""The catalogue says what vendors and publishers say, and a user's own files are read or refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet import catalogue
from smallfirst.planning.fleet.hub_config import read_model_config

OWN = """
[gpus.MyCard]
bf16_tflops_per_s = 100
memory_gb = 32
bandwidth_gb_per_s = 900
"""


def test_it_has_the_gpus_and_model_families_that_it_promises() -> None:
    assert set(catalogue.gpus()) == {
        "H200", "H100", "H100-PCIe", "A100-80GB", "A100-40GB", "L40S", "L4", "A10G", "RTX-4090", "B200", "MI300X",
    }  # fmt: skip
    families = {name.split("-")[0].rstrip("0123456789.") for name in catalogue.models()}
    assert {"llama", "qwen", "mistral", "phi", "gemma"} <= families


@pytest.mark.parametrize("name", [name for name, shape in catalogue.models().items() if shape.parameters])
def test_a_shape_counts_as_many_weights_as_its_publisher(name: str) -> None:
    shape = catalogue.models()[name]
    assert shape.counted_parameters == pytest.approx(shape.parameters, rel=2e-4)


def test_arithmetic_is_dense() -> None:
    # The sparse figures of the data sheets, halved by hand.
    assert catalogue.gpu("H100").bf16_tflops_per_s == pytest.approx(1979 / 2, rel=1e-3)
    assert catalogue.gpu("L40S").fp8_tflops_per_s == pytest.approx(1466 / 2)
    assert catalogue.gpu("L4").bf16_tflops_per_s == pytest.approx(242 / 2)


def test_what_has_a_price_says_when_and_where_it_was_seen() -> None:
    for gpu in catalogue.gpus().values():
        assert gpu.source, gpu.name
        assert (gpu.usd_per_hour is None) == (gpu.price_date == ""), gpu.name
        assert (gpu.usd_per_hour is None) == (gpu.price_source == ""), gpu.name
        assert all(f"{offer:.2f}" in gpu.price_source for offer in gpu.offers_usd_per_hour), gpu.name
    assert catalogue.gpu("H100").usd_per_hour == pytest.approx(3.90)  # 3.50 and 4.30 are in the middle of six
    assert catalogue.gpu("L4").usd_per_hour is None  # unknown is unknown, not nothing


def test_names_are_found_in_any_case_and_by_the_hubs_repository() -> None:
    assert catalogue.gpu("h100") is catalogue.gpus()["H100"]
    assert catalogue.model("Meta-Llama/Llama-3.1-8B").name == "llama-3.1-8b"


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no GPU 'H1000': did you mean H100\? .*--gpu-file"):
        catalogue.gpu("H1000")
    with pytest.raises(ConfigError, match=r"did you mean qwen3-8b\?.*--model-config"):
        catalogue.model("qwen3-8bb")


def test_a_gpu_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "gpus.toml"
    file.write_text(OWN)
    assert catalogue.gpu("mycard", file).memory_gb == 32
    assert catalogue.gpu("H100", file).memory_gb == 80  # the catalogue is still there


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gpus.X]\nmemory_gb = 1", r"gpus.toml: gpus.X: .*bf16_tflops_per_s"),
        (OWN + "colour = 1", r"gpus.MyCard: .*colour"),
        (OWN.replace("900", "-900"), r"gpus.MyCard.bandwidth_gb_per_s: expected a number above 0"),
        (OWN.replace("900", "inf"), r"bandwidth_gb_per_s: expected a number above 0"),
        (OWN.replace("900", '"fast"'), r"gpus.MyCard: .*float"),
        (OWN + "offers_usd_per_hour = [3, -2]", r"offers_usd_per_hour: expected a number above 0"),
        (OWN + "sustained_share = 2", r"sustained_share: expected a share"),
        ("gpus = 3", "no GPU in it"),
        ("[gpus]\nX = 3", r"gpus.X: expected a table"),
        ("[gpus", "is not TOML"),
    ],
)
def test_a_wrong_gpu_file_is_named_with_its_field(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gpus.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        catalogue.read_gpu_file(file)


def test_a_gpu_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        catalogue.read_gpu_file(tmp_path / "none.toml")


LLAMA = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "tie_word_embeddings": False, "vocab_size": 128256,
}  # fmt: skip


def config(tmp_path: Path, **fields: object) -> Path:
    file = tmp_path / "my-model" / "config.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        json.dumps({key: value for key, value in {**LLAMA, **fields}.items() if value is not None})
    )
    return file


def test_a_models_own_config_gives_its_shape(tmp_path: Path) -> None:
    shape = read_model_config(config(tmp_path))
    assert shape.name == "my-model"
    assert shape.counted_parameters == catalogue.model("llama-3.1-8b").counted_parameters


@pytest.mark.parametrize(
    ("fields", "windowed"),
    [
        ({"sliding_window": None}, 0),
        ({"sliding_window": 4096}, 32),
        ({"sliding_window": 4096, "use_sliding_window": False}, 0),
        ({"sliding_window": 262144, "max_position_embeddings": 131072}, 0),
        ({"sliding_window": 4096, "model_type": "gemma2"}, 16),
        ({"sliding_window": 1024, "sliding_window_pattern": 6}, 27),
        ({"sliding_window": 1024, "layer_types": ["sliding_attention", "full_attention"] * 16}, 16),
    ],
)
def test_which_layers_have_a_window(tmp_path: Path, fields: dict[str, object], windowed: int) -> None:
    assert read_model_config(config(tmp_path, **fields)).windowed_layers == windowed


def test_the_decoder_of_a_model_that_sees_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"vision_config": {}, "text_config": LLAMA}))
    assert read_model_config(file).layers == 32


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"vocab_size": None}, "vocab_size: is missing"),
        ({"hidden_size": "4096"}, "hidden_size: expected a whole number"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: expected a whole number of at least 1"),
        ({"num_key_value_heads": 5}, "kv_heads: 32 heads cannot share 5"),
        ({"num_local_experts": 8}, "num_local_experts: mixtures of experts are not modelled"),
    ],
)
def test_a_config_that_is_no_dense_decoder_is_refused(
    tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        read_model_config(config(tmp_path, **fields))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected an object"),
        ("{", "is not JSON"),
        ('{"text_config": 1}', "text_config: expected an object"),
    ],
)
def test_what_is_no_config_at_all(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_model_config(file)
