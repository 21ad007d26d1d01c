"""A run of a configuration: its models opened, its answers asked, its calls in the ledger; from its plan to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smallfirst.answering.offline import Wanted, open_bench
from smallfirst.config.schema import Config
from smallfirst.config.schema import Scorer as ScorerSpec
from smallfirst.contracts import Contract
from smallfirst.errors import EvalError
from smallfirst.evals.arm import Arm
from smallfirst.evals.judging import JudgeAsk
from smallfirst.evals.runner import Options, Progress, Run, Work, run
from smallfirst.evals.store import RunStore
from smallfirst.ledger.notes import Notes
from smallfirst.releases import Releases
from smallfirst.releases.bundle import WEIGHTS
from smallfirst.scoring.scorer import Scorer


class Home(msgspec.Struct, frozen=True):
    """Where models, weights and the ledger are found. `base` is the configuration's folder."""

    config: Config
    state: Path
    base: Path
    environ: Mapping[str, str]


def scorer_of(spec: ScorerSpec, contract: Contract, home: Home) -> tuple[Scorer, JudgeAsk | None]:
    """The scorer, and who it asks where it is a judge. Raises `ScorerError`, `EvalError`."""
    from smallfirst.models.embeddings_http import embedder_of
    from smallfirst.scoring import open_scorer
    from smallfirst.scoring.judge_prompt import answer_contract

    ask = None
    if spec.kind == "judge":
        if not spec.model:
            raise EvalError("scorer.model: a judge needs the name of the model that judges")
        ask = JudgeAsk(spec.model, home.config, answer_contract(spec.mode, spec.scale))
    embedder = embedder_of(spec.embedder, home.config, home.environ) if spec.kind == "embedding" else None
    return open_scorer(spec, contract, ask=ask, embedder=embedder), ask


async def evaluate(
    work: Work,
    home: Home,
    *,
    store: RunStore,
    judge: JudgeAsk | None = None,
    options: Options | None = None,
    progress: Progress = lambda *_: None,
) -> Run:
    """Opens what the work's arms need and asks what the store has no answer to. Raises as `open_bench`, `run` and `Notes` do."""
    wanted = [Wanted(arm.policy, weights_of(arm, home.state)) for arm in work.arms]
    async with contextlib.AsyncExitStack() as stack:
        notes = stack.enter_context(Notes(home.state))
        bench = await stack.enter_async_context(
            open_bench(
                home.config,
                wanted,
                state=home.state,
                base=home.base,
                environ=home.environ,
                beside=[judge.model] if judge is not None else [],
            )
        )
        if judge is not None:
            judge.bind(bench.answerer)
        return await run(work, bench, store=store, options=options, settle=notes.settle, progress=progress)


def weights_of(arm: Arm, state: Path) -> Path | None:
    """Where the arm's weights lie: in its release; None: among the state directory's artifacts."""
    return Releases(state).folder / arm.release / WEIGHTS if arm.release else None
