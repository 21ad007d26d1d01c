"""A base in four bits, in nothing but torch: NormalFloat (NF4) in blocks of 64, on a CPU as on a GPU.

T. Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs" (2023), section 3: the sixteen values are quantiles of a normal distribution,
scaled to [-1, 1], with an exact zero; each block is divided by its greatest absolute value. Double quantisation (the same section) keeps
those constants in eight bits: 0.127 bits a weight instead of 0.5.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

BLOCK = 64
_CONSTANTS = 256  # constants that share one scale, where they are quantised too
# Appendix E of the paper.
VALUES = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495,
    0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip


class NF4Linear(nn.Linear):
    """A linear layer whose weights are four bits each, and frozen. Multiplied as what they stand for, in the input's own type.

    `weight` holds the codes, two a byte, so that PEFT takes it for a linear layer of integers and puts its own weights over it.
    """

    constants: torch.Tensor
    scales: torch.Tensor
    mean: torch.Tensor
    pairs: torch.Tensor

    def __init__(self, linear: nn.Linear, *, device: torch.device, double: bool = True) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().to(device, torch.float32).reshape(-1)
        self.padding = -weight.numel() % BLOCK
        blocks = nn.functional.pad(weight, (0, self.padding)).view(-1, BLOCK)
        constants = blocks.abs().amax(dim=1)
        scaled = blocks / constants.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
        values = torch.tensor(VALUES, device=device)
        codes = torch.bucketize(scaled, (values[1:] + values[:-1]) / 2).to(torch.uint8).view(-1, 2)
        self.weight = nn.Parameter((codes[:, 0] << 4) | codes[:, 1], requires_grad=False)
        self.bias = (
            None
            if linear.bias is None
            else nn.Parameter(linear.bias.detach().to(device), requires_grad=False)
        )
        self.doubled = double
        self._keep_constants(constants)
        pairs = torch.cartesian_prod(values, values)
        self.register_buffer("pairs", pairs, persistent=False)

    def _keep_constants(self, constants: torch.Tensor) -> None:
        if not self.doubled:
            self.register_buffer("constants", constants)
            return
        self.blocks = constants.numel()
        mean = constants.mean()
        groups = nn.functional.pad(constants - mean, (0, -self.blocks % _CONSTANTS)).view(-1, _CONSTANTS)
        scales = groups.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("constants", (groups / scales[:, None]).round().to(torch.int8))
        self.register_buffer("scales", scales)
        self.register_buffer("mean", mean)

    def dequantised(self, dtype: torch.dtype) -> torch.Tensor:
        """The weights that the codes stand for, [out, in]."""
        constants = self.constants
        if self.doubled:
            constants = (constants.float() * self.scales[:, None] + self.mean).view(-1)[: self.blocks]
        blocks = nn.functional.embedding(self.weight.int(), self.pairs).view(-1, BLOCK)
        weight = (blocks * constants[:, None]).view(-1)
        return weight[: weight.numel() - self.padding].view(self.out_features, self.in_features).to(dtype)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (the name that nn.Linear gives it)
        """Input times the weights' transpose, and the bias. The weights are made anew when the gradient goes back, and never kept."""
        if torch.is_autocast_enabled(input.device.type):
            input = input.to(torch.get_autocast_dtype(input.device.type))  # noqa: A001
        product = _Product.apply(input, self)
        return product if self.bias is None else product + self.bias.to(product.dtype)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, layer: NF4Linear) -> torch.Tensor:
        ctx.layer = layer
        return given @ layer.dequantised(given.dtype).t()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.dequantised(gradient.dtype), None


def quantise(
    model: nn.Module, *, device: torch.device, dtype: torch.dtype | None = None, double: bool = True
) -> int:
    """Puts every linear layer but the output's in four bits on the device, one after the other, and returns how many. The other weights are moved
    too, as numbers of `dtype` where one is given.
    """
    output = getattr(model, "get_output_embeddings", lambda: None)()
    wanted = [
        (module, name, child)
        for module in model.modules()
        for name, child in module.named_children()
        if type(child) is nn.Linear and child is not output
    ]
    for module, name, child in wanted:
        setattr(module, name, NF4Linear(child, device=device, double=double))
        child.weight = nn.Parameter(torch.empty(0), requires_grad=False)
    for value in model.parameters():  # not the buffers: tables of positions stay as exact as they are
        if value.is_floating_point():
            value.data = value.data.to(device, dtype)
    model.to(device)
    return len(wanted)
