"""The encoder that is served: the mean of the folds' encoders, number by number.

They began at the same place and stayed near it, so what lies between them is an encoder too, and mostly a better one than any of them, at no further
cost (Wortsman et al., "Model soups", ICML 2022). Together they have seen every example.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smallfirst.training.encoder.part import SCORES, Given, Material


def mean_encoder(material: Material, given: Sequence[Given]) -> tuple[bytes, np.ndarray, np.ndarray]:
    """The mean as an ONNX graph, and the weights [labels, dimensions] and bias [labels] of its labels."""
    import torch

    from smallfirst.training.encoder.graph import as_onnx
    from smallfirst.training.encoder.network import Network

    network = Network(material.base, material.labels, material.settings).eval()
    named = dict(network.named_parameters())
    with torch.no_grad():
        for name in given[0].keys() - {SCORES}:
            mean = np.mean([one[name] for one in given], axis=0)
            named[name].copy_(torch.from_numpy(mean))
    return as_onnx(network), *network.linear()
