"""A model's shape: what follows from it for memory and arithmetic, without its weights."""

from __future__ import annotations

import msgspec

from smallfirst.errors import ConfigError

BYTES = {"bf16": 2.0, "fp8": 1.0}  # of one number
_COUNTS = ("layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "vocabulary")


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dense decoder with grouped-query attention and a gated MLP, as its `config.json` has it (Llama, Qwen, Mistral, Phi-3, Gemma).

    `windowed_layers` of its layers look back `window_tokens` only. `tied`: the output head is the embedding. `parameters` is the count that its
    publisher states (0: none stated); `counted_parameters` follows from the shape.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool = False
    window_tokens: int = 0
    windowed_layers: int = 0
    parameters: int = 0
    hub: str = ""

    def checked(self, where: str) -> Shape:
        """Itself. Raises `ConfigError` that names `where` and the field which cannot be."""
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ConfigError(f"expected at least 1, not {getattr(self, name)}", path=f"{where}: {name}")
        if self.heads % self.kv_heads:
            raise ConfigError(
                f"{self.heads} heads cannot share {self.kv_heads} pairs of keys and values",
                path=f"{where}: kv_heads",
            )
        if self.windowed_layers and self.window_tokens < 1:
            raise ConfigError("windowed layers need window_tokens", path=f"{where}: window_tokens")
        if not 0 <= self.windowed_layers <= self.layers:
            raise ConfigError(
                f"expected at most {self.layers}, the number of layers", path=f"{where}: windowed_layers"
            )
        return self

    @property
    def layer_parameters(self) -> int:
        """Weights of all layers: what every token is multiplied with."""
        attention = (
            self.hidden * self.head_dim * (self.heads + 2 * self.kv_heads)
            + self.heads * self.head_dim * self.hidden
        )
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head_parameters(self) -> int:
        """Weights of the output head: multiplied once for each token that is generated."""
        return self.vocabulary * self.hidden

    @property
    def counted_parameters(self) -> int:
        """All weights, by the shape. Norms and biases are left out: less than a thousandth."""
        return self.layer_parameters + self.head_parameters * (1 if self.tied else 2)

    def weight_bytes(self, precision: str) -> float:
        """Memory of the weights. In FP8 checkpoints the embedding and the head stay in BF16."""
        rest = self.counted_parameters - self.layer_parameters
        return self.layer_parameters * BYTES[precision] + rest * BYTES["bf16"]

    def kv_bytes(self, tokens: float, precision: str) -> float:
        """Keys and values of a context of so many tokens; layers with a window keep no more than that."""
        windowed = self.windowed_layers * min(tokens, self.window_tokens)
        kept = (self.layers - self.windowed_layers) * tokens + windowed
        return 2 * self.kv_heads * self.head_dim * BYTES[precision] * kept

    def attention_flops(self, start: float, end: float) -> float:
        """Operations of attention for the tokens at the positions from `start` to `end`: 4 x heads x head dimension for each pair and layer."""
        pairs = (end**2 - start**2) / 2
        whole = (self.layers - self.windowed_layers) * pairs
        windowed = (
            self.windowed_layers * _pairs_within(start, end, self.window_tokens)
            if self.windowed_layers
            else 0.0
        )
        return 4 * self.heads * self.head_dim * (whole + windowed)


def _pairs_within(start: float, end: float, window: int) -> float:
    """Pairs of a token with those before it, at most `window` back."""
    grown = min(max(start, window), end)  # where the window is full
    return (grown**2 - start**2) / 2 + window * (end - grown) if start < window else window * (end - start)
