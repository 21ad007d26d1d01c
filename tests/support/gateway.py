"""The gateway as a child process, as a user runs it, for tests that drive it with the official SDKs."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_START_TIMEOUT_S = 30.0
KEY = "sf-test-key"

CONFIG = """
[storage]
path = "state"

[providers.sim]
kind = "openai"
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
simulated = true
accepts = ["sim-*"]
timeouts = {{ connect_s = 1, first_byte_s = 2, between_bytes_s = 2, total_s = 20 }}

[providers.sim-anthropic]
kind = "anthropic"
base_url = "{sim}"
api_key = "env:SIM_KEY"
simulated = true
timeouts = {{ connect_s = 1, first_byte_s = 2, between_bytes_s = 2, total_s = 20 }}

[providers.sim-azure]
kind = "azure"
base_url = "{sim}"
api_key = "env:SIM_KEY"
simulated = true

[providers.dead]
base_url = "http://127.0.0.1:9/v1"

[models.frontier]
provider = "sim"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = 2.5, output = 10, cache_read = 0.25 }}]

[models.mini]
provider = "sim"
id = "sim-frontier-mini"
prices = [{{ since = "2026-01-01", input = 0.15, output = 0.6, cache_read = 0.075 }}]

[models.nano]
provider = "sim"
id = "sim-nano"
prices = [{{ since = "2026-01-01", input = "0.0375", output = "0.1505" }}]

[models.claude]
provider = "sim-anthropic"
id = "sim-claude"
prices = [{{ since = "2026-01-01", input = 3, output = 15, cache_read = 0.3, cache_write = 3.75, cache_write_1h = 6 }}]

[models.azure]
provider = "sim-azure"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = 2.5, output = 10, cache_read = 0.25 }}]

[models.embed]
provider = "sim"
id = "sim-embed"
prices = [{{ since = "2026-01-01", input = 0.02, output = 0 }}]

[models.gone]
provider = "dead"
prices = [{{ since = "2026-01-01", input = 1, output = 1 }}]

[aliases]
gpt-4o = "frontier"

[tasks.triage]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["mini", "frontier"]

[tasks.extract]
contract = {{ type = "json", schema = {{ type = "object", properties = {{ n = {{ type = "integer" }} }}, required = ["n"] }} }}
ladder = ["mini", "frontier"]

[tasks.summary]
ladder = ["mini", "frontier"]
keep_bodies = true
redact = ["INV-[0-9]{{6}}"]

[tasks.cross]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["mini", "claude"]

[tasks.broken]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["gone", "frontier"]

[tenants.acme]
bodies_days = 7

[keys.test]
secret = "env:TEST_KEY"
tenant = "acme"

[[relay]]
prefix = "/v1/responses"
provider = "sim"

[[relay]]
prefix = "/v1/messages/count_tokens"
provider = "sim-anthropic"
free = true
"""


def without_exploration(config: str) -> str:
    """The configuration with exploration switched off for every task that says nothing of its rollout."""
    head, *tables = re.split(r"^(?=\[)", config, flags=re.MULTILINE)
    told = set(re.findall(r"^\[tasks\.([^.\]]+)\.rollout\]", config, flags=re.MULTILINE))
    lines = []
    for table in tables:
        task = re.match(r"\[tasks\.([^.\]]+)\]\n", table)
        silent = task is not None and task[1] not in told and "rollout" not in table
        lines.append(table.replace("]\n", "]\nrollout = { explore = 0 }\n", 1) if silent else table)
    return head + "".join(lines)


class GatewayProcess:
    """`smallfirst serve` on a free port over its own folder; a context manager that stops it again.

    `unproven` builds the candidate of the configuration and serves it; without, the baseline is served. Unless it `explores`, tasks that say
    nothing of their rollout are not explored: a test that counts what was asked must not do so by chance.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        unproven: bool = True,
        environ: Mapping[str, str] | None = None,
        explores: bool = False,
    ) -> None:
        self.folder = folder
        self.path = folder / "smallfirst.toml"
        self.path.write_text(config if explores else without_exploration(config), "utf-8")
        self.state = folder / "state"
        self._unproven = unproven
        self.environ = os.environ | {"SIM_KEY": "upstream-secret", "TEST_KEY": KEY} | dict(environ or {})
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the gateway is not started"
        return self._process

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from smallfirst.cli import main; main()", *arguments]

    def cli(self, *arguments: str) -> Any:
        """A command with `--config` and `--json`; its JSON. Fails the test where it fails."""
        done = self.run(*arguments, "--config", str(self.path), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, env=self.environ, timeout=60
        )

    def start(self, *extra: str) -> Self:
        arguments = ["serve", "--config", str(self.path), "--port", "0", "--json", *extra]
        if "--controller" not in extra:  # a second process, which few tests are about
            arguments.append("--no-controller")
        if self._unproven and "--release" not in extra:
            release = self.cli("release", "build")["id"]
            arguments += ["--release", release, "--unproven", "the tests"]
        self.log = (self.folder / "gateway.log").open("a+")
        self._process = subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.environ
        )
        stdout = self._process.stdout
        assert stdout is not None
        ready = select.select([stdout], [], [], _START_TIMEOUT_S)[0]
        line = stdout.readline() if ready else ""
        if not line:
            self.stop()
            raise RuntimeError(f"the gateway did not start:\n{self.log_text()}")
        self.url = json.loads(line)["listening"]
        return self

    def log_text(self) -> str:
        return (self.folder / "gateway.log").read_text("utf-8")

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Ends it and returns its exit status."""
        process = self.process
        if process.poll() is None:
            process.send_signal(number)
        try:
            return self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            self.wait()
            raise

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.wait()

    def wait(self, timeout_s: float = 20.0) -> int:
        """Its exit status, once it has ended by itself."""
        status = self.process.wait(timeout_s)
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()
        self._process = None
        return status

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def calls(self, *filters: str) -> list[dict[str, Any]]:
        """The ledger's calls, newest first; none where there is no call yet."""
        done = self.run("calls", "list", "--limit", "100000", *filters, "--config", str(self.path), "--json")
        if "no calls" in done.stderr:
            return []
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def bill(self) -> dict[str, Any]:
        """The whole bill; nothing spent where there is no call yet."""
        done = self.run("bill", "--config", str(self.path), "--json")
        if "no calls" in done.stderr:
            return {"simulated_nusd": 0, "attempts_nusd": 0, "sections": []}
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def call(self, call_id: str) -> dict[str, Any]:
        """One call with its attempts, once the importer has it."""
        return self.wait_for(lambda: self.run("calls", "show", call_id, "--config", str(self.path), "--json"))

    def wait_for(
        self, ask: Callable[[], subprocess.CompletedProcess[str]], timeout_s: float = 10.0
    ) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            done = ask()
            if done.returncode == 0:
                return json.loads(done.stdout)
            if time.monotonic() > deadline:
                raise TimeoutError(done.stderr)
            time.sleep(0.05)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()
