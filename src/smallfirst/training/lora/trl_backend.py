"""The same examples and the same adapter by TRL's `SFTTrainer`, for who wants that: no packing, no checkpoint, one evaluation at the end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

from smallfirst.training.lora.checkpoint import Position
from smallfirst.training.lora.loop import Hooks, Work, computing, plan_steps
from smallfirst.training.lora.rendering import Rendered


def train_by_trl(work: Work, hooks: Hooks) -> Position:
    """Trains the adapter that is on the model. The rendered token ids are handed over as they are, so no template is applied again.

    `KeyboardInterrupt` goes through; nothing is written down meanwhile.
    """
    from transformers import PrinterCallback
    from trl import SFTTrainer  # pyright: ignore[reportMissingImports] (optional)

    position, began = Position(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=work.model,
            args=_config(work, folder),
            train_dataset=_table(work.rows),
            processing_class=work.sample.tokenizer,
            callbacks=[_told(position, hooks)],
        )
        trainer.remove_callback(PrinterCallback)  # it prints where `--json` does
        trainer.train()
    with computing(work):
        measured = work.sample.measure(work.model, progress=hooks.progress)
    position.step = position.best_step = int(trainer.state.global_step)
    position.seconds = time.perf_counter() - began
    position.best_score, position.best_loss, position.done = measured.score, measured.loss, True
    point = {"step": float(position.step), "calibration_loss": measured.loss}
    position.curves.append(point | ({} if measured.score is None else {"score": measured.score}))
    return position


def _config(work: Work, folder: str) -> Any:
    from trl import SFTConfig  # pyright: ignore[reportMissingImports]

    settings, steps = work.settings, len(plan_steps(work))
    longest = max(len(row.ids) for row in work.rows)
    at_once = max(1, min(settings.batch_examples, settings.batch_tokens // longest))
    return SFTConfig(
        output_dir=folder,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=max(1, settings.batch_examples // at_once),
        learning_rate=settings.rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        max_length=None,
        completion_only_loss=True,
        bf16=str(work.precision) == "torch.bfloat16",
        use_cpu=work.device.type == "cpu",
        seed=settings.seed,
        logging_steps=max(1, steps // 100),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _table(rows: Sequence[Rendered]) -> Any:
    import pyarrow  # pyright: ignore[reportMissingImports]
    from datasets import Dataset, disable_progress_bars  # pyright: ignore[reportMissingImports]

    disable_progress_bars()
    columns = {
        "input_ids": [row.ids for row in rows],
        "completion_mask": [[int(at >= row.supervised_from) for at in range(len(row.ids))] for row in rows],
    }
    return Dataset(pyarrow.table(columns), fingerprint="smallfirst")  # it would else make one by pickling all


def _told(position: Position, hooks: Hooks) -> Any:
    from transformers import TrainerCallback

    class Told(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, *, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                position.curves.append({"step": state.global_step, "loss": float(logs["loss"])})

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            hooks.progress("training by trl", state.global_step, state.max_steps)
            hooks.stop()

    return Told()
