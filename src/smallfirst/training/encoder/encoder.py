"""Tunes a sentence encoder to the labels of a head: one for each fold, which says what is unseen, and of all of them the one that is served."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smallfirst.classify.head_views import LinearView
from smallfirst.classify.tuned_encoder import tuned_arrays, tuned_encoder
from smallfirst.training.encoder.base import EncoderBase
from smallfirst.training.encoder.crossed import crossed_scores
from smallfirst.training.encoder.kept import KeptParts
from smallfirst.training.encoder.mean import mean_encoder
from smallfirst.training.encoder.part import SCORES, Given, Material, deal
from smallfirst.training.encoder.settings import EncoderSettings
from smallfirst.training.encoder.side_by_side import run
from smallfirst.training.encoder.tokens import tokens_of
from smallfirst.training.head_views import FittedView
from smallfirst.training.tuned import Progress, Tuned


class TunedBy:
    """Implements `training.tuned.Tunes`."""

    def __init__(
        self,
        base: EncoderBase,
        settings: EncoderSettings,
        *,
        seed: int,
        task: str = "",
        state: Path | None = None,
        restart: bool = False,
    ) -> None:
        """With a `state` directory, an interrupted run of the same task goes on where it was, unless it is to `restart`."""
        self._base = base
        self._settings = settings.checked()
        self._seed = seed
        self._task = task
        self._state = state
        self._restart = restart
        self._kept: KeptParts | None = None

    def tune(self, texts: Sequence[str], label: np.ndarray, labels: int, *, progress: Progress) -> Tuned:
        """Implements `Tunes`. Raises `TrainingError` where a process was killed, `StateError` where what was kept of a run is damaged."""
        began_s = time.perf_counter()
        settings = self._settings.settled(len(texts))
        tokenizer = self._base.folder / "tokenizer.json"
        material = Material(
            base=self._base,
            ids=tokens_of(tokenizer, texts, most=settings.max_tokens),
            label=label,
            labels=labels,
            fold=deal(label, settings.folds, seed=self._seed),
            settings=settings,
            seed=self._seed,
        )
        self._kept = KeptParts(self._state, self._task, material)
        given = self._parts(material, self._kept, progress)
        progress("exporting the encoder", 0, 1)
        model, weights, bias = mean_encoder(material, list(given.values()))
        scores = {part: one[SCORES] for part, one in given.items()}
        view = FittedView(LinearView(weights, bias), *crossed_scores(scores, material.fold, label))
        arrays = tuned_arrays(model, tokenizer.read_bytes())
        told = {
            "base": self._base.folder.name,
            "base_sha256": self._base.sha256,
            "epochs": settings.epochs,
            "folds": settings.folds,
            "tuned_s": round(time.perf_counter() - began_s, 3),
        }
        return Tuned(encoder=tuned_encoder(arrays), view=view, arrays=arrays, told=told)

    def forget(self) -> None:
        """Implements `Tunes`."""
        if self._kept is not None:
            self._kept.remove()

    def _parts(self, material: Material, kept: KeptParts, progress: Progress) -> dict[int, Given]:
        """What each part gave, in this run or an interrupted one before it."""
        if self._restart:
            kept.remove()
        found = {part: kept.load(part) for part in material.parts}
        given = {part: one for part, one in found.items() if one is not None}
        total = sum(material.steps(part) for part in material.parts)
        done = sum(material.steps(part) for part in given)
        progress("tuning the encoder", done, total)

        def stepped(count: int) -> None:
            nonlocal done
            done = min(done + count, total)
            progress("tuning the encoder", done, total)

        def finished(part: int, one: Given) -> None:
            kept.save(part, one)
            given[part] = one

        run(material, [part for part in material.parts if part not in given], stepped, finished)
        return dict(sorted(given.items()))  # a mean of floats depends on their order
