"""Deploying to the embedded server, over a real one: the tiny base, adapters that change what it says, and the form that loses them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.adapters import dataset_of, home_at, plain_adapter
from support.probed_adapter import probed_adapter
from support.tiny_adapter import opened_tiny_base
from support.tiny_base import tiny_base

from smallfirst import limits
from smallfirst.contracts import LabelContract
from smallfirst.errors import DeployError, ReleaseError
from smallfirst.evals.session import Home
from smallfirst.gate.deploy import Deployed, Wish, deploy, prepare, undeploy
from smallfirst.gate.deploy.deploying import check
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import Deployment, add_deployment, deployments
from smallfirst.models.adapters.store import Adapter, Exported, file_sha256

pytestmark = pytest.mark.embedded
# Many labels of one token: what a random model says then depends on the question, and on the adapter.
LETTERS = LabelContract(tuple("abcdefghijklmnopqrstuvwxyz0123456789"))
TOML = """
[storage]
path = "state"

[providers.local]
kind = "embedded"

[models.exact]
provider = "local"
id = "{exact}"
context_tokens = 512

[models.coarse]
provider = "local"
id = "{coarse}"
context_tokens = 512

[tasks.triage]
contract = {{ type = "label", labels = {labels} }}
ladder = ["exact"]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    toml = TOML.format(
        exact=tiny_base(), coarse=tiny_base(quantised=True), labels=json.dumps(list(LETTERS.labels))
    )
    return home_at(tmp_path_factory.mktemp("embedded"), toml)


@pytest.fixture(scope="module")
def adapter(home: Home) -> Adapter:
    """Over the exact base."""
    dataset = dataset_of(home.state, rows=130, contract=LETTERS)
    return probed_adapter(home.state, dataset, base=opened_tiny_base(), contract=LETTERS, strength=0.4)


@pytest.fixture(autouse=True)
def nothing_stays(home: Home) -> Iterator[None]:
    yield
    (home.state / "adapters" / "deployed.json").unlink(missing_ok=True)


async def deployed(home: Home, adapter: Adapter, **wish: Any) -> Deployed:
    wanted = Wish(adapter=adapter.id, to="embedded", **wish)
    return await deploy(prepare(wanted, await check(wanted, home), home), home)


async def refused(home: Home, adapter: Adapter, match: str, **wish: Any) -> str:
    with pytest.raises(DeployError, match=match) as raised:
        await deployed(home, adapter, **wish)
    assert deployments(home.state) == ()
    return str(raised.value)


async def test_what_is_served_answers_as_the_trainers_model(home: Home, adapter: Adapter) -> None:
    done = await deployed(home, adapter)
    assert deployments(home.state) == (done.deployment,)
    assert (done.deployment.target, done.deployment.base, done.deployment.form) == (
        "embedded",
        str(tiny_base()),
        "lora",
    )
    assert len({one.answered.text for one in done.probed.told}) > 1
    assert done.probed.rendered == done.probed.probes >= 20
    assert done.probed.logprob_mean is not None
    assert done.probed.logprob_mean < 0.05
    made = adapter.exported("lora")
    assert made is not None
    assert done.deployment.sha256 == made[1].sha256
    await undeploy(home, adapter.id)
    assert deployments(home.state) == ()


async def test_a_merged_form_is_a_server_of_its_own(home: Home, adapter: Adapter) -> None:
    done = await deployed(home, adapter, form="f16")
    assert (done.deployment.base, done.deployment.form) == (str(tiny_base()), "f16")


async def test_a_merge_that_lost_the_tune_is_refused(home: Home) -> None:
    """Written back as Q4_1, over a base whose steps are wider than what the tune changes: unmerged over the very same base it is all there."""
    dataset = dataset_of(home.state, rows=130, contract=LETTERS)
    coarse = opened_tiny_base(quantised=True)
    adapter = probed_adapter(home.state, dataset, base=coarse, contract=LETTERS, strength=0.2)
    told = await refused(home, adapter, "answers are those of the trainer's model", form="q4_1")
    assert "Q4_1 rounds the tune away: deploy it as `--form lora`" in told
    assert (await deployed(home, adapter, form="lora")).deployment.base == str(tiny_base(quantised=True))


async def test_another_adapters_weights_are_not_served_under_its_name(home: Home, adapter: Adapter) -> None:
    """Neither where its file was changed, nor where what lies beside the file was changed with it."""
    dataset = dataset_of(home.state, rows=130, contract=LETTERS)
    other = probed_adapter(
        home.state, dataset, base=opened_tiny_base(), contract=LETTERS, strength=0.4, seed=2
    )
    await deployed(home, other)
    await undeploy(home, other.id)
    theirs, ours = (one.forms / "lora.gguf" for one in (other, adapter))
    before = ours.read_bytes() if ours.exists() else None
    adapter.forms.mkdir(mode=0o700, exist_ok=True)
    try:
        ours.write_bytes(theirs.read_bytes())
        told = Exported(form="lora", name="lora.gguf", sha256="0" * 64, size_bytes=1)
        adapter.keep(told)
        with pytest.raises(ReleaseError, match="was altered after it was made"):
            await deployed(home, adapter)
        adapter.keep(msgspec.structs.replace(told, sha256=file_sha256(ours)))
        await refused(home, adapter, "answers are those of the trainer's model")
        ours.write_bytes(b"GGUF, but no more than that")
        adapter.keep(msgspec.structs.replace(told, sha256=file_sha256(ours)))
        await refused(home, adapter, r"(?s)does not start with it: .*cannot load")
    finally:
        (adapter.forms / "lora.json").unlink()
        ours.unlink()
        if before is not None:
            ours.write_bytes(before)


async def test_an_adapter_fits_its_own_base_alone(home: Home, adapter: Adapter, tmp_path: Path) -> None:
    toml = (home.base / "smallfirst.toml").read_text("utf-8")
    without = toml.replace(str(tiny_base()), str(tiny_base(quantised=True)))
    elsewhere = msgspec.structs.replace(home_at(tmp_path, without), state=home.state)
    told = await refused(elsewhere, adapter, "no embedded model of the configuration has these weights")
    assert f"models.exact ({tiny_base(quantised=True)})" in told


@pytest.mark.parametrize(
    ("form", "most"), [("lora", limits.EMBEDDED_ADAPTERS), ("q8_0", limits.EMBEDDED_MERGED)]
)
async def test_one_base_takes_so_many(home: Home, adapter: Adapter, form: Form, most: int) -> None:
    for at in range(most):
        deployment = Deployment(
            adapter=f"{at:064x}",
            task="triage",
            form=form,
            sha256="f" * 64,
            target="embedded",
            base=str(tiny_base()),
            at_ms=at,
            by="a test",
            probes=1,
            same=1.0,
        )
        add_deployment(home.state, deployment)
    with pytest.raises(DeployError, match=r"undeploy 000000000000` makes room \(the oldest\)"):
        await deployed(home, adapter, form=form)


async def test_the_embedded_server_takes_gguf_alone(home: Home, adapter: Adapter) -> None:
    await refused(home, adapter, "--form peft: embedded serves lora, q8_0, f16, q4_1", form="peft")
    await refused(home, plain_adapter(home.state), "which is no GGUF")
