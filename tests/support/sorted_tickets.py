"""A task that sorts tickets, its frontier simulated: what evaluations, gates and improvements are tried on, each with small models of its own."""

from __future__ import annotations

MARKER = "You sort tickets. Answer with one label."
LABELS = ("billing", "bug", "how-to")
FRONTIER = """
[storage]
path = "state"

[providers.sim]
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
simulated = true

[models.frontier]
provider = "sim"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = 2.5, output = 10 }}]
"""
HEAD = """
[providers.heads]
kind = "head"

[models.sorter]
provider = "heads"
id = "triage"
"""
TASK = """
[tasks.triage]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
instructions = "You sort tickets. Answer with one label."
"""
