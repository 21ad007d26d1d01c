"""`smallfirst train --method lora|qlora`: an adapter over a language model, with an estimate first and a checkpoint to go on from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.interrupt import interruptible
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.train_job import Job
from smallfirst.errors import ConfigError
from smallfirst.models.adapters.store import Adapters

if TYPE_CHECKING:
    from smallfirst.scoring.scorer import Scorer
    from smallfirst.training.lora.base import Base
    from smallfirst.training.lora.prepare import Order, Prepared
    from smallfirst.training.lora.settings import Wanted
    from smallfirst.training.lora.tune import Tuned

_INTERRUPTED = 130
_NEEDS = ("torch", "transformers", "peft")


class AdapterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """As they were said; None is a default that the base's size, or the configuration, decides."""

    method: str
    base: str
    template: Path | None
    epochs: int | None
    rate: float | None
    rank: int | None
    alpha: int | None
    batch_examples: int | None
    batch_tokens: int | None
    skip_long: bool
    device: str
    backend: str
    budget_minutes: float | None
    usd_per_hour: float | None
    checkpoint_s: float
    resume: bool
    restart: bool
    dry_run: bool
    out: Path | None
    picture: Path | None


def train_adapter(job: Job, options: AdapterOptions) -> None:
    """Estimates, trains, saves and prints. Ends with status 130 where it was interrupted, its checkpoint written."""
    _check(options)
    _quiet()
    from smallfirst.training.lora.loop import Hooks
    from smallfirst.training.lora.prepare import prepare
    from smallfirst.training.lora.tune import tune

    say = Console(stderr=True, highlight=False, soft_wrap=True)
    with progress_bar() as progress:
        order = _order(job, options, say, progress=progress)
        prepared = prepare(order, Hooks(progress=progress), lambda told: say.print(escape(told)))
    if options.resume and not prepared.goes_on:
        raise ConfigError(
            "there is no checkpoint of this run, with this dataset, base and these settings: leave --resume away, and it begins",
            path="--resume",
        )
    if options.dry_run or not job.as_json:
        _show_estimate(prepared, job.as_json and options.dry_run)
    if options.dry_run:
        return
    if prepared.goes_on:
        say.print("there is a checkpoint of this run: it goes on from there (--restart begins anew)")
    try:
        with interruptible(terminate=True) as stop, progress_bar() as progress:
            hooks = Hooks(progress=progress, stop=stop, checkpoint_s=options.checkpoint_s)
            tuned = tune(prepared, hooks)
    except KeyboardInterrupt:
        kept = prepared.checkpoints
        say.print(
            f"stopped, and written down in {kept.folder}: the same command goes on from there"
            if kept.exists
            else "stopped, and nothing is kept: TRL writes no checkpoints"
        )
        raise typer.Exit(_INTERRUPTED) from None
    except OSError:  # a full disk: `main` says which file
        if prepared.checkpoints.exists:
            say.print(
                "what was done before is written down: once there is room, the same command goes on from there"
            )
        raise
    _finish(job, options, tuned)


def _check(options: AdapterOptions) -> None:
    """Raises `ConfigError` for what can be known to be wrong before anything heavy is imported."""
    from importlib.util import find_spec

    from smallfirst.training.lora.settings import Backend

    if missing := [name for name in _NEEDS if find_spec(name) is None]:
        raise ConfigError(
            f"--method {options.method} needs {' and '.join(missing)}: pip install 'smallfirst[train]'"
        )
    if not options.base:
        raise ConfigError(
            "say what is tuned: embedded:smollm2-135m, a folder with a Hugging Face checkpoint, a .gguf, or ORG/NAME of the hub",
            path="--base",
        )
    if options.backend not in get_args(Backend):
        raise ConfigError(
            f"{options.backend!r} is not known (known: {', '.join(get_args(Backend))})", path="--backend"
        )
    if options.backend == "trl" and find_spec("trl") is None:
        raise ConfigError(
            "trl is not installed: pip install trl, or leave it to --backend own", path="--backend"
        )
    if options.resume and options.restart:
        raise ConfigError("--resume goes on and --restart begins anew: give one of them")
    if options.out is not None and options.out.exists():
        raise ConfigError(f"{options.out} is there already: name a new folder", path="--out")
    for path, option in ((options.out, "--out"), (options.picture, "--picture")):
        if path is not None and not os.access(path.absolute().parent, os.W_OK):
            raise ConfigError(f"{path.parent} is no folder that can be written to", path=option)
    if options.picture is not None:
        from smallfirst.evals.training_picture import check_ending

        check_ending(options.picture)


def _quiet() -> None:
    """The libraries' own bars and advice would run through ours."""
    import warnings

    from transformers.utils import logging

    for library in ("peft", "torch", "transformers", "trl"):
        warnings.filterwarnings("ignore", module=rf"{library}(\..*)?$")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _order(job: Job, options: AdapterOptions, say: Console, *, progress: Any) -> Order:
    from smallfirst.training.lora.asked import asked_for
    from smallfirst.training.lora.base import open_base
    from smallfirst.training.lora.prepare import Order

    dataset = job.opened()
    base = open_base(options.base, template=options.template, progress=progress)
    models = _models(job, base)
    return Order(
        state=job.state,
        task=job.task,
        contract=job.told.contract,
        asked=asked_for(job.home.config, job.task, models=models),
        dataset=dataset,
        base=base,
        wanted=_wanted(job, options),
        scorer=_scorer(job, say),
        device=options.device,
        budget_minutes=options.budget_minutes,
        usd_per_hour=_hourly(job, options, models),
        note=job.note,
        restart=options.restart,
    )


def _wanted(job: Job, options: AdapterOptions) -> Wanted:
    from smallfirst.training.lora.settings import Wanted

    return msgspec.convert(
        {
            "seed": job.seed,
            **{name: getattr(options, name) for name in Wanted.__struct_fields__ if name != "seed"},
        },
        Wanted,
    )


def _models(job: Job, base: Base) -> frozenset[str]:
    """The configured models that the adapter could be for: that name it, or are its base."""
    config = job.home.config
    found = {name for name, model in config.models.items() if getattr(model, "adapter", None) == job.task}
    if found:
        return frozenset(found)
    return frozenset(
        name
        for name, model in config.models.items()
        if base.name in (model.id or name, f"embedded:{model.id or name}")
    )


def _hourly(job: Job, options: AdapterOptions, models: frozenset[str]) -> float | None:
    if options.usd_per_hour is not None:
        return options.usd_per_hour
    known = [job.home.config.models[name].hourly_usd for name in sorted(models)]
    return next((float(usd) for usd in known if usd is not None), None)


def _scorer(job: Job, say: Console) -> Scorer | None:
    """The task's own; None for a judge, who would be asked thousands of questions."""
    from smallfirst.evals.session import scorer_of

    if job.told.scorer.kind == "judge":
        say.print(
            "the task's scorer is a judge: while it trains the loss alone is measured; `smallfirst eval` asks the judge"
        )
        return None
    scorer, _ = scorer_of(job.told.scorer, job.told.contract, job.home)
    return scorer


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def _show_estimate(prepared: Prepared, as_json: bool) -> None:
    from smallfirst.training.lora.estimate import duration

    told, settings = prepared.estimate, prepared.settings
    assert told.seconds is not None, "a step was timed"
    if as_json:
        plain = {
            "estimate": msgspec.to_builtins(told),
            "settings": settings.as_dict(),
            "skipped": len(prepared.skipped),
            "goes_on": prepared.goes_on,
        }
        typer.echo(msgspec.json.encode(plain).decode())
        return
    out = Console(highlight=False, soft_wrap=True)
    epochs, steps = _counted(told.epochs, "epoch"), _counted(told.steps, "step")
    out.print(
        f"{settings.method} over {escape(prepared.order.base.name)} on {escape(told.device)}: {told.examples:,} examples, {epochs}, "
        f"{steps} of about {settings.batch_examples}, rank {settings.rank}, rate {settings.rate:g}"
    )
    usd = (
        "" if told.usd is None else ", less than $0.01" if 0 < told.usd < 0.01 else f", about ${told.usd:.2f}"
    )
    out.print(
        f"up to about {duration(told.seconds)}{usd}; memory about {told.memory_bytes / 1e9:.1f} of {told.memory_free_bytes / 1e9:.1f} GB, "
        f"disk {told.disk_bytes / 1e6:,.0f} MB"
    )


def _finish(job: Job, options: AdapterOptions, tuned: Tuned) -> None:
    """Tells first, since the adapter is there; then copies and draws."""
    _tell(job, tuned)
    if options.out is not None:
        _copy(Adapters(job.state).open(tuned.id).peft, options.out)
    if options.picture is not None:
        from smallfirst.evals.training_picture import draw_training

        draw_training(options.picture, tuned.made.curves, title=f"{job.task}, adapter {tuned.id[:12]}")


def _copy(folder: Path, target: Path) -> None:
    """There whole, or not at all."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copytree(folder, aside)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _tell(job: Job, tuned: Tuned) -> None:
    if job.as_json:
        told = {
            "adapter": tuned.id,
            "new": tuned.new,
            "served_name": tuned.manifest.served_name,
            "dataset": tuned.manifest.dataset,
            "base": msgspec.to_builtins(tuned.manifest.base),
            "scores": tuned.manifest.scores,
            "before": _before(tuned),
            "settings": tuned.manifest.settings,
            "hardware": tuned.made.hardware,
            "seconds": tuned.made.seconds,
            "usd": tuned.made.usd,
        }
        typer.echo(msgspec.json.encode(told).decode())
        return
    _show(tuned)


def _before(tuned: Tuned) -> dict[str, float]:
    """What was measured of the base alone."""
    points = [point for point in tuned.made.curves if "calibration_loss" in point]
    first = points[0] if points and points[0]["step"] == 0 else {}
    return {name.removeprefix("calibration_"): value for name, value in first.items() if name != "step"}


def _show(tuned: Tuned) -> None:
    from smallfirst.training.lora.estimate import duration

    out = Console(highlight=False, soft_wrap=True)
    scores, before = tuned.manifest.scores, _before(tuned)
    again = "" if tuned.new else ", the same that was there before"
    out.print(
        f"adapter [bold]{tuned.id[:12]}[/] for {escape(tuned.manifest.task)}, served as {escape(tuned.manifest.served_name)}: "
        f"{duration(tuned.made.seconds)} on {escape(tuned.made.hardware)}{again}"
    )
    parts = [
        f"score {scores['score']:.3f}"
        + (f" (the base alone {before['score']:.3f})" if "score" in before else "")
        if "score" in scores
        else "",
        f"{scores['valid']:.1%} as the contract wants" if "valid" in scores else "",
        f"loss {scores['loss']:.3f}"
        + (f" (the base alone {before['loss']:.3f})" if "loss" in before else ""),
    ]
    out.print(f"on {int(scores['rows']):,} calibration examples: {', '.join(part for part in parts if part)}")
    if tuned.manifest.settings["best_step"] == 0:
        out.print(
            "the base alone was best: this adapter changes nothing, and its curves say how far it was (`smallfirst adapters show`). "
            "More examples (of calibration too), more --epochs or another --rate may help"
        )
        return
    out.print(f"next: smallfirst adapters deploy {tuned.id[:12]} --to embedded, or a vLLM's URL")
