"""Reading the file.

Every wrong shape has its own exact sentence, all of them come at once, and nothing read can be changed.
"""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from wrong_shapes import WRONG

from smallfirst.config import find, load
from smallfirst.config.load import parse
from smallfirst.config.schema import Budget, PriceOverride, Rung
from smallfirst.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "message"), WRONG, ids=[message.partition(":")[0][:50] for _, message in WRONG]
)
def test_every_wrong_shape_has_its_sentence(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    lines = message.split("\n")
    head = "smallfirst.toml: " if len(lines) == 1 else f"smallfirst.toml: {len(lines)} problems\n  "
    assert str(caught.value) == head + "\n  ".join(lines)
    assert caught.value.path == message.partition(": ")[0]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[server]\nport = 'a'\nhots = 1\n[tasks.t]\nmargin = 2\n[models.m]\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).splitlines() == [
        f"{path}: 5 problems",
        '  server.port: expected a whole number in [0, 65535], got "a"',
        '  server.hots: unknown field; did you mean "host"?',
        "  tasks.t.margin: expected a number in [0, 1], got 2",
        "  tasks.t.ladder: missing: expected a list of texts or tables",
        "  models.m.provider: missing: expected text in quotes",
    ]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[server]\nport = \n", "(at line 2, column 8)"),
        ("[server\n", "(at line 1, column 8)"),
        ("a = 1\na = 2\n", "(at line 2, column 6)"),
        ("x = 'abc", "(at end of document)"),
    ],
)
def test_wrong_toml_is_placed(text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith("smallfirst.toml: not valid TOML: ")
    assert str(caught.value).endswith(where)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse("a = " + "[" * 100_000 + "]" * 100_000)


def test_a_file_that_is_no_text_says_the_line(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError, match=r"f\.toml: not UTF-8 \(at line 2\)"):
        load(path)


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(b"\xef\xbb\xbf[server]\r\nport = 1\r\n")
    assert load(path).server.port == 1


def test_find_takes_the_argument_then_the_variable_then_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given_, named, here = (tmp_path / name for name in ("given.toml", "named.toml", "smallfirst.toml"))
    for path in (given_, named, here):
        path.write_text("")
    environ = {"SMALLFIRST_CONFIG": str(named)}
    assert find(given_, environ=environ) == given_
    assert find(None, environ=environ) == named
    assert find(None, environ={}) == Path("smallfirst.toml")


def test_what_is_not_found_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fix = "`smallfirst init{}` writes one, --config names another"
    with pytest.raises(ConfigError) as caught:
        find(None, environ={})
    assert str(caught.value) == "smallfirst.toml does not exist; " + fix.format("")
    with pytest.raises(ConfigError) as caught:
        find(None, environ={"SMALLFIRST_CONFIG": "x.toml"})
    assert str(caught.value) == "x.toml (from $SMALLFIRST_CONFIG) does not exist; " + fix.format(
        " --path x.toml"
    )
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        find(tmp_path)


def test_sums_are_exact_however_they_are_written() -> None:
    for written in ("0.1", '"0.1"', "0.10", '"0.10"'):
        config = parse(f"[tenants.t.budget]\nusd_per_day = {written}")
        assert config.tenants["t"].budget.usd_per_day == Decimal("0.1")
    assert parse("[tenants.t.budget]\nusd_per_day = 3").tenants["t"].budget == Budget(usd_per_day=Decimal(3))


def test_days_are_taken_as_text_and_as_tomls_own() -> None:
    price = "[models.m]\nprovider = 'p'\n[[models.m.prices]]\ninput = 1\noutput = 2\nsince = "
    expected = PriceOverride(since="2026-07-01", input=Decimal(1), output=Decimal(2))
    assert (
        parse(price + "2026-07-01").models["m"].prices
        == parse(price + "'2026-07-01'").models["m"].prices
        == (expected,)
    )


def test_a_json_schema_keeps_its_numbers_as_json_numbers() -> None:
    config = parse(
        "[tasks.t]\nladder = ['m']\n[tasks.t.contract]\ntype = 'json'\n"
        "schema = {minimum = 0.5, maxLength = 3}"
    )
    assert json.loads(msgspec.json.encode(config.tasks["t"].contract))["schema"] == {
        "minimum": 0.5,
        "maxLength": 3,
    }


def test_nothing_that_was_read_can_be_changed() -> None:
    config = parse(
        "[providers.p]\nheaders = {a = 'b'}\n[tasks.t]\nladder = ['m']\n"
        "contract = {type = 'json', schema = {type = 'object'}}"
    )
    contract: Any = config.tasks["t"].contract
    for table in (
        config.providers,
        config.models,
        config.tasks,
        config.providers["p"].headers,
        contract.schema,
    ):
        for change in (
            lambda t: t.update(x=1),
            lambda t: t.__setitem__("x", 1),
            lambda t: t.__ior__({"x": 1}),
            lambda t: t.setdefault("x", 1),
            lambda t: t.clear(),
            lambda t: t.popitem(),
        ):
            before = dict(table)
            with pytest.raises(TypeError, match="immutable"):
                change(table)
            assert table == before
    with pytest.raises(AttributeError):
        config.frontier = "x"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config.providers)) == copy.deepcopy(config.providers) == config.providers


def test_a_rung_may_be_a_name_or_a_table() -> None:
    assert parse("[tasks.t]\nladder = ['m', {model = 'n'}]").tasks["t"].ladder == ("m", Rung(model="n"))
