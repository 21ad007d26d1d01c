"""Everything that comes before the first step: what was asked for is checked, the base is loaded, a step is timed, and what cannot end is refused."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

import smallfirst
from smallfirst.contracts import Contract
from smallfirst.datasets.example import Example
from smallfirst.datasets.store import Dataset
from smallfirst.errors import TrainingError
from smallfirst.models.adapters.adapter import AskedTold
from smallfirst.releases.policy import canonical
from smallfirst.scoring.scorer import Scorer
from smallfirst.training.lora import estimate as estimates
from smallfirst.training.lora.checkpoint import Checkpoints, run_key
from smallfirst.training.lora.device import device_of, hardware_of, memory_refused, precision_of
from smallfirst.training.lora.estimate import Estimate, Load, Shape
from smallfirst.training.lora.material import Material, material_of
from smallfirst.training.lora.settings import Settings, Wanted, settings_for

if TYPE_CHECKING:
    import torch

    from smallfirst.training.lora.base import Base
    from smallfirst.training.lora.loop import Hooks, Work
    from smallfirst.training.lora.measure import Yardstick
    from smallfirst.training.lora.packing import BatchPlan
    from smallfirst.training.lora.rendering import AllRendered

_SAMPLE_ROWS = {"cpu": 80, "cuda": 300}  # of the calibration part, while it is trained
_FINAL_ROWS = 500  # of it, when it is done
_TIMED_BATCHES = 3
_TIMED_ANSWERS = 8

Tell = Callable[[str], None]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made. `scorer` is the task's own; None where it cannot be asked here, and then the loss alone decides."""

    state: Path
    task: str
    contract: Contract
    asked: AskedTold
    dataset: Dataset
    base: Any  # training.lora.base.Base
    wanted: Wanted
    scorer: Scorer | None
    device: str = "auto"
    budget_minutes: float | None = None
    usd_per_hour: float | None = None
    note: str = ""
    restart: bool = False


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Everything is loaded and checked, and nothing is trained yet. `goes_on`: there is a checkpoint of the same run."""

    order: Order
    settings: Settings
    material: Material
    estimate: Estimate
    work: Any  # loop.Work
    final: Any  # measure.Yardstick
    skipped: tuple[str, ...]  # ids of examples that were left out as too long
    decides: dict[str, Any]
    goes_on: bool

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.order.state, self.order.task, run_key(self.decides))


def prepare(order: Order, hooks: Hooks, tell: Tell = lambda _: None) -> Prepared:
    """Checks all that can be checked, loads the base and times a step. `tell` is given a sentence about what was decided.

    Raises `TrainingError`, `ConfigError` or `DatasetError` that says what is wrong and what helps.
    """
    device = device_of(order.device)
    material = material_of(order.dataset, order.task, order.contract)
    base: Base = order.base
    tokenizer = base.tokenizer()
    settings = settings_for(
        order.wanted, parameters=base.parameters, examples=len(material.train), device=device.type
    )
    hooks.progress("reading examples", 0, len(material.train))
    train = _rendered(order, settings, tokenizer, material.train, tell, part="train")
    calibration = _rendered(order, settings, tokenizer, material.calibration, tell, part="calibration")
    shape = estimates.shape_of(base.config(), base.parameters)
    needed = _needed(order, settings, train, shape=shape, device=device)
    sample, final = (
        _yardstick(order, material, calibration, tokenizer, at_most=at_most)
        for at_most in (_SAMPLE_ROWS[device.type], _FINAL_ROWS)
    )
    with memory_refused(settings):
        work = _work(order, settings, train, sample, checkpointed=needed.checkpointed)
        decides = _decides(order, settings, work, skipped=len(train.skipped))
        estimate, note = _timed(order, work, final, needed, hooks=hooks)
    if note:
        tell(note)
    estimates.check_time(estimate, settings, order.budget_minutes)
    return Prepared(
        order=order,
        settings=settings,
        material=material,
        estimate=estimate,
        work=work,
        final=final,
        skipped=(*train.skipped, *calibration.skipped),
        decides=decides,
        goes_on=Checkpoints(order.state, order.task, run_key(decides)).exists and not order.restart,
    )


class _Needed(NamedTuple):
    memory_bytes: int
    memory_free_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    checkpointed: bool


def _rendered(
    order: Order, settings: Settings, tokenizer: Any, examples: Sequence[Example], tell: Tell, *, part: str
) -> AllRendered:
    from smallfirst.training.lora.rendering import render_all

    context = order.base.context_tokens
    rendered = render_all(
        examples,
        tokenizer,
        asked=order.asked,
        contract=order.contract,
        context_tokens=context,
        skip_long=settings.skip_long,
    )
    if not rendered.rows:
        raise TrainingError(
            f"all examples of the {part} part are longer than the context of {context:,} tokens: take a base with a longer one"
        )
    if rendered.skipped:
        tell(
            f"left out as longer than the context of {context:,} tokens: {len(rendered.skipped):,} of {len(examples):,} examples of the {part} part"
        )
    return rendered


def _needed(
    order: Order, settings: Settings, train: AllRendered, *, shape: Shape, device: torch.device
) -> _Needed:
    """Memory and disk, refused where they are not there. Layers are computed twice where the device would else be more than half full."""
    longest = max(len(row.ids) for row in train.rows)
    tokens = min(max(settings.batch_tokens, longest), sum(len(row.ids) for row in train.rows))
    share = max((len(row.ids) - row.supervised_from) / len(row.ids) for row in train.rows)
    load = Load(tokens, int(tokens * share), longest)
    free = estimates.free_memory(device.type)
    width = precision_of(device).itemsize
    plain = estimates.memory(shape, settings, load, weight_bytes=width, checkpointed=False)
    checkpointed = plain.total > free / 2
    memory = estimates.check_memory(
        shape, settings, load, free, weight_bytes=width, checkpointed=checkpointed
    )
    disk = estimates.disk_bytes(shape, settings)
    disk_free = estimates.check_disk(disk, order.state)
    return _Needed(memory.total, free, disk, disk_free, checkpointed)


def _yardstick(
    order: Order, material: Material, calibration: AllRendered, tokenizer: Any, *, at_most: int
) -> Yardstick:
    from smallfirst.training.lora.measure import yardstick

    return yardstick(
        material.calibration,
        calibration.rows,
        tokenizer=tokenizer,
        contract=order.contract,
        scorer=order.scorer,
        at_most=at_most,
        seed=order.wanted.seed,
    )


def _work(
    order: Order, settings: Settings, train: AllRendered, sample: Yardstick, *, checkpointed: bool
) -> Work:
    """The base on its device with an adapter on, and everything that the loop needs."""
    from smallfirst.training.lora.batches import packing_for
    from smallfirst.training.lora.loop import Work
    from smallfirst.training.lora.weights import compute_layers_twice, with_adapter

    device = device_of(order.device)
    precision = precision_of(device)
    if settings.method == "qlora":
        from smallfirst.training.lora.nf4 import quantise

        model = (
            order.base.model()
        )  # as it is stored: read off the disk layer by layer, and never whole in memory
        quantise(model, device=device, dtype=precision)
    else:
        model = order.base.model(dtype=precision, device=device)
    tuned = with_adapter(model, settings)
    if checkpointed:
        compute_layers_twice(tuned)
    packing = packing_for(
        train.rows, tuned, batch_tokens=settings.batch_tokens, batch_examples=settings.batch_examples
    )
    return Work(
        model=tuned,
        rows=train.rows,
        packing=packing,
        sample=sample,
        settings=settings,
        device=device,
        precision=precision,
    )


def _decides(order: Order, settings: Settings, work: Work, *, skipped: int) -> dict[str, Any]:
    """All that makes a run what it is: a checkpoint of another is not gone on from."""
    import torch

    return {
        "task": order.task,
        "dataset": order.dataset.id,
        "base": msgspec.to_builtins(order.base.told()),
        "asked": msgspec.to_builtins(order.asked),
        "contract": contract_sha256(order.contract),
        "scorer": order.scorer.id if order.scorer is not None else "",
        "settings": settings.as_dict(),
        "packing": msgspec.to_builtins(work.packing),
        "skipped": skipped,
        "device": work.device.type,
        "version": smallfirst.__version__,
        "torch": str(torch.__version__),
    }


def contract_sha256(contract: Contract) -> str:
    """Of the contract's canonical JSON."""
    return hashlib.sha256(canonical(contract)).hexdigest()


def _timed(
    order: Order, work: Work, final: Yardstick, needed: _Needed, *, hooks: Hooks
) -> tuple[Estimate, str]:
    """A step and some answers are timed, and the rest follows from how many tokens and answers there are; and how answers are decoded, where that
    is not under the contract.
    """
    from smallfirst.training.lora.loop import computing, plan_steps, timed_step

    hooks.progress("timing a step", 0, 1)
    steps = plan_steps(work)
    tokens = _computed(work, steps)
    per_token = timed_step(work, [plans[0] for plans in steps[:_TIMED_BATCHES]])
    answers = msgspec.structs.replace(
        work.sample, examples=work.sample.examples[:_TIMED_ANSWERS], rows=work.sample.rows[:_TIMED_ANSWERS]
    )
    began = time.perf_counter()
    with computing(work):
        note = answers.measure(work.model).note
    per_answer = (time.perf_counter() - began) / len(answers.rows)
    asked = (work.settings.evaluations + 1) * len(work.sample.rows) + len(final.rows)
    measuring_s = per_answer * asked
    seconds = per_token * tokens + measuring_s
    usd = None if order.usd_per_hour is None else order.usd_per_hour * seconds / 3600
    estimate = Estimate(
        device=hardware_of(work.device),
        memory_bytes=needed.memory_bytes,
        memory_free_bytes=needed.memory_free_bytes,
        disk_bytes=needed.disk_bytes,
        disk_free_bytes=needed.disk_free_bytes,
        steps=len(steps),
        epochs=work.settings.epochs,
        examples=len(work.rows),
        tokens=tokens,
        seconds=seconds,
        measuring_seconds=measuring_s,
        usd=usd,
    )
    return estimate, note


def _computed(work: Work, steps: Sequence[Sequence[BatchPlan]]) -> int:
    """Tokens that the whole run computes, padding included."""
    shared = work.packing.shared_tokens if work.packing.row_tokens else 0

    def length(row: Sequence[int]) -> int:
        return shared + sum(len(work.rows[at].ids) - shared for at in row)

    return sum(len(plan.rows) * max(map(length, plan.rows)) for step in steps for plan in step)
