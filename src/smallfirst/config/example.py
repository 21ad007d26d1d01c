"""The commented `smallfirst.toml` that `smallfirst init` writes: for the providers that the environment has.

Prose begins with `# `; configuration that waits to be wanted begins with `#` alone, so that taking that one
character away turns it on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from smallfirst.config import toml_text
from smallfirst.config.addresses import url_findings
from smallfirst.config.finding import is_installed
from smallfirst.config.hosts import HOSTS, Host
from smallfirst.config.secrets import SIMULATED_KEYS

AZURE_KEY = "AZURE_OPENAI_API_KEY"
AZURE_ENDPOINT = "AZURE_OPENAI_ENDPOINT"
VLLM_URL = "VLLM_BASE_URL"
EMBEDDED_MODEL = "smollm2-135m"
SIMULATOR_PORT = 8081
SIMULATOR_COMMAND = f"python -m smallfirst.simulator --port {SIMULATOR_PORT}"


class Found(msgspec.Struct, frozen=True):
    """What the environment offers: variable names, never their values."""

    hosts: tuple[Host, ...]
    azure_url: str | None
    vllm_url: str | None
    embedded: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The providers, as the starter file calls them."""
        azure = ("azure",) if self.azure_url else ()
        vllm = ("vllm",) if self.vllm_url else ()
        embedded = ("embedded",) if self.embedded else ()
        return (*(host.name for host in self.hosts), *azure, *vllm, *embedded)

    @property
    def simulated(self) -> bool:
        """Whether nobody was found who could be the frontier."""
        return not (self.hosts or self.azure_url)


def look(environ: Mapping[str, str], *, installed: Callable[[str], bool] = is_installed) -> Found:
    """Which providers this environment has keys or addresses for."""
    hosts = tuple(host for host in HOSTS if _variable(host, environ))
    azure = _url(environ, AZURE_ENDPOINT) if environ.get(AZURE_KEY, "").strip() else None
    return Found(
        hosts=hosts,
        azure_url=_origin(azure) if azure else None,
        vllm_url=_url(environ, VLLM_URL),
        embedded=installed("xllamacpp"),
    )


def starter(environ: Mapping[str, str], *, installed: Callable[[str], bool] = is_installed) -> str:
    """The text of a `smallfirst.toml` that loads and passes `check` as it is.

    Keys stand in it as `env:NAME` only.
    """
    found = look(environ, installed=installed)
    sections = [
        _HEAD,
        *(_host(host, _variable(host, environ)) for host in found.hosts),
        *([_azure(found)] if found.azure_url else []),
        *([_SIMULATED] if found.simulated else []),
        *([_vllm(found.vllm_url)] if found.vllm_url else []),
        _frontier(found),
        *([_EMBEDDED] if found.embedded else []),
        _HEADS,
        _tasks(found),
        _TAIL,
    ]
    return "\n".join(section.strip("\n") + "\n" for section in sections)


def _variable(host: Host, environ: Mapping[str, str]) -> str:
    return next((name for name in host.variables if environ.get(name, "").strip()), "")


def _url(environ: Mapping[str, str], name: str) -> str | None:
    """An address from the environment, if it is one."""
    url = environ.get(name, "").strip().rstrip("/")
    findings = url_findings(name, url, sends_secret=False) if url else []
    return url if url and not any(finding.level == "error" for finding in findings) else None


def _origin(url: str) -> str:
    """Azure's own examples give the resource with and without a path behind it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


_HEAD = """
# smallfirst: small models first, frontier when needed, proof before every change.
# Start: smallfirst serve. Then point any OpenAI SDK at http://127.0.0.1:8080/v1, any Anthropic SDK at
# http://127.0.0.1:8080, and change nothing else.
# `smallfirst config check` says what is wrong here; `smallfirst config schema` prints a JSON Schema.
# A line that begins with `#` and no space is configuration, turned off.

[server]
host = "127.0.0.1"
port = 8080
# false: whoever can reach this machine's loopback may call. For others: true, and `smallfirst keys create`.
require_key = false

[storage]
# The ledger and the releases, relative to this file.
path = ".smallfirst"

# ── Providers: who is asked. Secrets are never written here: env:NAME names the variable that holds one.
"""

_SIMULATED = f"""
# No provider's key was found in the environment, so a simulated frontier stands in. It has to be running:
#     {SIMULATOR_COMMAND}
# With a key (OPENAI_API_KEY, ANTHROPIC_API_KEY, …), `smallfirst init --force` writes this file anew.
[providers.simulated]
kind = "openai"
base_url = "http://127.0.0.1:{SIMULATOR_PORT}/v1"
simulated = true
headers = {{ Authorization = "{SIMULATED_KEYS[0]}" }}
"""

_EMBEDDED = f"""
# A small language model inside smallfirst: no GPU, no key. Weights: smallfirst models pull {EMBEDDED_MODEL}
[providers.embedded]
kind = "embedded"

[models.{EMBEDDED_MODEL}]
provider = "embedded"
context_tokens = 2048
tools = false
hourly_usd = "0"  # what an hour of its machine costs you; its tokens are free
"""

_HEADS = """
# A label head: a classifier over an embedding that `smallfirst train` makes of a task's examples. It answers in
# smallfirst's own process, costs nothing, and is the cheapest rung of tasks that pick one label.
#[providers.heads]
#kind = "head"

#[models.triage-head]
#provider = "heads"
#id = "triage"  # the task whose newest head answers
"""

_TAIL = """
# ── Budgets: at the limit calls are refused with 429, and told which budget it was.

#[budget]  # the whole gateway's
#usd_per_month = 2000
#alarms = { at = [0.5, 0.8, 1.0] }  # in the ledger and the log; `webhook = "env:NAME"` is told too

#[tenants.default]
#budget = { usd_per_day = 20 }

# A key of your own making, for one application; `smallfirst keys create` makes others.
#[keys.app]
#secret = "env:SMALLFIRST_APP_KEY"
#budget = { usd_per_day = 5.00 }

# ── Rate limits: of a key, a tenant, a task, and (at the top, `[limits]`) of all calls together.

#[keys.app.limits]
#requests_per_minute = 600
#tokens_per_minute = 200_000
"""


def _host(host: Host, variable: str) -> str:
    lines = [f"[providers.{host.name}]"]
    if host.kind != "openai" or host.base_url is None:
        lines.append(f'kind = "{host.kind}"')
    if host.base_url:
        lines.append(f'base_url = "{host.base_url}"')
    lines.append(f'api_key = "env:{variable}"')
    lines.append(
        f"accepts = {toml_text.value_text(list(host.accepts))}  # these names go to it without being declared"
    )
    return "\n".join(lines)


def _azure(found: Found) -> str:
    return f"""
[providers.azure]
kind = "azure"
base_url = {toml_text.value_text(found.azure_url)}
api_key = "env:{AZURE_KEY}"
# Azure calls a model by the name of its deployment.
#[models.gpt-on-azure]
#provider = "azure"
#id = "NAME-OF-THE-DEPLOYMENT"
"""


def _vllm(url: str | None) -> str:
    return f"""
[providers.vllm]
base_url = {toml_text.value_text(url)}
engine = "vllm"
# Your own model, by the name that vLLM serves it under, and what an hour of its machine costs.
#[models.own]
#provider = "vllm"
#id = "NAME-THAT-VLLM-SERVES"
#hourly_usd = "1.20"
"""


def _frontier(found: Found) -> str:
    head = "# ── Models: names for callers and ladders. Put the one here that you use today."
    if found.hosts:
        host = found.hosts[0]
        body = f'provider = "{host.name}"\nid = "{host.frontier}"'
    elif found.azure_url:
        body = 'provider = "azure"\nid = "gpt-5.5"  # the name of your deployment'
    else:
        body = _SIMULATED_MODEL
    return f"{head}\n\n[models.frontier]\n{body}"


_SIMULATED_MODEL = """provider = "simulated"
id = "sim-frontier"

[[models.frontier.prices]]
since = 2026-01-01
input = "2.50"  # US dollars per million tokens
cache_read = "0.25"
output = "10.00"
note = "the simulator's own price list"
"""


def _tasks(found: Found) -> str:
    ladder = f'["{EMBEDDED_MODEL}", "frontier"]' if found.embedded else '["frontier"]'
    return f"""
# ── Tasks: kinds of call with a contract and a ladder, cheapest model first. They are the source of releases:
# nothing here changes what is served until `smallfirst release build`. Callers name a task as the model
# "task/triage", or in the header x-smallfirst-task.

# One of a set. The answer is checked before its first byte goes out: no label, next rung.
#[tasks.triage]
#ladder = {ladder}
#contract = {{ type = "label", labels = ["bug", "billing", "question", "other"] }}
#instructions = "Answer with one word: bug, billing, question or other."

# The same call of the same tenant is given the same answer; `smallfirst cache eval` says what that would be worth.
#[tasks.triage.cache]
#exact = true

# JSON that must be valid against a schema.
#[tasks.extract]
#ladder = {ladder}
#[tasks.extract.contract]
#type = "json"
#[tasks.extract.contract.schema]
#type = "object"
#required = ["customer"]
#additionalProperties = false
#[tasks.extract.contract.schema.properties]
#customer = {{ type = "string" }}
#order_id = {{ type = ["string", "null"] }}

# Free text, streamed as it comes.
#[tasks.summary]
#ladder = {ladder}
#contract = {{ type = "text", max_chars = 400 }}
#budget = {{ usd_per_day = 2.50 }}

# Callers that ask for the model "auto" leave it to smallfirst which task their call is, or whether it is none:
# `smallfirst router intents --examples FILE.jsonl` learns it from examples.
#[routing]
#unclassified = "frontier"  # who answers what is none of the tasks
"""
