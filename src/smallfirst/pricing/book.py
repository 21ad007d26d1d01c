"""The price of any model of a configuration on any day.

A price is looked for in this order, and the first that is found holds:

1. the model's own `[[models.X.prices]]`, of its tier: the latest `since` that has come;
2. `hourly_usd`: the machine is billed by the hour, so its tokens are free (version `own`);
3. a label head answers in the gateway's own process and costs nothing (version `in-process`);
4. genai-prices, at the provider that `price_as` names, else at the one whose address `base_url` is, else at
   the one that the provider's kind stands for (`openai` and `anthropic` without a `base_url`, `azure`
   always).

Otherwise it is None: unknown, which is not zero. An embedded model without `hourly_usd`, or an engine at an
address that nobody knows, has no price until the configuration gives it one.
"""

from __future__ import annotations

import datetime
import difflib
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from smallfirst import limits
from smallfirst.config.schema import Config, PriceOverride
from smallfirst.config.schema import Model as ModelConfig
from smallfirst.config.schema import Provider as ProviderConfig
from smallfirst.errors import ConfigError
from smallfirst.money import fusd_per_token, nusd_from_usd
from smallfirst.pricing.price import AS_PARENT, Price

if TYPE_CHECKING:  # the table takes a third of a second to load: only where it is asked
    from genai_prices.types import Provider as Seller

    from smallfirst.pricing.table import Entry

_FUSD_PER_NUSD = 10**6
_DATED = re.compile(r"^(?P<id>.+?)[-@]20\d\d-?(0[1-9]|1[0-2])-?([0-2]\d|3[01])$")


_IN_PROCESS = Price(
    input=0,
    output=0,
    version="in-process",
    note="it answers in the gateway's own process: nothing is charged",
)


class PriceBook:
    """Finds prices, and keeps those that it found.

    Raises `ConfigError` for an override or a `price_as` that cannot be read. `today` (UTC; the present day by
    default) says which of a table's days have come, for its age; prices are asked for by their own day.
    """

    def __init__(self, config: Config, *, today: datetime.date | None = None) -> None:
        self._config = config
        self._today = today or datetime.datetime.now(datetime.UTC).date()
        self._found: dict[tuple[str, str, datetime.date], Price | None] = {}
        self._overrides = {
            name: sorted(_overrides(name, model), key=lambda price: price.effective or datetime.date.min)
            for name, model in config.models.items()
        }
        for name, provider in config.providers.items():
            _check_price_as(name, provider)

    def at(self, model: str, provider: str, on: datetime.date) -> Price | None:
        """The price of a model on a day (UTC), None where it is unknown.

        `model` is its name in the configuration, or the provider's id for it, dated as replies give it or
        not; `provider` the provider's name in the configuration. Where prices change by the hour of the day,
        a `datetime` that knows its time zone gets the price of that minute, and a `date` that of the dearest
        hours: the cost is then an upper bound.
        """
        if isinstance(on, datetime.datetime):
            on = on.astimezone(datetime.UTC).replace(second=0, microsecond=0)
        key = (model, provider, on)
        try:
            return self._found[key]
        except KeyError:
            price = self._find(model, provider, on)
        if len(self._found) >= limits.MAX_PRICES_KEPT:  # ids may come from clients
            self._found.clear()
        self._found[key] = price
        return price

    def entry(self, model: str, provider: str) -> Entry | None:
        """The model in the price table, whether or not its price is taken from there; None where it is not in
        it.
        """
        return self._entry(model, provider, self._model(model, provider))

    def _find(self, model: str, provider: str, on: datetime.date) -> Price | None:
        day = on.date() if isinstance(on, datetime.datetime) else on
        config = self._model(model, provider)
        tier = "standard"
        if config is not None:
            in_force = [
                price for price in self._overrides[config] if price.effective and price.effective <= day
            ]
            if in_force:
                return in_force[-1]
            if self._config.models[config].hourly_usd is not None:
                return Price(input=0, output=0, version="own", note="its machine is billed by the hour")
            if self._config.providers[provider].kind == "head":
                return _IN_PROCESS
            tier = self._config.models[config].tier
        entry = self._entry(model, provider, config)
        if entry is None:
            return None
        from smallfirst.pricing import table

        if isinstance(on, datetime.datetime):
            return table.price_at(entry, on, tier=tier, today=self._today)
        return table.price_of_day(entry, day, tier=tier, today=self._today)

    def _model(self, model: str, provider: str) -> str | None:
        """The configured model that is meant: by its name, its provider's id, or that id with a date."""
        named = self._config.models.get(model)
        if named is not None and named.provider == provider:
            return model
        if (name := self._model_of_id(model, provider)) is not None:
            return name
        dated = _DATED.match(model)
        name = self._model_of_id(dated["id"], provider) if dated else None
        if name is None:
            return None
        # A snapshot that is sold at its own price (gpt-4o-2024-05-13) is not the model that has its name.
        mine = self._table_entry(self._config.models[name].id or name, provider)
        snapshot = self._table_entry(model, provider)
        return None if mine and snapshot and mine.model is not snapshot.model else name

    def _model_of_id(self, upstream_id: str, provider: str) -> str | None:
        models = self._config.models.items()
        return next(
            (
                name
                for name, model in models
                if model.provider == provider and (model.id or name) == upstream_id
            ),
            None,
        )

    def _entry(self, model: str, provider: str, config: str | None) -> Entry | None:
        """The model in the table: by the id that was configured, else by the one that was asked for."""
        if config is None:
            return self._table_entry(model, provider)
        found = self._table_entry(self._config.models[config].id or config, provider)
        return found or (None if model == config else self._table_entry(model, provider))

    def _table_entry(self, upstream_id: str, provider: str) -> Entry | None:
        settings = self._config.providers.get(provider)
        seller = _seller(settings) if settings is not None else None
        if seller is None:
            return None
        from smallfirst.pricing import table

        return table.find(seller, upstream_id)


def _seller(provider: ProviderConfig) -> Seller | None:
    """The provider in the table that a configured one stands for, None if it stands for none."""
    if provider.kind in ("embedded", "head") and provider.price_as is None:
        return None
    from smallfirst.pricing import table

    if provider.price_as is not None:
        return table.find_provider(provider.price_as)
    if provider.kind == "azure" or provider.base_url is None:
        return table.find_provider(provider.kind)
    return table.find_provider_at(provider.base_url)


def _check_price_as(name: str, provider: ProviderConfig) -> None:
    if provider.price_as is None:
        return
    from smallfirst.pricing import table

    if table.find_provider(provider.price_as) is not None:
        return
    near = difflib.get_close_matches(provider.price_as, [known.id for known in table.providers()], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"no provider {provider.price_as!r} in {table.name()}{hint}", path=f"providers.{name}.price_as"
    )


def _overrides(name: str, model: ModelConfig) -> list[Price]:
    """The configured prices of the model's tier."""
    found = [_override(name, index, override) for index, override in enumerate(model.prices)]
    of_tier = [price for price in found if price.tier == model.tier]
    days = [price.effective for price in of_tier]
    if len(days) != len(set(days)):
        raise ConfigError("two prices of one tier have the same `since`", path=f"models.{name}.prices")
    return of_tier


def _override(name: str, index: int, override: PriceOverride) -> Price:
    path = f"models.{name}.prices[{index}]"
    try:
        since = datetime.date.fromisoformat(override.since)
    except ValueError:
        raise ConfigError(
            f"expected a day as YYYY-MM-DD, not {override.since!r}", path=f"{path}.since"
        ) from None
    try:
        per_call_fusd = nusd_from_usd(override.per_call) * _FUSD_PER_NUSD
        return Price(
            input=fusd_per_token(override.input),
            output=fusd_per_token(override.output),
            cache_read=_optional(override.cache_read),
            cache_write=_optional(override.cache_write),
            cache_write_1h=_optional(override.cache_write_1h),
            input_audio=_optional(override.input_audio),
            reasoning=_optional(override.reasoning),
            output_audio=_optional(override.output_audio),
            per_call_fusd=per_call_fusd,
            version=f"config/models.{name}@{since.isoformat()}"
            + ("" if override.tier == "standard" else f"+{override.tier}"),
            effective=since,
            source="configuration",
            tier=override.tier,
            note=override.note,
        )
    except ValueError as error:
        raise ConfigError(str(error), path=path) from None


def _optional(usd_per_million: Decimal | None) -> int:
    return AS_PARENT if usd_per_million is None else fusd_per_token(usd_per_million)
