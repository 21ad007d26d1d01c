"""Which frames are of one feature: versions of a prompt, examples and documents that come again, against other instructions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from smallfirst.datasets.union import Union
from smallfirst.planning.assess.finding.answer_shape import Shape, agree, shape_of
from smallfirst.planning.assess.finding.asks import asks_in, first_ask, object_in
from smallfirst.planning.assess.finding.frame_tree import Asked, Node

_SHAPED = 400  # calls whose answers are looked at
# So many of a frame's calls must have other instructions, so that these alone make another question; fewer where there are few.
_ASKING_SHARE, _ASKING = 0.05, 12
_ALONE = 0.03  # of a frame's calls have none of its children's; fewer are strays, and join nothing together
_LIKE_WORDS = 0.3
_SAME_WORDS = 0.6
# So many labels or keys in common say that two prompts ask for the same, however differently they are written.
_LEAST_COMMON = {"label": 4, "json": 3}
_COMMON_LABEL = 0.01  # of the answers


def group_frames(nodes: Sequence[Node], asked: Sequence[Asked], first_group: int) -> int:
    """Gives each frame of the trees its group, from `first_group`; returns the number after the last."""
    whole = _Whole(asked)
    trees: list[int] = []
    for number, node in enumerate(nodes):
        whole.walk(node, "")
        trees += [number] * (len(whole.parts) - len(trees))
    for left, right in combinations(range(len(trees)), 2):
        if trees[left] != trees[right] and same_question(whole.parts[left], whole.parts[right]):
            whole.joined.append((left, right))
    union = Union(len(whole.parts))
    for left, right in whole.joined:
        union.join(left, right)
    groups: dict[int, int] = {}
    for at, part in enumerate(whole.parts):
        part.node.frame.group = groups.setdefault(union.find(at), first_group + len(groups))
    return first_group + len(groups)


class Part:
    """What is compared: the answers to the calls that have a frame alone, what it says, and what is above it."""

    def __init__(self, node: Node, above: str, shape: Shape) -> None:
        self.node = node
        self.above = above
        self.shape = shape
        self.text = node.frame.shared
        self.asks = set(asks_in(self.text)) if node.frame.steady else set[str]()
        self.asks_above = set(asks_in(above))
        self.first = first_ask(self.text)
        self.about = object_in(self.text)
        self.words = set(self.text.lower().split())


class _Whole:
    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = asked
        self.parts: list[Part] = []
        self.at: dict[int, int] = {}
        self.joined: list[tuple[int, int]] = []

    def walk(self, node: Node, above: str) -> None:
        own = node.own.tolist()
        step = max(1, len(own) // _SHAPED)
        answers = [(self._asked[at].answer, self._asked[at].calls_tools) for at in own[::step]]
        place = len(self.parts)
        self.at[id(node)] = place
        self.parts.append(Part(node, above, shape_of(answers)))
        for child in node.children:
            self.walk(child, f"{above}\n{node.frame.shared}")
        children = [self.at[id(child)] for child in node.children]
        alone = len(own) >= max(1, _ALONE * len(node.docs))
        least = max(_ASKING_SHARE * len(node.docs), min(_ASKING, _ASKING_SHARE * len(self._asked)))
        self.joined += [
            (place, child) for child in children if alone and not self._another(place, child, least)
        ]
        for left, right in combinations(children, 2):
            if not _siblings_differ(self.parts[left], self.parts[right], least):
                self.joined.append((left, right))
        # Where nothing has the frame alone, what could be there goes where most of it went.
        if not alone and children:
            self.joined.append((place, max(children, key=lambda child: len(self.parts[child].node.docs))))

    def _another(self, parent: int, child: int, least: float) -> bool:
        """Whether what a child says beside its parent makes it another question."""
        above, inner = self.parts[parent], self.parts[child]
        found = agree(above.shape, inner.shape)
        new = inner.asks - inner.asks_above
        if found is False:
            return True
        if found and above.shape.kind != "text":
            return False
        return bool(new) and len(inner.node.docs) >= least and not (found and inner.asks_above)


def _siblings_differ(left: Part, right: Part, least: float) -> bool:
    found = agree(left.shape, right.shape)
    if found is False:
        return True
    if left.shape.is_bare and right.shape.is_bare:
        return _likeness(left.words, right.words) < _LIKE_WORDS
    if found and left.shape.kind != "text":
        return False
    new_left, new_right = left.asks - left.asks_above, right.asks - right.asks_above
    asking = [part for part, new in ((left, new_left), (right, new_right)) if new]
    enough = all(len(part.node.docs) >= least for part in asking)
    return bool(asking) and not new_left & new_right and enough and not (found and left.asks_above)


def same_question(left: Part, right: Part) -> bool:
    """Whether two frames that have too little in common to be found as one ask for the same: the answers tell, or nearly the same words."""
    found = agree(left.shape, right.shape)
    if found is False:
        return False
    if found and left.shape.kind == right.shape.kind and left.shape.kind in _LEAST_COMMON:
        one, other = _said(left.shape), _said(right.shape)
        if len(one & other) >= _LEAST_COMMON[left.shape.kind] and _likeness(one, other) >= _SAME_WORDS:
            return True
    if found and left.first and (left.first, left.about) == (right.first, right.about):
        return True
    return (bool(found) or left.asks == right.asks) and _likeness(left.words, right.words) >= _SAME_WORDS


def _said(shape: Shape) -> set[str]:
    return set(shape.keys) or {label for label, share in shape.labels.items() if share >= _COMMON_LABEL}


def _likeness(left: set[str], right: set[str]) -> float:
    return len(left & right) / max(1, len(left | right))
