"""The whole: what was prepared becomes an adapter in the store, or nothing does."""

from __future__ import annotations

import hashlib
import shutil
import time
from typing import NamedTuple

import msgspec

import smallfirst
from smallfirst.models.adapters.adapter import Made, Manifest, Probe
from smallfirst.models.adapters.store import PEFT, Adapters
from smallfirst.training.lora.checkpoint import Checkpoints, Position
from smallfirst.training.lora.device import memory_refused
from smallfirst.training.lora.loop import Hooks, Loop, computing
from smallfirst.training.lora.measure import Measured
from smallfirst.training.lora.prepare import Prepared, contract_sha256
from smallfirst.training.lora.weights import bytes_of_base, write_peft
from smallfirst.user import user_name

_PROBES = 64


class Tuned(NamedTuple):
    """An adapter that lies in the store. `new`: it was not there before; the same run again makes the same one."""

    id: str
    new: bool
    manifest: Manifest
    made: Made


def tune(prepared: Prepared, hooks: Hooks) -> Tuned:
    """Trains, or goes on, and saves the adapter. `KeyboardInterrupt` goes through once a checkpoint is on the disk.

    Raises `TrainingError` and `StateError` as the loop does. Nothing is in the store unless it is whole.
    """
    checkpoints = prepared.checkpoints
    with checkpoints.held():
        if prepared.order.restart:
            checkpoints.remove()
        position = _train(prepared, checkpoints, hooks)
        tuned = _saved(prepared, position, hooks)
        checkpoints.remove()
    return tuned


def _train(prepared: Prepared, checkpoints: Checkpoints, hooks: Hooks) -> Position:
    if prepared.settings.backend == "trl":
        from smallfirst.training.lora.trl_backend import train_by_trl

        return train_by_trl(prepared.work, hooks)
    return Loop(prepared.work, checkpoints, hooks).run()


def _saved(prepared: Prepared, position: Position, hooks: Hooks) -> Tuned:
    """Measures the best weights, and puts the adapter into the store: whole, or not at all."""
    order, work = prepared.order, prepared.work

    def progress(what: str, done: int, total: int) -> None:
        hooks.progress(what, done, total)
        hooks.stop()

    with memory_refused(prepared.settings), computing(work):
        measured = prepared.final.measure(work.model, progress=progress)
    data = b"".join(msgspec.json.encode(probe) + b"\n" for probe in _probes(prepared, measured))
    adapters = Adapters(order.state)
    place = adapters.workplace()
    try:
        files = write_peft(work.model, place / PEFT, base=order.base.name)
        files |= order.base.write_template(place / PEFT)
        manifest = _manifest(prepared, position, files, measured=measured, probes=data)
        made = _made(prepared, position)
        name, new = adapters.save(place, manifest, made, data)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Tuned(name, new, manifest, made)


def _probes(prepared: Prepared, measured: Measured) -> list[Probe]:
    """Some of the answers, for a server's to be compared with."""
    return [
        Probe(id=row.id, answer=answer.text, logprob=answer.logprob, prompt_sha256=row.prompt_sha256)
        for row, answer in zip(prepared.final.rows[:_PROBES], measured.answers, strict=False)
    ]


def _manifest(
    prepared: Prepared, position: Position, files: dict[str, str], *, measured: Measured, probes: bytes
) -> Manifest:
    order, work = prepared.order, prepared.work
    settings = (
        prepared.settings.as_dict()
        | {
            "device": work.device.type,
            "precision": str(work.precision).removeprefix("torch."),
            "packed": bool(work.packing.row_tokens),
            "base_bytes": bytes_of_base(work.model),  # as it lay in memory: what qlora saves
            "steps": position.step,
            "best_step": position.best_step,
            "skipped": len(prepared.skipped),
            "answer_tokens": prepared.final.max_tokens,  # that a probe's answer was given: deploying asks for as many
        }
    )
    scores = {"loss": measured.loss, "rows": float(measured.rows), "train_rows": float(len(work.rows))}
    scores |= {name: value for name in ("score", "valid") if (value := getattr(measured, name)) is not None}
    return Manifest(
        task=order.task,
        method=prepared.settings.method,
        base=order.base.told(),
        dataset=order.dataset.id,
        asked=order.asked,
        contract_sha256=contract_sha256(order.contract),
        settings=settings,
        files=files,
        probes_sha256=hashlib.sha256(probes).hexdigest(),
        scores=scores,
        version=smallfirst.__version__,
    )


def _made(prepared: Prepared, position: Position) -> Made:
    hourly = prepared.order.usd_per_hour
    return Made(
        at_ms=int(time.time() * 1000),
        by=user_name(),
        version=smallfirst.__version__,
        hardware=prepared.estimate.device,
        seconds=round(position.seconds, 3),
        usd=None if hourly is None else round(hourly * position.seconds / 3600, 6),
        note=prepared.order.note,
        curves=position.curves,
    )
