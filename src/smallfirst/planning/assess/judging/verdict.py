"""What to do with a feature: candidate, prototype, or keep it on the frontier; and the reasons, each with its number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from smallfirst import limits
from smallfirst.planning.assess.feature import Feature
from smallfirst.planning.assess.judging.output import Output
from smallfirst.planning.assess.judging.questions import Question
from smallfirst.planning.assess.judging.small_share import SmallShare
from smallfirst.planning.assess.judging.width import Width

MOST_INPUT_TOKENS = 8000  # of a mean prompt that is answered in free text
MOST_TOOL_SHARE = 0.2
MOST_STEP_SHARE = 0.3
MOST_REASONING_SHARE = 0.5  # of the output tokens
LONG_OUTPUT_CHARS = 2000
MOST_TURN_SHARE = 0.5
LEAST_TAKEN = 0.2  # of the calls, at the upper end of what is known of a small model

Decision = Literal["candidate", "prototype", "frontier", "unknown"]
WORDS: dict[str, str] = {
    "candidate": "candidate",
    "prototype": "two of three: prototype",
    "frontier": "keep it on the frontier",
    "unknown": "not known yet",
}
UNSHOWN = "prototype first"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`against`: what speaks for the frontier whatever the questions say. `missing`: what would have to be
    known beside the questions."""

    decision: Decision
    words: str
    yes: int
    reasons: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def verdict_of(
    questions: Sequence[Question], feature: Feature, width: Width, output: Output, small: SmallShare
) -> Verdict:
    """Three yeses: a candidate, where something is known of what a small model takes, else a prototype. Two: a prototype. Something against it, or
    two noes: the frontier. Else it depends on what is not known.
    """
    yes = sum(question.answer == "yes" for question in questions)
    no = sum(question.answer == "no" for question in questions)
    against = tuple(_against(feature, width, output))
    missing = _missing(small)
    decision: Decision
    if against or no >= 2:
        decision = "frontier"
    elif yes == 3:
        decision = "prototype" if missing else "candidate"
    else:
        decision = "prototype" if yes == 2 else "unknown"
    unshown = decision == "prototype" and yes == 3
    return Verdict(
        decision=decision,
        words=UNSHOWN if unshown else WORDS[decision],
        yes=yes,
        reasons=tuple(f"{question.name}: {question.answer} ({question.why})" for question in questions),
        against=against,
        missing=missing,
    )


def _missing(small: SmallShare) -> tuple[str, ...]:
    if small.high is None:
        return (f"how much a small model takes: {small.told}",)
    if small.high < LEAST_TAKEN:
        return (
            f"whether a larger small model takes more: what was looked at takes at most {small.high:.0%}",
        )
    return ()


def _against(feature: Feature, width: Width, output: Output) -> list[str]:
    found = []
    if feature.tools >= limits.MANY_TOOLS:
        found.append(f"{feature.tools} tools are offered; from {limits.MANY_TOOLS} on the frontier answers")
    calls = max(1, feature.calls)
    if output.form == "none" and not feature.tool_calls:
        found.append(
            "no data to train on: no answer is recorded (in the ledger, `keep_bodies = true` in the task keeps them from then on)"
        )
    thought = feature.reasoning_tokens / feature.output_tokens if feature.output_tokens else 0.0
    if thought > MOST_REASONING_SHARE:
        found.append(f"{thought:.0%} of what is written is reasoning: the answer takes several steps")
    if feature.tool_calls / calls > MOST_TOOL_SHARE:
        found.append(
            f"{feature.tool_calls / calls:.0%} of the answers ask for tools: several steps for one result"
        )
    if (
        output.steps is not None
        and output.steps.value > MOST_STEP_SHARE
        and output.chars_p50 >= LONG_OUTPUT_CHARS
    ):
        found.append(
            f"{output.steps.value:.0%} of the answers go through steps, half of them in {output.chars_p50:,} characters or more: reasoning"
        )
    if feature.long_conversations / calls > MOST_TURN_SHARE and not output.closed:
        found.append(
            f"{feature.long_conversations / calls:.0%} of the calls are conversations of several turns, answered in free text"
        )
    read = feature.input_tokens / max(1, feature.token_calls)
    if read > MOST_INPUT_TOKENS and not output.closed and not width.kinds:
        found.append(
            f"the input is long and unpredictable: {read:,.0f} tokens in the mean, answered in free text"
        )
    return found
