"""What may be set of a tuned encoder. The defaults were chosen on rows that no figure is reported of (design/010-encoder.md)."""

from __future__ import annotations

import msgspec

from smallfirst.errors import ConfigError

_SEEN = 24_000  # examples, each as often as it is seen
_LEAST_EPOCHS, _MOST_EPOCHS = 6, 12


class EncoderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`folds`: as many encoders are trained on a part of the examples each, to say what a tuned one makes of examples that it has not seen.

    `frozen`: so many of the lower layers stay as they are, with the word vectors. `layer_decay`: each layer below learns slower by this factor.
    `contrast` weighs the supervised contrastive loss beside cross-entropy (Khosla et al., 2020), at `temperature`.
    """

    epochs: int = 0  # by the number of examples
    folds: int = 3
    batch: int = 32
    rate: float = 3e-4
    label_rate: float = 5e-3
    layer_decay: float = 0.8
    weight_decay: float = 0.01
    warmup: float = 0.1
    frozen: int = 3
    dropout: float = 0.1
    smoothing: float = 0.1
    scale: float = 20.0  # of a unit vector, before the layer of labels
    contrast: float = 0.5
    temperature: float = 0.1
    max_tokens: int = 128  # of a text, while it is trained

    def settled(self, rows: int) -> EncoderSettings:
        """For so many examples: the fewer, the oftener each is seen."""
        if self.epochs:
            return self
        usual = round(_SEEN / max(1, rows))
        return msgspec.structs.replace(self, epochs=min(max(usual, _LEAST_EPOCHS), _MOST_EPOCHS))

    def checked(self) -> EncoderSettings:
        """Itself. Raises `ConfigError` for a number that makes no sense."""
        for name, least in (("epochs", 0), ("folds", 2), ("batch", 2), ("frozen", 0), ("max_tokens", 4)):
            if (value := getattr(self, name)) < least:
                raise ConfigError(f"{value} is too few; {least} at least", path=f"--{name}")
        if not 0 < self.rate < 1:
            raise ConfigError(f"{self.rate} is no learning rate: 2e-4 is usual", path="--rate")
        return self
