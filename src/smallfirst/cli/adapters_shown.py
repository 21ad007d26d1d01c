"""How adapters are shown to people and to programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.state import minute, utc
from smallfirst.cli.table import Table, print_list

if TYPE_CHECKING:
    from smallfirst.gate.deploy import Use
    from smallfirst.models.adapters.deployments import Deployment
    from smallfirst.models.adapters.difference import Change
    from smallfirst.models.adapters.store import Adapter, Adapters, Exported, Listed

_NONE = "no adapter yet; `smallfirst train TASK --method lora` makes one"


class Whole(NamedTuple):
    """What is known of one adapter."""

    listed: Listed
    adapter: Adapter
    deployed: Sequence[Deployment]
    uses: Sequence[Use]


def plain(one: Listed, store: Adapters, deployed: Sequence[Deployment]) -> dict[str, Any]:
    """One adapter for programs."""
    manifest = one.manifest
    forms = forms_of(store.open(one.id))
    return {
        "id": one.id,
        "task": manifest.task,
        "served_name": manifest.served_name,
        "method": manifest.method,
        "base": manifest.base.name,
        "dataset": manifest.dataset,
        "scores": manifest.scores,
        "size_bytes": sum(form.size_bytes for form in forms),
        "forms": forms,
        "deployed": [item for item in deployed if item.adapter == one.id],
        "at_ms": one.made.at_ms,
        "by": one.made.by,
        "note": one.made.note,
    }


def forms_of(adapter: Adapter) -> list[Exported]:
    """The forms in which it lies here."""
    from smallfirst.models.adapters.adapter import Form

    found = []
    for form in get_args(Form):
        try:
            there = adapter.exported(form)
        except FileNotFoundError:  # of `peft`, which deploying would refuse
            there = None
        if there is not None:
            found.append(there[1])
    return found


def show_list(
    listed: Sequence[Listed],
    store: Adapters,
    deployed: Sequence[Deployment],
    damaged: Mapping[str, str],
) -> None:
    """A line an adapter."""
    table = Table(
        Column("adapter", no_wrap=True),
        "task",
        "method",
        "base",
        "dataset",
        "score",
        Column("size", justify="right"),
        "deployed",
    )
    for one in listed:
        manifest = one.manifest
        table.add_row(
            one.id[:12],
            escape(manifest.task),
            manifest.method,
            escape(manifest.base.name),
            manifest.dataset[:12],
            score_shown(manifest.scores),
            size_shown(sum(form.size_bytes for form in forms_of(store.open(one.id)))),
            escape(", ".join(item.target for item in deployed if item.adapter == one.id)),
        )
    print_list(table, none="" if damaged else _NONE)
    for why in damaged.values():
        Console(stderr=True, highlight=False).print(f"[red]damaged[/]: {escape(why)}")


def show_adapter(whole: Whole, out: Console) -> None:
    """Everything, a line a thing."""
    manifest, made = whole.listed.manifest, whole.listed.made
    note = f": {escape(made.note)}" if made.note else ""
    out.print(
        f"adapter [bold]{whole.listed.id}[/] of {escape(manifest.task)}, made {utc(made.at_ms)} UTC by {escape(made.by)}{note}"
    )
    table = Table("", "", show_header=False)
    for name, value in _rows(whole):
        table.add_row(name, escape(value))
    out.print(table)
    forms = Table("form", Column("size", justify="right"), "SHA-256")
    for form in forms_of(whole.adapter):
        forms.add_row(form.form, size_shown(form.size_bytes), form.sha256)
    out.print(forms)
    there = [one for one in whole.deployed if one.adapter == whole.listed.id]
    for one in there:
        out.print(
            f"deployed to {escape(one.target)} over {escape(one.base)} as {one.form}, {minute(one.at_ms)} UTC by {escape(one.by)}: "
            f"{one.same:.1%} of {one.probes} probes as trained"
        )
    if not there:
        out.print(
            f"not deployed; `smallfirst adapters deploy {whole.listed.id[:12]} --to embedded`, or to a vLLM's URL"
        )
    for use in whole.uses:
        out.print(escape(str(use)))


def show_difference(one: Adapter, other: Adapter, found: Sequence[Change], out: Console) -> None:
    """A line for each thing that differs."""
    if not found:
        out.print("nothing differs")
        return
    table = Table("", Column(one.id[:12]), Column(other.id[:12]))
    for change in found:
        table.add_row(escape(change.what), escape(_value(change.one)), escape(_value(change.other)))
    out.print(table)


def score_shown(scores: Mapping[str, float]) -> str:
    """The score of the task's scorer; else the first that there is."""
    if not scores:
        return "–"
    value = scores.get("score", next(iter(scores.values())))
    return f"{value:.3f}"


def size_shown(size_bytes: int) -> str:
    """As people say it."""
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:,.1f} kB"


def _rows(whole: Whole) -> Iterator[tuple[str, str]]:
    manifest, made = whole.listed.manifest, whole.listed.made
    base = manifest.base
    yield "served as", manifest.served_name
    yield "method", manifest.method
    yield (
        "base",
        f"{base.name}, {base.architecture}, {base.parameters:,} parameters, SHA-256 {base.sha256[:12]}",
    )
    if base.gguf_sha256:
        yield "its GGUF", f"SHA-256 {base.gguf_sha256[:12]}"
    yield "dataset", manifest.dataset[:12]
    if manifest.asked.instructions is not None:
        yield "instructions", manifest.asked.instructions
    if manifest.asked.default_instructions is not None:
        yield "instructions, where a client sends none", manifest.asked.default_instructions
    yield "settings", ", ".join(f"{name} {_value(value)}" for name, value in manifest.settings.items())
    yield (
        "scores (calibration, trainer's model)",
        ", ".join(f"{name} {_value(value)}" for name, value in manifest.scores.items()),
    )
    cost = f", ${made.usd:,.2f}" if made.usd is not None else ""
    yield "trained on", f"{made.hardware}, {made.seconds:,.0f} s{cost}, smallfirst {manifest.version}"


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
