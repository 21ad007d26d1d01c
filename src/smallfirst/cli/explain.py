"""`smallfirst explain`: what would be decided for a call, without making it; and a recorded decision made again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.asked import last_question
from smallfirst.cli.explain_call import show_again
from smallfirst.cli.offline import examples_of, ready_catalogue, router_of
from smallfirst.cli.table import Table
from smallfirst.cli.taken import show_taken, take, taken_figures
from smallfirst.money import format_usd

if TYPE_CHECKING:
    from smallfirst.answering.decide import Decision
    from smallfirst.answering.shots import Finder
    from smallfirst.config import Config
    from smallfirst.ledger.ledger import LedgerView
    from smallfirst.models import Catalogue
    from smallfirst.planning.expected import Expected
    from smallfirst.releases import Policy
    from smallfirst.routing.judgement import Near, Router
    from smallfirst.wire.incoming import Incoming


def explain(
    text: str = typer.Argument("", help="The user's message.", show_default=False),
    task: str = typer.Option(
        "",
        "--task",
        "-t",
        help="The task it belongs to; default: the one that the intent classifier takes it for.",
    ),
    call: str = typer.Option(
        "", "--call", help="A recorded call's id: its decision is made again, to the bit."
    ),
    system: str = typer.Option("", help="A system prompt sent along."),
    tenant: str = typer.Option("default", help="Whose call it is: whose examples may be shown."),
    release: str | None = typer.Option(
        None,
        help="By this release; default: the live one, or the configuration's candidate with `candidate`.",
    ),
    config: Path | None = typer.Option(
        None, "--config", "-c", help="The configuration; default: $SMALLFIRST_CONFIG, else ./smallfirst.toml."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Which rungs this call would be put to, in order, and why the others not. Nothing is sent."""
    from smallfirst.config import find, load
    from smallfirst.errors import ConfigError

    path = find(config)
    loaded = load(path)
    state = (path.parent / loaded.storage.path).resolve()
    if call:
        show_again(call, loaded, state, as_json=as_json)
        return
    if not text:
        raise ConfigError("give the user's message, or --call with a recorded call's id")
    name, policies, weights, intents = _policies(loaded, state, release)
    taken: dict[str, Any] | None = None
    if not task:
        intent = take(_incoming("", system, text), loaded, intents, weights, name)
        with _ledger(state) as ledger:
            taken = taken_figures(intent, _seen(intent.near, ledger, tenant), loaded)
        if as_json and not intent.task:
            typer.echo(msgspec.json.encode({"task": "", "release": name, "taken": taken}).decode())
        elif not as_json:
            show_taken(taken, Console())
        if not intent.task:
            return
        task = intent.task
    policy = policies.get(task)
    if policy is None:
        raise ConfigError(f"task {task!r} is not known (tasks: {', '.join(policies) or 'none'})")
    router = router_of(policy, weights, loaded)
    incoming, catalogue = _incoming(task, system, text), ready_catalogue(loaded)
    finder = _finder(policy, weights, loaded, tenant)
    decision = _decide(policy, incoming, catalogue, router=router, finder=finder)
    with _ledger(state) as ledger:
        expected = _expected(policy, incoming, catalogue, loaded, ledger=ledger, decision=decision)
        near = _seen(decision.judgement.near if decision.judgement else (), ledger, tenant)
    told = _told(task, name, policy, decision, expected, near) | {
        "taken": taken,
        "cache": _cache(policy, incoming),
    }
    if as_json:
        typer.echo(msgspec.json.encode(told).decode())
        return
    _show(told, Console())


def _told(
    task: str,
    release: str,
    policy: Policy,
    decision: Decision,
    expected: list[Expected],
    near: list[dict[str, Any]],
) -> dict[str, Any]:
    judgement, options = decision.judgement, policy.router
    rungs = []
    for step, cost in zip(decision.steps, expected, strict=True):
        last = step.rung == len(policy.ladder) - 1
        adapter = policy.ladder[step.rung].adapter
        rungs.append(
            {
                "rung": step.rung,
                "model": step.model,
                "adapter": adapter.served_name if adapter is not None else None,
                "asked": not step.skipped,
                "why": step.skipped,
                "adequate": judgement.adequate[step.rung] if judgement else None,
                "uplift": judgement.uplift[step.rung] if judgement else None,
                "ask": options.thresholds.ask[step.rung] if options and not last else None,
                "accept": options.thresholds.accept[step.rung] if options and not last else None,
                "cost_nusd": cost.cost_nusd,
                "latency_ms": cost.latency_ms,
                "shots": _shots(decision, step.rung),
            }
        )
    return {
        "task": task,
        "release": release,
        "policy": policy.hash,
        "begin": decision.asked[0],
        "intent": judgement.intent if judgement else None,
        "intent_probability": judgement.intent_probability if judgement and judgement.intent else None,
        "unknown": judgement.unknown if judgement else None,
        "near": near,
        "unshown": decision.unshown,
        "steps": rungs,
        "bound": msgspec.to_builtins(options.bound) if options else None,
    }


def _shots(decision: Decision, rung: int) -> list[dict[str, Any]]:
    """The examples that this rung would be shown, as they stand in its prompt: they are this tenant's, or everybody's."""
    shots = decision.shots.get(rung)
    return [msgspec.to_builtins(one) for one in shots.shown] if shots is not None else []


def _cache(policy: Policy, incoming: Incoming) -> dict[str, Any]:
    """The task's cache rule, in words too, and why this call would not be looked up; empty where it would be."""
    from smallfirst.cache.admission import why_bypassed
    from smallfirst.cache.control import NOTHING_SAID
    from smallfirst.releases.cache_words import cache_words

    rule = policy.cache
    why = why_bypassed(incoming, rule, rungs=policy.ladder, control=NOTHING_SAID)
    return {"rule": msgspec.to_builtins(rule), "words": cache_words(rule), "bypassed": why}


def _show(told: dict[str, Any], out: Console) -> None:
    if told["intent"]:
        out.print(
            f"intent [bold]{escape(told['intent'])}[/], probability {told['intent_probability']:.2f}",
            highlight=False,
        )
    if told["unknown"]:
        out.print(f"[yellow]to the frontier[/]: {escape(told['unknown'])}", highlight=False)
    for seen in told["near"]:
        text = f": {escape(seen['text'][:100])}" if seen["text"] else ""
        out.print(f"  seen, cosine {seen['similarity']:.2f}: {escape(seen['id'])}{text}", highlight=False)
    table = Table(
        "rung",
        "model",
        "P(adequate)",
        "uplift",
        "asked to",
        "cost",
        "time",
        title=f"{told['task']} by {told['release']}",
    )
    for step in told["steps"]:
        table.add_row(
            str(step["rung"]),
            escape(step["model"] + (f" ({step['adapter']})" if step["adapter"] else "")),
            _number(step["adequate"], ".2f"),
            _number(step["uplift"], "+.3f"),
            _threshold(step["ask"]),
            "unknown" if step["cost_nusd"] is None else format_usd(step["cost_nusd"]),
            "unknown" if step["latency_ms"] is None else f"{step['latency_ms']:,.0f} ms",
        )
    out.print(table)
    for step in told["steps"]:
        out.print(
            f"  {step['rung']} {escape(step['model'])}: {escape(_why(step, told['begin']))}", highlight=False
        )
        _show_shots(step, out)
    if told["unshown"]:
        out.print(f"[yellow]the last rung is asked without examples[/]: {escape(told['unshown'])}")
    if told["cache"]["words"]:
        why = told["cache"]["bypassed"]
        asked = f"not asked for this call: {why}" if why else "asked first"
        out.print(f"cache: {asked}. In this task {told['cache']['words']}", highlight=False)
    bound = told["bound"]
    if bound and bound["kept"]:
        out.print(
            f"quality bound: loss at most {bound['loss_bound']:.2%} with {bound['confidence']:.0%} confidence, from {bound['examples']:,} examples",
            highlight=False,
        )


def _show_shots(step: dict[str, Any], out: Console) -> None:
    for one in step["shots"]:
        text = f"{one['question'][:80]!r} → {one['answer'][:40]!r}"
        out.print(
            f"      shown, cosine {one['similarity']:.2f}: {escape(one['id'])}: {escape(text)}",
            highlight=False,
        )


def _why(step: dict[str, Any], begin: int) -> str:
    if not step["asked"]:
        return f"skipped: {step['why']}"
    asked = (
        "asked first" if step["rung"] == begin else "asked if the one before fails, is unmet or is not sure"
    )
    return f"{asked}; its answer is released from P = {step['accept']:.2f} on" if step["accept"] else asked


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _threshold(value: float | None) -> str:
    from smallfirst.routing.thresholds import ALWAYS, NEVER

    if value is None:
        return ""
    return "never" if value <= NEVER else "always" if value >= ALWAYS else f"{value:+.3f}"


def _policies(
    config: Config, state: Path, release: str | None
) -> tuple[str, dict[str, Policy], Path | None, str | None]:
    """The name, the policies, the weights and the intent classifier of a release, of the live one, or of the configuration's candidate."""
    from smallfirst.classify.store import Artifacts
    from smallfirst.releases import LearnedHere, Live, load_serving, read_live, release_from_config

    if release == "candidate":
        made = release_from_config(config, LearnedHere(state))
        return "candidate", made.policies, Artifacts(state).folder, made.intents
    live = read_live(state) if release is None else Live(release=release, unproven="explain")
    serving = load_serving(live, state=state, config=config)
    return serving.short, serving.policies, serving.weights, serving.intents


def _incoming(task: str, system: str, text: str) -> Incoming:
    from smallfirst.wire.incoming import Incoming

    messages = [{"role": "system", "content": system}] if system else []
    body = {"model": f"task/{task}", "messages": [*messages, {"role": "user", "content": text}]}
    return Incoming("chat", msgspec.json.encode(body))


def _finder(policy: Policy, weights: Path | None, config: Config, tenant: str) -> Finder:
    from smallfirst.answering.shots import Finder

    return Finder(examples_of(policy, weights, config), tenant)


def _decide(
    policy: Policy, incoming: Incoming, catalogue: Catalogue, *, router: Router | None, finder: Finder
) -> Decision:
    from smallfirst.answering import decide

    return asyncio.run(decide(policy, incoming, catalogue, router=router, finder=finder))


@contextlib.contextmanager
def _ledger(state: Path) -> Iterator[LedgerView | None]:
    """The ledger where there is one; without it nothing is known of costs and times."""
    from smallfirst.errors import StateError
    from smallfirst.ledger import Ledger

    try:
        ledger = Ledger.read(state)
    except StateError:
        yield None
        return
    with ledger:
        yield ledger


def _expected(
    policy: Policy,
    incoming: Incoming,
    catalogue: Catalogue,
    config: Config,
    *,
    ledger: LedgerView | None,
    decision: Decision,
) -> list[Expected]:
    from smallfirst.ledger.reports import Span
    from smallfirst.planning.expected import expected
    from smallfirst.pricing import PriceBook

    prices, today = PriceBook(config), datetime.datetime.now(datetime.UTC).date()
    found = []
    for at, rung in enumerate(policy.ladder):
        shots = decision.shots.get(at)
        taken_ms = (
            ledger.reports.latency_ms(Span(), "total", 0.5, task=policy.task, model=rung.model)
            if ledger
            else None
        )
        found.append(
            expected(
                policy.task,
                catalogue.get(rung.model),
                prompt_bytes=len(incoming.data) + (shots.size_bytes if shots is not None else 0),
                prices=prices,
                memory=ledger.queries if ledger else None,
                latency_ms=taken_ms,
                on=today,
            )
        )
    return found


def _seen(near: tuple[Near, ...], ledger: LedgerView | None, tenant: str) -> list[dict[str, Any]]:
    """The nearest examples; their text only where they are this tenant's own calls whose bodies were kept."""
    return [
        {
            "id": one.id,
            "similarity": one.similarity,
            "text": last_question(one.id, ledger, tenant) if ledger is not None else "",
        }
        for one in near
    ]
