"""`smallfirst adapters deploy` as a process that is stopped in the middle, and goes on when it is given again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.adapters import TOML, dataset_of, home_at, plain_adapter, probes_of, tokens_of
from support.scripted_vllm import ScriptedVllm

from smallfirst.models.adapters.deployments import deployments

_COMMAND = [sys.executable, "-c", "from smallfirst.cli import main; main()", "adapters"]


@pytest.mark.parametrize(
    ("number", "code", "loaded"),
    [(signal.SIGINT, 130, False), (signal.SIGTERM, 130, False), (signal.SIGKILL, -9, True)],
)
def test_stopped_in_the_middle(tmp_path: Path, number: int, code: int, loaded: bool) -> None:
    """Ctrl-C undoes what was begun; what a kill leaves in a server nobody asks for, and the same command takes it up."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    dataset = dataset_of(state)
    right = {one.messages[-1]["content"]: str(one.label) for one in dataset.examples("calibration")}
    adapter = plain_adapter(state, dataset=dataset.id, probes=probes_of(dataset.examples("calibration")))
    server = ScriptedVllm(lambda _, messages: (right[messages[-1]["content"]], -0.25), tokens=tokens_of)
    home_at(tmp_path, TOML.format(url=server.base_url))
    running: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        command = [*_COMMAND, "deploy", adapter.id[:12], "--json"]
        command += ["--to", server.base_url, "--config", str(tmp_path / "smallfirst.toml")]
        environ = os.environ | {"GPU_KEY": server.key}
        running.append(
            subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)
        )
        return running[-1]

    with server:
        server.before_answer = lambda: running[-1].send_signal(number)
        out, error = begin().communicate(timeout=60)
        assert (running[-1].returncode, out) == (code, ""), error
        assert "Traceback" not in error
        assert (adapter.manifest.served_name in server.loaded) is loaded
        assert deployments(state) == ()
        server.before_answer = lambda: None
        out, error = begin().communicate(timeout=60)
        assert json.loads(out)["same"] == 1.0, error
        assert [one.adapter for one in deployments(state)] == [adapter.id]
        assert list(server.loaded) == [adapter.manifest.served_name]
