"""Adapters in a store without a base or a trainer: for what is done with them. `tiny_adapter.py` has those that a server can load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from support.datasets import AT_MS, LABELS, make, row

from smallfirst.config.load import load
from smallfirst.contracts import Contract, LabelContract
from smallfirst.datasets.example import Example
from smallfirst.datasets.store import Dataset, Datasets
from smallfirst.evals.session import Home
from smallfirst.models.adapters.adapter import AskedTold, BaseTold, Made, Manifest, Probe
from smallfirst.models.adapters.store import Adapter, Adapters, file_sha256
from smallfirst.releases import Releases, baseline
from smallfirst.releases.adapters import AdapterPolicy
from smallfirst.releases.policy import canonical

BASE = BaseTold(name="a-base", sha256="b" * 64, template_sha256="c" * 64, architecture="llama", parameters=8)
_WORDS = "invoice crash password export refund login chart theme upload search delete webhook".split()  # noqa: SIM905
TOML = """
[storage]
path = "state"

[providers.gpu]
base_url = "{url}"
engine = "vllm"
api_key = "env:GPU_KEY"

[models.small]
provider = "gpu"
id = "base-8b"

[models.frontier]
provider = "gpu"
id = "base-8b"

[tasks.triage]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["small", "frontier"]
"""


def home_at(folder: Path, toml: str, environ: Mapping[str, str] | None = None) -> Home:
    """A configuration in `folder`, its state in `folder/state`."""
    path = folder / "smallfirst.toml"
    path.write_text(toml, "utf-8")
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    return Home(load(path), folder / "state", folder, environ or {"GPU_KEY": "secret-key"})


def dataset_of(state: Path, *, rows: int = 120, contract: LabelContract = LABELS) -> Dataset:
    """Examples of three labels, no two alike."""
    made = make(
        state,
        [
            row(
                f"{_WORDS[at % 12]} {_WORDS[at // 12]} number {at}",
                contract.labels[at % len(contract.labels)],
            )
            for at in range(rows)
        ],
        contract=contract,
        kinds=(),
    )
    return Datasets(state).open(made.id)


def probes_of(examples: Iterable[Example], *, logprob: float = -0.25) -> list[Probe]:
    """A trainer that answers what is right, and renders a prompt as `tokens_of`."""
    return [
        Probe(
            id=example.id,
            answer=str(example.label),
            logprob=logprob,
            prompt_sha256=hashlib.sha256(msgspec.json.encode(tokens_of(example.messages))).hexdigest(),
        )
        for example in examples
    ]


def tokens_of(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """A rendering: a token a byte."""
    return list(json.dumps([[message["role"], message["content"]] for message in messages]).encode())


def plain_adapter(
    state: Path,
    *,
    task: str = "triage",
    dataset: str = "d" * 64,
    contract: Contract = LABELS,
    probes: Sequence[Probe] = (),
    seed: int = 1,
    base: BaseTold = BASE,
    scores: Mapping[str, float] | None = None,
    at_ms: int = AT_MS,
) -> Adapter:
    """One whose weights are a few bytes."""
    store = Adapters(state)
    place = store.workplace()
    (place / "peft" / "adapter_config.json").write_text(json.dumps({"r": 4, "peft_type": "LORA"}))
    (place / "peft" / "adapter_model.safetensors").write_bytes(b"weights" * (1000 + seed))
    lines = b"".join(msgspec.json.encode(probe) + b"\n" for probe in probes)
    manifest = Manifest(
        task=task,
        method="lora",
        base=base,
        dataset=dataset,
        asked=AskedTold(),
        contract_sha256=hashlib.sha256(canonical(contract)).hexdigest(),
        settings={"rank": 4, "alpha": 8, "seed": seed},
        files={path.name: file_sha256(path) for path in sorted((place / "peft").iterdir())},
        probes_sha256=hashlib.sha256(lines).hexdigest(),
        scores=dict(scores or {"score": 0.9, "loss": 0.1}),
        version="0",
    )
    curves = [{"step": 1.0, "loss": 2.0}, {"step": 2.0, "loss": 1.0, "score": 0.9}]
    made = Made(at_ms=at_ms, by="a test", version="0", hardware="a test's", seconds=1.0, curves=curves)
    name, _ = store.save(place, manifest, made, lines)
    return store.open(name)


def release_with(home: Home, adapter: Adapter) -> str:
    """A release whose frontier rung has it: enough for what is asked here."""
    release = baseline(home.config)
    policy = release.policies["triage"]
    pinned = AdapterPolicy(id=adapter.id, task="triage", form="peft", sha256="f" * 64)
    rung = msgspec.structs.replace(policy.ladder[0], adapter=pinned)
    changed = msgspec.structs.replace(policy, ladder=(rung,))
    return Releases(home.state).save(msgspec.structs.replace(release, policies={"triage": changed}))[0]
