"""The starter file passes its own check, whatever keys the environment has."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.config.check import check
from smallfirst.config.example import AZURE_ENDPOINT, AZURE_KEY, VLLM_URL, look, starter
from smallfirst.config.finding import Surroundings
from smallfirst.config.hosts import HOSTS
from smallfirst.config.load import parse

CANARY = "sk-canary-1234567890"
ENVIRON = {
    **{host.variables[0]: CANARY for host in HOSTS},
    AZURE_KEY: CANARY,
    AZURE_ENDPOINT: "https://mine.openai.azure.com/openai/v1/",
    VLLM_URL: "http://10.1.2.3:8000/v1",
}
NAMES = sorted(ENVIRON)


def _passes(names: tuple[str, ...], *, embedded: bool) -> None:
    environ = {name: ENVIRON[name] for name in names}
    text = starter(environ, installed=lambda _: embedded)
    around = Surroundings(environ={**environ, "SMALLFIRST_APP_KEY": "x"}, installed=lambda _: embedded)
    turned_on = re.sub(r"(?m)^#(?=\S)", "", text)
    for written in (text, turned_on):
        found = check(parse(written), around)
        assert [str(finding) for finding in found if finding.level != "note"] == []
    assert CANARY not in text
    assert "[tasks.triage]" in turned_on.splitlines()


@pytest.mark.parametrize("embedded", [False, True])
def test_every_pair_of_keys_passes(embedded: bool) -> None:
    """Providers meet in pairs only (a pattern of one covers another's), so pairs stand for all subsets."""
    for count in (0, 1, 2):
        for names in itertools.combinations(NAMES, count):
            _passes(names, embedded=embedded)
    _passes(tuple(NAMES), embedded=embedded)


@given(st.sets(st.sampled_from(NAMES)), st.booleans())
def test_any_subset_of_keys_passes(names: set[str], embedded: bool) -> None:
    _passes(tuple(sorted(names)), embedded=embedded)


def test_without_a_key_the_simulated_frontier_stands_in() -> None:
    config = parse(starter({}, installed=lambda _: False))
    assert list(config.providers) == ["simulated"]
    assert config.providers["simulated"].simulated
    assert "python -m smallfirst.simulator --port 8081" in starter({})


def test_what_an_application_asks_for_already_reaches_its_provider() -> None:
    """Changing base_url alone is enough: the names that SDKs' users know are accepted."""
    config = parse(starter(ENVIRON))
    assert "gpt-*" in config.providers["openai"].accepts
    assert "claude-*" in config.providers["anthropic"].accepts
    assert config.providers["azure"].base_url == "https://mine.openai.azure.com"


@pytest.mark.parametrize(
    "url", ["", "mine", "ftp://x", "https://u:canary@h", 'http://x"\ny = 1', "http://[::1"]
)
def test_an_address_that_is_none_is_passed_over(url: str) -> None:
    assert look({VLLM_URL: url, AZURE_KEY: "x", AZURE_ENDPOINT: url}).names in ((), ("embedded",))


def test_suggested_models_have_a_price() -> None:
    """No id is invented: each is in the price table."""
    genai_prices = pytest.importorskip("genai_prices.data_snapshot")
    ids = {"xai": "x-ai", "gemini": "google"}
    for host in HOSTS:
        provider = genai_prices.find_provider_by_id(
            genai_prices.get_snapshot().providers, ids.get(host.name, host.name)
        )
        assert provider is not None, host.name
        assert provider.find_model(host.frontier) is not None, host.frontier
