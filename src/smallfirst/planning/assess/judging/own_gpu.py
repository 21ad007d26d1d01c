"""The GPU of one's own that a feature's calls are priced on: how many of them it takes a second, by the fleet's model."""

from __future__ import annotations

from smallfirst.errors import ConfigError
from smallfirst.planning.assess.feature import Feature
from smallfirst.planning.assess.judging.money import Gpu, mean_tokens
from smallfirst.planning.fleet import Load, Server, catalogue, engine_for, saturated

GPU_NAME, MODEL_NAME = "H100", "llama-3.1-8b"
PLANNED = 0.7  # of what a full replica does: queues stay short


def own_gpu(
    feature: Feature, *, gpu: str = GPU_NAME, model: str = MODEL_NAME, usd_per_hour: float | None = None
) -> Gpu | None:
    """None where nobody knows how long the calls are, or they do not fit. Raises `ConfigError` for a GPU or a model that is not in the catalogue, or
    has no known price.
    """
    found, shape = catalogue.gpu(gpu), catalogue.model(model)
    usd = usd_per_hour if usd_per_hour is not None else found.usd_per_hour
    if usd is None:
        raise ConfigError(
            f"the price of {found.name} is unknown: give US dollars an hour", path="--gpu-usd-per-hour"
        )
    means = mean_tokens(feature)
    if means is None or means[0] < 1:
        return None
    server = Server(gpu=found, shape=shape, engine=engine_for(found), efficiency=catalogue.efficiency())
    cached = means[1] / means[0]
    try:
        full = saturated(
            server, Load(input_tokens=means[0], output_tokens=max(1.0, means[2]), cached_share=cached)
        )
    except ConfigError:  # one call does not fit its memory
        return None
    price = "as you said" if usd_per_hour is not None else f"the middle of the offers of {found.price_date}"
    return Gpu(
        name=f"{shape.name} on {found.name}",
        usd_per_hour=usd,
        planned_rps=PLANNED * full.requests_per_s,
        source=f"modelled, {PLANNED:.0%} of {full.requests_per_s:.0f}; {price}",
    )
