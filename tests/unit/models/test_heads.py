"""Which heads are loaded, and under which names they answer."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from smallfirst.classify.head_answer import HeadAnswer
from smallfirst.classify.store import Artifacts, Described
from smallfirst.config.schema import Config, Model, Provider
from smallfirst.errors import ReleaseError
from smallfirst.models.heads import Heads


class Named(msgspec.Struct, frozen=True):
    """A head that answers with its own task."""

    sha256: str
    task: str = "triage"
    labels: tuple[str, ...] = ()
    slow: bool = False

    def answer(self, text: str) -> HeadAnswer:
        return HeadAnswer(self.task, 1.0, 0.0)


def config(**models: Model) -> Config:
    return Config(providers={"heads": Provider(kind="head"), "p": Provider()}, models=models)


def model(id_: str | None = None, pinned: str | None = None) -> Model:
    return Model(provider="heads", id=id_, weights_sha256=pinned)


class Site:
    """A state directory, and what was loaded of it."""

    def __init__(self, state: Path) -> None:
        self.artifacts = Artifacts(state)
        self.loads: list[str] = []
        self.heads = Heads(self.artifacts, self.load)

    def load(self, path: Path) -> Named:
        if path.read_bytes() == b"damaged":
            raise ReleaseError("weights were altered")
        self.loads.append(path.stem)
        return Named(path.stem)

    def train(self, data: bytes, at_ms: int, task: str = "triage", kind: str = "head") -> str:
        return self.artifacts.save(data, Described(at_ms=at_ms, kind=kind, task=task))

    def answers(self, name: str) -> str | None:
        head = self.heads.get(name)
        return head.sha256 if head else None


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_newest_head_of_a_task_answers_from_the_next_refresh_on(site: Site) -> None:
    old = site.train(b"old", 1)
    both = config(small=model("triage"), triage=model())
    site.heads.refresh(both)
    assert site.answers("triage") == site.answers(old) == old
    new = site.train(b"new", 2)
    site.train(b"router", 3, kind="router")
    assert site.answers("triage") == old
    site.heads.refresh(both)
    assert site.answers("triage") == new
    assert site.answers(old) is None
    site.heads.refresh(both)
    assert site.loads == [old, new], "each once"
    assert site.heads.loaded == 1


def test_a_head_can_be_pinned(site: Site) -> None:
    old, _ = site.train(b"old", 1), site.train(b"new", 2)
    site.heads.refresh(config(small=model("triage", pinned=old), other=model(old[:12])))
    assert site.loads == [old]
    assert site.answers(old) == site.answers(old[:12]) == old
    assert site.answers("triage") is None


def test_only_what_the_configuration_names_is_loaded(site: Site) -> None:
    site.train(b"one", 1)
    site.heads.refresh(config(small=Model(provider="p", id="triage")))
    assert site.loads == []
    assert site.answers("triage") is None


def test_what_cannot_be_loaded_is_told_and_the_rest_answers(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.train(b"damaged", 1, task="broken")
    good = site.train(b"good", 1)
    router = site.train(b"router", 9, task="other", kind="router")
    wanted = config(a=model("broken"), b=model("nobody"), c=model("triage"), d=model(router[:12]))
    with caplog.at_level(logging.INFO):
        site.heads.refresh(wanted)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    none = "no label head for {!r}; `smallfirst train` makes one. Its calls climb until then"
    assert told == [
        ("ERROR", "models.a: weights were altered. Its calls climb"),
        ("INFO", "models.b: " + none.format("nobody")),
        ("INFO", "models.d: " + none.format(router[:12])),
    ]
    assert site.answers("triage") == good
    assert site.heads.loaded == 1


def test_a_head_that_a_release_carries_answers_by_its_hash(site: Site) -> None:
    site.heads.add(Named("a" * 64))
    assert site.answers("a" * 64) == "a" * 64
    assert site.answers("triage") == "a" * 64, "none was trained here"
    newest = site.train(b"trained here", 1)
    site.heads.refresh(config(small=model("triage")))
    assert site.answers("triage") == newest
    assert site.answers("a" * 64) == "a" * 64
    site.heads.add(Named("b" * 64))
    assert site.answers("triage") == newest


def test_a_configured_model_is_content_with_what_a_release_carries(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.heads.add(Named("a" * 64))
    site.heads.refresh(config(small=model("triage"), other=model("x", pinned="a" * 64)))
    assert caplog.records == []
