"""The encoder with the layer of labels over it, and what is made less while it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging as their_logging

from smallfirst.errors import ConfigError
from smallfirst.training.encoder.base import EncoderBase
from smallfirst.training.encoder.settings import EncoderSettings


class Network(torch.nn.Module):
    """Tokens to unit vectors (the mean of the last layer), and these to one score for each label."""

    def __init__(self, base: EncoderBase, labels: int, settings: EncoderSettings) -> None:
        super().__init__()
        self.encoder = _open(base, settings.dropout)
        self.labels = torch.nn.Linear(self.encoder.config.hidden_size, labels)
        torch.nn.init.zeros_(self.labels.weight)
        torch.nn.init.zeros_(self.labels.bias)
        self._scale = settings.scale

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """[texts, dimensions]."""
        hidden = self.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        kept = mask.unsqueeze(-1).to(hidden.dtype)
        return functional.normalize((hidden * kept).sum(dim=1) / kept.sum(dim=1), dim=1)

    def scores(self, vectors: Tensor) -> Tensor:
        """[texts, labels]."""
        return self.labels(self._scale * vectors)

    def learned(self) -> list[tuple[str, torch.nn.Parameter]]:
        """What learns, by name, once `learning` has been asked."""
        return [(name, one) for name, one in self.named_parameters() if one.requires_grad]

    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        """[labels, dimensions] and [labels]: what makes scores of vectors."""
        weights, bias = self.labels.weight.detach().cpu(), self.labels.bias.detach().cpu()
        return (self._scale * weights).numpy(), bias.numpy()

    def learning(self, settings: EncoderSettings) -> list[dict]:
        """What learns, and how fast, as an optimiser takes it. All else is frozen."""
        for parameter in self.encoder.parameters():
            parameter.requires_grad_(False)
        groups: list[dict] = [
            {"params": list(self.labels.parameters()), "lr": settings.label_rate, "weight_decay": 0.0}
        ]
        layers = list(_layers(self.encoder))
        for below, layer in enumerate(reversed(layers[min(settings.frozen, len(layers) - 1) :])):
            parameters = list(layer.parameters())
            for parameter in parameters:
                parameter.requires_grad_(True)
            rate = settings.rate * settings.layer_decay**below
            groups.append({"params": parameters, "lr": rate, "weight_decay": settings.weight_decay})
        return groups


def loss_of(network: Network, vectors: Tensor, label: Tensor, settings: EncoderSettings) -> Tensor:
    """Cross-entropy and contrast. A text that has none of the labels is to be like all of them equally."""
    scores = network.scores(vectors)
    labels = scores.shape[1]
    inside = label < labels
    wanted = torch.full_like(scores, 1 / labels)
    wanted[inside] = functional.one_hot(label[inside], labels).to(scores.dtype) * (1 - settings.smoothing)
    wanted[inside] += settings.smoothing / labels
    loss = -(wanted * scores.log_softmax(dim=1)).sum(dim=1).mean()
    if settings.contrast:
        loss = loss + settings.contrast * contrast(vectors, label, inside, settings.temperature)
    return loss


def contrast(vectors: Tensor, label: Tensor, inside: Tensor, temperature: float) -> Tensor:
    """Texts of one label are to be nearer to one another than to the rest of the batch; 0 where no two are of one."""
    itself = torch.eye(len(label), dtype=torch.bool, device=label.device)
    near = (vectors @ vectors.T / temperature).masked_fill(itself, -1e9)
    same = (label[:, None] == label[None]) & ~itself & inside[:, None]
    paired = same.any(dim=1)
    if not bool(paired.any()):
        return vectors.sum() * 0
    likelihood = (near.log_softmax(dim=1) * same).sum(dim=1)[paired] / same.sum(dim=1)[paired]
    return -likelihood.mean()


def _layers(model: Any) -> Any:
    """As the BERT family calls them; None where there are none of that name."""
    return getattr(getattr(model, "encoder", None), "layer", None)


def _open(base: EncoderBase, dropout: float) -> PreTrainedModel:
    """The base in float32. Raises `ConfigError` where it is no encoder of the BERT family."""
    before = their_logging.get_verbosity()
    their_logging.set_verbosity_error()  # a pooler that is not wanted is told at length
    their_logging.disable_progress_bar()
    told = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    try:
        model = AutoModel.from_pretrained(
            base.folder, local_files_only=True, dtype=torch.float32, add_pooling_layer=False, **told
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{base.name} cannot be loaded as an encoder: {error}", path="--base") from error
    finally:
        their_logging.set_verbosity(before)
        their_logging.enable_progress_bar()
    if not isinstance(_layers(model), torch.nn.ModuleList):
        raise ConfigError(
            f"{base.name} is a {model.config.model_type}; encoders of the BERT family can be tuned",
            path="--base",
        )
    return model
