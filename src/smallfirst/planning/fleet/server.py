"""One replica of a model behind an engine like vLLM, and what is asked of it."""

from __future__ import annotations

import math

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.gpu import GPU
from smallfirst.planning.fleet.shape import BYTES, Shape

PARALLEL = (1, 2, 4, 8)
_LEAST_BATCHED_TOKENS = 256
_MOST_TOKENS = 1_000_000  # of a prompt or an answer: longer ones are a slip of the pen
_LARGE_GB = 70  # from here on vLLM takes larger steps, but on an A100


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine is run. The defaults are vLLM's; `engine_for` chooses FP8 and the size of a step by the GPU.

    `batched_tokens` is the most that one step computes (`--max-num-batched-tokens`), `max_sequences` the most answers that grow at once
    (`--max-num-seqs`). `reserve_gb` of each GPU are activations and captured graphs. `lora_factor` multiplies the time of the layers' products.
    """

    weights: str = "bf16"
    kv: str = "bf16"
    tensor_parallel: int = 1
    max_sequences: int = 256
    batched_tokens: int = 8192
    memory_share: float = 0.9
    reserve_gb: float = 2.0
    lora_factor: float = 1.0

    def checked(self) -> Engine:
        """Itself. Raises `ConfigError` that names the field which cannot be."""
        for name in ("weights", "kv"):
            if getattr(self, name) not in BYTES:
                raise ConfigError(f"expected bf16 or fp8, not {getattr(self, name)!r}", path=name)
        if self.tensor_parallel not in PARALLEL:
            raise ConfigError(
                f"expected 1, 2, 4 or 8 GPUs a replica, not {self.tensor_parallel}", path="tensor_parallel"
            )
        for name, least in (("max_sequences", 1), ("batched_tokens", _LEAST_BATCHED_TOKENS)):
            if getattr(self, name) < least:
                raise ConfigError(f"expected at least {least}, not {getattr(self, name)}", path=name)
        if not 0 < self.memory_share <= 1:
            raise ConfigError(f"expected a share in (0, 1], not {self.memory_share:g}", path="memory_share")
        if self.lora_factor < 1:
            raise ConfigError(f"expected at least 1, not {self.lora_factor:g}", path="lora_factor")
        if not (math.isfinite(self.reserve_gb) and self.reserve_gb >= 0):
            raise ConfigError(f"expected at least 0, not {self.reserve_gb:g}", path="reserve_gb")
        return self


class Efficiency(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a GPU's nominal figures. Shares are of the dense peak, of the bandwidth and of the link; a step of the engine costs
    `layer_overhead_us` a layer and `sequence_overhead_us` for each answer that grows in it, whatever it computes. `request_ms` is what a request
    takes outside of the engine's steps: HTTP, tokeniser, the way there. Published runs do not tell it, a calibration does.

    `source` says what they were fitted to.
    """

    bf16_share: float
    fp8_share: float
    bandwidth_share: float
    layer_overhead_us: float
    sequence_overhead_us: float
    link_share: float = 0.6
    request_ms: float = 0.0
    source: str = ""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica is asked, in the mean. `cached_share` of the prompt's tokens lie in the engine's prefix cache: they are the beginning that many
    prompts have in common.

    `spread` is the standard deviation of lengths over their mean (log-normal; 0: all alike). `burst` is how much arrivals bunch: the variance of the
    gaps over that of a Poisson stream (1: Poisson).
    """

    input_tokens: float
    output_tokens: float
    requests_per_s: float = 0.0
    cached_share: float = 0.0
    spread: float = 0.5
    burst: float = 1.0

    def checked(self) -> Load:
        """Itself. Raises `ConfigError` that names the field which cannot be."""
        least = {
            "input_tokens": 1,
            "output_tokens": 1,
            "requests_per_s": 0,
            "cached_share": 0,
            "spread": 0,
            "burst": 0,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= bound):
                raise ConfigError(f"expected at least {bound}, not {value:g}", path=name)
        for name in ("input_tokens", "output_tokens"):
            if getattr(self, name) > _MOST_TOKENS:
                raise ConfigError(
                    f"expected at most {_MOST_TOKENS:,}, not {getattr(self, name):,.0f}", path=name
                )
        if self.cached_share > 1:
            raise ConfigError(f"expected a share in [0, 1], not {self.cached_share:g}", path="cached_share")
        return self

    @property
    def prefilled_tokens(self) -> float:
        """Tokens of a prompt that are computed; the last one always is."""
        return max(1.0, self.input_tokens * (1 - self.cached_share))


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One replica: `engine.tensor_parallel` GPUs that hold one copy of the model."""

    gpu: GPU
    shape: Shape
    engine: Engine = Engine()
    efficiency: Efficiency


def engine_for(gpu: GPU, engine: Engine = Engine()) -> Engine:  # noqa: B008  (frozen)
    """The engine as vLLM would be started on that GPU: FP8 where it computes in it, and steps of 2,048 tokens on all but large new ones."""
    large = gpu.memory_gb >= _LARGE_GB and not gpu.name.upper().startswith("A100")
    steps = engine.batched_tokens if large else min(engine.batched_tokens, 2048)
    precision = {"weights": "fp8", "kv": "fp8"} if gpu.fp8_tflops_per_s else {}
    return msgspec.structs.replace(engine, batched_tokens=steps, **precision)
