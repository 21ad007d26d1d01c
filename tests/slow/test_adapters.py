"""Adapters over the real SmolLM2: deployed to the embedded server and to a real vLLM, and refused where the tune is lost."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.adapters import dataset_of, home_at
from support.embedded import WEIGHTS
from support.probed_adapter import probed_adapter
from support.vllm import VllmProcess

from smallfirst.contracts import LabelContract
from smallfirst.errors import DeployError
from smallfirst.evals.session import Home
from smallfirst.gate.deploy import Deployed, Wish, deploy, prepare, undeploy
from smallfirst.gate.deploy.deploying import check
from smallfirst.models.adapters.deployments import deployments
from smallfirst.models.adapters.store import Adapter
from smallfirst.training.lora.base import open_base

pytestmark = [pytest.mark.slow, pytest.mark.embedded]
LETTERS = LabelContract(tuple("abcdefghijklmnopqrstuvwxyz0123456789"))
TOML = """
[storage]
path = "state"

[providers.local]
kind = "embedded"

[models.small]
provider = "local"
id = "smollm2-135m"

[tasks.triage]
contract = {{ type = "label", labels = {labels} }}
ladder = ["small"]
"""
VLLM = """
[providers.gpu]
engine = "vllm"
base_url = "{url}"
api_key = "env:GPU_KEY"

[models.large]
provider = "gpu"
id = "smollm2-135m"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    toml = TOML.format(labels=json.dumps(list(LETTERS.labels)))
    return home_at(tmp_path_factory.mktemp("adapters"), toml)


@pytest.fixture(scope="module")
def adapter(home: Home) -> Adapter:
    """A change of every weight that is smaller than the base's 4-bit steps."""
    dataset = dataset_of(home.state, rows=130, contract=LETTERS)
    return probed_adapter(
        home.state, dataset, base=open_base(f"embedded:{WEIGHTS}"), contract=LETTERS, strength=0.3
    )


async def deployed(home: Home, adapter: Adapter, to: str = "embedded", **wish: Any) -> Deployed:
    wanted = Wish(adapter=adapter.id, to=to, **wish)
    return await deploy(prepare(wanted, await check(wanted, home), home), home)


async def test_unmerged_the_tune_is_there(home: Home, adapter: Adapter) -> None:
    done = await deployed(home, adapter)
    assert done.probed.rendered == done.probed.probes >= 20
    await undeploy(home, adapter.id)


async def test_written_back_in_4_bits_it_is_gone(home: Home, adapter: Adapter) -> None:
    with pytest.raises(DeployError, match="Q4_1 rounds the tune away"):
        await deployed(home, adapter, form="q4_1")
    assert deployments(home.state) == ()


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmProcess]:
    with VllmProcess(tmp_path_factory.mktemp("vllm"), lora_rank=8, dtype="float32") as running:
        yield running


async def test_a_real_vllm(home: Home, adapter: Adapter, vllm: VllmProcess, tmp_path: Path) -> None:
    """It loads the PEFT folder while it runs, renders and answers as the trainer did, and forgets it."""
    toml = (home.base / "smallfirst.toml").read_text("utf-8") + VLLM.format(url=vllm.base_url)
    there = home_at(tmp_path, toml, {"GPU_KEY": vllm.key})
    there = Home(there.config, home.state, tmp_path, there.environ)
    done = await deployed(there, adapter, vllm.base_url)
    assert done.probed.rendered == done.probed.probes >= 20
    assert done.probed.logprob_mean is not None
    assert done.probed.logprob_mean < 0.05
    assert done.deployment.base == WEIGHTS
    assert adapter.manifest.served_name in listed(vllm)
    await deployed(there, adapter, vllm.base_url)  # it is there already
    await undeploy(there, adapter.id)
    assert listed(vllm) == [WEIGHTS]
    assert deployments(home.state) == ()


def listed(vllm: VllmProcess) -> list[str]:
    request = urllib.request.Request(
        f"{vllm.base_url}/models", headers={"authorization": f"Bearer {vllm.key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return [row["id"] for row in json.loads(answer.read())["data"]]
