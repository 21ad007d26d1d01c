"""The loop: AdamW over an adapter's weights, the same on a CPU and on a GPU, that can be stopped anywhere and ends as if it had not been.

E. J. Hu et al., "LoRA" (2021); I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization" (2019).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import torch

from smallfirst.errors import TrainingError
from smallfirst.training.lora.batches import BatchPlan, Packing, collate, plan_epoch, supervised_loss
from smallfirst.training.lora.checkpoint import Checkpoints, Position
from smallfirst.training.lora.device import memory_refused
from smallfirst.training.lora.measure import Progress, Yardstick
from smallfirst.training.lora.rendering import Rendered
from smallfirst.training.lora.settings import Settings
from smallfirst.training.lora.weights import copied, put_back, trained

_CURVE_POINTS = 200
_LOWEST = 0.1  # of the rate, at the end
_BETAS = (0.9, 0.999)
_ENOUGH = 0.75  # of the examples of a step: then the next batch begins another one
_SCORE_GAIN, _LOSS_GAIN = 1e-4, 1e-3  # less is nothing better


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained, on what, and by what it is measured meanwhile. `model` has its adapter on; `precision` is what it computes in."""

    model: Any
    rows: Sequence[Rendered]
    packing: Packing
    sample: Yardstick
    settings: Settings
    device: torch.device
    precision: torch.dtype


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """`stop` is called between steps and while it measures: it raises `KeyboardInterrupt` where the run is to end for now."""

    progress: Progress = lambda *_: None
    stop: Callable[[], None] = lambda: None
    checkpoint_s: float = 60.0


def plan_steps(work: Work) -> list[list[BatchPlan]]:
    """Every step of the whole run, in order: the batches that make it. A function of the examples and the settings alone."""
    steps: list[list[BatchPlan]] = []
    enough = _ENOUGH * work.settings.batch_examples
    for epoch in range(work.settings.epochs):
        step: list[BatchPlan] = []
        for plan in plan_epoch(work.rows, work.packing, seed=work.settings.seed, epoch=epoch):
            step.append(plan)
            if sum(one.examples for one in step) >= enough:
                steps.append(step)
                step = []
        if step:
            steps.append(step)
    return steps


def rate_at(step: int, steps: int, settings: Settings) -> float:
    """The rate of a step, counted from 0: it rises in a line, then falls as a cosine."""
    rising = max(1, math.ceil(settings.warmup * steps))
    if step < rising:
        return settings.rate * (step + 1) / rising
    share = (step - rising) / max(1, steps - rising)
    return settings.rate * (_LOWEST + (1 - _LOWEST) * (1 + math.cos(math.pi * share)) / 2)


def computing(work: Work) -> AbstractContextManager[Any]:
    """Within it, products are made in the run's precision."""
    if work.precision == torch.float32:
        return nullcontext()
    return torch.autocast(work.device.type, work.precision)


def timed_step(work: Work, plans: Sequence[BatchPlan]) -> float:
    """Seconds a computed token, forwards and backwards: of the fastest of these batches. Nothing is learned, and no random number is used up."""
    kept = torch.get_rng_state()
    fastest = math.inf
    work.model.train()
    for at, plan in enumerate([plans[0], *plans]):
        began = time.perf_counter()
        batch = collate(work.rows, plan, work.packing, device=work.device)
        with computing(work):
            loss, _ = supervised_loss(work.model, batch)
        loss.backward()
        if work.device.type == "cuda":
            torch.cuda.synchronize()
        if at:  # the first time of all is slower
            fastest = min(fastest, (time.perf_counter() - began) / batch.tokens)
    work.model.zero_grad(set_to_none=True)
    torch.set_rng_state(kept)
    return fastest


class Loop:
    """One run. `run` may be called where a checkpoint of the same run exists: it goes on from there."""

    def __init__(self, work: Work, checkpoints: Checkpoints, hooks: Hooks) -> None:
        self.work, self.checkpoints, self.hooks = work, checkpoints, hooks
        self.steps = plan_steps(work)
        settings = work.settings
        parts = max(1, min(settings.evaluations, len(self.steps)))
        self.marks = [0, *(math.ceil(len(self.steps) * at / parts) for at in range(1, parts + 1))]
        self.learned = trained(work.model)
        self.optimiser = torch.optim.AdamW(
            self.learned.values(), lr=settings.rate, betas=_BETAS, weight_decay=settings.weight_decay
        )
        self.position = Position()
        self.best: dict[str, torch.Tensor] = {}
        self._told = ""
        self._stride = max(1, len(self.steps) // _CURVE_POINTS)
        self._saved_s = time.monotonic()

    def run(self) -> Position:
        """Trains to the end, and leaves the best weights on the model.

        Raises `TrainingError` where the loss is no number or memory is out, `StateError` for a checkpoint that is damaged;
        `KeyboardInterrupt` goes through, once a checkpoint is on the disk.
        """
        if self.checkpoints.exists:
            self._restore()
        try:
            with memory_refused(self.work.settings):
                while not self.position.done:
                    self._advance()
                    if self.position.done:
                        self._save()  # what is left, measuring and saving, may be interrupted too
        except KeyboardInterrupt:
            self._save()
            raise
        put_back(self.work.model, self.best)
        return self.position

    def _advance(self) -> None:
        """One evaluation that is due, or one step."""
        here = self.position
        if here.evaluated < len(self.marks) and self.marks[here.evaluated] <= here.step:
            self._evaluate()
            here.done = here.worse >= self.work.settings.patience or here.step >= len(self.steps)
        else:
            self._step()
        self.hooks.stop()
        if time.monotonic() - self._saved_s >= self.hooks.checkpoint_s:
            self._save()

    def _step(self) -> None:
        began, here, work = time.perf_counter(), self.position, self.work
        plans = self.steps[here.step]
        rate = rate_at(here.step, len(self.steps), work.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        work.model.train()
        supervised = sum(_supervised(work.rows, plan) for plan in plans)
        total = 0.0
        for plan in plans:
            batch = collate(work.rows, plan, work.packing, device=work.device)
            with computing(work):
                loss, _ = supervised_loss(work.model, batch)
            (loss / supervised).backward()
            total += loss.item()
            here.tokens += batch.tokens
        length = torch.nn.utils.clip_grad_norm_(self.learned.values(), work.settings.clip).item()
        if not (math.isfinite(total) and math.isfinite(length)):
            raise TrainingError(
                f"step {here.step + 1}: the loss or its gradient is no number any more; a lower --rate (it is {work.settings.rate:g}) helps, "
                "or a base in full precision (--method lora)"
            )
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        here.step += 1
        here.supervised += supervised
        here.seconds += time.perf_counter() - began
        self._draw(total, supervised, rate)

    def _draw(self, total: float, supervised: int, rate: float) -> None:
        """A point of the curve, the mean over as many steps as share it; and the line beside the progress bar."""
        here = self.position
        here.pending_loss += total
        here.pending_tokens += supervised
        if here.step % self._stride == 0 or here.step == len(self.steps):
            loss = here.pending_loss / here.pending_tokens
            here.curves.append({"step": here.step, "loss": loss, "rate": rate})
            here.pending_loss, here.pending_tokens = 0.0, 0
            self._told = f"loss {loss:.3f}"
        score = "" if here.best_score is None else f", best score {here.best_score:.3f}"
        self.hooks.progress(f"training: {self._told}{score}", here.step, len(self.steps))

    def _evaluate(self) -> None:
        began, here = time.perf_counter(), self.position

        def progress(what: str, done: int, total: int) -> None:
            self.hooks.progress(what, done, total)
            self.hooks.stop()

        with computing(self.work):
            measured = self.work.sample.measure(self.work.model, progress=progress)
        point = {"step": float(here.step), "calibration_loss": measured.loss}
        if measured.score is not None:
            point["score"] = measured.score
        if measured.valid is not None:
            point["valid"] = measured.valid
        here.curves.append(point)
        here.evaluated += 1
        here.seconds += time.perf_counter() - began
        if not math.isfinite(measured.loss):
            raise TrainingError(
                f"step {here.step}: the loss of the calibration part is no number; a lower --rate helps"
            )
        self._judge(measured.score, measured.loss)

    def _judge(self, score: float | None, loss: float) -> None:
        """Keeps what is best: by the score, and among equal ones by the loss. It stops only where neither gets better."""
        here = self.position
        before = (here.best_score or 0.0, -(here.best_loss if here.best_loss is not None else math.inf))
        if here.best_step < 0 or (score or 0.0, -loss) > before:
            here.best_step, here.best_score, here.best_loss = here.step, score, loss
            self.best = copied(self.work.model)
        better = (score or 0.0) > here.highest_score + _SCORE_GAIN or loss < here.lowest_loss - _LOSS_GAIN
        here.worse = 0 if better else here.worse + 1
        here.highest_score = max(here.highest_score, score or 0.0)
        here.lowest_loss = min(here.lowest_loss, loss)

    def _save(self) -> None:
        tensors = {f"weights/{name}": value for name, value in self.learned.items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for name, value in self.learned.items():
            for kind, one in self.optimiser.state.get(value, {}).items():
                tensors[f"optimiser/{kind}/{name}"] = one
        tensors |= _random_states(self.work.device)
        self.checkpoints.save(self.position, tensors)
        self._saved_s = time.monotonic()

    def _restore(self) -> None:
        self.position, tensors = self.checkpoints.load()
        put_back(self.work.model, dict(_under("weights/", tensors)))
        self.best = dict(_under("best/", tensors))
        for name, value in self.learned.items():
            state = {
                kind: one if kind == "step" else one.to(value.device)
                for kind in ("step", "exp_avg", "exp_avg_sq")
                if (one := tensors.get(f"optimiser/{kind}/{name}")) is not None
            }
            if state:
                self.optimiser.state[value] = state
        torch.set_rng_state(tensors["random/cpu"])
        if self.work.device.type == "cuda" and "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"])


def _random_states(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"random/cpu": torch.get_rng_state()}
    return states | ({"random/cuda": torch.cuda.get_rng_state()} if device.type == "cuda" else {})


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in tensors.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), value


def _supervised(rows: Sequence[Rendered], plan: BatchPlan) -> int:
    """Tokens that are learned from in a batch."""
    return sum(len(rows[at].ids) - rows[at].supervised_from for row in plan.rows for at in row)
