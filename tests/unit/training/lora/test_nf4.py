"""A base in four bits: what its codes stand for, and that gradients go through it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from smallfirst.training.lora.nf4 import VALUES, NF4Linear, quantise

CPU = torch.device("cpu")


def linear(rows: int = 96, columns: int = 80, *, bias: bool = False, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    layer = nn.Linear(columns, rows, bias=bias)
    nn.init.normal_(layer.weight, std=0.02)
    return layer


@pytest.mark.parametrize("double", [False, True])
def test_normal_weights_lose_a_tenth_of_their_spread(double: bool) -> None:
    layer = linear(256, 256)
    lost = NF4Linear(layer, device=CPU, double=double).dequantised(torch.float32) - layer.weight
    share = (lost.pow(2).mean() / layer.weight.pow(2).mean()).sqrt().item()
    assert 0.05 < share < 0.11  # four bits a normal value: about 0.09


def test_weights_on_the_grid_are_kept_exactly() -> None:
    layer = linear(8, 64)
    grid = torch.tensor(VALUES).repeat(32).view(8, 64)
    layer.weight.data = grid * 0.5  # the greatest of each block is its constant
    assert torch.equal(NF4Linear(layer, device=CPU, double=False).dequantised(torch.float32), layer.weight)


def test_rows_that_fill_no_block_are_kept_whole() -> None:
    layer = linear(7, 9, bias=True)
    four = NF4Linear(layer, device=CPU)
    assert four.dequantised(torch.float32).shape == (7, 9)
    given = torch.randn(3, 9)
    wanted = given @ four.dequantised(torch.float32).t() + layer.bias
    assert torch.allclose(four(given), wanted, atol=1e-6)


def test_a_block_of_zeros_stays_zero() -> None:
    layer = linear(4, 64)
    layer.weight.data.zero_()
    assert not NF4Linear(layer, device=CPU).dequantised(torch.float32).any()


def test_the_gradient_is_that_of_what_the_codes_stand_for() -> None:
    four = NF4Linear(linear(), device=CPU)
    plain = nn.Linear(80, 96, bias=False)
    plain.weight.data = four.dequantised(torch.float32)
    one = torch.randn(5, 80, requires_grad=True)
    other = one.detach().clone().requires_grad_()
    four(one).square().sum().backward()
    plain(other).square().sum().backward()
    assert torch.allclose(one.grad, other.grad, rtol=1e-5)
    assert four.weight.grad is None


def test_it_takes_half_a_byte_and_an_eighth_of_a_bit_a_weight() -> None:
    four = NF4Linear(linear(512, 1024), device=CPU)
    kept = [four.weight, four.constants, four.scales, four.mean]
    bits = 8 * sum(one.numel() * one.element_size() for one in kept) / (512 * 1024)
    assert 4.12 < bits < 4.14  # the paper's 4.127


def test_other_weights_are_cast_and_tables_stay_exact() -> None:
    model = nn.Sequential(linear(32, 16, seed=1), nn.LayerNorm(32)).to(torch.bfloat16)
    table = torch.arange(4) / 3
    model.register_buffer("table", table)
    quantise(model, device=CPU, dtype=torch.float32)
    assert model[1].weight.dtype == torch.float32
    assert model[0].weight.dtype == torch.uint8
    assert model[0].scales.dtype == torch.float32
    assert torch.equal(model.get_buffer("table"), table)


def test_peft_puts_its_weights_over_it_and_learns() -> None:
    from peft import LoraConfig, inject_adapter_in_model

    model = nn.Sequential(linear(32, 16, seed=1), nn.ReLU(), linear(2, 32, seed=2))
    assert quantise(model, device=CPU) == 2
    model = inject_adapter_in_model(LoraConfig(r=4, target_modules=["0", "2"]), model)
    learned = [value for name, value in model.named_parameters() if "lora" in name]
    optimiser = torch.optim.AdamW(learned, lr=0.05)
    given, wanted = torch.randn(64, 16), torch.randint(0, 2, (64,))
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(given), wanted)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]
