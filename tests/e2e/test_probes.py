"""The probe set asked again: a model that answers otherwise behind its name loses its evidence, one that answers the same keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from support.gateway import CONFIG, GatewayProcess
from support.simulator import SimulatorProcess
from support.verdicts import verdict_on

from smallfirst.answering.offline import Wanted, open_bench
from smallfirst.config import load
from smallfirst.datasets import Datasets
from smallfirst.evals.books import Books
from smallfirst.evals.till import Till
from smallfirst.gate.bout import some_of
from smallfirst.gate.controller_probes import Change, Prober, look
from smallfirst.gate.probes import PROBES, Paying, probe, probe_set
from smallfirst.ledger import Filter, Ledger, Notes
from smallfirst.releases import Live, Releases, Verdicts, change_channels, moves
from smallfirst.releases.verdict import Fingerprint
from smallfirst.stops import Stop, change_stops


async def test_a_model_that_changed_behind_its_name_is_found_by_its_answers(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    simulator.fault(answer="billing")
    home = GatewayProcess(tmp_path, CONFIG.format(sim=simulator.base_url))
    rows = [{"id": f"r-{at}", "input": f"ticket {at}", "label": "billing"} for at in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    made = home.cli(
        "dataset", "import", str(tmp_path / "rows.jsonl"), "--task", "triage", "--near", "2", "--same", "2"
    )
    config, name = load(home.path), home.cli("release", "build")["id"]
    policy = Releases(home.state).load(name).policies["triage"]
    probes = probe_set(some_of(Datasets(home.state).open(made["id"]).examples("calibration")))
    asking: dict[str, Any] = {"state": home.state, "base": tmp_path, "environ": home.environ}
    with Notes(home.state) as notes:
        async with open_bench(config, [Wanted(policy)], **asking) as bench:
            paying = Paying(Till(), Books("triage", notes.settle, (), {}))
            mark = Fingerprint(probes=await probe(policy, policy.ladder[0], probes, bench, paying))
    assert mark.probes
    with Ledger.read(home.state) as ledger:
        asked = ledger.queries.calls(Filter(origin="eval"), limit=100)
    assert len(asked) == 2 * PROBES
    assert {one.call.decision["by"] for one in asked} == {"probe"}
    assert sum(one.call.cost_nusd or 0 for one in asked) == paying.till.spent_nusd
    verdict = verdict_on(name, home.state, config, fingerprints={"mini": mark})
    tasks = [
        msgspec.structs.replace(task, dataset=made["id"] if task.task == "triage" else "")
        for task in verdict.tasks
    ]
    kept = Verdicts(home.state).save(msgspec.structs.replace(verdict, tasks=tuple(tasks)))
    change_channels(home.state, lambda now: moves.live_at_once(now, Live(release=name, verdict=kept)))

    assert await look(home.state, tmp_path, config, home.environ) == []
    simulator.clear_faults()
    simulator.fault(status=500)
    assert await look(home.state, tmp_path, config, home.environ) == []  # down is not changed
    simulator.clear_faults()
    simulator.fault(answer="bug")
    received = simulator.requests()["received"]
    for kind, stopped in (("all", ""), ("task", "triage"), ("model", "mini")):
        stop = Stop(kind=kind, name=stopped, since_ms=1)
        change_stops(home.state, lambda now, stop=stop: (stop,))
        assert await look(home.state, tmp_path, config, home.environ) == []
        assert simulator.requests()["received"] == received  # what is stopped is not asked
    change_stops(home.state, lambda now: ())
    changes = await look(home.state, tmp_path, config, home.environ)
    assert changes == [Change(release=name, verdict=kept, model="mini", task="triage")]

    told: list[str] = []
    prober = Prober(home.state, tmp_path, config, lambda kind, _: told.append(kind))
    prober.act(changes)
    prober.act(changes)  # once is enough
    assert told == ["probes-changed"]
    assert "otherwise than when it was compared" in Verdicts(home.state).lapsed(name, kept)["mini"].reason
