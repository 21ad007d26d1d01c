"""The parts of a run that are finished, so that an interrupted run goes on: `STATE/training/TASK-encoder-KEY/fold-N.HASH.safetensors`.

The key is made of everything that decides the run: other examples or settings never go on from here. Holds numbers, no texts.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

import smallfirst
from smallfirst.durable import write_whole
from smallfirst.errors import StateError
from smallfirst.training.encoder.part import Given, Material

_DIGITS = 16


class KeptParts:
    """The finished parts of one run. Without a state directory nothing is kept."""

    def __init__(self, state: Path | None, task: str, material: Material) -> None:
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in task)
        key = _key(material)[:_DIGITS]
        self.folder = None if state is None else state / "training" / f"{safe}-encoder-{key}"

    def save(self, part: int, given: Given) -> None:
        """Whole or not at all."""
        if self.folder is None:
            return
        data = save({name: np.ascontiguousarray(one) for name, one in given.items()})
        digest = hashlib.sha256(data).hexdigest()[:_DIGITS]
        write_whole(self.folder / f"fold-{part}.{digest}.safetensors", data)

    def load(self, part: int) -> Given | None:
        """None where that part is not finished. Raises `StateError` where what was kept is damaged."""
        if self.folder is None:
            return None
        path = next(iter(sorted(self.folder.glob(f"fold-{part}.*.safetensors"))), None)
        if path is None:
            return None
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest()[:_DIGITS] != path.name.split(".")[1]:
                raise StateError(f"{path} was altered or is damaged: train with --restart")
            return load(data)
        except (OSError, SafetensorError) as error:
            raise StateError(f"{path} cannot be read ({error}): train with --restart") from error

    def remove(self) -> None:
        """The run was brought to its end, or begins anew."""
        if self.folder is not None and self.folder.is_dir():
            shutil.rmtree(self.folder)


def _key(material: Material) -> str:
    digest = hashlib.sha256()
    told = {
        "version": smallfirst.__version__,
        "base": material.base.sha256,
        "settings": msgspec.to_builtins(material.settings),
        "seed": material.seed,
        "labels": material.labels,
        "ids": material.ids,
        "label": material.label.tolist(),
    }
    digest.update(msgspec.json.encode(told, order="sorted"))
    return digest.hexdigest()
