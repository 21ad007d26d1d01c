"""Makes a dataset: rows are redacted, read by the contract, freed of duplicates, put apart by group, and stored."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from smallfirst.contracts import Contract
from smallfirst.datasets.duplicates import Found, Progress, find_duplicates
from smallfirst.datasets.example import SPLITS, Split
from smallfirst.datasets.figures import Figures
from smallfirst.datasets.hashed_file import HashedFile
from smallfirst.datasets.held import Held, Reading, Shelf
from smallfirst.datasets.manifest import Manifest, Part, Rule
from smallfirst.datasets.members import FILE as MEMBERS
from smallfirst.datasets.members import Member, member_line
from smallfirst.datasets.redaction import Redactor
from smallfirst.datasets.reference import NoReferenceError, kind_of, reference_reader
from smallfirst.datasets.row import Row, Tally
from smallfirst.datasets.split import Placed, keys_of, pin, split
from smallfirst.datasets.store import Dataset, Datasets, part_path
from smallfirst.datasets.taught import take_over
from smallfirst.errors import BadRequest, DatasetError

_TELL_EVERY = 500


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made. `after` and `before` are the marks of the task's prompt; `forbidden`: providers that nothing is trained on;
    `simulated`: those that only pretend; `forgotten`: tombstones of erased calls (`erased.tombstones_of`).
    """

    task: str
    contract: Contract
    rule: Rule = Rule()
    after: str = ""
    before: str = ""
    forbidden: frozenset[str] = frozenset()
    simulated: frozenset[str] = frozenset()
    forgotten: frozenset[bytes] = frozenset()
    note: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    new: bool
    manifest: Manifest


def build(
    rows: Iterable[Row],
    order: Order,
    datasets: Datasets,
    *,
    redactor: Redactor,
    tally: Tally,
    parent: Dataset | None = None,
    progress: Progress = lambda *_: None,
) -> Result:
    """The dataset that was made, or found to be there already: the parent, where nothing has come or gone since. What the parent was taught by
    larger models is taken over into train.

    Raises `DatasetError` where nothing is usable, and says why.
    """
    place = datasets.workplace()
    try:
        reading = Reading(
            reference=reference_reader(order.contract),
            after=order.after,
            before=order.before,
            forbidden=order.forbidden,
            simulated=order.simulated,
            by_tenant=order.rule.group_by == "tenant",
        )
        with Shelf(place, reading) as shelf:
            sources = _fill(shelf, rows, redactor, tally, progress)
            taught = _take_over(shelf, parent, order, redactor, tally)
            members = [] if parent is None else parent.members()
            pin(shelf.held, members)
            judged = kind_of(order.contract) != "text"
            found = find_duplicates(shelf, order.rule, judged=judged, progress=progress)
            placed = split(found, order.rule, members)
            parts, sha256 = _write(place, shelf, found, placed, progress)
        if parent is not None and _same(parent.manifest, order, parts, sha256):
            shutil.rmtree(place)
            return Result(id=parent.id, new=False, manifest=parent.manifest)
        manifest = Manifest(
            task=order.task,
            contract=kind_of(order.contract),
            rule=order.rule,
            parts=parts,
            members_sha256=sha256,
            seal=parts["heldout"].sha256 if parent is None else parent.manifest.seal,
            sources=dict(sorted((sources + taught).items())),
            redaction=redactor.done,
            redacted=dict(sorted(redactor.counts.items())),
            duplicates=msgspec.structs.replace(found.counts, largest_group=placed.largest),
            skipped=dict(sorted(tally.skipped.items())),
            dropped=len(found.kept) - len(placed.part),
            taken_over=taught.total(),
            parent="" if parent is None else parent.id,
        )
        name, new = datasets.save(place, manifest, note=order.note)
        return Result(id=name, new=new, manifest=manifest)
    except BaseException:  # Ctrl-C, a full disk: nothing half is left behind
        shutil.rmtree(place, ignore_errors=True)
        raise


def _same(before: Manifest, order: Order, parts: dict[Split, Part], members_sha256: str) -> bool:
    """Whether nothing has come or gone since an earlier version: then it is still that one."""
    return (before.rule, before.parts, before.members_sha256) == (order.rule, parts, members_sha256)


def _fill(
    shelf: Shelf, rows: Iterable[Row], redactor: Redactor, tally: Tally, progress: Progress
) -> Counter[str]:
    sources: Counter[str] = Counter()
    for row in rows:
        tally.read += 1
        try:
            shelf.put(redactor.redact(row))
        except (NoReferenceError, BadRequest) as error:
            if row.reference is msgspec.UNSET:
                tally.skip("answers that are not as the contract says")
            else:
                tally.bad(row.where, str(error))
            continue
        sources[row.source] += 1
        if tally.read % _TELL_EVERY == 0:
            progress("reading", tally.read, tally.read)
    if not shelf.held:
        raise DatasetError(f"nothing is usable: {tally.reasons() or 'there are no rows'}")
    return sources


def _take_over(
    shelf: Shelf, parent: Dataset | None, order: Order, redactor: Redactor, tally: Tally
) -> Counter[str]:
    if parent is None:
        return Counter()
    terms = {"forbidden": order.forbidden, "forgotten": order.forgotten}
    return take_over(shelf, parent, **terms, redactor=redactor, tally=tally)


def _write(
    place: Path, shelf: Shelf, found: Found, placed: Placed, progress: Progress
) -> tuple[dict[Split, Part], str]:
    """Writes the parts in order of id, and who is in them. Returns the parts' figures and the hash of the members' file."""
    names = _names(found.kept)
    parts: dict[Split, Part] = {}
    members: list[Member] = []
    done = 0
    for part in SPLITS:
        figures = Figures()
        path = part_path(place, part)
        with path.open("wb") as raw:
            file = HashedFile(raw)
            for at in sorted(
                (at for at, one in placed.part.items() if one == part), key=lambda at: names[at]
            ):
                example = msgspec.structs.replace(
                    shelf.get(found.kept[at]), id=names[at], group=placed.group[at]
                )
                file.write(msgspec.json.encode(example) + b"\n")
                figures.add(example, len(shelf.asked(example)))
                members.append(_member(found, at, names[at], part))
                done += 1
                if done % _TELL_EVERY == 0:
                    progress("writing", done, len(placed.part))
        parts[part] = figures.part(sha256=file.sha256, size=file.size)
    with (place / MEMBERS).open("wb") as raw:
        file = HashedFile(raw)
        for member in members:
            file.write(member_line(member))
    return parts, file.sha256


def _member(found: Found, at: int, name: str, part: Split) -> Member:
    one = found.kept[at]
    keys = dict.fromkeys(keys_of(one))
    for removed in found.stand_for.get(at, ()):
        keys |= dict.fromkeys(keys_of(removed))
    return Member(name, part, one.calls, (one.text, *sorted(keys.keys() - {one.text})))


def _names(kept: list[Held]) -> list[str]:
    """Ids, each once: where a file has given one to different examples, each tells its text too."""
    counts = Counter(one.id for one in kept)
    return [one.id if counts[one.id] == 1 else f"{one.id}-{one.text[:8]}" for one in kept]
