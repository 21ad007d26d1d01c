"""Whether a configuration that has the right shape also makes sense.

The parts are one file each: `references.py` (names that must exist), `addresses.py` (providers, where the
gateway listens), `tasks.py` (ladders and contracts), `heads.py` (label heads), `adapters.py` (tuned models), `scorers.py`,
`learning.py` (what may be learned from), `routing.py` (calls that name no task), `cache.py` (what may be given
again), `sums.py` (prices and budgets).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from smallfirst.config.adapters import check_adapters
from smallfirst.config.addresses import check_addresses
from smallfirst.config.cache import check_cache
from smallfirst.config.finding import Finding, Surroundings
from smallfirst.config.heads import check_heads
from smallfirst.config.learning import check_learning
from smallfirst.config.references import check_references
from smallfirst.config.retrieval import check_retrieval
from smallfirst.config.routing import check_routing
from smallfirst.config.schema import Config
from smallfirst.config.scorers import check_scorers
from smallfirst.config.sums import check_sums
from smallfirst.config.tasks import check_tasks

_ORDER = {"error": 0, "warning": 1, "note": 2}


def check(config: Config, around: Surroundings | None = None) -> list[Finding]:
    """Everything that is wrong with a configuration, surprising or worth knowing.

    Errors first, in the order of the file.
    """
    around = around or Surroundings()
    found = [
        *check_addresses(config, around),
        *check_references(config),
        *check_sums(config, around),
        *check_tasks(config),
        *check_heads(config),
        *check_adapters(config),
        *check_retrieval(config),
        *check_learning(config),
        *check_scorers(config),
        *check_routing(config),
        *check_cache(config, around),
    ]
    return sorted(found, key=lambda finding: _ORDER[finding.level])


def problems_at_start(config: Config, environ: Mapping[str, str] | None = None) -> list[str]:
    """Why the gateway cannot start with this configuration, a line each; empty if it can.

    `environ` is the process's own by default.
    """
    around = Surroundings(environ=os.environ if environ is None else environ)
    return [str(finding) for finding in check(config, around) if finding.level == "error"]
