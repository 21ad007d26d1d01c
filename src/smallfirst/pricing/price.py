"""What one model charges: femto-dollars for a token of each class, and for a call.

The classes are those of `chat.Usage`. A class that is not priced apart costs as its parent:

    input ─┬─ cache_read           a provider that quotes no price for cached tokens gives no discount on them
           ├─ cache_write ── cache_write_1h
           └─ input_audio
    output ─┬─ reasoning
            └─ output_audio

Where a price depends on the prompt's length, the tier that the whole prompt reaches applies to *all* tokens
of the attempt, those of the answer too, and not only to the excess: so it is at Anthropic, Google, OpenAI and
xAI, and so genai-prices reads their pages.
"""

from __future__ import annotations

import datetime

import msgspec

from smallfirst.chat import Usage
from smallfirst.money import nusd_from_fusd

AS_PARENT = -1
"""A class that is not priced apart; its parent's price takes this one's place as the struct is made."""

STALE_AFTER_DAYS = 90

_PARENTS = (
    ("cache_read", "input"),
    ("cache_write", "input"),
    ("cache_write_1h", "cache_write"),
    ("input_audio", "input"),
    ("reasoning", "output"),
    ("output_audio", "output"),
)


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Femto-dollars for one token of each class. Raises `ValueError` where a price is negative."""

    input: int
    output: int
    cache_read: int = AS_PARENT
    cache_write: int = AS_PARENT
    cache_write_1h: int = AS_PARENT
    input_audio: int = AS_PARENT
    reasoning: int = AS_PARENT
    output_audio: int = AS_PARENT

    def __post_init__(self) -> None:
        for name, parent in _PARENTS:
            if getattr(self, name) == AS_PARENT:
                msgspec.structs.force_setattr(self, name, getattr(self, parent))
        if min(self.input, self.output, *(getattr(self, name) for name, _ in _PARENTS)) < 0:
            raise ValueError("a price cannot be negative")

    @property
    def dearest_input(self) -> int:
        """The most that a token which is read can cost."""
        return max(self.input, self.cache_read, self.cache_write, self.cache_write_1h, self.input_audio)

    @property
    def dearest_output(self) -> int:
        """The most that a token which is written can cost."""
        return max(self.output, self.reasoning, self.output_audio)


class LengthTier(Rates, frozen=True, kw_only=True):
    """What every token of an attempt costs whose prompt, cache included, is longer than `above_tokens`."""

    above_tokens: int


class Price(Rates, frozen=True, kw_only=True):
    """The price of a model: the rates of short prompts, and `tiers` for longer ones, in order of their
    length.

    `version` is stored with each attempt and says where the price stands:
    `genai-prices-0.2.3/anthropic/claude-sonnet-5-5`, with `@2026-09-01` where it came into force on a known
    day, `+batch` where it is not the standard tier's, `~01:00` where it is that of an hour of the day;
    `config/models.fast@2026-07-01`; `own`; `in-process`. `effective` is that day, `checked` the day up to which the table
    was known to be right, `source` where to look it up.
    """

    version: str
    per_call_fusd: int = 0
    tiers: tuple[LengthTier, ...] = ()
    effective: datetime.date | None = None
    checked: datetime.date | None = None
    source: str = ""
    tier: str = "standard"
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per_call_fusd < 0:
            raise ValueError("a price cannot be negative")
        lengths = [tier.above_tokens for tier in self.tiers]
        if lengths != sorted(set(lengths)):
            raise ValueError("length tiers must be in order, and differ")

    def rates_at(self, prompt_tokens: int) -> Rates:
        """The rates of an attempt whose prompt is that long."""
        rates: Rates = self
        for tier in self.tiers:
            if prompt_tokens <= tier.above_tokens:
                break
            rates = tier
        return rates

    def cost_nusd(self, usage: Usage) -> int:
        """What an attempt costs, in nano-dollars: exact, then rounded once, half to even."""
        rates = self.rates_at(usage.prompt_tokens) if self.tiers else self
        return nusd_from_fusd(
            self.per_call_fusd
            + usage.input_tokens * rates.input
            + usage.output_tokens * rates.output
            + usage.cache_read_tokens * rates.cache_read
            + usage.cache_write_tokens * rates.cache_write
            + usage.cache_write_1h_tokens * rates.cache_write_1h
            + usage.input_audio_tokens * rates.input_audio
            + usage.reasoning_tokens * rates.reasoning
            + usage.output_audio_tokens * rates.output_audio
        )

    def prompt_cache_saved_nusd(self, usage: Usage) -> int:
        """What the provider's prompt cache saved: the same attempt with every cached token at the plain input price,
        less `cost_nusd`. Below 0 where writing to that cache cost more than reading from it saved. Audio stays audio.
        """
        cached = usage.cache_read_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
        if not cached:
            return 0
        plain = Usage(
            input_tokens=usage.input_tokens + cached,
            input_audio_tokens=usage.input_audio_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            output_audio_tokens=usage.output_audio_tokens,
        )
        return self.cost_nusd(plain) - self.cost_nusd(usage)

    def parts_fusd(self, usage: Usage) -> dict[str, int]:
        """What each class costs, in femto-dollars, and `call` for the call itself. Their sum is what
        `cost_nusd` rounds.
        """
        rates = self.rates_at(usage.prompt_tokens)
        return {
            "input": usage.input_tokens * rates.input,
            "cache_read": usage.cache_read_tokens * rates.cache_read,
            "cache_write": usage.cache_write_tokens * rates.cache_write,
            "cache_write_1h": usage.cache_write_1h_tokens * rates.cache_write_1h,
            "input_audio": usage.input_audio_tokens * rates.input_audio,
            "output": usage.output_tokens * rates.output,
            "reasoning": usage.reasoning_tokens * rates.reasoning,
            "output_audio": usage.output_audio_tokens * rates.output_audio,
            "call": self.per_call_fusd,
        }

    def worst_case_nusd(self, prompt_tokens: int, output_tokens: int) -> int:
        """The most that at most so many tokens can cost, into whichever classes they fall, in nano-dollars.

        Every tier that a prompt of that length reaches is looked at, and the shorter ones too: a longer
        prompt need not be the dearer.
        """
        read, written = self.dearest_input, self.dearest_output
        for tier in self.tiers:
            if prompt_tokens <= tier.above_tokens:
                break
            read = max(read, tier.dearest_input)
            written = max(written, tier.dearest_output)
        return nusd_from_fusd(self.per_call_fusd + prompt_tokens * read + output_tokens * written)


def staleness(price: Price, today: datetime.date) -> str | None:
    """A warning where the table that a price comes from was last known to be right more than
    `STALE_AFTER_DAYS` ago, else None.

    The user's own prices (`config/…`, `own`) are theirs to keep: they carry no `checked` and are never stale.
    """
    if price.checked is None:
        return None
    days = (today - price.checked).days
    if days <= STALE_AFTER_DAYS:
        return None
    return (
        f"{price.version}: the table's prices are of {price.checked.isoformat()}, {days} days ago; "
        "update genai-prices, or write the price into the configuration"
    )
