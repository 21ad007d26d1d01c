"""A tokenizer's tokens as the bytes that they stand for."""

from __future__ import annotations

import json
import re
import weakref
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "▁"  # SentencePiece's
# What llama.cpp takes for the end of an answer, by its name and whatever the tokenizer's own settings say.
_END_MARKS = (
    "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>", "<|call|>", "<|calls|>", "<|flush|>",
    "<end_of_turn>", "<turn|>", "<|tool_response>", "<eos>", "</s>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<end_of_utterance>",
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
)  # fmt: skip

_known: weakref.WeakKeyDictionary[Any, list[bytes | None]] = weakref.WeakKeyDictionary()


def pieces_of(tokenizer: Any) -> list[bytes | None]:
    """By token id, its bytes; None for a special token, which no text is made of."""
    if tokenizer not in _known:
        _known[tokenizer] = _pieces(tokenizer)
    return _known[tokenizer]


def ends_of(tokenizer: Any, model: Any, end: int) -> list[int]:
    """All tokens that end an answer, for the model and for the servers that it is served by; `end` is the template's own, and the first."""
    generation = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    told = generation if isinstance(generation, list) else [generation]
    known = tokenizer.get_vocab()
    marks = [known[mark] for mark in _END_MARKS if mark in known]
    return [
        one for one in dict.fromkeys([end, tokenizer.eos_token_id, *told, *marks]) if isinstance(one, int)
    ]


def _pieces(tokenizer: Any) -> list[bytes | None]:
    special = set(tokenizer.all_special_ids)
    added = set(tokenizer.get_added_vocab().values())
    bytewise = "ByteLevel" in json.dumps(
        json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
    )
    byte_of = {character: byte for byte, character in _byte_characters().items()} if bytewise else {}
    pieces: list[bytes | None] = []
    for number, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if token is None or number in special:
            pieces.append(None)
        elif number in added:
            pieces.append(token.encode())
        elif bytewise:
            pieces.append(bytes(byte_of[character] for character in token if character in byte_of))
        elif found := _BYTE.fullmatch(token):
            pieces.append(bytes([int(found[1], 16)]))
        else:
            pieces.append(token.replace(_SPACE, " ").encode())
    return pieces


def _byte_characters() -> dict[int, str]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's): itself where it is one, else one from 256 on."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    characters = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in characters)
    return characters | {byte: chr(256 + at) for at, byte in enumerate(others)}
