"""A dataset's next version with more, better or fewer examples to train on: calibration and held-out are the parent's files, byte for byte.

So nothing that was made by a model can get into a part that judges models, and what is held out stays sealed: it is copied, not read.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from smallfirst.datasets.build import Order, Result
from smallfirst.datasets.example import SPLITS, Example
from smallfirst.datasets.figures import Figures
from smallfirst.datasets.hashed_file import HashedFile
from smallfirst.datasets.held import Marks, Reading, Shelf, asked_of
from smallfirst.datasets.manifest import Duplicates, Manifest, Part
from smallfirst.datasets.members import FILE as MEMBERS
from smallfirst.datasets.members import Member, member_line
from smallfirst.datasets.redaction import Redaction, Redactor
from smallfirst.datasets.reference import NoReferenceError, reference_reader
from smallfirst.datasets.row import Row
from smallfirst.datasets.split import keys_of
from smallfirst.datasets.store import Dataset, Datasets, part_path
from smallfirst.datasets.taught import is_forbidden
from smallfirst.errors import BadRequest, DatasetError

_CHUNK_BYTES = 1 << 20


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What differs in train. `rows`: more examples, each with the group that it belongs to ("": its own). `instead`: by a train example's id, the
    row that takes its place. `without`: the ids of train examples that go. `skipped`: why others were not used, for the manifest.
    """

    rows: Sequence[tuple[Row, str]] = ()
    instead: Mapping[str, Row] = {}
    without: frozenset[str] = frozenset()
    skipped: Mapping[str, int] = {}

    @property
    def empty(self) -> bool:
        return not (self.rows or self.instead or self.without)


def add(change: Change, parent: Dataset, order: Order, datasets: Datasets, *, redactor: Redactor) -> Result:
    """The version that was made. Its rule is the parent's. Train examples that may be trained on no longer go. Raises `DatasetError` where there is
    no change, or the parent was altered; rows that are no examples are counted in the manifest.
    """
    if change.empty:
        raise DatasetError("there is nothing to add")
    place = datasets.workplace()
    try:
        skipped = Counter(change.skipped)
        change = _without_forbidden(change, parent, order, skipped)
        fresh, put = _fresh(place, change, order, parent, redactor, skipped)
        train, members = _write_train(place, fresh, change, parent, order)
        parts = {part: _copied(place, parent, part) for part in SPLITS if part != "train"} | {"train": train}
        sha256 = _write_members(place, members, parent)
        before = parent.manifest
        manifest = Manifest(
            task=before.task,
            contract=before.contract,
            rule=before.rule,
            parts={part: parts[part] for part in SPLITS},
            members_sha256=sha256,
            seal=before.seal,
            sources=dict(sorted((Counter(before.sources) + put).items())),
            redaction=_in_both(before.redaction, redactor.done),
            redacted=dict(sorted((Counter(before.redacted) + redactor.counts).items())),
            duplicates=Duplicates(),
            skipped=dict(sorted(skipped.items())),
            parent=parent.id,
        )
        name, new = datasets.save(place, manifest, note=order.note)
        return Result(id=name, new=new, manifest=manifest)
    except BaseException:  # Ctrl-C, a full disk: nothing half is left behind
        shutil.rmtree(place, ignore_errors=True)
        raise


class _Fresh(msgspec.Struct, frozen=True):
    example: Example
    keys: tuple[str, ...]


def _without_forbidden(change: Change, parent: Dataset, order: Order, skipped: Counter[str]) -> Change:
    gone = {one.id for one in parent.examples("train") if is_forbidden(one, order.forbidden)}
    gone -= change.instead.keys() | change.without
    if not gone:
        return change
    skipped["train examples of a provider that learning.never_train_on names now"] += len(gone)
    return msgspec.structs.replace(change, without=change.without | gone)


def _in_both(one: Redaction, other: Redaction) -> Redaction:
    """What was taken out of all examples, of the parent's and of those that come."""
    return Redaction(
        kinds=tuple(kind for kind in one.kinds if kind in other.kinds),
        patterns=tuple(pattern for pattern in one.patterns if pattern in other.patterns),
        libraries=other.libraries,
    )


def _fresh(
    place: Path,
    change: Change,
    order: Order,
    parent: Dataset,
    redactor: Redactor,
    skipped: Counter[str],
) -> tuple[dict[str, _Fresh], Counter[str]]:
    """What comes, by the id that it has in the new version; and how many rows of each source."""
    reading = Reading(
        reference=reference_reader(order.contract),
        after=order.after,
        before=order.before,
        forbidden=order.forbidden,
        simulated=order.simulated,
        by_tenant=parent.manifest.rule.group_by == "tenant",
    )
    taken = {member.id for member in parent.members()} - change.without
    told = [(row, group, "") for row, group in change.rows]
    told += [(row, "", old) for old, row in change.instead.items()]
    found: dict[str, _Fresh] = {}
    put: Counter[str] = Counter()
    with Shelf(place, reading) as shelf:
        for row, group, old in told:
            try:
                shelf.put(redactor.redact(row))
            except (NoReferenceError, BadRequest):
                skipped["answers that are not as the contract says"] += 1
                continue
            one = shelf.held[-1]
            if "train" not in one.allowed:
                skipped["may not be trained on"] += 1
                continue
            name = old or (one.id if one.id not in taken else f"{one.id}-{one.text[:8]}")
            taken.add(name)
            example = msgspec.structs.replace(shelf.get(one), id=name, group=group or one.text)
            found[name] = _Fresh(example, keys_of(one))
            put[row.source] += not old
    if not found and not change.without:
        reasons = "; ".join(f"{count:,} {why}" for why, count in skipped.items())
        raise DatasetError(f"nothing is usable: {reasons}")
    return found, put


def _write_train(
    place: Path, fresh: Mapping[str, _Fresh], change: Change, parent: Dataset, order: Order
) -> tuple[Part, list[Member]]:
    """Writes the train part in order of id. Returns its figures, and its members."""
    before = {member.id: member for member in parent.members() if member.part == "train"}
    figures, members = Figures(), []
    marks = Marks(after=order.after, before=order.before)
    with part_path(place, "train").open("wb") as raw:
        file = HashedFile(raw)
        for example in _merged(parent, fresh, change.without):
            one, old, stored = fresh.get(example.id), before.get(example.id), example
            if one is not None and old is not None:  # what it belongs to is known by the old one's keys
                stored = msgspec.structs.replace(one.example, group=example.group)
            file.write(msgspec.json.encode(stored) + b"\n")
            figures.add(stored, len(asked_of(stored, marks)))
            if old is not None:
                members.append(old)
            elif one is not None:
                text, *keys = dict.fromkeys(one.keys)
                members.append(Member(example.id, "train", stored.lineage.calls, (text, *sorted(keys))))
    return figures.part(sha256=file.sha256, size=file.size), members


def _merged(parent: Dataset, fresh: Mapping[str, _Fresh], without: frozenset[str]) -> Iterator[Example]:
    """The parent's train examples that stay and those that come, in order of id; of one whose place is taken, the old one."""
    ids = {member.id for member in parent.members() if member.part == "train"}
    coming = iter(sorted(name for name in fresh if name not in ids))
    waiting = next(coming, None)
    for example in parent.examples("train"):
        while waiting is not None and waiting < example.id:
            yield fresh[waiting].example
            waiting = next(coming, None)
        if example.id not in without:
            yield example
    while waiting is not None:
        yield fresh[waiting].example
        waiting = next(coming, None)


def _copied(place: Path, parent: Dataset, part: str) -> Part:
    """The parent's file of a part, unread. Raises `DatasetError` where it was altered."""
    assert part in ("calibration", "heldout")
    source, told = part_path(parent.folder, part), parent.manifest.parts[part]
    hashed = hashlib.sha256()
    try:
        with source.open("rb") as file, part_path(place, part).open("wb") as copy:
            while chunk := file.read(_CHUNK_BYTES):
                hashed.update(chunk)
                copy.write(chunk)
    except FileNotFoundError as error:
        raise DatasetError(f"{source} cannot be read: {error.strerror}") from error
    if hashed.hexdigest() != told.sha256:
        raise DatasetError(f"{source} was altered after the dataset was made: build or import it again")
    return told


def _write_members(place: Path, train: Sequence[Member], parent: Dataset) -> str:
    with (place / MEMBERS).open("wb") as raw:
        file = HashedFile(raw)
        for member in (*train, *(member for member in parent.members() if member.part != "train")):
            file.write(member_line(member))
    return file.sha256
