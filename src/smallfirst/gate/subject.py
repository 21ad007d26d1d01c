"""What a gate compares: for each task of a candidate release, its policy beside the live one and beside the frontier alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from smallfirst.config.schema import TaskGate
from smallfirst.datasets import Dataset, Datasets
from smallfirst.errors import DatasetError, ReleaseError
from smallfirst.evals.arm import Arm, frontier_arm, release_arm
from smallfirst.evals.judging import JudgeAsk
from smallfirst.evals.session import Home, scorer_of
from smallfirst.gate import cache_rule
from smallfirst.gate.intents import Intents, intents_of
from smallfirst.gate.reads import Reads
from smallfirst.gate.unseen import check_unseen
from smallfirst.releases import BASELINE, Policy, Release, Releases, Verdicts, read_live
from smallfirst.releases.policy import baseline_policy, canonical
from smallfirst.releases.proof import Proof, Prover
from smallfirst.releases.rule import task_rule_hash
from smallfirst.releases.verdict import Against, TaskVerdict
from smallfirst.scoring import is_judged
from smallfirst.scoring.measurement import Measured, Measurements
from smallfirst.scoring.scorer import Scorer

CANDIDATE, LIVE = "candidate", "live"


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One task to be judged. `others` are the arms that it is compared with."""

    task: str
    candidate: Arm
    others: dict[Against, Arm]
    live_policy: str
    dataset: Dataset
    scorer: Scorer
    judge: JudgeAsk | None
    rule_hash: str
    gate: TaskGate
    measured: Measured | None = None  # what people said of the judge, where one scores
    again: int = 0  # how often its evidence has lapsed: gathered anew, it is another comparison
    kin: frozenset[str] = frozenset()  # other seals whose reads are this one's: see `Reads.kin`
    cautions: tuple[str, ...] = ()  # what a verdict must say beside what it found
    intents: Intents | None = None  # the classifiers that take its calls, where these are compared too

    @property
    def margin(self) -> float:
        """What the models may lose: the task's margin, less what its cache may."""
        return self.candidate.policy.models_margin

    @property
    def seal(self) -> str:
        """By which reads of its held-out part are counted, over all versions of the dataset."""
        return self.dataset.manifest.seal

    @property
    def arms(self) -> list[Arm]:
        return [self.candidate, *self.others.values()]

    @property
    def comparison(self) -> str:
        """The name of what is compared, on what, by what rule: the same is compared once."""
        others = sorted((against, arm.policy.hash) for against, arm in self.others.items())
        told = (self.task, self.candidate.policy.hash, others, self.dataset.id, self.scored_by)
        taken = () if self.intents is None else (self.intents.compared,)
        return hashlib.sha256(canonical((*told, self.rule_hash, self.again, *taken))).hexdigest()

    @property
    def asked(self) -> str:
        """The name of what is asked: another rule, another cache, or more labels, need no new answers."""
        arms = sorted((arm.name, arm.policy.answers_hash) for arm in self.arms)
        return hashlib.sha256(
            canonical((self.task, arms, self.dataset.id, self.scorer.id, self.again))
        ).hexdigest()

    @property
    def scored_by(self) -> str:
        """The scorer, and the measurement by which it is corrected."""
        return self.scorer.id if self.measured is None else f"{self.scorer.id}+{self.measured.id[:12]}"


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One task whose policy is unchanged, and whose calls another classifier takes. `dataset` is None where there is none to judge that on."""

    policy: Policy
    dataset: Dataset | None
    intents: Intents
    rule_hash: str
    kin: frozenset[str] = frozenset()  # as in `Subject`
    cautions: tuple[str, ...] = ()

    @property
    def comparison(self) -> str:
        """As in `Subject`."""
        assert self.dataset is not None
        told = (self.policy.task, self.policy.models_margin, self.dataset.id, self.rule_hash)
        return hashlib.sha256(canonical((*told, self.intents.compared))).hexdigest()


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate beside what is live. `unchanged` are the tasks whose policy is the live one, and proven by `proof` (or baseline); `taken` those
    of which only that can be said. `settled` are verdicts on tasks whose cache rule alone decides: nothing is asked for them.
    """

    candidate: str
    release: Release
    comparator: str
    subjects: tuple[Subject, ...]
    unchanged: tuple[str, ...]
    taken: tuple[Taken, ...]
    rule_hashes: dict[str, str]
    live_policies: dict[str, str]
    settled: tuple[TaskVerdict, ...] = ()
    proof: Proof | None = None


def open_case(home: Home, prefix: str, *, task: str = "") -> Case:
    """The case of a release, named by the beginning of its id; of one of its tasks alone where that is given.

    Raises `ReleaseError` where there is no such release or task, `DatasetError` where a task has no dataset, `ScorerError`.
    """
    releases = Releases(home.state)
    name = releases.find(prefix)
    release = releases.load(name)
    if task and task not in release.policies:
        raise ReleaseError(f"release {name[:12]} has no task {task!r}; it has {', '.join(release.policies)}")
    comparator, live = _live(home)
    proof = None if live is None else _proof(home, comparator, live)
    beside = None if live is None else (comparator, live)
    intents = intents_of(home.state, name, release, beside, proven=proof is not None)
    again = _lapses(home, name)
    subjects, unchanged, taken, settled = [], [], [], []
    policies: dict[str, Policy] = {}
    for each, policy in release.policies.items():
        has_live = live is not None and each in live.policies
        policies[each] = live.policies[each] if live and has_live else baseline_policy(each, home.config)
        judged = intents if intents is not None and each in intents.tasks else None
        if policy.hash != policies[each].hash or not _is_proven(proof, each, has_live=has_live):
            if task not in ("", each):
                continue
            found = _settled(home, policy, policies[each], proof, has_live=has_live, judged=judged)
            if found is not None:
                settled.append(found)
            else:
                mine = release_arm(release, each, name=CANDIDATE)
                theirs = release_arm(live, each, name=LIVE) if live and has_live else None
                subjects.append(_subject(home, mine, theirs, again=again.get(each, 0), intents=judged))
        elif judged is None:
            unchanged.append(each)
        elif task in ("", each):
            taken.append(_taken(home, policy, judged))
    return Case(
        candidate=name,
        release=release,
        comparator=comparator,
        subjects=tuple(subjects),
        unchanged=tuple(unchanged),
        taken=tuple(taken),
        rule_hashes={each: task_rule_hash(home.config, each) for each in release.policies},
        live_policies={each: policy.hash for each, policy in policies.items()},
        settled=tuple(settled),
        proof=proof,
    )


def _settled(
    home: Home, policy: Policy, live: Policy, proof: Proof | None, *, has_live: bool, judged: Intents | None
) -> TaskVerdict | None:
    """The verdict that the task's cache rule decides; None where answers are to be compared, or the classifier that takes its calls is."""
    task = policy.task
    proven = _is_proven(proof, task, has_live=has_live)
    said = [one for one in proof.verdict.tasks if one.task == task] if proof is not None and proven else []
    beside = cache_rule.Beside(
        live=live,
        frontier=frontier_arm(task, home.config).policy,
        rule_hash=task_rule_hash(home.config, task),
        proven=said[0] if said and has_live else None,
        is_baseline=not has_live,
    )
    found = cache_rule.settled(policy, home.config.tasks[task].gate, beside)
    return None if found is not None and found.finding == "pass" and judged is not None else found


def _live(home: Home) -> tuple[str, Release | None]:
    """What is live, by name; None in place of the baseline."""
    name = read_live(home.state).release
    return name, None if name == BASELINE else Releases(home.state).load(name)


def _subject(home: Home, candidate: Arm, live: Arm | None, *, again: int, intents: Intents | None) -> Subject:
    task, policy = candidate.policy.task, candidate.policy
    frontier = frontier_arm(task, home.config)
    others: dict[Against, Arm] = {}
    if live is not None and live.policy.answers_hash not in (
        frontier.policy.answers_hash,
        policy.answers_hash,
    ):
        others["live"] = live
    if policy.answers_hash != frontier.policy.answers_hash or not others:
        others["frontier"] = frontier
    gate = home.config.tasks[task].gate
    dataset = _dataset(Datasets(home.state), task, gate.dataset)
    kin, elsewhere = _other_reads(home, dataset)
    cautions = (*check_unseen(policy, dataset, home.state), *elsewhere, *cache_rule.cautions(policy))
    scorer, judge = scorer_of(policy.scorer, policy.contract, home)
    return Subject(
        task=task,
        candidate=candidate,
        others=others,
        live_policy=(live or frontier).policy.hash,
        dataset=dataset,
        scorer=scorer,
        judge=judge,
        rule_hash=task_rule_hash(home.config, task),
        gate=gate,
        measured=Measurements(home.state).newest(task, scorer.id) if is_judged(scorer) else None,
        again=again,
        kin=kin,
        cautions=cautions if intents is None else (*cautions, intents.caution),
        intents=intents,
    )


def _taken(home: Home, policy: Policy, intents: Intents) -> Taken:
    task, datasets = policy.task, Datasets(home.state)
    wanted, rule_hash = home.config.tasks[task].gate.dataset, task_rule_hash(home.config, task)
    if wanted == "newest" and datasets.newest(task) is None:
        missing = (
            f"task {task!r} has no dataset, so which of its calls are taken for other tasks cannot be judged: "
            f"`smallfirst dataset build --task {task}` or `smallfirst dataset import` makes one"
        )
        cautions = (intents.caution, missing)
        return Taken(policy=policy, dataset=None, intents=intents, rule_hash=rule_hash, cautions=cautions)
    dataset = _dataset(datasets, task, wanted)
    kin, elsewhere = _other_reads(home, dataset)
    return Taken(
        policy=policy,
        dataset=dataset,
        intents=intents,
        rule_hash=rule_hash,
        kin=kin,
        cautions=(*elsewhere, intents.caution),
    )


def _other_reads(home: Home, dataset: Dataset) -> tuple[frozenset[str], tuple[str, ...]]:
    """Seals whose reads are this dataset's too, and what a verdict must say of the task's other reads."""
    reads, manifest = Reads(home.state, alpha=home.config.gate.alpha), dataset.manifest
    kin = reads.kin(dataset)
    elsewhere = reads.elsewhere(manifest.task, {manifest.seal, *kin})
    if not elsewhere:
        return kin, ()
    return kin, (f"reads of other held-out parts of this task, each part with an α of its own: {elsewhere}",)


def _dataset(datasets: Datasets, task: str, wanted: str) -> Dataset:
    dataset = datasets.open(wanted, task=task)
    name = dataset.id
    if dataset.manifest.task != task:
        raise DatasetError(f"tasks.{task}.gate.dataset: {name[:12]} is of task {dataset.manifest.task!r}")
    for part in ("heldout", "calibration"):
        if not dataset.manifest.parts[part].rows:
            raise DatasetError(
                f"dataset {name[:12]} of task {task!r} has an empty {part} part: build it with another --split"
            )
    return dataset


def _proof(home: Home, live: str, release: Release) -> Proof | None:
    """What proves the live release by the rule of now; None where nothing does: then all its tasks are judged as if they were new."""
    try:
        return Prover(home.state, home.config, home.environ).prove(live, release)
    except ReleaseError:
        return None


def _is_proven(proof: Proof | None, task: str, *, has_live: bool) -> bool:
    if not has_live:  # baseline: it is what the user had before
        return True
    return proof is not None and not proof.lapsed and any(each.task == task for each in proof.verdict.tasks)


def _lapses(home: Home, candidate: str) -> Mapping[str, int]:
    """For each task, how many verdicts on this release were reached and have lapsed since."""
    verdicts, found = Verdicts(home.state), {}
    for name in verdicts.ids(candidate):
        if not verdicts.lapsed(candidate, name):
            continue
        for each in verdicts.load(candidate, name).tasks:
            if each.read:
                found[each.task] = found.get(each.task, 0) + 1
    return found
