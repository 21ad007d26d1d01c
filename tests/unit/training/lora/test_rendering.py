"""Examples as token ids: where the prompt ends, what is supervised, and what a template may not do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from support.tiny_adapter import opened_tiny_base

from smallfirst.contracts import LabelContract
from smallfirst.datasets.example import Example
from smallfirst.errors import ConfigError, DatasetError
from smallfirst.models.adapters.adapter import AskedTold
from smallfirst.training.lora.rendering import Template, end_of_turn, render_all

ASKED = [{"role": "user", "content": "Where is my card?"}]
LOOP = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
GENERATION = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
PLAIN = LOOP + "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}" + GENERATION + "{% endif %}"
THINKING = (
    LOOP
    + "{% if m['role'] == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    + GENERATION
    + "{% endif %}"
)
THINKS_IN_PROMPT = THINKING.replace("assistant\n' }}{% endif %}", "assistant\n<think>\n' }}{% endif %}")
TRIMS = PLAIN.replace("m['content'] +", "m['content'] | trim +")
BLANK = PLAIN.replace("m['content'] +", "' ' + m['content'] +")
PARTS = PLAIN.replace(
    "m['content'] +",
    "(m['content'] if m['content'] is string else m['content'] | map(attribute='text') | join(' & ')) +",
)
SHOUTS = PLAIN.replace("m['content'] +", "m['content'] | upper +")
NO_END = PLAIN.replace("<|im_end|>\n", "\n")


@pytest.fixture
def using() -> Callable[[str], Any]:
    """The tiny base's tokenizer under another template."""

    def under(template: str) -> Any:
        tokenizer = opened_tiny_base().tokenizer()
        tokenizer.chat_template = template
        return tokenizer

    return under


def test_a_prompt_is_what_the_template_makes_and_the_answer_ends_with_its_mark(using: Any) -> None:
    tokenizer = using(PLAIN)
    row = Template(tokenizer).render(ASKED, "card lost", name="e")
    assert tokenizer.decode(row.prompt) == (
        "<|im_start|>user\nWhere is my card?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(row.ids[row.supervised_from :]) == "card lost<|im_end|>"
    assert row.ids[-1] == end_of_turn(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")
    told = json.dumps(row.prompt, separators=(",", ":")).encode()
    assert row.prompt_sha256 == hashlib.sha256(told).hexdigest()


def test_what_a_template_puts_before_an_old_answer_is_not_learned(using: Any) -> None:
    for template in (THINKING, BLANK):
        tokenizer = using(template)
        row = Template(tokenizer).render(ASKED, "card lost")
        assert tokenizer.decode(row.ids[row.supervised_from :]) == "card lost<|im_end|>"


def test_an_answer_is_learned_as_the_template_trims_it(using: Any) -> None:
    tokenizer = using(TRIMS)
    row = Template(tokenizer).render(ASKED, " a text\n")
    assert tokenizer.decode(row.ids[row.supervised_from :]) == "a text<|im_end|>"


def test_a_template_that_opens_a_thought_in_the_prompt_is_refused(using: Any) -> None:
    with pytest.raises(
        DatasetError,
        match=r"example 'e': the base's chat template changes its answer, or makes the model think before it: .*--template",
    ):
        Template(using(THINKS_IN_PROMPT)).render(ASKED, "card lost", name="e")


def test_a_template_that_asks_otherwise_than_it_shows_is_refused(using: Any) -> None:
    template = PLAIN.replace(
        "'<|im_start|>assistant\n' }}{% endif %}", "'<|im_start|>assistant (thinks)\n' }}{% endif %}"
    )
    with pytest.raises(DatasetError, match="shows an answered turn otherwise than it asks for it"):
        Template(using(template)).render(ASKED, "card lost")


def test_a_template_that_changes_the_answer_is_refused(using: Any) -> None:
    with pytest.raises(DatasetError, match="changes its answer"):
        Template(using(SHOUTS)).render(ASKED, "card lost")


def test_a_template_that_never_ends_a_turn_is_ended_by_the_tokenizers_own_mark(using: Any) -> None:
    tokenizer = using(NO_END)
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id


def test_a_template_that_ends_a_turn_with_plain_text_is_refused(using: Any) -> None:
    with pytest.raises(ConfigError, match="ends an assistant's turn with no token of its own"):
        end_of_turn(using(PLAIN.replace("<|im_end|>", " // ")))


def test_a_base_without_a_template_is_refused(using: Any) -> None:
    with pytest.raises(ConfigError, match="no chat template: give one with --template FILE"):
        Template(using(""))


def test_an_empty_answer_teaches_nothing_and_is_an_error(using: Any) -> None:
    with pytest.raises(DatasetError, match="example 'e': its answer is empty"):
        Template(using(PLAIN)).render(ASKED, " \n", name="e")


def test_an_answer_that_holds_the_end_of_a_turn_is_refused(using: Any) -> None:
    with pytest.raises(DatasetError, match="its answer holds the mark that ends a turn"):
        Template(using(PLAIN)).render(ASKED, "card<|im_end|> lost", name="e")


def test_parts_are_joined_for_templates_that_want_one_text(using: Any) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    asked = [{"role": "user", "content": parts}]
    for template, read in ((PLAIN, "one\ntwo"), (PARTS, "one & two")):
        tokenizer = using(template)
        prompt = tokenizer.decode(Template(tokenizer).prompt(asked))
        assert prompt == f"<|im_start|>user\n{read}<|im_end|>\n<|im_start|>assistant\n"


def test_an_image_is_refused(using: Any) -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    with pytest.raises(DatasetError, match="an image or a file, and the base reads text"):
        Template(using(PLAIN)).prompt([{"role": "user", "content": parts}])


def test_a_calls_arguments_reach_the_template_as_values(using: Any) -> None:
    call = {"type": "function", "id": "1", "function": {"name": "look", "arguments": '{"n": 1}'}}
    said = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}]
    template = (
        LOOP
        + "{{ m['content'] }}{% for c in m['tool_calls'] %}{{ c.function.arguments.n + 1 }}{% endfor %}<|im_end|>{% endfor %}"
    )
    tokenizer = using(template)
    assert tokenizer.decode(Template(tokenizer).prompt(said)).endswith("assistant\n2<|im_end|>")


def test_a_template_that_names_the_day_says_so(using: Any) -> None:
    assert not Template(using(PLAIN)).dated
    assert Template(using("{{ strftime_now('%d %b %Y') }}" + PLAIN)).dated


def rows_of(count: int, words: int) -> list[Example]:
    return [
        Example(id=f"e{at}", messages=[{"role": "user", "content": "word " * (words * at + 1)}], label="a")
        for at in range(count)
    ]


def render(examples: list[Example], *, skip_long: bool = False) -> Any:
    return render_all(
        examples,
        opened_tiny_base().tokenizer(),
        asked=AskedTold(default_instructions="Say the label."),
        contract=LabelContract(("a", "b")),
        context_tokens=60,
        skip_long=skip_long,
    )


def test_examples_longer_than_the_context_are_listed_or_left_out_and_counted() -> None:
    examples = rows_of(3, 50)
    with pytest.raises(
        DatasetError,
        match=r"2 of 3 examples .* more tokens than the 60 .*: e1 \(\d+\), e2 \(\d+\); --skip-long",
    ):
        render(examples)
    found = render(examples, skip_long=True)
    assert [row.id for row in found.rows] == ["e0"]
    assert found.skipped == ["e1", "e2"]


def test_an_example_that_just_fits_is_kept() -> None:
    row = render(rows_of(1, 0)).rows[0]
    more = 60 - len(row.ids)
    examples = [
        Example(id=name, messages=[{"role": "user", "content": "word " * (1 + count)}], label="a")
        for name, count in (("fits", more), ("not", more + 1))
    ]
    assert [row.id for row in render(examples, skip_long=True).rows] == ["fits"]
