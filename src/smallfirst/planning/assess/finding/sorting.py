"""Sorts a stream of calls into groups by their frames, learning new frames from those that have none of the known ones."""

from __future__ import annotations

from smallfirst.planning.assess.finding.counted import Counted
from smallfirst.planning.assess.finding.frame import Frame
from smallfirst.planning.assess.finding.frame_tree import Asked, find_frames
from smallfirst.planning.assess.finding.likeness import group_frames
from smallfirst.planning.assess.finding.passing import Passing
from smallfirst.planning.assess.finding.prompt_text import Prompt
from smallfirst.planning.assess.finding.split_answers import Split, split_of

BATCH_CALLS = 8000
_BATCH_CHARS = 48_000_000  # of their prompts
_LEARNED_CHARS = 16_000_000  # of those, that are learned from
_RESTS = 16  # batches at most that are not learned from, after some in which nothing was found
_ROOTS = 200
_SYSTEMS = 100  # system prompts without a frame whose calls are counted apart
_REMEMBERED = 4096  # system prompts whose frame is known
_PLAIN_WORDS = 25  # a frame of fewer says little of what is asked: there, answers may tell features apart
PLAIN, UNKNOWN = -1, -2  # groups of calls that have no frame: without a system prompt, and with one


class Sorter:
    """Calls that could be of one feature as far as the request says it: the same tools, schema and task."""

    def __init__(self) -> None:
        self._roots: list[Frame] = []
        self._by_system: dict[str, list[Frame]] = {}
        self._waiting: list[Passing] = []
        self._waiting_chars = 0
        self._rest = 0
        self._rests = 1
        self._next_group = 0
        self._splits: dict[int, Split | None] = {}
        self._systems: set[str] = set()
        self._lesson = 0
        self.lessons: dict[int, int] = {}  # of each group with a frame: in which lesson it was learned
        self.groups: dict[tuple[int, str], Counted] = {}

    def add(self, one: Passing) -> None:
        """Counts a call in its group, or lets it wait until there are enough to learn from."""
        frame = self._frame(one.prompt) if self._roots else None
        if frame is not None:
            self._count(frame.group, one)
            return
        self._waiting.append(one.waiting())
        self._waiting_chars += len(one.prompt.text) + 200
        if len(self._waiting) >= BATCH_CALLS or self._waiting_chars >= _BATCH_CHARS:
            self.settle()

    def settle(self) -> None:
        """Learns from the calls that wait, and counts them."""
        waiting, self._waiting, self._waiting_chars = self._waiting, [], 0
        if self._rest:
            self._rest -= 1
        elif waiting and len(self._roots) < _ROOTS:
            self._learn(waiting)
        for one in waiting:
            frame = self._frame(one.prompt) if self._roots else None
            group = frame.group if frame else UNKNOWN if one.prompt.system else PLAIN
            self._count(group, one)

    @property
    def waiting(self) -> int:
        """Calls that are not counted yet."""
        return len(self._waiting)

    def _learn(self, waiting: list[Passing]) -> None:
        step = 1 + sum(len(one.prompt.text) for one in waiting) // _LEARNED_CHARS
        asked = [Asked(one.prompt, one.observed.answer, one.observed.calls_tools) for one in waiting[::step]]
        nodes = find_frames(asked)
        self._rests = 1 if nodes else min(_RESTS, self._rests * 2)
        self._rest = self._rests - 1
        first, self._next_group = self._next_group, group_frames(nodes, asked, self._next_group)
        self._lesson += 1
        self.lessons |= dict.fromkeys(range(first, self._next_group), self._lesson)
        self._roots += [node.frame for node in nodes]
        self._roots.sort(key=lambda root: -root.chars)  # what says more is looked for first
        self._by_system.clear()
        answers: dict[int, list[str]] = {}
        bare: dict[int, bool] = {PLAIN: True}
        for one in waiting:
            frame = self._frame(one.prompt)
            group = frame.group if frame else UNKNOWN if one.prompt.system else PLAIN
            answers.setdefault(group, []).append(one.observed.answer)
            if frame:
                bare[group] = bare.get(group, True) and len(frame.shared.split()) < _PLAIN_WORDS
        for group, given in answers.items():
            if self._splits.get(group) is None:
                self._splits[group] = split_of(given) if bare.get(group) else None

    def _frame(self, prompt: Prompt) -> Frame | None:
        """The deepest frame that a prompt has. Which roots a system prompt has by itself is remembered: the same one comes again and again."""
        known = self._by_system.get(prompt.system) if prompt.system else None
        if known is None:
            known = [root for root in self._roots if prompt.system and root.fits(prompt.system)][
                :1
            ] or self._roots
            if prompt.system and len(self._by_system) < _REMEMBERED:
                self._by_system[prompt.system] = known
        for root in known:
            if root.fits(prompt.text):
                return root.deepest(prompt.text)
        return None

    def _system_of(self, system: str) -> str:
        """Of a prompt without a frame: its system prompt, if it is among the first; calls that are few are known by that alone."""
        if system not in self._systems:
            if len(self._systems) >= _SYSTEMS:
                return ""
            self._systems.add(system)
        return system

    def _count(self, group: int, one: Passing) -> None:
        split = self._splits.get(group)
        part = split.part(one.observed.answer) if split is not None else ""
        if group == UNKNOWN:
            part = self._system_of(one.prompt.system)
        counted = self.groups.get((group, part))
        if counted is None:
            counted = self.groups[group, part] = Counted()
        counted.add(one)
