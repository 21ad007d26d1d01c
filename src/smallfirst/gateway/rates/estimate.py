"""How many tokens a call may take, before it is known who answers it: set aside, and replaced by what it used."""

from __future__ import annotations

from smallfirst import limits
from smallfirst.gateway.history import History
from smallfirst.models.meter import Meter
from smallfirst.releases import RungPolicy
from smallfirst.wire.incoming import Incoming


def tokens_of(
    incoming: Incoming, rung: RungPolicy, task: str, *, meter: Meter, history: History
) -> tuple[int, int]:
    """Tokens read, by what the model's prompts have come to so far; and tokens written: the request's own limit, else the rung's, else what history
    says of such answers.
    """
    body = incoming.body
    size, images = len(incoming.data), body.image_count
    if images:  # its bytes as text say nothing of an image
        size = incoming.prompt_tokens_at_most - images * limits.RESERVED_TOKENS_PER_IMAGE
    read = meter.estimate(prompt_bytes=size, answer_chars=0).input_tokens
    written = body.max_output_tokens
    if written is None:
        written = rung.max_tokens or history.output_tokens(task, rung.model)
    most = limits.MAX_TOKENS
    return min(read + images * limits.RESERVED_TOKENS_PER_IMAGE, most), min(written * body.choices, most)
