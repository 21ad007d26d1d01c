"""Deploying to a vLLM: what it is sent, what is recorded, and that nothing stays of what failed."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.adapters import TOML, dataset_of, home_at, plain_adapter, probes_of, release_with, tokens_of
from support.scripted_vllm import ScriptedVllm

from smallfirst.contracts import LabelContract
from smallfirst.errors import ConfigError, DeployError, ReleaseError
from smallfirst.gate.deploy import Deployed, Wish, deploy, prepare, undeploy
from smallfirst.gate.deploy.deploying import check
from smallfirst.models.adapters.deployments import add_deployment, deployments
from smallfirst.releases import Channels
from smallfirst.releases.channels import Live, change_channels


class Case:
    """A vLLM, a configuration that knows it, and an adapter whose trainer answered what is right."""

    def __init__(self, folder: Path, *, logprob: float = -0.25, **server: Any) -> None:
        state = folder / "state"
        state.mkdir(mode=0o700)
        self.dataset = dataset_of(state)
        self.calibration = list(self.dataset.examples("calibration"))
        self.right = {example.messages[-1]["content"]: str(example.label) for example in self.calibration}
        self.wrong: set[str] = set()  # questions that are answered otherwise
        self.logprob = logprob
        self.adapter = plain_adapter(state, dataset=self.dataset.id, probes=probes_of(self.calibration))
        self.server = ScriptedVllm(self.answer, **({"tokens": tokens_of} | server))
        self.home = home_at(folder, TOML.format(url=self.server.base_url))

    @property
    def name(self) -> str:
        return self.adapter.manifest.served_name

    def answer(self, model: str, messages: list[dict[str, Any]]) -> tuple[str, float]:
        question = messages[-1]["content"]
        if model == self.name and question not in self.wrong:
            return self.right[question], self.logprob
        return "billing" if self.right[question] != "billing" else "bug", self.logprob

    def miss(self, count: int) -> None:
        self.wrong = set(list(self.right)[:count])

    async def deploy(self, **wish: Any) -> Deployed:
        wanted = Wish(adapter=self.adapter.id[:8], to=wish.pop("to", self.server.base_url), **wish)
        checked = await check(wanted, self.home)
        return await deploy(prepare(wanted, checked, self.home), self.home)

    async def refused(self, match: str, **wish: Any) -> str:
        """Deploys in vain: the reason, once nothing is recorded and nothing is loaded."""
        with pytest.raises(DeployError, match=match) as raised:
            await self.deploy(**wish)
        assert deployments(self.home.state) == ()
        assert self.server.loaded == {}
        return str(raised.value)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Callable[..., Case]]:
    opened: list[Case] = []

    def make(**settings: Any) -> Case:
        made = Case(tmp_path, **settings)
        made.server.__enter__()
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.server.__exit__(None, None, None)


async def test_an_adapter_is_loaded_probed_and_recorded(case: Callable[..., Case]) -> None:
    one = case(logprob=-0.3)
    done = await one.deploy()
    assert one.server.loaded == {one.name: str(one.adapter.peft.resolve())}
    assert deployments(one.home.state) == (done.deployment,)
    deployed = done.deployment
    assert (deployed.target, deployed.base, deployed.form) == (one.server.base_url, "base-8b", "peft")
    assert (deployed.probes, deployed.same) == (len(one.calibration), 1.0)
    assert done.probed.rendered == len(one.calibration)
    assert done.probed.logprob_mean == pytest.approx(0.05)
    asked = [body for path, body in one.server.asked if path == "/v1/chat/completions"]
    assert {(body["model"], body["temperature"], body["logprobs"]) for body in asked} == {(one.name, 0, True)}
    assert asked[0]["structured_outputs"] == {"choice": ["billing", "bug", "how-to"]}


async def test_it_is_deployed_again_and_taken_away(case: Callable[..., Case]) -> None:
    one = case()
    await one.deploy()
    await one.deploy(to=one.server.base_url.removesuffix("/v1"))  # the same address
    assert len(deployments(one.home.state)) == 1
    await undeploy(one.home, one.adapter.id)
    assert (one.server.loaded, deployments(one.home.state)) == ({}, ())
    with pytest.raises(DeployError, match="it is: nowhere"):
        await undeploy(one.home, one.adapter.id)


async def test_another_answer_is_let_pass_and_a_second_is_not(case: Callable[..., Case]) -> None:
    """Of some twenty answers one may have been a near tie."""
    one = case()
    assert 20 <= len(one.calibration) < 100
    one.miss(1)
    assert (await one.deploy()).deployment.same == pytest.approx(1 - 1 / len(one.calibration))
    await undeploy(one.home, one.adapter.id)
    one.miss(2)
    told = await one.refused("at most 1 may differ")
    for question in one.wrong:
        assert one.right[question] in told
    assert "leaves the adapter out" in told


async def test_the_base_alone_is_no_adapter(case: Callable[..., Case]) -> None:
    one = case()
    one.miss(len(one.right))
    await one.refused(f"0 of {len(one.calibration)} answers")


async def test_an_adapter_that_answers_far_less_surely_is_refused(case: Callable[..., Case]) -> None:
    await case(logprob=-1.25).refused("log-probabilities are 1.00 nats a token")


async def test_another_chat_template_is_refused_though_the_answers_are_right(
    case: Callable[..., Case],
) -> None:
    one = case(tokens=lambda messages: [1, *tokens_of(messages)])
    await one.refused(f"{len(one.calibration)} of {len(one.calibration)} prompts are rendered otherwise")


async def test_a_server_that_does_not_tell_its_tokens_is_compared_by_its_answers(
    case: Callable[..., Case],
) -> None:
    assert (await case(tokens=None).deploy()).probed.rendered is None


@pytest.mark.parametrize(
    ("server", "match"),
    [
        ({"updating": False}, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment and --enable-lora"),
        ({"lora": False}, "LoRA is not enabled.*Start vLLM with --enable-lora"),
        ({"max_rank": 2}, "--max-lora-rank 8"),
        (
            {"base": "another-8b"},
            "serves another-8b, and the models of the configuration that ask it are base-8b",
        ),
        ({"key": "another key"}, r"refuses the key \(401\)"),
    ],
)
async def test_a_server_that_cannot_is_told_apart(
    case: Callable[..., Case], server: dict[str, Any], match: str
) -> None:
    told = await case(**server).refused(match)
    assert "secret-key" not in told


async def test_a_server_that_sees_another_folder(case: Callable[..., Case], tmp_path: Path) -> None:
    one = case()
    await one.refused("--server-path says where", server_path=Path("/mnt/nowhere"))
    seen = tmp_path / "seen"
    seen.symlink_to(one.home.state / "adapters")
    await one.deploy(server_path=seen)
    assert one.server.loaded[one.name] == f"{seen}/{one.adapter.id}/peft"


async def test_a_server_that_is_down(tmp_path: Path) -> None:
    one = Case(tmp_path)  # not started
    one.server._listener.close()
    await one.refused("cannot be reached")


async def test_only_a_server_of_the_configuration_is_asked(case: Callable[..., Case]) -> None:
    one = case()
    told = await one.refused('no address of a provider with engine = "vllm"', to="http://127.0.0.1:1/v1")
    assert one.server.base_url in told
    assert one.server.asked == []


async def test_what_was_loaded_before_stays_when_it_is_refused(case: Callable[..., Case]) -> None:
    """By --lora-modules, say: others may be asking for it."""
    one = case()
    one.server.loaded[one.name] = "/elsewhere"
    one.miss(5)
    with pytest.raises(DeployError):
        await one.deploy()
    assert one.server.loaded == {one.name: "/elsewhere"}
    assert deployments(one.home.state) == ()


async def test_an_interrupt_unloads_what_was_loaded(case: Callable[..., Case]) -> None:
    one = case()
    loop, task = asyncio.get_running_loop(), asyncio.create_task(one.deploy())
    one.server.before_answer = lambda: loop.call_soon_threadsafe(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (one.server.loaded, deployments(one.home.state)) == ({}, ())


async def test_a_full_disk_unloads_what_was_loaded(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    one = case()
    monkeypatch.setattr("smallfirst.gate.deploy.deploying.add_deployment", full)
    with pytest.raises(OSError, match="No space left"):
        await one.deploy()
    assert (one.server.loaded, deployments(one.home.state)) == ({}, ())


async def test_a_form_that_answers_calls_is_not_replaced(case: Callable[..., Case]) -> None:
    one = case()
    done = (await one.deploy()).deployment
    add_deployment(one.home.state, msgspec.structs.replace(done, form="lora", sha256="f" * 64))
    release = release_with(one.home, one.adapter)
    change_channels(one.home.state, lambda _: Channels(live=Live(release=release)))
    with pytest.raises(
        DeployError, match=r"live \(task triage.*is answered by its form lora .* which peft would replace"
    ):
        await one.deploy()
    change_channels(one.home.state, lambda _: Channels())
    assert (await one.deploy()).deployment.sha256 == done.sha256


async def test_a_server_that_is_gone_is_forgotten_by_force_alone(case: Callable[..., Case]) -> None:
    one = case()
    await one.deploy()
    one.server.key = "changed meanwhile"
    with pytest.raises(DeployError, match="refuses the key"):
        await undeploy(one.home, one.adapter.id)
    assert len(deployments(one.home.state)) == 1
    await undeploy(one.home, one.adapter.id, force=True)
    assert deployments(one.home.state) == ()


async def test_what_the_server_keeps_stays_recorded(case: Callable[..., Case]) -> None:
    one = case()
    await one.deploy()
    kept = dict(one.server.loaded)

    class Kept(dict[str, str]):
        def pop(self, *_: Any) -> None:  # type: ignore[override]
            return None

    one.server.loaded = Kept(kept)
    with pytest.raises(DeployError, match="does not unload"):
        await undeploy(one.home, one.adapter.id)
    assert len(deployments(one.home.state)) == 1


async def test_weights_that_were_altered_are_not_loaded(case: Callable[..., Case]) -> None:
    one = case()
    (one.adapter.peft / "adapter_model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ReleaseError, match="was altered"):
        await one.deploy()
    assert one.server.loaded == {}


async def test_what_the_probes_need_must_be_there(case: Callable[..., Case], tmp_path: Path) -> None:
    one = case()
    home = one.home
    other = msgspec.structs.replace(home.config.tasks["triage"], contract=LabelContract(("a", "b")))
    one.home = msgspec.structs.replace(
        home, config=msgspec.structs.replace(home.config, tasks={"triage": other})
    )
    with pytest.raises(ReleaseError, match="contract is another than adapter"):
        await one.deploy()
    one.home = msgspec.structs.replace(home, config=msgspec.structs.replace(home.config, tasks={}))
    with pytest.raises(ConfigError, match=r"tasks\.triage: adapter .* was trained for it"):
        await one.deploy()
    one.home = home
    one.dataset.folder.rename(tmp_path / "gone")
    await one.refused("its probes are calibration examples of dataset")
    one.adapter = plain_adapter(home.state, dataset=one.dataset.id, seed=2)
    await one.refused("has no probes")
    await one.refused("serves peft", form="q8_0")
