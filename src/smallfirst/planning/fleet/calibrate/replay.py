"""The fleet's model, given the very requests of a run: the same arrivals, the same lengths, until the same end."""

from __future__ import annotations

import math

import numpy as np

from smallfirst.planning.fleet.batching import Request, run
from smallfirst.planning.fleet.calibrate.point import Point, Summary, Times, summary_of, times_of
from smallfirst.planning.fleet.server import Server


class Replayed:
    """One run, ready to be asked of many servers."""

    def __init__(self, point: Point, *, shared_tokens: float = 0.0) -> None:
        self.point, self.shared_tokens = point, shared_tokens
        self.times = times_of(point)
        self.measured = summary_of(point, self.times)
        self._requests = [
            Request(float(due), float(read), float(written), min(shared_tokens, float(read) - 1))
            for due, read, written in zip(
                self.times.due_s, self.times.input_tokens, self.times.output_tokens, strict=True
            )
        ]

    def predicted(self, server: Server) -> Summary:
        """The figures of the run as that server would have given them. What it had not ended by the run's end is given up, as it was there.

        Raises `ConfigError` where the model does not fit into its memory.
        """
        return summary_of(self.point, self._served(server))

    def _served(self, server: Server) -> Times:
        times = self.times
        found = run(server, self._requests)
        request_s = server.efficiency.request_ms / 1000
        first, last = np.array(found.first_s) + request_s, np.array(found.last_s) + request_s
        end_s = self.point.ended_s
        begun, ended = first <= end_s, last <= end_s
        took = np.maximum(last - first, 1e-9)
        grown = 1 + np.floor((times.output_tokens - 1) * np.clip((end_s - first) / took, 0, 1))
        return times._replace(
            first_s=np.where(begun, first, math.nan),
            last_s=np.where(ended, last, math.nan),
            seen_s=np.where(begun, np.minimum(last, end_s), math.nan),
            seen_tokens=np.where(ended, times.output_tokens, np.where(begun, grown, 0)),
        )
