"""Accounts as providers write them, read to the token and the nano-dollar; files that are wrong are refused with the place and the fix."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from support.accounts import asked, csv_text, put, spend_logs, usage_rows

from smallfirst.errors import ConfigError
from smallfirst.ledger import Ledger
from smallfirst.planning.reconcile import Asked, reconcile
from smallfirst.planning.reconcile.line import Line
from smallfirst.planning.reconcile.statement import Statement

# As the providers' references and exports show them; see the docstrings in planning/reconcile/formats/.
OPENAI_COSTS = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,"
    "user_id,api_key_id,project_id,organization_id,project_name,organization_name,user_email,api_source\n"
    "1790467200,1790553600,2026-09-27T00:00:00+00:00,2026-09-28T00:00:00+00:00,,,,,,,,,,,,,\n"
    "1790553600,1790640000,2026-09-28T00:00:00+00:00,2026-09-29T00:00:00+00:00,"
    '0.003835980000000000000000000000,usd,,,"gpt-x-2026-01-01, cached input",,,proj_1,org_1,Shop,Org,,\n'
)
OPENAI_COSTS_PAGE = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1730419200,
            "end_time": 1730505600,
            "results": [
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.06, "currency": "usd"},
                    "line_item": None,
                    "project_id": None,
                }
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}
CONSOLE_USAGE = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,"
    "web_search_count,inference_geo,speed\n"
    "2026-08-05,claude-x,Shop,Default,batch,≤ 200k,46981,15969,7,11,16932,0,global,\n"
)
CONSOLE_COST = (
    "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type\n"
    "2026-08-05,Claude X 4.5,Default,Shop,message,≤ 200k,input_cache_read,0.10,1.00,token\n"
)
USAGE_REPORT = {
    "data": [
        {
            "starting_at": "2025-08-01T00:00:00Z",
            "ending_at": "2025-08-02T00:00:00Z",
            "results": [
                {
                    "uncached_input_tokens": 1500,
                    "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
                    "cache_read_input_tokens": 200,
                    "output_tokens": 500,
                    "server_tool_use": {"web_search_requests": 10},
                    "api_key_id": "apikey_1",
                    "workspace_id": None,
                    "model": "claude-x",
                    "service_tier": "standard",
                    "context_window": "0-200k",
                }
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}
COST_REPORT = {
    "data": [
        {
            "starting_at": "2025-08-01T00:00:00Z",
            "ending_at": "2025-08-02T00:00:00Z",
            "results": [
                {"amount": "123.78912", "currency": "USD", "model": "claude-x", "token_type": "output_tokens"}
            ],
        }
    ],
    "has_more": False,
}
OPENROUTER = (
    "generation_id,created_at,cost_total,cost_cache,tokens_prompt,tokens_completion,tokens_reasoning,model_permaslug,provider_name,cancelled\n"
    "gen-1782618417-A,2026-06-28 03:46:57.713,0.0123,0,10389,137,0,openai/gpt-x,Groq,true\n"
)
OPENROUTER_DAYS = {
    "data": [
        {
            "date": "2025-08-24",
            "model": "openai/gpt-x",
            "model_permaslug": "openai/gpt-x-2025-04-14",
            "provider_name": "OpenAI",
            "usage": 0.015,
            "byok_usage_inference": 0.012,
            "requests": 5,
            "prompt_tokens": 50,
            "completion_tokens": 125,
            "reasoning_tokens": 25,
        }
    ]
}
SIMULATED = {
    "request_id": "req_sim_1",
    "client_request_id": None,
    "endpoint": "messages",
    "dialect": "anthropic",
    "model": "sim-claude",
    "at": "2026-06-28T03:46:57.713000+00:00",
    "stream": False,
    "outcome": "cut",
    "input_tokens": 1,
    "cache_read_tokens": 2,
    "cache_write_tokens": 3,
    "cache_write_1h_tokens": 4,
    "output_tokens": 5,
    "reasoning_tokens": 6,
    "usage_reported": False,
    "cost_nusd": 123,
}


def read(tmp_path: Path, text: str, columns: tuple[str, ...] = ()) -> tuple[str, list[Line]]:
    path = tmp_path / "account.txt"
    path.write_text(text, "utf-8")
    statement = Statement(path, columns)
    return statement.format.name, list(statement.lines())


_LITELLM = "\ufeff" + csv_text(spend_logs([asked(3)])).replace(",", ";")
_OPENAI_USAGE = csv_text(usage_rows([asked(3)], batch="true"))
READ: dict[str, tuple[str, str, dict[str, object]]] = {
    "OpenAI costs": (
        OPENAI_COSTS,
        "openai-costs",
        {"usd": Decimal("0.00383598"), "model": "gpt-x-2026-01-01", "part": "cached input", "group": "Shop"},
    ),
    "costs page": (
        json.dumps(OPENAI_COSTS_PAGE),
        "openai-costs",
        {"usd": Decimal("0.06"), "model": "", "at_ms": 1730419200000},
    ),
    "OpenAI usage": (
        _OPENAI_USAGE,
        "openai-usage",
        {"tokens": {"input": 103, "cache_read": 10, "output": 23}, "note": "batch", "requests": 1},
    ),
    "Console usage": (
        CONSOLE_USAGE,
        "anthropic-console-usage",
        {
            "note": "batch",
            "group": "Default Shop",
            "tokens": {
                "input": 46981,
                "cache_read": 11,
                "cache_write": 15969,
                "cache_write_1h": 7,
                "output": 16932,
            },
        },
    ),
    "Console cost": (
        CONSOLE_COST,
        "anthropic-console-cost",
        {"usd": Decimal("0.10"), "model": "Claude X 4.5", "part": "input_cache_read"},
    ),
    "usage report": (
        json.dumps(USAGE_REPORT),
        "anthropic-usage",
        {
            "group": "apikey_1",
            "tokens": {
                "input": 1500,
                "cache_read": 200,
                "cache_write": 500,
                "cache_write_1h": 1000,
                "output": 500,
            },
        },
    ),
    "cost report": (
        json.dumps(COST_REPORT, indent=2),
        "anthropic-cost",
        {"usd": Decimal("1.2378912"), "part": "output_tokens"},
    ),
    "OpenRouter": (
        OPENROUTER,
        "openrouter",
        {
            "usd": Decimal("0.0123"),
            "request_id": "gen-1782618417-A",
            "note": "cancelled",
            "at_ms": 1782618417713,
        },
    ),
    "OpenRouter's days": (
        json.dumps(OPENROUTER_DAYS),
        "openrouter-days",
        {"usd": Decimal("0.015"), "requests": 5, "model": "openai/gpt-x-2025-04-14"},
    ),
    "the invoice's file": (
        json.dumps(SIMULATED),
        "simulator",
        {"usd": Decimal("0.000000123"), "note": "cut, usage not reported", "request_id": "req_sim_1"},
    ),
    "the invoice": (
        json.dumps({"simulated": True, "lines": [SIMULATED], "lines_dropped": 0}),
        "simulator",
        {"model": "sim-claude"},
    ),
    "the invoice as CSV": (
        csv_text([SIMULATED]),
        "simulator",
        {
            "tokens": {
                "input": 1,
                "cache_read": 2,
                "cache_write": 3,
                "cache_write_1h": 4,
                "output": 5,
                "reasoning": 6,
            }
        },
    ),
    "LiteLLM, with a mark and semicolons": (
        _LITELLM,
        "litellm",
        {"tokens": {"prompt": 113, "completion": 23}},
    ),
}


@pytest.mark.parametrize(("text", "name", "told"), READ.values(), ids=READ)
def test_an_account_is_read_as_its_provider_means_it(tmp_path, text, name, told):
    found, (line,) = read(tmp_path, text)
    assert found == name
    assert {field: getattr(line, field) for field in told} == told


def test_half_a_character_is_a_question_mark(tmp_path):
    """What JSON can write and UTF-8 cannot: it would not go into any file of ours."""
    text = json.dumps(spend_logs([asked(1)])[0] | {"model": "\ud800x"})
    _, (line,) = read(tmp_path, text)
    assert line.model == "?x"


def test_a_table_of_ones_own_is_read_by_a_map(tmp_path):
    text = 'Day,What,"Amount (USD)",In,Out,Cur\n2026-05-28,GPT X,"$1,234.56",7,8,USD\n'
    columns = (
        "at=Day",
        "model=What",
        "cost_usd=Amount (USD)",
        "prompt_tokens=In",
        "output_tokens=Out",
        "currency=Cur",
    )
    found, (line,) = read(tmp_path, text, columns)
    assert (found, line.usd, line.tokens) == ("mapped", Decimal("1234.56"), {"prompt": 7, "output": 8})
    assert line.until_ms - line.at_ms == 86_400_000
    _, (line,) = read(tmp_path, text, ("at=Day", "request_id=What", "cost_usd=Amount (USD)"))
    assert (line.request_id, line.tokens, line.until_ms) == ("GPT X", None, line.at_ms)


def row(**changes):
    return csv_text([spend_logs([asked(1)])[0] | changes])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("a,b\n", "has no line"),
        ("a,b\n1,2\n", "is no account that is known .* Its columns are a, b: say what is what, for example --map"),
        (row().replace("prompt_tokens", "input"), r"looks like LiteLLM's spend logs, but has no column prompt_tokens; there are .*input"),
        ("start_time,end_time,start_time_iso,end_time_iso\n1,2,a,b\n", "an OpenAI export in which nothing was used"),
        (row(spend="ten"), r"account\.txt: line 2: spend: expected an amount in US dollars as 12\.34, not 'ten'"),
        (row(spend="1.234,56"), "line 2: spend: expected an amount"),
        (row(spend="NaN"), "line 2: spend: expected an amount"),
        (row(spend="1e-999999"), "line 2: spend: expected an amount"),
        (row(spend="€3"), "line 2: spend: expected an amount"),
        (row(prompt_tokens="1.5"), "line 2: prompt_tokens: expected a whole number"),
        (row(prompt_tokens="-1"), "line 2: prompt_tokens: expected a whole number of at least 0"),
        (row(completion_tokens="9" * 400), "line 2: completion_tokens: expected a whole number"),
        (row(startTime="yesterday"), "line 2: startTime: expected a time as"),
        (row(startTime="9" * 30), "line 2: startTime: expected a time as"),
        (row(startTime=""), "line 2: startTime: expected a time as"),
        (row(startTime="1e999999999"), "line 2: startTime: expected a time as"),
        (row(startTime="0001-01-01T00:00:00+14:00"), "line 2: startTime: expected a time as"),
        (row(spend="1e999999999"), "line 2: spend: expected an amount of money"),
        (row() + "chatcmpl-2,2026\n", "line 3: has 2 fields, and the header has 6: the line is cut"),
        (row() + '"chatcmpl-2,', "line 3: is no CSV"),
        (row().replace("spend", "model", 1), "two columns are named 'model'"),
        (OPENAI_COSTS.replace("usd", "eur"), r"line 3: amount_currency: amounts are in 'eur': only US dollars"),
        (csv_text(usage_rows([asked(1)], input_cached_tokens=5000)), "line 2: input_cached_tokens: expected at most the 111 input tokens"),
        ("{", "is no JSON"),
        ('{"a": 1}\n{"a": \n', "is no account that is known|is no JSON"),
        ('{"data": [3]}', r"account\.txt: line 1: data\[0\]: expected a JSON object"),
        ("[[[[1]]]]", "expected a JSON object"),
        ('[{"a":' * 5000, "is no JSON"),
        (json.dumps({"lines": [SIMULATED], "lines_dropped": 4}), "4 older lines were dropped; start the simulator with --invoice"),
        (json.dumps(SIMULATED) + "\n" + json.dumps({"request_id": "x"}), r"line 2: .*: is not there, and the first row has it"),
        ("\0\0,\n", "is neither CSV nor JSON"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_as_it_should_be_is_refused_with_the_place_and_the_fix(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (("at",), "expected FIELD=COLUMN with a field of at, model"),
        (("when=Day",), "expected FIELD=COLUMN"),
        (("at=Day", "at=Day"), "at is given twice"),
        (("cost_usd=Sum",), "say which column has the time"),
        (("at=Day",), "say which column has the money"),
        (("at=Day", "prompt_tokens=A", "input_tokens=B"), "prompt_tokens are all of them"),
        (("at=Day", "cost_usd=Nowhere"), "--map: there is no column 'Nowhere'; there are Day, Sum"),
    ],
)
def test_a_map_that_says_too_little_or_too_much_is_refused(tmp_path, columns, said):
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, "Day,Sum\n2026-05-28,3\n", columns)


def test_what_cannot_be_read_at_all(tmp_path):
    for path, said in ((tmp_path / "none.csv", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(ConfigError, match=said):
            Statement(path)
    (tmp_path / "latin.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        Statement(tmp_path / "latin.csv")


def test_a_wrong_line_far_down_ends_it_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    put(tmp_path, asked(1))
    (tmp_path / "a.csv").write_text(
        csv_text([*spend_logs([asked(1)] * 3000), spend_logs([asked(1)])[0] | {"spend": "x"}])
    )
    with Ledger.read(tmp_path) as ledger, pytest.raises(ConfigError, match="line 3002: spend"):
        reconcile(ledger, Asked(file=tmp_path / "a.csv"))
    assert not list((tmp_path / "tmp").iterdir())
