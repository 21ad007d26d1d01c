"""The key of a request: what must be one key, what must never be, and what has none. In numbers: tests/property/cache, `benchmarks.cache_keys`."""

import json
from typing import Any

import pytest

from smallfirst.cache.key import Keyed, NoKey, Partition, key_of, partition_of
from smallfirst.errors import BadRequest
from smallfirst.wire.incoming import Incoming, Route

BODY: dict[str, Any] = {
    "model": "task/triage",
    "messages": [{"role": "system", "content": "Sort."}, {"role": "user", "content": "My bill é"}],
    "temperature": 0,
}


def found(
    body: dict[str, Any] | bytes,
    *,
    route: Route = "chat",
    tenant: str = "acme",
    policy: str = "p",
    ignore: tuple[str, ...] = (),
    model: str = "small",
) -> Keyed | NoKey:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return key_of(
        Incoming(route, data),
        tenant=tenant,
        task="triage",
        policy=policy,
        model=model,
        ignore=frozenset(ignore),
    )


def exact(body: dict[str, Any] | bytes, **of: Any) -> bytes:
    keyed = found(body, **of)
    assert isinstance(keyed, Keyed), keyed
    assert len(keyed.exact) == 32
    return keyed.exact


def chat(content: str, rest: str = "") -> bytes:
    return f'{{"model":"m","messages":[{{"role":"user","content":{content}}}]{rest}}}'.encode()


def partition(body: dict[str, Any], **marks: str) -> Partition | None:
    keyed = found(body)
    assert isinstance(keyed, Keyed)
    return partition_of(keyed, embedder_sha256="e", **marks)  # type: ignore[arg-type]


def asking(content: Any, **fields: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "system", "content": "Sort."}, {"role": "user", "content": content} | fields],
    }


def test_the_writing_is_nothing() -> None:
    one = exact(BODY)
    other_order = {name: BODY[name] for name in reversed(BODY)}
    assert exact(other_order) == one
    assert exact(json.dumps(BODY, ensure_ascii=False, separators=(",", ":")).encode()) == one
    assert exact(json.dumps(BODY, ensure_ascii=False, indent=2).encode()) == one
    assert exact(json.dumps(BODY).replace("My", "\\u004dy").encode()) == one
    assert exact(chat('"a/b"')) == exact(chat('"a\\/b"')) == exact(chat('"a\\u002Fb"'))
    assert exact(chat('"\\ud83d\\ude00"')) == exact(chat('"😀"'))


def test_a_stream_and_a_whole_answer_share_their_key() -> None:
    assert exact(BODY | {"stream": True, "stream_options": {"include_usage": True}}) == exact(BODY)


def test_nothing_is_normalised_but_json() -> None:
    texts = ['"a"', '"A"', '"a "', '" a"', '"\\u00e9"', '"e\\u0301"', '"a\\u200b"', '"\\u0430"', '"a\\u0000"']
    assert len({exact(chat(text)) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    "numbers",
    [
        ["1", "1.0", "true", '"1"', "[1]", "10e-1"],
        ["0", "-0", "0.0", "-0.0", "null", "false", '""', "[]", "{}"],
        ["18446744073709551616", "18446744073709551617", "1.8446744073709552e19"],
        ["9007199254740992", "9007199254740993", "9007199254740992.0"],
        ["0.1", "0.10000000000000001", "0.1000000000000000055511151231257827", "1e-1"],
        ["1e308", "1e309", "1e400", "1e401"],
        ["1" * 4400, "1" * 4399 + "2"],
    ],
)
def test_numbers_are_compared_as_they_are_written(numbers: list[str]) -> None:
    for where in (',"x":{}', ',"x":{{"y":[{}]}}'):
        keys = {exact(chat('"hi"', where.format(number))) for number in numbers}
        assert len(keys) == len(numbers)


def test_absent_is_neither_null_nor_the_default() -> None:
    """OrcaRouter #84 took a missing temperature for 0."""
    without = {name: value for name, value in BODY.items() if name != "temperature"}
    told = [without, *(without | {"temperature": value} for value in (None, 0, 1))]
    assert len({exact(body) for body in told}) == 4


@pytest.mark.parametrize(
    "data",
    [
        chat('"hi"', ',"temperature":1,"temperature":0'),
        chat('"hi"', ',"x":1,"x":1'),
        chat('"hi"', ',"x":{"y":[{"z":1,"z":2}]}'),
        chat('"hi"', ',"x":{"a":1,"\\u0061":2}'),
        chat('"hi"', ',"x":1,"x":"11111111"'),
        chat('"hi"', ',"x":{"":0,"":1e2}'),
        b'{"model":"m","messages":[{"role":"user","role":"assistant","content":"hi"}]}',
        b'{"model":"m","user":"a","user":"b","messages":[{"role":"user","content":"hi"}]}',
        chat('"hi"', ',"messages":[{"role":"user","content":"ho"}]'),
    ],
)
def test_a_name_given_twice_anywhere_has_no_key(data: bytes) -> None:
    assert found(data, ignore=("user",)) == NoKey("a name is given twice in one object")


def test_names_that_look_alike_are_not_the_same_name() -> None:
    bodies = [chat('"hi"', rest) for rest in (',"a b":1,"ab":1', ',"ab":1,"a b":2', ',"ab":1,"AB":1')]
    assert len({exact(body) for body in bodies}) == 3


def test_half_a_surrogate_pair_is_no_request() -> None:
    for data in (chat('"\\ud800"'), chat('"hi"', ',"x":"\\udc00"'), chat('"hi"', ',"x":NaN')):
        with pytest.raises(BadRequest):
            found(data)


def test_the_deepest_body_that_is_read_has_a_key() -> None:
    deep = {"x": json.loads("[" * 120 + "1.0" + "]" * 120)}
    shallower = {"x": json.loads("[" * 119 + "1.0" + "]" * 119)}
    assert exact(BODY | deep) != exact(BODY | shallower)


def test_what_it_is_asked_under_is_in_it() -> None:
    claude = BODY | {"max_tokens": 9, "messages": BODY["messages"][1:]}
    told = [
        exact(claude),
        exact(claude, route="messages"),
        exact(claude, tenant="acme2"),
        exact(claude, policy="q"),
        exact(claude, model="large"),
    ]
    assert len(set(told)) == 5


def test_litellm_29955_the_key_has_the_tenant() -> None:
    assert exact(BODY, tenant="a") != exact(BODY, tenant="b")


def test_litellm_a_model_swapped_behind_its_alias_gets_none_of_the_old_answers() -> None:
    """The policy's hash names what the models are; the alias is not what is keyed."""
    assert exact(BODY, policy="old", model="small") != exact(BODY, policy="new", model="small")
    assert exact(BODY | {"model": "alias"}, model="small") == exact(BODY | {"model": "small"}, model="small")


def test_litellm_parameters_of_a_vendor_are_in_the_key() -> None:
    assert exact(BODY | {"guided_json": {"a": 1}}) != exact(BODY | {"guided_json": {"a": 2}}) != exact(BODY)


def test_litellm_25673_an_instruction_beside_the_messages_is_in_the_key() -> None:
    assert exact(BODY | {"instructions": "French"}) != exact(BODY)


@pytest.mark.parametrize("field", ["max_tokens", "top_p", "seed", "n"])
def test_orcarouter_84_limits_and_sampling_are_in_the_key(field: str) -> None:
    assert exact(BODY | {field: 1}) != exact(BODY)


def test_orcarouter_84_stop_and_tool_choice_are_in_the_key() -> None:
    keys = {exact(BODY | more) for more in ({}, {"stop": "a"}, {"stop": ["a"]}, {"tool_choice": "none"})}
    assert len(keys) == 4


def test_gptcache_526_and_portkey_the_system_prompt_is_in_the_key() -> None:
    french = [{"role": "system", "content": "Sort. In French."}, *BODY["messages"][1:]]
    assert exact(BODY | {"messages": french}) != exact(BODY)
    assert partition(BODY | {"messages": french}) != partition(BODY)


def test_bifrost_2791_the_order_of_names_and_the_process_change_nothing() -> None:
    """A digest that is written down: another process, another day and another machine find the same."""
    known = "ec276e25042716380cbb7cffe204385c"
    schema = {"b": {"type": "string"}, "a": {"type": "integer"}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": schema}}}]
    turned = [
        {
            "function": {
                "parameters": {"properties": {name: schema[name] for name in reversed(schema)}},
                "name": "f",
            },
            "type": "function",
        }
    ]
    assert exact(BODY | {"tools": tools}) == exact(BODY | {"tools": turned})
    assert exact(BODY).hex()[:32] == known


def test_litellm_docs_833_a_loop_of_tools_is_another_call_at_each_turn() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        *BODY["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
    ]
    keys = {exact(BODY | {"messages": turns[:length]}) for length in (2, 4)}
    assert len(keys) == 2
    assert partition(BODY | {"messages": turns}) is None


def test_only_what_changes_no_answer_can_be_ignored() -> None:
    assert exact(BODY | {"user": "a"}, ignore=("user",)) == exact(BODY | {"user": "b"}, ignore=("user",))
    assert exact(BODY | {"user": "a"}) != exact(BODY | {"user": "b"})
    more = [BODY["messages"][0], {"role": "user", "content": "Another"}]
    ignore = ("messages", "temperature", "tools")
    assert exact(BODY | {"messages": more}, ignore=ignore) != exact(BODY, ignore=ignore)
    assert exact(BODY | {"temperature": 1}, ignore=ignore) != exact(BODY, ignore=ignore)


# The partition.


def test_the_last_text_may_differ_and_nothing_else() -> None:
    one, other = partition(asking("a")), partition(asking("b"))
    assert one is not None
    assert other is not None
    assert (one.question, other.question) == ("a", "b")
    assert one.digest == other.digest != exact(asking("a"))
    for changed in (
        asking("a") | {"temperature": 0},
        asking("a", name="x"),
        asking([{"type": "text", "text": "a"}]),
        {"model": "m", "messages": [{"role": "user", "content": "a"}]},
        {"model": "m", "messages": [{"role": "developer", "content": "Sort."}, *asking("a")["messages"][1:]]},
    ):
        parted = partition(changed)
        assert parted is not None
        assert parted.digest != one.digest


def test_the_embedder_and_the_tenant_are_in_the_partition() -> None:
    keyed, others = found(asking("a")), found(asking("a"), tenant="b")
    assert isinstance(keyed, Keyed)
    assert isinstance(others, Keyed)
    digests = {
        parted.digest
        for parted in (
            partition_of(keyed, embedder_sha256="e"),
            partition_of(keyed, embedder_sha256="f"),
            partition_of(others, embedder_sha256="e"),
        )
        if parted
    }
    assert len(digests) == 3


def test_vllm_sr_2134_a_prefix_in_the_text_is_no_isolation() -> None:
    """What stands in the text cannot take the place of what stands around it."""
    held = partition(asking("x"))
    for text in ('{"before":"","after":""}', '["question"]', "null"):
        parted = partition(asking(text))
        assert parted is not None
        assert held is not None
        assert parted.question == text
        assert parted.digest == held.digest
    objects = asking([{"type": "text", "text": "x"}, {"type": "text2", "text2": {"before": "", "after": ""}}])
    parted = partition(objects)
    assert parted is not None
    assert held is not None
    assert parted.digest != held.digest


def test_other_parts_of_the_last_message_stay() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    other = {"type": "image_url", "image_url": {"url": "https://example.com/b.png"}}
    one, same, two = (
        partition(asking([{"type": "text", "text": text}, part]))
        for text, part in (("a", image), ("b", image), ("a", other))
    )
    assert one is not None
    assert same is not None
    assert two is not None
    assert one.digest == same.digest != two.digest


@pytest.mark.parametrize(
    "body",
    [
        asking([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        asking([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]),
        asking(""),
        asking(" \n"),
        asking("x" * 4097),
        asking([{"type": "other", "text": "a"}]),
        {"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"model": "m", "messages": [{"role": "system", "content": "a"}]},
    ],
)
def test_no_partition(body: dict[str, Any]) -> None:
    assert partition(body) is None


def test_vllm_sr_3366_a_text_longer_than_is_read_has_no_partition() -> None:
    """Two texts that differ beyond what the embedder reads have the same vector."""
    keyed = found(asking("a" * 101))
    assert isinstance(keyed, Keyed)
    assert partition_of(keyed, embedder_sha256="e", most_chars=100) is None
    assert partition_of(keyed, embedder_sha256="e", most_chars=101) is not None


def test_between_marks_only_the_question_may_differ() -> None:
    def parted(text: str) -> Partition | None:
        return partition(asking(text), after="Question:", before="\n---")

    one, two = parted("Passage 1\nQuestion: a\n--- end"), parted("Passage 1\nQuestion: b\n--- end")
    assert one is not None
    assert two is not None
    assert (one.question, two.question) == ("a", "b")
    assert one.digest == two.digest
    for text in ("Passage 2\nQuestion: a\n--- end", "Passage 1\nQuestion: a\n--- another end"):
        other = parted(text)
        assert other is not None
        assert other.digest != one.digest
    assert parted("no marks") is None
    assert parted("Question: a") is None
    # a question that brings a mark along moves what must be the same, and meets only those that say the same
    sly = parted("Passage 1\nQuestion: a\n--- Question: b\n--- end")
    assert sly is not None
    assert (sly.question, sly.digest == one.digest) == ("b", False)
    plain = partition(asking("a"))
    assert plain is not None
    assert plain.digest != one.digest


def test_messages_of_anthropic_have_partitions_too() -> None:
    def parted(content: Any) -> Partition | None:
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
        keyed = found(body, route="messages")
        assert isinstance(keyed, Keyed)
        return partition_of(keyed, embedder_sha256="e")

    result = {"type": "tool_result", "tool_use_id": "t", "content": "42"}
    texts = [parted([result, {"type": "text", "text": text}]) for text in ("a", "b")]
    assert texts[0] is not None
    assert texts[1] is not None
    assert texts[0].digest == texts[1].digest
    assert parted([result]) is None
    assert parted("a") is not None


@pytest.mark.parametrize("escaped", [False, True])
def test_a_body_that_would_hold_everybody_up_has_no_key(escaped: bool) -> None:
    rest = f',"u":"{chr(92)}u00fc"' if escaped else ""
    numbers = ",".join(["1"] * 100_001)
    assert isinstance(found(chat('"x"', rest)), Keyed)
    assert found(chat('"x"', f'{rest},"z":[{numbers}]')) == NoKey("it has too many fields and numbers")
    assert isinstance(found(chat(f'"{"long " * 30_000}"', rest)), Keyed)
