"""Whether two models are of one family: judges favour answers of their own kind (Panickssery et al., 2024)."""

from __future__ import annotations

import re

# by the beginning of a model's own name, without its vendor's
_FAMILIES = {
    "gpt": "gpt",
    "chatgpt": "gpt",
    "o1": "gpt",
    "o3": "gpt",
    "o4": "gpt",
    "davinci": "gpt",
    "codestral": "mistral",
    "devstral": "mistral",
    "magistral": "mistral",
    "ministral": "mistral",
    "mixtral": "mistral",
    "open-mistral": "mistral",
    "gemma": "gemini",
    "codellama": "llama",
    "tinyllama": "llama",
    "qwq": "qwen",
    "phi": "phi",
}


def family_of(upstream_id: str) -> str:
    """A name for the family, as far as the model's own name tells it: "claude" of `anthropic/claude-sonnet-4`, "gpt" of `o3-mini`."""
    name = upstream_id.rsplit("/", 1)[-1].lower()
    name = re.sub(
        r"^(?:[a-z]{2,3}\.)?(?:anthropic|meta|mistral|amazon|cohere|deepseek)\.", "", name
    )  # Bedrock's
    for beginning in sorted(_FAMILIES, key=len, reverse=True):
        if re.match(rf"{re.escape(beginning)}(?![a-z])", name):
            return _FAMILIES[beginning]
    letters = re.match(r"[a-z]+", name)
    return letters.group() if letters else name
