"""Whether an answer's own record still allows to serve it again, whatever its probability."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from smallfirst.cache.semantic.seen import Candidate, Judgement

PROBABLE = 0.5  # a miss whose candidate was less probable says nothing of its answer
_SUPPOSED, _SUPPOSED_RIGHT = 1.0, 0.98  # what holds for answers in general counts as so many findings
_LEAST = 0.5  # of the findings, the supposed one included, that must be for it


def is_trusted(confirmed: int, refuted: int) -> bool:
    """Whether an answer may be served that so many findings spoke for and against: as many for it as against it, at least.

    Findings are spot checks, and misses that it came close to answering: that an improbable candidate was wrong says nothing against its answer.
    Of such misses one in five is wrong where all is well, so that a stricter rule would refuse the answers that are asked for most.
    """
    for_it = confirmed + _SUPPOSED * _SUPPOSED_RIGHT
    return for_it >= _LEAST * (confirmed + refuted + _SUPPOSED)


def trusted(judgement: Judgement | None, candidates: Sequence[Candidate]) -> Judgement | None:
    """The same; refused where the answer was wrong for others too often, whatever its probability is for this one."""
    if judgement is None or judgement.refused:
        return judgement
    alike = [one for one in candidates if one.answer == judgement.candidate.answer]
    if is_trusted(sum(one.confirmed for one in alike), sum(one.refuted for one in alike)):
        return judgement
    return msgspec.structs.replace(judgement, probability=0.0, refused="it was wrong for others")
