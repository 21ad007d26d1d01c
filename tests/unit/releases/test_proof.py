"""A release is served on a passing verdict for exactly its hash, by the rule of now; every refusal says what would mend it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from support.verdicts import prove, verdict_on

from smallfirst.config.schema import Config, Gate, Model, Provider, Task, TaskGate
from smallfirst.contracts import LabelContract
from smallfirst.errors import ConfigError, ReleaseError
from smallfirst.releases import (
    BASELINE,
    Live,
    Releases,
    Verdicts,
    load_serving,
    read_live,
    release_from_config,
)
from smallfirst.releases.promotion import Promoter, Promotion
from smallfirst.releases.proof import Prover, check_comparator, check_not_lapsed
from smallfirst.releases.rule import task_rule_hash
from smallfirst.releases.verdict import Finding
from smallfirst.releases.verdicts import signature

KEY = {"GATE_KEY": "a secret of the team"}


def config(gate: Gate = Gate(), task_gate: TaskGate = TaskGate(), instructions: str = "a or b?") -> Config:
    task = Task(
        ladder=("small", "large"),
        contract=LabelContract(labels=("a", "b")),
        gate=task_gate,
        instructions=instructions,
    )
    return Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
        models={"small": Model(provider="p"), "large": Model(provider="p")},
        tasks={"triage": task, "other": task},
        gate=gate,
    )


@pytest.fixture
def name(tmp_path: Path) -> str:
    return Releases(tmp_path).save(release_from_config(config()))[0]


def serve(name: str, state: Path, made: Config | None = None, *, verdict: str = "") -> str:
    """The verdict on which the release is served."""
    serving = load_serving(
        Live(release=name, verdict=verdict), state=state, config=made or config(), environ=KEY
    )
    assert serving.proof is not None
    return serving.proof.id


def test_a_passing_verdict_is_enough(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReleaseError, match=r"no passing verdict; `smallfirst gate "):
        serve(name, tmp_path)
    verdict = prove(name, tmp_path, config())
    assert serve(name, tmp_path) == verdict
    assert serve(name, tmp_path, verdict=verdict) == verdict


@pytest.mark.parametrize("finding", ["fail", "not-enough-evidence"])
def test_no_other_finding_is(tmp_path: Path, name: str, finding: Finding) -> None:
    prove(name, tmp_path, config(), finding=finding)
    with pytest.raises(ReleaseError, match=f"no pass .*triage: {finding}"):
        serve(name, tmp_path)


@pytest.mark.parametrize("position", [0, 40, 200, -2])
def test_one_flipped_byte_in_a_verdict_is_refused(tmp_path: Path, name: str, position: int) -> None:
    verdict = prove(name, tmp_path, config())
    path = tmp_path / "verdicts" / name / f"{verdict}.json"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReleaseError, match="altered"):
        serve(name, tmp_path)


def test_a_fail_that_is_rewritten_to_a_pass_is_refused(tmp_path: Path, name: str) -> None:
    verdict = prove(name, tmp_path, config(), finding="fail")
    path = tmp_path / "verdicts" / name / f"{verdict}.json"
    path.write_bytes(path.read_bytes().replace(b'"fail"', b'"pass"'))
    with pytest.raises(ReleaseError, match="altered after it was reached"):
        serve(name, tmp_path)


def test_a_verdict_on_another_release_is_refused(tmp_path: Path, name: str) -> None:
    other = Releases(tmp_path).save(release_from_config(config(instructions="b or a?")))[0]
    verdict = prove(other, tmp_path, config())
    folder = tmp_path / "verdicts"
    (folder / name).mkdir()
    (folder / other / f"{verdict}.json").rename(folder / name / f"{verdict}.json")
    with pytest.raises(ReleaseError, match=f"is on release {other[:12]}, not on {name[:12]}"):
        serve(name, tmp_path)


@pytest.mark.parametrize(
    "edited",
    [
        config(gate=Gate(alpha=0.1)),
        config(task_gate=TaskGate(slices=("channel",))),
        config(gate=Gate(min_slice_rows=50)),
    ],
)
def test_a_verdict_by_another_rule_is_refused_until_the_edit_is_undone(
    tmp_path: Path, name: str, edited: Config
) -> None:
    verdict = prove(name, tmp_path, config())
    with pytest.raises(ReleaseError, match=r"by another rule .* \[gate\] or \[tasks\.\w+\.gate\] was edited"):
        serve(name, tmp_path, edited)
    assert serve(name, tmp_path) == verdict
    again = prove(name, tmp_path, edited)
    assert serve(name, tmp_path, edited, verdict=verdict) == again


def test_what_decides_nothing_is_no_part_of_the_rule() -> None:
    assert task_rule_hash(config(gate=Gate(power=0.8)), "triage") == task_rule_hash(config(), "triage")


def test_a_verdict_that_leaves_a_task_out_is_refused(tmp_path: Path, name: str) -> None:
    whole = verdict_on(name, tmp_path, config())
    Verdicts(tmp_path).save(msgspec.structs.replace(whole, tasks=whole.tasks[:1]))
    with pytest.raises(ReleaseError, match="says nothing of task"):
        serve(name, tmp_path)


def test_only_the_teams_signature_counts(tmp_path: Path, name: str) -> None:
    signed = config(gate=Gate(signing_key="env:GATE_KEY"))
    verdicts = Verdicts(tmp_path)
    verdict = verdict_on(name, tmp_path, signed)
    verdicts.save(verdict)
    with pytest.raises(ReleaseError, match="is not signed"):
        serve(name, tmp_path, signed)
    verdicts.save(verdict, key=b"somebody else's")
    with pytest.raises(ReleaseError, match="signed with another key"):
        serve(name, tmp_path, signed)
    saved = verdicts.save(verdict, key=KEY["GATE_KEY"].encode())
    assert serve(name, tmp_path, signed) == saved == verdict.id
    assert verdicts.load(name, saved).signature == signature(verdict.signed_bytes, KEY["GATE_KEY"].encode())
    with pytest.raises(ConfigError, match="GATE_KEY is not set"):
        load_serving(Live(release=name), state=tmp_path, config=signed, environ={})


def test_another_than_the_author_must_approve(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Releases(tmp_path).built(name).by
    approved = config(gate=Gate(approvers=("ana", author)))
    verdict = prove(name, tmp_path, approved)
    verdicts = Verdicts(tmp_path)
    with pytest.raises(ReleaseError, match="is not approved: `smallfirst gate approve"):
        serve(name, tmp_path, approved)
    verdicts.approve(name, verdict, by=author)
    with pytest.raises(ReleaseError, match="was built and approved by"):
        serve(name, tmp_path, approved)
    verdicts.approve(name, verdict, by="bob")
    with pytest.raises(ReleaseError, match="bob, who is not among"):
        serve(name, tmp_path, approved)
    verdicts.approve(name, verdict, by="ana")
    assert serve(name, tmp_path, approved) == verdict


def test_an_approval_is_signed_where_verdicts_are(tmp_path: Path, name: str) -> None:
    made = config(gate=Gate(approvers=("ana",), signing_key="env:GATE_KEY"))
    key = KEY["GATE_KEY"].encode()
    verdicts = Verdicts(tmp_path)
    verdict = verdicts.save(verdict_on(name, tmp_path, made), key=key)
    verdicts.approve(name, verdict, by="ana")
    with pytest.raises(ReleaseError, match=r"not signed with gate\.signing_key"):
        serve(name, tmp_path, made)
    verdicts.approve(name, verdict, by="ana", key=key)
    assert serve(name, tmp_path, made) == verdict


def test_lapsed_evidence_serves_what_is_live_but_proves_nothing_new(tmp_path: Path, name: str) -> None:
    verdict = prove(name, tmp_path, config())
    verdicts = Verdicts(tmp_path)
    assert verdicts.lapse(name, verdict, model="small", reason="answers as 'small-2'")
    assert not verdicts.lapse(name, verdict, model="small", reason="again")
    serving = load_serving(Live(release=name), state=tmp_path, config=config())
    assert serving.proof is not None
    assert serving.proof.lapsed["small"].reason == "answers as 'small-2'"
    with pytest.raises(
        ReleaseError, match=r"on model 'small' has lapsed: answers as 'small-2'\. `smallfirst gate"
    ):
        check_not_lapsed(serving.proof, name)
    later = prove(name, tmp_path, config(), at_ms=2)
    assert serve(name, tmp_path, verdict=verdict) == later


def test_a_lapse_that_cannot_be_read_counts_against_everything(tmp_path: Path, name: str) -> None:
    verdict = prove(name, tmp_path, config())
    (tmp_path / "verdicts" / name / f"{verdict}.lapsed").write_text("{")
    proof = Prover(tmp_path, config(), {}).prove(name, release_from_config(config()))
    assert list(proof.lapsed) == ["*"]


def test_what_was_compared_must_be_what_is_live(tmp_path: Path, name: str) -> None:
    verdict = prove(name, tmp_path, config(), comparator="baseline")
    proof = Prover(tmp_path, config(), {}).check(name, release_from_config(config()), verdict)
    check_comparator(proof, name, "baseline")
    check_comparator(proof, name, name)
    with pytest.raises(
        ReleaseError, match=r"compares release .* with baseline, and ffffffffffff is live now"
    ):
        check_comparator(proof, name, "f" * 64)


def test_the_newest_verdict_against_what_is_live_decides_at_a_promotion(tmp_path: Path, name: str) -> None:
    promoter, made = Promoter(tmp_path, config(), KEY), config()
    other = config(gate=Gate(alpha=0.1))
    first = prove(name, tmp_path, made, at_ms=2)
    for counts_for_nothing in (
        verdict_on(name, tmp_path, other, finding="fail", at_ms=9),  # by another rule
        verdict_on(name, tmp_path, made, finding="fail", at_ms=9, comparator="f" * 64),  # beside another
        verdict_on(name, tmp_path, made, finding="fail", at_ms=1),  # older, though written last
    ):
        Verdicts(tmp_path).save(counts_for_nothing)
    assert promoter.promote(name, Promotion()).live.verdict == first
    promoter.promote(BASELINE, Promotion())

    newer = prove(name, tmp_path, made, finding="not-enough-evidence", at_ms=3)
    with pytest.raises(ReleaseError, match=f"verdict {newer[:12]} on release .* is no pass"):
        promoter.promote(name, Promotion())
    with pytest.raises(ReleaseError, match=f"verdict {newer[:12]} .* is newer than {first[:12]}"):
        promoter.promote(name, Promotion(stages=(0.1,), verdict=first))
    assert serve(name, tmp_path, verdict=first) == first  # what is live keeps what its channel names

    last = prove(name, tmp_path, made, at_ms=4)
    assert promoter.promote(name, Promotion()).live.verdict == last
    prove(name, tmp_path, made, finding="fail", at_ms=5)
    assert load_serving(read_live(tmp_path), state=tmp_path, config=made).proof is not None


def test_a_verdict_without_the_teams_signature_does_not_decide(tmp_path: Path, name: str) -> None:
    signed = config(gate=Gate(signing_key="env:GATE_KEY"))
    passed = verdict_on(name, tmp_path, signed)
    Verdicts(tmp_path).save(passed, key=KEY["GATE_KEY"].encode())
    prove(name, tmp_path, signed, finding="fail", at_ms=2)
    assert Promoter(tmp_path, signed, KEY).promote(name, Promotion()).live.verdict == passed.id


def test_verdicts_are_for_their_owner_only(tmp_path: Path, name: str) -> None:
    verdict = prove(name, tmp_path, config())
    path = tmp_path / "verdicts" / name / f"{verdict}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_ids_that_are_none_touch_no_file(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is no id"):
        Verdicts(tmp_path).load("../..", "0" * 64)


def test_two_that_find_a_change_at_once_are_both_heard(tmp_path: Path, name: str) -> None:
    verdict = prove(name, tmp_path, config())
    models = [f"model-{number}" for number in range(12)]

    def lapse(model: str) -> bool:
        return Verdicts(tmp_path).lapse(name, verdict, model=model, reason="another")

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lapse, models))
    assert set(Verdicts(tmp_path).lapsed(name, verdict)) == set(models)
