"""The page on configuration names every field there is."""

from pathlib import Path

import msgspec
import pytest

from smallfirst.config import schema
from smallfirst.config.budget import Alarms

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
TABLES = [
    schema.Server, schema.Storage, schema.Timeouts, schema.Provider, schema.PriceOverride, schema.Model, schema.Budget, Alarms,
    schema.RateLimits, schema.Tenant,
    schema.Key, schema.Rung, schema.Retrieve, schema.Task, schema.TaskRouter, schema.Scorer,
    schema.TaskGate, schema.Rollout, schema.Routing, schema.Gate,
    schema.TaskCache, schema.SemanticCache, schema.Cache, schema.Learning, schema.Relay, schema.Config,
]  # fmt: skip


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_field_is_named(table: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(table):
        assert any(f"{before}{field.name}{after}" in PAGE for before in "`. [{" for after in "`. ]=,"), (
            field.name
        )
