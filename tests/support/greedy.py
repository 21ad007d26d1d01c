"""The same question to llama.cpp and to transformers, both saying what is likeliest, token after token."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from support.embedded import WEIGHTS, EmbeddedThread

TOKENS = 12
QUESTIONS = [
    "Hello there",
    "I was charged twice on my invoice",
    "The app  crashes with error 500, since 2024-01-02!",
    "Où est l'été? €12.50 for   3 days",
    "How do I invite a colleague?",
]


class Said(NamedTuple):
    """Tokens and their log-probabilities; `gaps` is how much likelier each was than the next best (transformers alone)."""

    tokens: list[int]
    logprobs: list[float]
    gaps: list[float]


class Served(EmbeddedThread):
    """The embedded server over that file, with these adapters: name and file."""

    def __init__(self, weights: Path, folder: Path, adapters: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(weights, folder)
        self.server.settings = msgspec.structs.replace(self.server.settings, adapters=adapters)

    def said(self, question: str, model: str = WEIGHTS) -> Said:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": TOKENS,
            "logprobs": True,
            "top_logprobs": 1,
        }
        told = self.posted("/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]
        return Said([one["id"] for one in told], [one["logprob"] for one in told], [])

    def tokens(self, text: str) -> list[int]:
        return self.posted("/tokenize", {"content": text, "add_special": False})["tokens"]

    def posted(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.server.key}"}
        url = self.base_url.removesuffix("/v1") + path
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as reply:
            return json.load(reply)


def said_by(model: Any, tokenizer: Any, question: str) -> Said:
    """What transformers says."""
    import torch

    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(
        **asked, max_new_tokens=TOKENS, do_sample=False, output_scores=True, return_dict_in_generate=True
    )
    tokens = made.sequences[0][asked["input_ids"].shape[1] :].tolist()
    likely = [torch.log_softmax(scores[0].float(), -1) for scores in made.scores]
    best = [one.topk(2).values.tolist() for one in likely]
    return Said(
        tokens, [float(one[t]) for one, t in zip(likely, tokens, strict=True)], [a - b for a, b in best]
    )


def same(served: Said, trained: Said, *, within: float) -> bool:
    """Whether they say the same, up to a token that was as good as another (`within`, natural logarithm), and as surely."""
    for at, (one, other) in enumerate(zip(served.tokens, trained.tokens, strict=False)):
        if one != other:
            return trained.gaps[at] <= 2 * within
        if abs(served.logprobs[at] - trained.logprobs[at]) > within:
            return False
    return len(served.tokens) == len(trained.tokens)
