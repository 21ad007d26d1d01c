"""A tuned encoder as an ONNX graph in int8: tokens in, hidden states of the last layer out. What is served, and what its head is fitted on."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from smallfirst.training.encoder.network import Network

_LONGEST = 512
_LOUD = ("torch.onnx", "onnxscript", "onnx_ir", "root")


class _Hidden(torch.nn.Module):
    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor) -> Tensor:
        """One text, so that nothing is masked."""
        return self.encoder(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).last_hidden_state


def as_onnx(network: Network) -> bytes:
    """The graph's bytes. Weights in int8 by row, of seven bits: with eight, processors without VNNI overflow."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    encoder = network.encoder.cpu()
    encoder.set_attn_implementation("eager")
    with tempfile.TemporaryDirectory(prefix="smallfirst-onnx-") as made, _quiet():
        whole, small = Path(made) / "whole.onnx", Path(made) / "small.onnx"
        program = torch.onnx.export(
            _Hidden(encoder).eval(),
            (torch.zeros(1, 8, dtype=torch.int64),),
            input_names=["input_ids"],
            output_names=["last_hidden_state"],
            dynamic_shapes=({1: torch.export.Dim("tokens", min=2, max=_LONGEST)},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(whole, include_initializers=True, external_data=False)
        quantize_dynamic(whole, small, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
        return small.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own insides: of operators that are not used here, of classes that they will rename."""
    loggers = [logging.getLogger(None if name == "root" else name) for name in _LOUD]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
