"""The loss of a batch: that of every example alone, whatever stands beside it, however the model makes its logits."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
)

from smallfirst.training.lora.batches import collate, packing_for, supervised_logprobs, supervised_loss
from smallfirst.training.lora.heads import head_of
from smallfirst.training.lora.packing import BatchPlan, Packing, plan_epoch
from smallfirst.training.lora.rendering import Rendered

VOCABULARY = 97
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = {
    "llama": LlamaConfig(**SHAPE),
    "qwen3": Qwen3Config(**SHAPE),
    "gemma2": Gemma2Config(**SHAPE, final_logit_softcapping=0.5, query_pre_attn_scalar=8),
    "granite": GraniteConfig(**SHAPE, logits_scaling=3.0),
    "gpt2": GPT2Config(**GPT2),
}


def made(config: Any, **loaded: Any) -> Any:
    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_config(config, **loaded)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)  # far from the little that it begins with
    return model.eval()


def rows_of(count: int = 12, shared: int = 6) -> list[Rendered]:
    numbers = random.Random(1)
    rows = []
    for _ in range(count):
        prompt = [7] * shared + [numbers.randrange(3, VOCABULARY) for _ in range(numbers.randint(2, 12))]
        answer = [numbers.randrange(3, VOCABULARY) for _ in range(numbers.randint(1, 4))] + [2]
        rows.append(Rendered(id="", ids=prompt + answer, supervised_from=len(prompt), prompt_sha256=""))
    return rows


def by_itself(model: Any, row: Rendered) -> float:
    """The loss as a textbook has it."""
    logits = model(input_ids=torch.tensor([row.ids])).logits[0].float()
    expected = torch.tensor(row.ids[row.supervised_from :])
    found = logits[row.supervised_from - 1 : -1].log_softmax(-1)
    return -float(found.gather(1, expected[:, None]).sum())


def total(model: Any, rows: list[Rendered], packing: Packing) -> tuple[float, int]:
    loss, tokens = 0.0, 0
    for plan in plan_epoch(rows, packing, seed=1, epoch=0):
        batch = collate(rows, plan, packing)
        summed, count = supervised_loss(model, batch)
        loss, tokens = loss + summed.item(), tokens + count
    return loss, tokens


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("pack", [True, False])
def test_a_batchs_loss_is_that_of_each_example_alone(name: str, pack: bool) -> None:
    model, rows = made(CONFIGS[name]), rows_of()
    packing = packing_for(rows, model, batch_tokens=96, batch_examples=8, pack=pack)
    assert bool(packing.row_tokens) == pack
    assert packing.shared_tokens == (6 if pack else 0)
    with torch.no_grad():
        loss, tokens = total(model, rows, packing)
        expected = sum(by_itself(model, row) for row in rows)
    assert tokens == sum(len(row.ids) - row.supervised_from for row in rows)
    assert loss / tokens == pytest.approx(expected / tokens, abs=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_head_runs_over_supervised_tokens_alone_and_is_the_models_own(name: str) -> None:
    model = made(CONFIGS[name])
    assert head_of(model) is not None
    seen: list[int] = []
    model.get_output_embeddings().register_forward_hook(
        lambda _, given, __: seen.append(given[0].numel() // 32)
    )
    rows = rows_of()
    packing = packing_for(rows, model, batch_tokens=10_000, batch_examples=100)
    seen.clear()
    (plan,) = plan_epoch(rows, packing, seed=1, epoch=0)
    _, tokens = supervised_loss(model, collate(rows, plan, packing))
    assert seen == [tokens]


def test_a_model_that_makes_its_logits_in_its_own_way_is_left_to_it() -> None:
    model = made(CONFIGS["llama"])
    forward = model.forward

    def twice(*given: Any, **named: Any) -> Any:
        made = forward(*given, **named)
        made.logits = made.logits * 2
        return made

    model.forward = twice
    assert head_of(model) is None
    rows = rows_of()
    packing = packing_for(rows, model, batch_tokens=96, batch_examples=8)
    with torch.no_grad():
        loss, _ = total(model, rows, packing)
        assert loss == pytest.approx(sum(by_itself(model, row) for row in rows), rel=1e-5)


def test_gradients_are_the_same_packed_and_apart() -> None:
    rows, grads = rows_of(), []
    for pack in (True, False):
        model = made(CONFIGS["llama"])
        packing = packing_for(rows, model, batch_tokens=10_000, batch_examples=100, pack=pack)
        (plan,) = plan_epoch(rows, packing, seed=1, epoch=0)
        loss, tokens = supervised_loss(model, collate(rows, plan, packing))
        (loss / tokens).backward()
        grads.append(torch.cat([one.grad.flatten() for one in model.parameters()]))
    assert torch.allclose(*grads, atol=1e-5)


def test_attention_that_is_written_out_packs_too() -> None:
    model, rows = made(CONFIGS["llama"], attn_implementation="eager"), rows_of()
    packing = packing_for(rows, model, batch_tokens=96, batch_examples=8)
    assert packing.row_tokens
    with torch.no_grad():
        assert total(model, rows, packing)[0] == pytest.approx(
            sum(by_itself(model, row) for row in rows), rel=1e-5
        )


def test_a_model_in_which_packed_examples_would_meet_is_not_packed() -> None:
    """A layer that mixes neighbours, as recurrent ones do, whatever the mask says."""
    model, rows = made(CONFIGS["llama"]), rows_of()
    model.model.layers[0].register_forward_hook(lambda _, __, out: out + out.roll(1, dims=1))
    assert packing_for(rows, model, batch_tokens=96, batch_examples=8).row_tokens == 0


def test_a_window_shorter_than_an_example_is_not_packed() -> None:
    rows = rows_of()
    longest = max(len(row.ids) for row in rows)
    for window, packed in ((longest, True), (longest - 1, False)):
        model = made(MistralConfig(**SHAPE, sliding_window=window))
        found = packing_for(rows, model, batch_tokens=96, batch_examples=8)
        assert bool(found.row_tokens) == packed
        with torch.no_grad():
            assert total(model, rows, found)[0] == pytest.approx(
                sum(by_itself(model, row) for row in rows), rel=1e-5
            )


def test_each_log_probability_is_its_examples() -> None:
    model, rows = made(CONFIGS["llama"]), rows_of(5)
    packing = Packing(batch_tokens=0, batch_examples=0, row_tokens=60, shared_tokens=6)
    batch = collate(rows, BatchPlan(rows=((3, 0), (1, 4, 2))), packing)
    with torch.no_grad():
        found = torch.zeros(5).index_add(0, batch.owners, supervised_logprobs(model, batch))
        expected = [-by_itself(model, rows[at]) for at in (3, 0, 1, 4, 2)]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    assert batch.targets[batch.owners == 0].tolist() == rows[3].ids[rows[3].supervised_from :]


def test_trying_leaves_the_model_in_the_mode_that_it_was_in() -> None:
    model, rows = made(CONFIGS["llama"]), rows_of()
    model.train()
    packing_for(rows, model, batch_tokens=96, batch_examples=8)
    assert model.training
