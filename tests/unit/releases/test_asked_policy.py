"""A policy whose router asks a model says what that model is, and is refused when the name has come to mean something else."""

from __future__ import annotations

import msgspec
import pytest

from smallfirst.config.schema import Config, Model, Provider, Task
from smallfirst.errors import ReleaseError
from smallfirst.releases.policy import misfits, policy_from_task
from smallfirst.routing.fitted import NO_BOUND, Asked, Fitted
from smallfirst.routing.guards import Seen
from smallfirst.routing.thresholds import frontier_only

ASKED = Asked(model="judge", provider="p", upstream_id="judge-1", question="How hard: {text}")
FITTED = Fitted(
    task="t",
    ladder=("small", "large"),
    heads=("", ""),
    embedder="",
    embedder_sha256="",
    thresholds=frontier_only(2),
    bound=NO_BOUND,
    seen=Seen(),
    by="judge",
    asked=ASKED,
    sha256="ab" * 32,
)


class Learned:
    """Has learned the one router."""

    def head(self, name: str) -> str:
        raise AssertionError

    def router(self, task: str, wanted: str) -> Fitted:
        return FITTED


def config(judge: Model | None) -> Config:
    models = {"small": Model(provider="p"), "large": Model(provider="p")}
    return Config(
        providers={
            "p": Provider(base_url="http://127.0.0.1:1/v1"),
            "q": Provider(base_url="http://127.0.0.1:2/v1"),
        },
        models=models | ({"judge": judge} if judge else {}),
        tasks={"t": Task(ladder=("small", "large"))},
    )


JUDGE = Model(provider="p", id="judge-1")


def test_the_policy_says_who_is_asked_and_what() -> None:
    policy = policy_from_task("t", config(JUDGE), Learned())
    assert policy.router is not None
    assert (policy.router.by, policy.router.asked) == ("judge", ASKED)
    assert misfits(policy, config(JUDGE)) == []
    other = msgspec.structs.replace(
        policy.router, asked=msgspec.structs.replace(ASKED, question="Hard? {text}")
    )
    assert msgspec.structs.replace(policy, router=other).hash != policy.hash


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        (None, "not configured any more"),
        (Model(provider="p", id="judge-2"), "was p/judge-1 when the router was fitted and now is p/judge-2"),
        (Model(provider="q", id="judge-1"), "now is q/judge-1"),
        (Model(provider="p", id="judge-1", weights_sha256="0" * 64), "of other weights"),
    ],
)
def test_another_meaning_of_the_name_is_refused(judge: Model | None, why: str) -> None:
    policy = policy_from_task("t", config(JUDGE), Learned())
    (found,) = misfits(policy, config(judge))
    assert why in found
    with pytest.raises(ReleaseError, match="fits another"):
        policy_from_task("t", config(judge), Learned())
