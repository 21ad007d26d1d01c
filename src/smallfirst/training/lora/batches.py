"""Batches as tensors, and their loss: only at the supervised positions, and for packed rows the same as for each example alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch

from smallfirst.training.lora.heads import answering, causal_of, logits_at
from smallfirst.training.lora.packing import ROW_TOKENS, BatchPlan, Packing, plan_epoch, shared_tokens  # noqa: F401 (the loop takes it from here)
from smallfirst.training.lora.rendering import Rendered

_SHARED, _PADDING = 0, -1  # whose token it is; an example's own are numbered from 1
_EXACT_NATS, _EXACT_NATS_16_BITS = 1e-3, 0.1
_TRIED = 3


@dataclass(frozen=True, eq=False)
class Batch:
    """`inputs` are the model's. At `(at_row, at_column)` it is to predict `targets`, each of which is of the example `owners` (by its place in
    the plan). `tokens` are those computed, padding included.
    """

    inputs: dict[str, torch.Tensor]
    at_row: torch.Tensor
    at_column: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    tokens: int
    supervised: int
    examples: int


def packing_for(
    rows: Sequence[Rendered], model: Any, *, batch_tokens: int, batch_examples: int, pack: bool = True
) -> Packing:
    """Packs where that changes nothing but the time: tried on this model with a few of these rows. Leaves the model as it was."""
    padded = Packing(batch_tokens=batch_tokens, batch_examples=batch_examples)
    longest = max(len(row.ids) for row in rows)
    packed = msgspec.structs.replace(
        padded,
        row_tokens=min(max(ROW_TOKENS, longest), max(batch_tokens, longest)),
        shared_tokens=shared_tokens(rows),
    )
    config = causal_of(model).config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if not pack or len(rows) < 2 or (window is not None and longest > window):
        return padded  # a packed row's own mask takes the place of the window's
    return packed if _packs_exactly(rows, packed, model) else padded


def collate(rows: Sequence[Rendered], plan: BatchPlan, packing: Packing, *, device: Any = None) -> Batch:
    """The plan's examples as tensors: packed where the packing says so, else one a row, padded at its end."""
    laid = [_laid([rows[index] for index in row], packing) for row in plan.rows]
    longest = max(len(row.ids) for row in laid)
    ids = [row.ids + [0] * (longest - len(row.ids)) for row in laid]
    inputs = {"input_ids": torch.tensor(ids, device=device)}
    if packing.row_tokens:
        # Padded at the end nothing sees what comes after it, and no mask is needed; packed, every token says whose it is.
        positions = [row.positions + [0] * (longest - len(row.ids)) for row in laid]
        whose = [row.whose + [_PADDING] * (longest - len(row.ids)) for row in laid]
        inputs["position_ids"] = torch.tensor(positions, device=device)
        inputs["attention_mask"] = _sees(torch.tensor(whose, device=device))
    read = [(at, column) for at, row in enumerate(laid) for column in row.read]
    first = [sum(len(row) for row in plan.rows[:at]) for at in range(len(laid))]
    owners = [first[at] + whose for at, row in enumerate(laid) for whose in row.owners]
    return Batch(
        inputs=inputs,
        at_row=torch.tensor([at for at, _ in read], device=device),
        at_column=torch.tensor([column for _, column in read], device=device),
        targets=torch.tensor([target for row in laid for target in row.targets], device=device),
        owners=torch.tensor(owners, device=device),
        tokens=longest * len(laid),
        supervised=len(read),
        examples=plan.examples,
    )


def supervised_loss(model: Any, batch: Batch) -> tuple[torch.Tensor, int]:
    """The summed cross-entropy of the supervised tokens (natural, float32, with its graph), and how many there are."""
    return -supervised_logprobs(model, batch).sum(), batch.supervised


def supervised_logprobs(model: Any, batch: Batch) -> torch.Tensor:
    """The log-probability of each supervised token (natural, float32), in the order of `batch.targets`."""
    inputs = batch.inputs
    mask = inputs.get("attention_mask")
    if mask is not None and causal_of(model).config._attn_implementation != "sdpa":  # noqa: SLF001 (transformers has no public name for it)
        inputs = inputs | {"attention_mask": _added(mask, next(causal_of(model).parameters()).dtype)}
    logits = logits_at(model, batch.at_row, batch.at_column, inputs)
    return -torch.nn.functional.cross_entropy(logits, batch.targets, reduction="none")


class _Laid(msgspec.Struct, kw_only=True):
    """One row: for each token its id, position and whose it is; where a logit is read, for which target, of which of the row's examples."""

    ids: list[int]
    positions: list[int]
    whose: list[int]
    read: list[int] = []
    targets: list[int] = []
    owners: list[int] = []


def _laid(examples: Sequence[Rendered], packing: Packing) -> _Laid:
    shared = packing.shared_tokens if packing.row_tokens else 0
    row = _Laid(ids=list(examples[0].ids[:shared]), positions=list(range(shared)), whose=[_SHARED] * shared)
    for number, example in enumerate(examples):
        begins = (
            len(row.ids) - shared
        )  # the place of an example's token in the row, less its place in the example
        own = len(example.ids) - shared
        row.ids += example.ids[shared:]
        row.positions += range(shared, len(example.ids))
        row.whose += [number + 1] * own
        supervised = range(example.supervised_from, len(example.ids))
        row.read += [begins + at - 1 for at in supervised]
        row.targets += [example.ids[at] for at in supervised]
        row.owners += [number] * len(supervised)
    return row


def _sees(whose: torch.Tensor) -> torch.Tensor:
    """Which token attends to which, (rows, 1, length, length): those before it that are its own example's or shared, and itself."""
    query, key = whose[:, :, None], whose[:, None, :]
    before = torch.ones(whose.shape[1], whose.shape[1], dtype=torch.bool, device=whose.device).tril()
    return (((query == key) | ((key == _SHARED) & (query > _SHARED))) & before)[:, None]


def _added(sees: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The mask as attention that is written out wants it: added to the scores."""
    return torch.zeros(sees.shape, dtype=dtype, device=sees.device).masked_fill(~sees, torch.finfo(dtype).min)


def _packs_exactly(rows: Sequence[Rendered], packing: Packing, model: Any) -> bool:
    """Whether the model gives packed examples the log-probabilities that it gives them alone. Recurrent layers
    do not."""
    some = sorted(rows, key=lambda row: len(row.ids))[:_TRIED]
    packing = msgspec.structs.replace(packing, row_tokens=sum(len(row.ids) for row in some))
    device = next(causal_of(model).parameters()).device
    apart = Packing(batch_tokens=0, batch_examples=0)
    one = BatchPlan(rows=(tuple(range(len(some))),))
    each = BatchPlan(rows=tuple((at,) for at in range(len(some))))
    with answering(model):
        try:
            packed = supervised_logprobs(model, collate(some, one, packing, device=device))
        except (RuntimeError, TypeError, ValueError):  # a mask of four dimensions is nothing to it
            return False
        alone = supervised_logprobs(model, collate(some, each, apart, device=device))
    exact = next(causal_of(model).parameters()).dtype in (torch.float32, torch.float64)
    return bool((packed - alone).abs().mean() < (_EXACT_NATS if exact else _EXACT_NATS_16_BITS))
