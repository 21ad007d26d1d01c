"""What a model with an adapter is asked for by: what a policy pins, else the newest that is served; never its bare base."""

from __future__ import annotations

from typing import Any

import pytest

from smallfirst.config.schema import Config, Model, Provider
from smallfirst.errors import UnknownModel, UpstreamUnavailable
from smallfirst.models import Catalogue
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import Deployment
from smallfirst.models.adapters.served import ServedAdapters
from smallfirst.models.embedded_reach import EmbeddedReach
from smallfirst.models.endpoints import Endpoint
from smallfirst.releases import RungPolicy
from smallfirst.releases.adapters import AdapterPolicy, adapter_misfit

GPU, OTHER_GPU = "http://10.0.0.7:8000/v1", "http://10.0.0.8:8000/v1"
DIRECT = RungPolicy(model="small", provider="gpu", upstream_id="base-8b")


def deployed(adapter: str, *, target: str = GPU, form: Form = "peft", **fields: Any) -> Deployment:
    told: dict[str, Any] = {
        "task": "triage",
        "base": "base-8b",
        "sha256": "a" * 64,
        "at_ms": 1,
        "by": "a test",
        "probes": 1,
        "same": 1.0,
    }
    return Deployment(adapter=adapter * 64, target=target, form=form, **(told | fields))


def pinned(adapter: str, form: Form = "peft") -> RungPolicy:
    policy = AdapterPolicy(id=adapter * 64, task="triage", form=form, sha256="a" * 64)
    return RungPolicy(model="small", provider="gpu", upstream_id="base-8b", adapter=policy)


def reach_of(*served: Deployment) -> EmbeddedReach:
    return EmbeddedReach(served=ServedAdapters(served))


def model(reach: EmbeddedReach, **fields: Any) -> Any:
    told: dict[str, Any] = {"provider": "gpu", "id": "base-8b", "adapter": "triage"}
    config = Config(
        providers={"gpu": Provider(base_url=GPU, engine="vllm"), "local": Provider(kind="embedded")},
        models={"small": Model(**(told | fields))},
    )
    return Catalogue(config, {}, embedded=reach).get("small")


def test_a_policy_says_which() -> None:
    small = model(reach_of(deployed("a"), deployed("b")))
    assert small.asked_as(pinned("a")) == "triage@aaaaaaaaaaaa"
    assert small.reached(pinned("a")).usable


@pytest.mark.parametrize(
    "served",
    [
        (),
        (deployed("b"),),
        (deployed("a", sha256="b" * 64),),
        (deployed("a", form="lora"),),
        (deployed("a", target=OTHER_GPU),),
        (deployed("a", base="another"),),
    ],
)
def test_nothing_stands_in_for_what_a_policy_pins(served: tuple[Deployment, ...]) -> None:
    """Not another adapter, nor another file of the same one, which its server knows by the same name."""
    small = model(reach_of(*served))
    with pytest.raises(UpstreamUnavailable, match=r"triage@a{12} is not served as the release has it \(peft"):
        small.reached(pinned("a")).choose()
    assert not small.reached(pinned("a")).usable


@pytest.mark.parametrize("wanted", ["a", "aaaa", "b" * 11])
def test_a_task_whose_name_is_hex_is_no_hash(wanted: str) -> None:
    reach = reach_of(deployed("a"), deployed("b"))
    assert not model(reach, adapter=wanted).reached(DIRECT).usable
    own = reach_of(deployed("a"), deployed("c", task=wanted), deployed("b"))
    assert model(own, adapter=wanted).asked_as(DIRECT) == f"{wanted}@cccccccccccc"
    policy = pinned("a").adapter
    assert policy is not None
    config = Config(
        providers={"gpu": Provider(base_url=GPU, engine="vllm")},
        models={"small": Model(provider="gpu", id="base-8b", adapter=wanted)},
    )
    assert f"now adapter {wanted!r}" in adapter_misfit("small", policy, config)


def test_a_client_cannot_name_an_adapter_where_a_provider_accepts_all() -> None:
    config = Config(
        providers={
            "gpu": Provider(base_url=GPU, engine="vllm", accepts=("*",)),
            "api": Provider(base_url="https://api.example/v1", accepts=("claude-*",)),
        },
        models={},
    )
    catalogue = Catalogue(config, {}, embedded=reach_of(deployed("a")))
    assert catalogue.get("base-8b").upstream_id == "base-8b"
    assert catalogue.get("claude-3@0123456789ab").provider == "api"
    with pytest.raises(UnknownModel):
        catalogue.get("triage@aaaaaaaaaaaa")


def test_without_a_policy_it_is_the_newest_that_is_served_now() -> None:
    reach = reach_of(deployed("a"), deployed("b"), deployed("c", task="other"), deployed("d", base="another"))
    small = model(reach)
    assert small.asked_as(DIRECT) == "triage@bbbbbbbbbbbb"
    reach.served.become([deployed("a")])
    assert small.asked_as(DIRECT) == "triage@aaaaaaaaaaaa"
    by_hash = model(reach_of(deployed("a"), deployed("b")), adapter="a" * 12)
    assert by_hash.asked_as(DIRECT) == "triage@aaaaaaaaaaaa"


def test_it_must_be_on_every_endpoint() -> None:
    both = (GPU, OTHER_GPU)
    served = (deployed("a"), deployed("a", target=OTHER_GPU), deployed("b"))
    assert model(reach_of(*served), endpoints=both).asked_as(DIRECT) == "triage@aaaaaaaaaaaa"
    assert not model(reach_of(deployed("b")), endpoints=both).reached(DIRECT).usable


@pytest.mark.parametrize("served", [(), (deployed("a", form="lora"),), (deployed("a", target=OTHER_GPU),)])
def test_where_none_is_served_nobody_gets_the_bare_base(served: tuple[Deployment, ...]) -> None:
    small = model(reach_of(*served))
    with pytest.raises(
        UpstreamUnavailable, match=f"no adapter 'triage' is served as peft at {GPU}; .*adapters deploy"
    ):
        small.reached(DIRECT).choose()
    with pytest.raises(UpstreamUnavailable, match="no adapter"):
        small.asked_as(DIRECT)
    assert not small.reached(DIRECT).usable


def test_a_merged_adapter_is_reached_where_it_alone_is_served() -> None:
    one, two = (Endpoint(f"http://127.0.0.1:{port}/v1") for port in (1, 2))
    served = [
        deployed("b", form="q8_0", target="embedded"),
        deployed("b", form="lora", target="embedded"),
        deployed("a", form="q8_0", target="embedded"),
    ]
    reach = EmbeddedReach(
        endpoints={"small": one}, merged={"triage@bbbbbbbbbbbb": two}, served=ServedAdapters(served)
    )
    small = model(reach, provider="local", form="q8_0")
    assert small.reached(DIRECT).choose() is one
    assert small.reached(pinned("b", "q8_0")).choose() is two
    assert small.reached(pinned("b", "lora")).choose() is one  # of the same name, and another file
    assert small.reached(pinned("a", "q8_0")).choose() is one


def test_a_model_without_one_is_as_it_was() -> None:
    plain = model(reach_of(deployed("a")), adapter=None)
    assert plain.asked_as(DIRECT) == "base-8b"
    assert plain.reached(DIRECT) is plain.endpoints
