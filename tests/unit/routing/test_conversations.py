"""Where conversations stand, with a clock of the test's own."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from smallfirst import limits
from smallfirst.config.schema import Config, Model, PriceOverride, Provider
from smallfirst.pricing import Price, PriceBook
from smallfirst.routing.conversations import (
    CACHED,
    IN_A_LOOP,
    NOT_SEEN,
    Conversations,
    Place,
    conversation_keys,
)
from smallfirst.wire.turns import Conversation, Turn

USER, ANSWER, CALLS, GIVEN = (
    Turn("user", "hello"),
    Turn("assistant", "yes?"),
    Turn("assistant", "", 1),
    Turn("tool", "42"),
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def book(**usd: tuple[float, float, float]) -> PriceBook:
    """Input, cache read and output by model."""
    return PriceBook(
        Config(
            providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
            models={
                name: Model(
                    provider="p",
                    prices=(
                        PriceOverride(
                            since="2026-01-01",
                            input=Decimal(f"{i}"),
                            cache_read=Decimal(f"{c}"),
                            output=Decimal(f"{o}"),
                        ),
                    ),
                )
                for name, (i, c, o) in usd.items()
            },
        )
    )


CHEAP = book(small=(0.1, 0.1, 0.4), large=(2.5, 0.25, 10))
NEARLY = book(small=(2.4, 2.4, 9.9), large=(2.5, 0.25, 10))


class Talk:
    """Conversations of one tenant and task, and a ladder of two."""

    def __init__(self, prices: PriceBook = NEARLY) -> None:
        self.clock = Clock()
        self.known = Conversations(self.clock)
        self._prices = prices

    def place(self, *turns: Turn, tenant: str = "acme", name: str = "", system: str = "") -> Place | None:
        conversation = Conversation(turns=turns, system=system)
        return self.known.place(
            conversation_keys(tenant, "t", name, conversation),
            conversation,
            prompt_bytes=4000 * len(turns),
            prices=self._price,
            frontier=1,
        )

    def answered(
        self, rung: int, *turns: Turn, tenant: str = "acme", name: str = "", system: str = ""
    ) -> None:
        keys = conversation_keys(tenant, "t", name, Conversation(turns=turns, system=system))
        self.known.remember(keys, rung, prompt_bytes=4000 * len(turns))

    def _price(self, rung: int) -> Price | None:
        return self._prices.at(("small", "large")[rung], "p", datetime.date(2026, 6, 1))


def test_it_stays_while_the_prompt_is_cached() -> None:
    talk = Talk()
    talk.answered(1, USER)
    assert talk.place(USER, ANSWER, USER) == Place(1, CACHED)
    talk.clock.now_s = 299
    assert talk.place(USER, ANSWER, USER) == Place(1, CACHED)
    talk.clock.now_s = 301
    assert talk.place(USER, ANSWER, USER) is None


def test_it_may_go_where_that_saves_more() -> None:
    talk = Talk(CHEAP)
    talk.answered(1, USER)
    assert talk.place(USER, ANSWER, USER) is None


def test_a_small_models_conversation_is_free() -> None:
    talk = Talk()
    talk.answered(0, USER)
    assert talk.place(USER, ANSWER, USER) is None


@pytest.mark.parametrize("rung", [0, 1])
def test_a_loop_is_held_however_long_its_tool_takes(rung: int) -> None:
    talk = Talk(CHEAP)
    talk.answered(rung, USER)
    talk.clock.now_s = 1e6
    assert talk.place(USER, CALLS, GIVEN) == Place(rung, IN_A_LOOP, loop=True)
    assert talk.place(USER, CALLS, GIVEN, USER) == Place(rung, IN_A_LOOP, loop=True)
    assert talk.place(USER, CALLS, GIVEN, ANSWER, USER) is None


def test_a_loop_that_nobody_remembers_is_the_frontiers() -> None:
    assert Talk().place(USER, CALLS, GIVEN) == Place(1, NOT_SEEN, loop=True)


def test_the_first_words_do_where_the_history_was_cut() -> None:
    talk = Talk()
    talk.answered(1, USER, ANSWER, Turn("user", "more"))
    cut = (USER, Turn("assistant", "a summary"), Turn("user", "go on"))
    assert talk.place(*cut) == Place(1, CACHED)
    assert talk.place(Turn("user", "other"), *cut[1:]) is None


def test_conversations_that_begin_alike_are_told_apart_by_what_came_after() -> None:
    talk = Talk()
    talk.answered(0, USER)
    talk.answered(1, USER, ANSWER, Turn("user", "hard"))
    talk.answered(0, USER, ANSWER, Turn("user", "easy"))
    assert talk.place(USER, ANSWER, Turn("user", "hard"), CALLS, GIVEN) == Place(1, IN_A_LOOP, loop=True)
    assert talk.place(USER, ANSWER, Turn("user", "easy"), CALLS, GIVEN) == Place(0, IN_A_LOOP, loop=True)


def test_a_system_prompt_with_the_time_of_day_is_no_other_conversation() -> None:
    talk = Talk()
    talk.answered(0, USER, system="It is 10:00.")
    assert talk.place(USER, CALLS, GIVEN, system="It is 10:01.") == Place(0, IN_A_LOOP, loop=True)


def test_a_name_counts_and_nothing_else() -> None:
    talk = Talk()
    talk.answered(1, USER, name="c-1")
    assert talk.place(Turn("user", "other"), ANSWER, USER, name="c-1") == Place(1, CACHED)
    assert talk.place(USER, ANSWER, USER, name="c-2") is None
    assert talk.place(USER, ANSWER, USER) is None


@pytest.mark.parametrize("name", ["", "c-1"])
def test_tenants_share_nothing(name: str) -> None:
    talk = Talk()
    talk.answered(0, USER, name=name)
    assert talk.place(USER, CALLS, GIVEN, tenant="rival", name=name) == Place(1, NOT_SEEN, loop=True)


def test_an_empty_request_is_nobodys_beginning() -> None:
    talk = Talk()
    talk.answered(0)
    assert talk.place(CALLS, GIVEN) == Place(1, NOT_SEEN, loop=True)
    assert talk.place() is None


def test_an_unknown_price_moves_nothing() -> None:
    talk = Talk(book(large=(2.5, 0.25, 10)))
    talk.answered(1, USER)
    assert talk.place(USER, ANSWER, USER) == Place(1, CACHED)


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CONVERSATIONS", 10)
    talk = Talk()
    for number in range(50):
        talk.answered(1, Turn("user", f"{number}"))
    assert len(talk.known._last) <= 10
    assert talk.place(Turn("user", "49"), ANSWER, USER) == Place(1, CACHED)
    assert talk.place(Turn("user", "1"), ANSWER, USER) is None


def test_long_turns_differ_by_their_ends_and_lengths() -> None:
    def now(text: str) -> bytes:
        return conversation_keys("acme", "t", "", Conversation(turns=(USER, ANSWER, Turn("user", text)))).now

    long = "x" * 20_000
    assert len({now(long), now(long + "y"), now("y" + long), now(long + "x")}) == 4
    assert now(long) == now(long)
    assert conversation_keys("acme", "t", "", Conversation(turns=(Turn("user", "\ud800"),)))
