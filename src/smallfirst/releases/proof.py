"""Whether a release is proven: a passing verdict for exactly its hash, by the rule of now, signed and approved where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from smallfirst.config.schema import Config
from smallfirst.errors import ReleaseError
from smallfirst.releases.bundle import Release, Releases
from smallfirst.releases.rule import task_rule_hash
from smallfirst.releases.verdict import Verdict
from smallfirst.releases.verdicts import ANY_MODEL, Lapse, Verdicts, is_signed, signing_key


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict that counts. `lapsed` says of which models it no longer does: the tasks that ask them are not proven."""

    id: str
    verdict: Verdict
    lapsed: dict[str, Lapse] = {}


class Prover:
    """Finds the proof of releases under one configuration. Every refusal is a `ReleaseError` that says what would mend it."""

    def __init__(self, state: Path, config: Config, environ: Mapping[str, str]) -> None:
        self._config = config
        self._releases = Releases(state)
        self._verdicts = Verdicts(state)
        self._key = signing_key(config, environ)

    def prove(
        self,
        name: str,
        release: Release,
        *,
        named: str = "",
        also: Callable[[Proof], None] = lambda _: None,
    ) -> Proof:
        """The release's proof: the verdict that is `named`, else the newest that counts; one that has not lapsed before one that has.

        `named` need not count any more where another does: the same release may have been judged again. `also` raises `ReleaseError` where more is
        asked of a proof than that it counts.
        """
        candidates = self._verdicts.ids(name)
        if named:
            candidates = [named, *(one for one in candidates if one != named)]
        if not candidates:
            raise ReleaseError(
                f"release {name[:12]} has no passing verdict; `smallfirst gate {name[:12]}` compares it with what is live. "
                'Serve the baseline until then, or this release with --unproven "reason", which is recorded'
            )
        found: list[Proof] = []
        refusals: list[ReleaseError] = []
        for candidate in candidates:
            try:
                proof = self.check(name, release, candidate)
                also(proof)
                found.append(proof)
            except ReleaseError as refusal:
                refusals.append(refusal)
        if not found:
            raise refusals[0]
        return next((proof for proof in found if not proof.lapsed), found[0])

    def check(self, name: str, release: Release, verdict_id: str) -> Proof:
        """This verdict as the release's proof. Raises `ReleaseError` where it is none."""
        verdict = self._verdicts.load(name, verdict_id)
        shown = f"verdict {verdict_id[:12]} on release {name[:12]}"
        again = f"`smallfirst gate {name[:12]}` judges it again"
        self._check_signature(shown, again, verdict)
        if verdict.finding != "pass":
            tasks = ", ".join(
                f"{task.task}: {task.finding}" for task in verdict.tasks if task.finding != "pass"
            )
            raise ReleaseError(
                f"{shown} is no pass ({tasks or verdict.finding}); see `smallfirst gate {name[:12]}`"
            )
        self._check_tasks(shown, again, release, verdict)
        self._check_approval(shown, name, verdict_id)
        return Proof(id=verdict_id, verdict=verdict, lapsed=self._verdicts.lapsed(name, verdict_id))

    def newest(self, name: str, release: Release, live: str) -> str:
        """The verdict that decides whether the release may take the place of `live`: whatever it found, the last that was reached on exactly
        this, by the rule of now. Empty where there is none; one that is altered or not signed as asked is none.
        """
        found: list[tuple[int, str]] = []
        for verdict_id in self._verdicts.ids(name):
            try:
                verdict = self._verdicts.load(name, verdict_id)
                self._check_signature("", "", verdict)
                self._check_tasks("", "", release, verdict)
            except ReleaseError:  # it counts for nothing, and so neither for nor against
                continue
            if verdict.comparator == live:
                found.append((verdict.at_ms, verdict_id))
        return max(found, key=lambda one: one[0])[1] if found else ""  # of one moment: what was written last

    def _check_signature(self, shown: str, again: str, verdict: Verdict) -> None:
        if self._key is not None and not is_signed(verdict, self._key):
            what = "is signed with another key" if verdict.signature else "is not signed"
            raise ReleaseError(f"{shown} {what}, and gate.signing_key asks for its own; {again}")

    def _check_tasks(self, shown: str, again: str, release: Release, verdict: Verdict) -> None:
        judged = {task.task: task for task in verdict.tasks}
        for task, policy in release.policies.items():
            about = judged.get(task)
            if about is None or about.policy != policy.hash:
                raise ReleaseError(f"{shown} says nothing of task {task!r} as it is in the release; {again}")
            if about.rule != task_rule_hash(self._config, task):
                raise ReleaseError(
                    f"{shown} was reached by another rule than the configuration's: [gate] or [tasks.{task}.gate] was edited since. "
                    f"{again} by the rule of now; undoing the edit makes it count again"
                )

    def _check_approval(self, shown: str, name: str, verdict_id: str) -> None:
        approvers = self._config.gate.approvers
        if not approvers:
            return
        how = f"`smallfirst gate approve {name[:12]}`, by one of gate.approvers ({', '.join(approvers)}) who did not build it"
        approval = self._verdicts.approval(name, verdict_id)
        if approval is None:
            raise ReleaseError(f"{shown} is not approved: {how}")
        if approval.verdict != verdict_id or (self._key is not None and not is_signed(approval, self._key)):
            raise ReleaseError(
                f"the approval beside {shown} is another's, or not signed with gate.signing_key: {how}"
            )
        if approval.by not in approvers:
            raise ReleaseError(
                f"{shown} was approved by {approval.by}, who is not among gate.approvers: {how}"
            )
        if approval.by == self._releases.built(name).by:
            raise ReleaseError(f"release {name[:12]} was built and approved by {approval.by}: {how}")


def check_not_lapsed(proof: Proof, name: str) -> None:
    """Raises `ReleaseError` where the evidence has lapsed: nothing new is served on it."""
    for model, lapse in proof.lapsed.items():
        of = "" if model == ANY_MODEL else f" on model {model!r}"
        raise ReleaseError(
            f"the evidence of verdict {proof.id[:12]}{of} has lapsed: {lapse.reason}. `smallfirst gate {name[:12]}` gathers it anew"
        )


def check_comparator(proof: Proof, name: str, live: str) -> None:
    """Raises `ReleaseError` where the verdict compares with something else than what is live: asked at a promotion, and only then."""
    compared = proof.verdict.comparator
    if live not in (compared, name):
        raise ReleaseError(
            f"verdict {proof.id[:12]} compares release {name[:12]} with {compared[:12]}, and {live[:12]} is live now; "
            f"`smallfirst gate {name[:12]}` compares it with that"
        )


def check_newest(proof: Proof, name: str, newest: str) -> None:
    """Raises `ReleaseError` where a newer verdict than this proof decides: asked at a promotion, and only then."""
    if newest not in ("", proof.id):
        raise ReleaseError(
            f"verdict {newest[:12]} on release {name[:12]} is newer than {proof.id[:12]}, compares the same by the same rule, and decides: "
            f"`smallfirst gate show {name[:12]} --verdict {newest[:12]}`"
        )
