"""A feature: calls that ask for the same kind of thing, as they were found in a stream."""

from __future__ import annotations

import msgspec

from smallfirst.planning.assess.observed import Observed

SAMPLE_CALLS = 2000  # that are kept of a feature, drawn uniformly


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of all its calls, and a uniform sample of them.

    `hours` are calls by hour since 1970 (UTC), without those of unknown time; `latency` and `first_token` are histograms of microseconds in
    the buckets of `ledger/buckets.py`. Tokens are sums over the `token_calls` that told them, or were estimated for (`tokens_estimated`).
    """

    name: str  # what a person would call it
    words: tuple[str, ...]  # what sets it apart from the others
    prompt: str  # the part of the prompt that its calls share, at most 2,000 characters
    calls: int
    failed_calls: int = 0
    streamed_calls: int = 0
    tool_calls: int = 0  # whose answers asked for tools
    tools: int = 0  # offered at most
    long_conversations: int = 0  # calls with more than one message of the user's
    tasks: dict[str, int] = {}  # declared ones, and how many calls named them
    models: dict[str, int] = {}
    schemas: dict[str, int] = {}
    tenants: int = 0
    hours: dict[int, int] = {}
    latency: dict[int, int] = {}
    first_token: dict[int, int] = {}
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0  # of the output
    token_calls: int = 0
    tokens_estimated: bool = False
    cost_nusd: int = 0
    unknown_cost_calls: int = 0
    inputs: int = 0  # calls whose prompt is known
    distinct_inputs: int = 0  # of those, different in what their users gave
    requests: int = 0  # calls whose prompt is known and that did not fail
    distinct_requests: int = 0  # of those, different in anything that an exact cache goes by, tenants too
    dated_requests: int = 0
    repeated_requests: int = 0  # of the dated ones, that an exact cache had still had an answer to
    sample: tuple[Observed, ...] = ()
