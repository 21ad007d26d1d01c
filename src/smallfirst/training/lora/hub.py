"""A base from the Hugging Face hub, by its id: safetensors, configuration and tokenizer alone, into the hub's own cache."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smallfirst.errors import ConfigError
from smallfirst.training.gguf_file import NEEDS_TRAIN

Progress = Callable[[str, int, int], None]

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
_UNWANTED = ("*/*", "consolidated*")  # the same weights again, for other libraries
_WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")


def is_hub_id(name: str) -> bool:
    """Whether it is written as `ORG/NAME`, or `ORG/NAME@REVISION`."""
    return bool(_ID.fullmatch(name))


def fetched(name: str, progress: Progress) -> Path:
    """The folder of that model, fetched where it is not there yet. Raises `ConfigError` that says what to do without a network."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
        from tqdm import tqdm
    except ImportError as error:
        raise ConfigError(f"{name} is to be fetched from the hub; {NEEDS_TRAIN} ({error})") from error

    class Told(tqdm):
        """The hub's bar, as ours."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # the hub's own, which tqdm does not know
            super().__init__(*args, **(kwargs | {"disable": False, "file": _Nowhere()}))

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            progress(f"fetching {name}", int(self.n), int(self.total or 0))
            return shown

    repository, _, revision = name.partition("@")
    bar: Any = Told
    try:
        folder = snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_UNWANTED),
            tqdm_class=bar,
        )
        return Path(folder)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        said = re.sub(r"\s+", " ", str(error))[:200]
        raise ConfigError(
            f"there is no folder {name}, and it cannot be fetched from the hub: {said}. Without a network: "
            f"`hf download {repository} --local-dir FOLDER` where there is one, "
            "bring the folder here and give its path"
        ) from error


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing to do."""
