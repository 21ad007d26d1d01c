"""What ways are priced from: the workload, prices of today, and machines of the fleet's catalogue."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.inputs import Inputs, Source
from smallfirst.planning.costs.now import Now
from smallfirst.planning.costs.own import Own, given_throughput
from smallfirst.planning.costs.quote import Quote, TokenPrice, read_quote, with_batch
from smallfirst.planning.costs.serverless import Serverless
from smallfirst.planning.costs.spot import Spot
from smallfirst.planning.costs.workload import Workload

if TYPE_CHECKING:
    from pathlib import Path

    from smallfirst.pricing.catalogue import Catalogue


class Basis(NamedTuple):
    """All that the sums need. What was not named is None, and the ways that need it are not priced."""

    workload: Workload
    frontier: Quote
    hosted: Quote | None = None
    own: Own | None = None
    serverless: Serverless | None = None
    spot: Spot | None = None
    now: Now | None = None

    def call_usd(self, price: TokenPrice) -> Fraction:
        """What one call of the workload costs at a price by the token."""
        work = self.workload
        return price.call(work.input_tokens, work.output_tokens, cached_share=work.cached_share)

    @property
    def frontier_usd(self) -> Fraction:
        """What one call costs on the frontier."""
        return self.call_usd(self.frontier.price)

    @property
    def hosted_usd(self) -> Fraction | None:
        """What one call costs at the hosted small model."""
        return None if self.hosted is None else self.call_usd(self.hosted.price)

    @property
    def now_usd(self) -> Fraction:
        """What one call costs that small models are asked now, by the call: without own models' hours."""
        assert self.now is not None
        return self.now.call_usd(self.workload, self.frontier.price)

    @property
    def overflow(self) -> Quote:
        """Where calls go that find no room on spot GPUs."""
        return self.hosted or self.frontier


def basis_of(
    inputs: Inputs, sources: dict[str, Source], catalogue: Catalogue, *, state: Path | None = None
) -> Basis:
    """What the sums need. Adds to `sources` what was looked up: the GPU's price. `state` is where calibrations are kept.

    Raises `ConfigError` that names the option: an unknown model, price or GPU, or a latency target that cannot be kept.
    """
    work = workload_of(inputs)
    frontier = _quote(inputs, "frontier", catalogue)
    assert frontier is not None
    hosted = _quote(inputs, "hosted", catalogue)
    own = None if inputs.own is None else _own(inputs, work, sources, state)
    return Basis(
        workload=work,
        frontier=frontier,
        hosted=hosted,
        own=own,
        serverless=_serverless(inputs),
        spot=_spot(inputs),
    )


def workload_of(inputs: Inputs) -> Workload:
    """The inputs that say how much is asked."""
    names = Workload.__struct_fields__
    given = {name: getattr(inputs, name) for name in names if getattr(inputs, name) is not None}
    return Workload(**given).checked()


def _quote(inputs: Inputs, role: str, catalogue: Catalogue) -> Quote | None:
    text, option = getattr(inputs, role), f"--{role}"
    if text is None:
        return None
    assert inputs.input_tokens is not None
    quote = read_quote(text, option=option, input_tokens=inputs.input_tokens, catalogue=catalogue)
    return with_batch(quote, inputs.batch_factor, option="--batch-factor") if inputs.batch_share else quote


def _own(inputs: Inputs, work: Workload, sources: dict[str, Source], state: Path | None) -> Own:
    assert inputs.own is not None
    if inputs.rps_per_gpu is not None:
        if inputs.gpu_usd_per_hour is None:
            raise ConfigError("what does an hour of the GPU cost?", path="--gpu-usd-per-hour")
        if inputs.ttft_ms is not None or inputs.latency_ms is not None:
            option = "--ttft-ms" if inputs.ttft_ms is not None else "--latency-ms"
            raise ConfigError(
                "needs the fleet model: leave out --rps-per-gpu, which says nothing of latency", path=option
            )
        gpus = inputs.gpus_per_replica or 1
        return Own(
            model=inputs.own,
            gpu=inputs.gpu or "GPU",
            usd_per_hour=inputs.gpu_usd_per_hour,
            throughput=given_throughput(inputs.rps_per_gpu * gpus),
            load=inputs.load if inputs.load is not None else 0.7,
            gpus_per_replica=gpus,
            spare=inputs.spare if inputs.spare is not None else 1,
            source=f"{inputs.rps_per_gpu:g} calls a second and GPU, as given",
        )
    from smallfirst.planning.costs.machine import machine_of

    return machine_of(inputs, work, sources, state=state)


def _serverless(inputs: Inputs) -> Serverless | None:
    if inputs.serverless_usd_per_gpu_second is None:
        return None
    assert inputs.cold_start_s is not None
    assert inputs.keep_warm_s is not None
    return Serverless(
        usd_per_gpu_second=inputs.serverless_usd_per_gpu_second,
        cold_start_s=inputs.cold_start_s,
        keep_warm_s=inputs.keep_warm_s,
        gpus_per_replica=inputs.gpus_per_replica or 1,
    )


def _spot(inputs: Inputs) -> Spot | None:
    if inputs.spot_price_factor is None:
        return None
    assert inputs.spot_floor_share is not None
    assert inputs.preemptions_per_gpu_hour is not None
    assert inputs.restart_s is not None
    return Spot(
        price_factor=inputs.spot_price_factor,
        floor_share=inputs.spot_floor_share,
        preemptions_per_gpu_hour=inputs.preemptions_per_gpu_hour,
        restart_s=inputs.restart_s,
    )
