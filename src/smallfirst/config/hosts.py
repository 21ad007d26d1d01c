"""Well-known providers: where they are, which variable holds their key, and which model names are theirs."""

from __future__ import annotations

import msgspec

from smallfirst.config.schema import ProviderKind


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One provider as the world knows it.

    `base_url` is None where the provider's kind tells it, or only the user can.

    `prefix` is LiteLLM's word for it; `frontier` a model of it to begin with, by the id that the price table
    knows.
    """

    name: str
    variables: tuple[str, ...]  # that may hold its key; the first is its own name for it
    prefix: str
    base_url: str | None = None
    kind: ProviderKind = "openai"
    accepts: tuple[str, ...] = ()
    frontier: str = ""


# In the order in which a starter file asks them: the broad patterns (`*/*`) last.
HOSTS = (
    Host(
        name="openai",
        variables=("OPENAI_API_KEY",),
        prefix="openai",
        accepts=("gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "text-embedding-*"),
        frontier="gpt-5.5",
    ),
    Host(
        name="anthropic",
        variables=("ANTHROPIC_API_KEY",),
        prefix="anthropic",
        kind="anthropic",
        accepts=("claude-*",),
        frontier="claude-sonnet-5-5",
    ),
    Host(
        name="gemini",
        variables=("GEMINI_API_KEY",),
        prefix="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        accepts=("gemini-*",),
        frontier="gemini-3.8-flash",
    ),
    Host(
        name="mistral",
        variables=("MISTRAL_API_KEY",),
        prefix="mistral",
        base_url="https://api.mistral.ai/v1",
        accepts=("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "open-mi*"),
        frontier="mistral-large-2512",
    ),
    Host(
        name="deepseek",
        variables=("DEEPSEEK_API_KEY",),
        prefix="deepseek",
        base_url="https://api.deepseek.com/v1",
        accepts=("deepseek-chat", "deepseek-reasoner", "deepseek-flash", "deepseek-v*"),
        frontier="deepseek-v4-pro",
    ),
    Host(
        name="xai",
        variables=("XAI_API_KEY",),
        prefix="xai",
        base_url="https://api.x.ai/v1",
        accepts=("grok-*",),
        frontier="grok-4.7",
    ),
    Host(
        name="groq",
        variables=("GROQ_API_KEY",),
        prefix="groq",
        base_url="https://api.groq.com/openai/v1",
        accepts=("llama-*", "openai/gpt-oss-*"),
        frontier="llama-3.3-70b-versatile",
    ),
    Host(
        name="together",
        variables=("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
        prefix="together_ai",
        base_url="https://api.together.xyz/v1",
        accepts=("meta-llama/*", "Qwen/*", "deepseek-ai/*", "moonshotai/*", "zai-org/*"),
        frontier="meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    Host(
        name="fireworks",
        variables=("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
        prefix="fireworks_ai",
        base_url="https://api.fireworks.ai/inference/v1",
        accepts=("accounts/fireworks/*",),
        frontier="accounts/fireworks/models/deepseek-v4-pro",
    ),
    Host(
        name="openrouter",
        variables=("OPENROUTER_API_KEY",),
        prefix="openrouter",
        base_url="https://openrouter.ai/api/v1",
        accepts=("*/*",),
        frontier="anthropic/claude-sonnet-5.5",
    ),
)
