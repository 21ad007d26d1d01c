"""How many GPUs, how busy, how fast: a roofline model of continuous batching, held against published runs."""

from smallfirst.planning.fleet.capacity import Throughput, saturated
from smallfirst.planning.fleet.gpu import GPU
from smallfirst.planning.fleet.latency import Latency, Target, rate_within, served
from smallfirst.planning.fleet.server import Efficiency, Engine, Load, Server, engine_for
from smallfirst.planning.fleet.shape import Shape

__all__ = [
    "GPU",
    "Efficiency",
    "Engine",
    "Latency",
    "Load",
    "Server",
    "Shape",
    "Target",
    "Throughput",
    "engine_for",
    "rate_within",
    "saturated",
    "served",
]
