"""An example as token ids, in the base's own chat template, and where the supervised ones begin.

The prompt is what a server renders for the same messages. The completion is the answer and the token that ends the assistant's turn, and
nothing else: what a template writes between the two when it shows an old turn (a blank, an empty thought) is not what a server that decodes
under a contract lets the model say. Both are tokenised apart, since that is the boundary at serving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec

from smallfirst.contracts import Contract
from smallfirst.datasets.example import Example
from smallfirst.errors import ConfigError, DatasetError
from smallfirst.models.adapters.adapter import AskedTold
from smallfirst.training.lora.answer import answer_text
from smallfirst.training.lora.asked import Message, messages_of

_SHOWN = 5
_WORD = "word"  # what is asked and answered where only the template itself is of interest


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """`ids[supervised_from:]` is what the model is to say: at least the end of its turn and one token before it.

    `prompt_sha256` is that of the prompt's ids as compact JSON; empty where the template writes the day into it.
    """

    id: str
    ids: list[int]
    supervised_from: int
    prompt_sha256: str

    @property
    def prompt(self) -> list[int]:
        return self.ids[: self.supervised_from]


class AllRendered(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the examples' order; `skipped` are the ids of those that are longer than the context."""

    rows: list[Rendered]
    skipped: list[str]


def render_all(
    examples: Sequence[Example],
    tokenizer: Any,
    *,
    asked: AskedTold,
    contract: Contract,
    context_tokens: int,
    skip_long: bool = False,
) -> AllRendered:
    """Every example, or an error that lists what is too long; `skip_long` leaves those out. Raises `DatasetError`, `ConfigError`."""
    template = Template(tokenizer)
    rows: list[Rendered] = []
    long: dict[str, int] = {}
    for example in examples:
        row = template.render(
            messages_of(example, asked),
            answer_text(example, contract),
            name=example.id,
            tools=example.tools,
        )
        if len(row.ids) > context_tokens:
            long[example.id] = len(row.ids)
        else:
            rows.append(row)
    if long and not skip_long:
        shown = ", ".join(f"{name} ({tokens:,})" for name, tokens in list(long.items())[:_SHOWN])
        shown += f" and {len(long) - _SHOWN:,} more" if len(long) > _SHOWN else ""
        raise DatasetError(
            f"{len(long):,} of {len(examples):,} examples have more tokens than the {context_tokens:,} that the model is given: {shown}; "
            "--skip-long leaves them out and counts them"
        )
    return AllRendered(rows=rows, skipped=list(long))


def end_of_turn(tokenizer: Any) -> int:
    """The token by which the base's template ends the assistant's turn. Raises `ConfigError` where it has none."""
    return Template(tokenizer).end


def prompt_sha256(ids: Sequence[int]) -> str:
    """The hash by which two renderings are compared: of the token ids as compact JSON."""
    return hashlib.sha256(msgspec.json.encode(list(ids))).hexdigest()


class Template:
    """A tokenizer's chat template, and what it does to a conversation. Raises `ConfigError` where there is none."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        if not tokenizer.chat_template:
            raise ConfigError(
                "the base has no chat template: give one with --template FILE (Jinja, as Hugging Face has them)"
            )

    @property
    def dated(self) -> bool:
        """Whether it writes the day into the prompt: another day's prompt is then another one."""
        return "strftime_now" in str(self._tokenizer.chat_template)

    def prompt(self, messages: Sequence[Message], *, tools: list[dict[str, Any]] | None = None) -> list[int]:
        """The ids that a server makes of these messages before the model answers. Raises `DatasetError`."""
        return self._ids(self._text(messages, tools=tools, answering=True))

    def render(
        self,
        messages: Sequence[Message],
        answer: str,
        *,
        name: str = "",
        tools: list[dict[str, Any]] | None = None,
    ) -> Rendered:
        """Raises `DatasetError` where the template cannot say it, or changes the answer, or nothing would be supervised."""
        try:
            prompt = self._text(messages, tools=tools, answering=True)
            turns = [*messages, {"role": "assistant", "content": answer}]
            said = self._said(prompt, self._text(turns, tools=tools, answering=False), answer)
        except DatasetError as error:
            raise DatasetError(f"example {name!r}: {error}" if name else str(error)) from error
        ids = self._ids(prompt)
        supervised = self.spoken(said)
        if self.end in supervised[:-1]:
            raise DatasetError(f"example {name!r}: its answer holds the mark that ends a turn")
        return Rendered(
            id=name,
            ids=ids + supervised,
            supervised_from=len(ids),
            prompt_sha256="" if self.dated else prompt_sha256(ids),
        )

    def spoken(self, answer: str) -> list[int]:
        """The ids of an answer as a model says it, and the end of its turn: without the blank that some tokenizers put before every text."""
        ids = self._ids(answer)
        if self._tokenizer.convert_ids_to_tokens(ids[0]).startswith("▁"):
            anchor, anchored = self._ids("\n"), self._ids("\n" + answer)
            if anchored[: len(anchor)] == anchor:
                ids = anchored[len(anchor) :]
        return [*ids, self.end]

    @cached_property
    def end(self) -> int:
        """The first special token after an answer; the tokenizer's own end of text where the template writes none."""
        asked = [{"role": "user", "content": _WORD}]
        prompt = self._text(asked, tools=None, answering=True)
        turns = [*asked, {"role": "assistant", "content": _WORD}]
        whole = self._text(turns, tools=None, answering=False)
        _, _, after = whole.removeprefix(prompt).rpartition(_WORD)
        ids = self._ids(after.strip())
        special = set(self._tokenizer.all_special_ids)
        if ids and ids[0] in special:
            return ids[0]
        if not ids and self._tokenizer.eos_token_id is not None:
            return self._tokenizer.eos_token_id
        raise ConfigError(
            "the base's chat template ends an assistant's turn with no token of its own: no model could learn where to stop; "
            "give another with --template FILE"
        )

    @cached_property
    def _takes_parts(self) -> bool:
        """Whether the template reads a message's content as a list of parts; most want one text, and servers then join the parts."""
        parts = [{"type": "text", "text": _WORD}]
        try:
            shown = self._apply([{"role": "user", "content": parts}], tools=None, answering=True)
        except DatasetError:
            return False
        return _WORD in shown and "'type'" not in shown and '"type"' not in shown

    def _said(self, prompt: str, whole: str, answer: str) -> str:
        """The answer as the template shows it."""
        if not answer.strip():
            raise DatasetError("its answer is empty: nothing would be learned of it")
        if not whole.startswith(prompt):
            raise DatasetError(
                "the base's chat template shows an answered turn otherwise than it asks for it (a template that makes the model think first "
                "does so): take a base, or give a template with --template FILE, that does not"
            )
        shown = whole[len(prompt) :]
        for said in (answer, answer.strip()):
            before, found, after = shown.partition(said)
            if not found or not _adds_nothing(before) or not _ends(after, self._tokenizer.all_special_tokens):
                continue
            return said
        raise DatasetError(
            "the base's chat template changes its answer, or makes the model think before it: another can be given with --template FILE"
        )

    def _text(
        self, messages: Sequence[Message], *, tools: list[dict[str, Any]] | None, answering: bool
    ) -> str:
        read = [_message(message, parts=self._takes_parts) for message in messages]
        return self._apply(read, tools=tools, answering=answering)

    def _apply(self, messages: list[Message], *, tools: list[dict[str, Any]] | None, answering: bool) -> str:
        from jinja2 import TemplateError

        try:
            return self._tokenizer.apply_chat_template(
                messages, tools=tools, tokenize=False, add_generation_prompt=answering
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise DatasetError(f"the base's chat template cannot say this conversation: {error}") from error

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]


def _message(message: Message, *, parts: bool) -> Message:
    """As servers hand it to a template: parts joined where it wants one text, the arguments of calls as values."""
    content = message.get("content")
    if isinstance(content, list):
        if any(part.get("type") != "text" for part in content):
            raise DatasetError("it holds an image or a file, and the base reads text")
        content = content if parts else "\n".join(part["text"] for part in content)
    read = message | {"content": "" if content is None else content}
    if message.get("tool_calls"):
        read["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    return read


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function", {})
    try:
        arguments = msgspec.json.decode(function.get("arguments") or "{}")
    except (msgspec.DecodeError, TypeError):
        return call
    return call | {"function": function | {"arguments": arguments}}


def _adds_nothing(before: str) -> bool:
    """Whether what a template writes before an answer is no part of it: blanks, or a thought that is opened, empty, and closed."""
    return before.replace("<think>", "", 1).replace("</think>", "", 1).strip() == "" and (
        before.count("<think>") == before.count("</think>")
    )


def _ends(after: str, marks: Sequence[str]) -> bool:
    """Whether nothing of the answer is left: a mark or the end."""
    left = after.strip()
    return not left or any(left.startswith(mark) for mark in marks)
