"""Families of models, by their own names."""

import pytest

from smallfirst.config.families import family_of


@pytest.mark.parametrize(
    ("upstream_id", "family"),
    [
        ("gpt-5-mini", "gpt"),
        ("openai/o3-mini", "gpt"),
        ("chatgpt-4o-latest", "gpt"),
        ("claude-sonnet-4-5", "claude"),
        ("us.anthropic.claude-haiku-4-5-v1:0", "claude"),
        ("anthropic/claude-3.5-sonnet", "claude"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama"),
        ("Mixtral-8x7B", "mistral"),
        ("mistralai/Mistral-7B", "mistral"),
        ("google/gemma-3-4b", "gemini"),
        ("Qwen/Qwen3-4B", "qwen"),
        ("olmo-2", "olmo"),
        ("42", "42"),
    ],
)
def test_families(upstream_id, family):
    assert family_of(upstream_id) == family
