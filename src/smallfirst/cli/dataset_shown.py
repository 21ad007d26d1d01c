"""How datasets are shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.state import minute, utc
from smallfirst.cli.table import Table, print_list

if TYPE_CHECKING:
    from smallfirst.datasets.build import Result
    from smallfirst.datasets.difference import Difference
    from smallfirst.datasets.drift import Drift
    from smallfirst.datasets.example import Split
    from smallfirst.datasets.manifest import Made, Manifest
    from smallfirst.datasets.store import Dataset, Listed

_PARTS: tuple[tuple[Split, str], ...] = (
    ("train", "train"),
    ("calibration", "calibration"),
    ("heldout", "held-out"),
)
_MOST_SHOWN = 30
_LARGE_GROUP = 0.2


def show_result(result: Result, out: Console) -> None:
    """What `build` and `import` say."""
    manifest = result.manifest
    new = "" if result.new else " (the same as was there already)"
    out.print(
        f"dataset [bold]{result.id[:12]}[/] of {escape(manifest.task)}{new}: {_rows(manifest)}",
        highlight=False,
    )
    for line in _remarks(manifest):
        out.print(line, highlight=False)


def show_list(listed: list[Listed], erased: dict[str, int], out: Console) -> None:
    """A line a dataset, and what to do about those whose calls were erased."""
    table = Table(*(Column(head, no_wrap=True) for head in ("dataset", "task", "made (UTC)")))
    for head in ("train", "calib.", "held-out"):
        table.add_column(head, justify="right")
    table.add_column("note")
    for one in listed:
        parts = one.manifest.parts
        mark = f" [red]{erased[one.id]:,} erased[/]" if erased[one.id] else ""
        table.add_row(
            one.id[:12] + mark,
            escape(one.manifest.task),
            minute(one.made.at_ms),
            *(f"{parts[part].rows:,}" for part, _ in _PARTS),
            escape(one.made.note),
        )
    print_list(
        table, none="no dataset yet; `smallfirst dataset build` or `smallfirst dataset import` makes one"
    )
    if any(erased.values()):
        out.print(
            "Some were made from calls that have been erased since. Build them again, then `smallfirst dataset remove` the old "
            "ones; heads and adapters trained on them are to be trained again.",
            highlight=False,
        )


def show_dataset(
    dataset: Dataset, made: Made, drift: list[Drift], earlier: Dataset | None, out: Console
) -> None:
    """Everything that the manifest tells."""
    manifest = dataset.manifest
    out.print(
        f"dataset [bold]{dataset.id[:12]}[/] of {escape(manifest.task)}, made {utc(made.at_ms)} UTC by {escape(made.by)}"
        + (f": {escape(made.note)}" if made.note else ""),
        highlight=False,
    )
    if manifest.parent:
        out.print(f"continues {manifest.parent[:12]}", highlight=False)
    out.print()
    out.print(_parts_table(manifest))
    if any(part.labels for part in manifest.parts.values()):
        out.print()
        out.print(_counts_table("label", {part: manifest.parts[part].labels for part, _ in _PARTS}))
    for name in sorted({name for part in manifest.parts.values() for name in part.slices}):
        counts: dict[Split, dict[str, int]] = {
            part: manifest.parts[part].slices.get(name, {}) for part, _ in _PARTS
        }
        out.print()
        out.print(_counts_table(f"slice {name}", counts))
    out.print()
    for line in _remarks(manifest):
        out.print(line, highlight=False)
    if earlier is not None:
        out.print()
        out.print(_drift_table(drift, f"drift against {earlier.id[:12]}"))


def show_difference(found: Difference, out: Console) -> None:
    """What differs between two datasets."""
    table = Table("", *(name for _, name in _PARTS), title=f"{found.before[:12]} → {found.now[:12]}")
    table.add_row("came", *(f"{found.added[part]:,}" for part, _ in _PARTS))
    table.add_row("went", *(f"{found.removed[part]:,}" for part, _ in _PARTS))
    out.print(table)
    out.print(f"{found.kept:,} are in both", highlight=False)
    for way, count in found.moved.items():
        out.print(f"{count:,} moved: {way}", highlight=False)
    for name, (before, now) in found.rule.items():
        out.print(f"rule: {name} {before} → {now}", highlight=False)
    out.print(_drift_table(found.drift, "drift"))


def _rows(manifest: Manifest) -> str:
    return ", ".join(f"{manifest.parts[part].rows:,} {name}" for part, name in _PARTS)


def _remarks(manifest: Manifest) -> list[str]:
    """What was left out or changed on the way, a line each."""
    found = manifest.duplicates
    lines = []
    if found.exact_removed or found.near_removed:
        lines.append(f"duplicates removed: {found.exact_removed:,} the same, {found.near_removed:,} nearly")
    if found.near_kept:
        lines.append(f"{found.near_kept:,} examples are alike others and share a group with them")
    if found.contradicting:
        lines.append(
            f"[yellow]{found.contradicting:,} texts have different references: that of a person is kept, else the commonest[/]"
        )
    if manifest.redacted:
        told = ", ".join(f"{count:,} {kind.lower()}" for kind, count in manifest.redacted.items())
        lines.append(f"taken out: {told}")
    if found.largest_group > _LARGE_GROUP * manifest.rows:
        lines.append(
            f"[yellow]one group has {found.largest_group:,} of {manifest.rows:,} examples: the parts cannot be as was asked[/]"
        )
    if manifest.taken_over:
        lines.append(
            f"{manifest.taken_over:,} taken over from {manifest.parent[:12]}: what larger models taught it stays in train"
        )
    if manifest.dropped:
        lines.append(f"{manifest.dropped:,} dropped: they fit in no part")
    lines += [f"{count:,} not used: {escape(why)}" for why, count in manifest.skipped.items()]
    lines += _evidence(manifest)
    empty = [name for part, name in _PARTS if not manifest.parts[part].rows]
    if empty:
        lines.append(f"[yellow]empty: {', '.join(empty)}[/]")
    return lines


def _evidence(manifest: Manifest) -> list[str]:
    """What scores on this dataset are worth."""
    lines = []
    for part, name in _PARTS[1:]:
        told = manifest.parts[part]
        if told.verified < told.rows:
            lines.append(
                f"[yellow]{told.rows - told.verified:,} of {told.rows:,} {name} references are a model's: what scores on them is agreement[/]"
            )
    if any(part.simulated for part in manifest.parts.values()):
        count = sum(part.simulated for part in manifest.parts.values())
        lines.append(
            f"[yellow]SIMULATED: {count:,} references are a simulated model's and say nothing of a real one[/]"
        )
    return lines


def _parts_table(manifest: Manifest) -> Table:
    table = Table("", *(Column(name, justify="right") for _, name in _PARTS))
    parts = [manifest.parts[part] for part, _ in _PARTS]
    table.add_row("examples", *(f"{part.rows:,}" for part in parts))
    table.add_row("groups", *(f"{part.groups:,}" for part in parts))
    table.add_row("tenants", *(f"{part.tenants:,}" for part in parts))
    table.add_row(
        "characters: half, 95 %, longest",
        *(f"{part.lengths.p50:,}, {part.lengths.p95:,}, {part.lengths.longest:,}" for part in parts),
    )
    table.add_row("verified by people", *(f"{part.verified:,}" for part in parts))
    if any(part.verified < part.rows for part in parts):
        table.add_row("a model's word", *(f"{part.rows - part.verified:,}" for part in parts))
    for by in sorted({by for part in parts for by in part.references_by}):
        table.add_row(f"  by {escape(by)}", *(f"{part.references_by.get(by, 0):,}" for part in parts))
    if any(part.simulated for part in parts):
        table.add_row("  SIMULATED", *(f"{part.simulated:,}" for part in parts))
    if any(part.synthetic for part in parts):
        table.add_row("synthetic", *(f"{part.synthetic:,}" for part in parts))
    return table


def _counts_table(head: str, counts: Mapping[Split, dict[str, int]]) -> Table:
    total: dict[str, int] = {}
    for told in counts.values():
        for name, count in told.items():
            total[name] = total.get(name, 0) + count
    table = Table(head, *(Column(name, justify="right") for name in (*(name for _, name in _PARTS), "share")))
    everything = sum(total.values())
    shown = sorted(total, key=lambda name: (-total[name], name))
    for name in shown[:_MOST_SHOWN]:
        table.add_row(
            escape(name),
            *(f"{counts[part].get(name, 0):,}" for part, _ in _PARTS),
            f"{total[name] / everything:.1%}",
        )
    if len(shown) > _MOST_SHOWN:
        table.add_row(f"… {len(shown) - _MOST_SHOWN} more", "", "", "", "")
    return table


def _drift_table(drift: list[Drift], title: str) -> Table:
    table = Table("", "distance", "p", "examples", "what changed most, in points", title=title)
    for one in drift:
        mark = "[yellow]" if one.notable else ""
        table.add_row(
            f"{mark}{escape(one.of)}",
            f"{one.distance:.3f}",
            "–" if one.p is None else f"{one.p:.3f}",
            f"{one.rows:,}{' added' if one.added else ''}",
            ", ".join(f"{escape(name)} {points:+.1f}" for name, points in one.changes.items()) or "–",
        )
    return table
