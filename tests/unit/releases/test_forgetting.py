"""What is erased is out of every index, also of those that releases carry, which go on under their names."""

from __future__ import annotations

from pathlib import Path

import msgspec
from support.examples import LABELS, Letters, example, save

from smallfirst.classify.example_index import open_index
from smallfirst.classify.store import Artifacts
from smallfirst.config.schema import Config, Model, Provider, Retrieve, Rung, Task
from smallfirst.datasets.example import Lineage
from smallfirst.ledger.erasure import Erasure, call_sha256
from smallfirst.releases import LearnedHere, Live, Releases, load_serving, release_from_config, weights_path
from smallfirst.releases.forgetting import forget_examples

AT_MS = 1_790_000_000_000
CONFIG = Config(
    providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
    models={"small": Model(provider="p"), "frontier": Model(provider="p")},
    tasks={"triage": Task(ladder=(Rung(model="small", retrieve=Retrieve(k=1)), "frontier"), contract=LABELS)},
)
EXAMPLES = [
    example("acme-call", "alpha secret", call="c-1", tenant="acme", at_ms=AT_MS),
    example("acme-late", "beta secret", call="c-2", tenant="acme", at_ms=AT_MS + 5),
    example("acme-file", "gamma secret", tenant="acme"),
    example("globex", "delta secret", call="c-4", tenant="globex", at_ms=AT_MS),
    example("nobody", "epsilon open"),
]


def release(state: Path) -> str:
    save(state, EXAMPLES, embedder=Letters())
    made = release_from_config(CONFIG, LearnedHere(state))
    return Releases(state).save(made, artifacts=Artifacts(state))[0]


def left(state: Path, erasure: Erasure, tombstones: frozenset[bytes] = frozenset()) -> set[str]:
    """The examples that are shown after an erasure, which the release's own copy must have too; no file says any other."""
    name = release(state)
    forgotten = forget_examples(state, erasure, tombstones)
    serving = load_serving(Live(release=name, unproven="x"), state=state, config=CONFIG)
    assert serving.weights is not None
    (sha256,) = serving.policies["triage"].weights
    found = []
    for path in (Artifacts(state).path(sha256), weights_path(serving.weights, sha256)):
        index = open_index(path, lambda _: Letters())
        found.append({one.id for one in EXAMPLES if index.row(one.id) is not None})
    assert found[0] == found[1]
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    for one in EXAMPLES:
        assert (one.messages[0]["content"].encode() in kept) == (one.id in found[0])
    assert forgotten.examples == len(EXAMPLES) - len(found[0])
    assert forgotten.indexes == ((sha256,) if forgotten.examples else ())
    return found[0]


def test_a_call(tmp_path: Path) -> None:
    assert left(tmp_path, Erasure(at_ms=AT_MS + 9, call="c-1")) == {
        "acme-late",
        "acme-file",
        "globex",
        "nobody",
    }


def test_a_call_that_the_ledger_knows_as_erased(tmp_path: Path) -> None:
    """Found by a day, or because it answered another that was erased."""
    erasure = Erasure(at_ms=AT_MS + 9, call="elsewhere")
    assert left(tmp_path, erasure, frozenset({call_sha256("c-4")})) == {
        "acme-call",
        "acme-late",
        "acme-file",
        "nobody",
    }


def test_a_tenant_with_what_it_gave_in_files(tmp_path: Path) -> None:
    assert left(tmp_path, Erasure(at_ms=AT_MS + 9, tenant="acme")) == {"globex", "nobody"}


def test_before_a_day(tmp_path: Path) -> None:
    assert left(tmp_path, Erasure(at_ms=AT_MS + 9, before_ms=AT_MS + 1)) == {
        "acme-late",
        "acme-file",
        "nobody",
    }


def test_what_a_model_wrote_after_an_erased_call(tmp_path: Path) -> None:
    written = msgspec.structs.replace(
        example("written", "zeta secret"),
        synthetic=True,
        lineage=Lineage(source="synthetic", after=("c-7", "c-4")),
    )
    EXAMPLES.append(written)
    try:
        assert left(tmp_path / "one", Erasure(at_ms=AT_MS + 9, call="c-7")) == {
            one.id for one in EXAMPLES if one.id != "written"
        }
        tombstones = frozenset({call_sha256("c-4")})
        assert "written" not in left(tmp_path / "two", Erasure(at_ms=AT_MS + 9, call="elsewhere"), tombstones)
    finally:
        EXAMPLES.remove(written)


def test_a_tenant_that_has_none(tmp_path: Path) -> None:
    assert len(left(tmp_path, Erasure(at_ms=AT_MS + 9, tenant="initech"))) == 5


def test_where_there_is_no_index_nothing_is_written(tmp_path: Path) -> None:
    assert forget_examples(tmp_path, Erasure(at_ms=AT_MS, tenant="acme"), frozenset()).examples == 0
    assert list(tmp_path.iterdir()) == []
