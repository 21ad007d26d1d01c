"""The loop: one encoder, tuned on some rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from smallfirst.training.encoder.base import EncoderBase
from smallfirst.training.encoder.network import Network, loss_of
from smallfirst.training.encoder.settings import EncoderSettings
from smallfirst.training.encoder.tokens import Ids, by_length, drawn, padded

_CLIP = 1.0
_BETAS = (0.9, 0.98)
_LAST_RATE = 0.02  # of the highest, at the end
_EMBED_BATCH = 64

Stepped = Callable[[], None]


def learn(
    base: EncoderBase,
    ids: Ids,
    label: np.ndarray,
    labels: int,
    settings: EncoderSettings,
    *,
    seed: int,
    stepped: Stepped,
) -> Network:
    """A network tuned on these texts; `label` [n] as a number, `labels` where a text has none of them. Told after each step."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = Network(base, labels, settings).to(device)
    optimiser = torch.optim.AdamW(network.learning(settings), betas=_BETAS)
    steps = settings.epochs * math.ceil(len(ids) / settings.batch)
    warm = max(1, round(settings.warmup * steps))

    def rate(step: int) -> float:
        down = 1 - max(0, step - warm) / max(1, steps - warm)
        return min(1.0, (step + 1) / warm) * max(_LAST_RATE, down)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    learned = [parameter for _, parameter in network.learned()]
    network.train()
    for _ in range(settings.epochs):
        for kept in drawn(ids, settings.batch, draw):
            tokens, mask = (torch.from_numpy(part).to(device) for part in padded(ids, kept))
            wanted = torch.from_numpy(label[kept]).to(device)
            loss = loss_of(network, network(tokens, mask), wanted, settings)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, _CLIP)
            optimiser.step()
            schedule.step()
            stepped()
    return network.eval()


@torch.inference_mode()
def scores_of(network: Network, ids: Ids) -> np.ndarray:
    """float32 [n, labels]."""
    device = next(network.parameters()).device
    found = np.zeros((len(ids), network.labels.out_features), np.float32)
    for kept in by_length(ids, _EMBED_BATCH):
        tokens, mask = (torch.from_numpy(part).to(device) for part in padded(ids, kept))
        found[kept] = network.scores(network(tokens, mask)).float().cpu().numpy()
    return found
