"""The model that an adapter is trained over: found by path, by its id on the hub, or as the embedded one; hashed, and opened by transformers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from smallfirst.config.places import cache_dir
from smallfirst.durable import write_whole
from smallfirst.errors import ConfigError
from smallfirst.models.adapters.adapter import BaseTold
from smallfirst.models.adapters.store import folder_sha256
from smallfirst.models.weights import find, is_path, known
from smallfirst.training.gguf_file import NEEDS_TRAIN
from smallfirst.training.lora.checkpoint_files import (
    TEMPLATE,
    config_of,
    parameters_of,
    template_of,
    weights_of,
)
from smallfirst.training.lora.gguf_base import checkpoint_of
from smallfirst.training.lora.hashes import Hashes
from smallfirst.training.lora.hub import fetched, is_hub_id

if TYPE_CHECKING:
    import torch

Progress = Callable[[str, int, int], None]
"""Told the step, what is done of it, and how much there is."""

EMBEDDED = "embedded:"
_UNSAID = (
    "transformers_version",
    "_name_or_path",
    "_model_name_or_path",
)  # of the configuration: not the model


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base model on this disk. `folder` holds a Hugging Face checkpoint; `gguf` is the file that it was made of, where it was.

    `sha256` is over its safetensors' names and hashes and its configuration, so it is the same wherever the folder lies.
    """

    name: str
    folder: Path
    sha256: str
    template: str  # the chat template
    architecture: str  # `model_type`
    parameters: int
    context_tokens: int
    gguf: Path | None = None
    gguf_sha256: str | None = None
    template_given: bool = False  # in place of its own

    @property
    def template_sha256(self) -> str:
        return hashlib.sha256(self.template.encode()).hexdigest()

    def told(self) -> BaseTold:
        """What an adapter says of it."""
        return BaseTold(
            name=self.name,
            sha256=self.sha256,
            template_sha256=self.template_sha256,
            architecture=self.architecture,
            parameters=self.parameters,
            gguf_sha256=self.gguf_sha256,
        )

    def write_template(self, folder: Path) -> dict[str, str]:
        """Writes the template into an adapter's folder where it is not the base's own, so that what is merged has it; the file and its hash."""
        if not self.template_given:
            return {}
        write_whole(folder / TEMPLATE, self.template.encode())
        return {TEMPLATE: self.template_sha256}

    def config(self) -> Any:
        """transformers' configuration of it."""
        with _opened(self.name):
            from transformers import AutoConfig

            return AutoConfig.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)

    def tokenizer(self) -> Any:
        """Its tokenizer, with the chat template that it was opened with."""
        with _opened(self.name):
            from transformers import AutoTokenizer

            tokenizer: Any = AutoTokenizer.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
        tokenizer.chat_template = self.template
        return tokenizer

    def model(self, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> Any:
        """The causal language model, for inference; as it was stored where no `dtype` is given. Raises `ConfigError` where weights are missing."""
        with _opened(self.name):
            from transformers import AutoModelForCausalLM

        with _opened(self.name), _no_bars():
            opened: Any = AutoModelForCausalLM.from_pretrained(
                self.folder,
                dtype=dtype or "auto",
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        model, loaded = opened
        # transformers would leave them random, with no more than a warning
        if lacking := sorted({*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])}):
            raise ConfigError(
                f"the base {self.name} is not whole: {lacking[0]} is missing or has another shape ({len(lacking)} in all)"
            )
        return model.to(device).eval()


def open_base(
    name: str,
    *,
    cache: Path | None = None,
    template: Path | None = None,
    progress: Progress = lambda *_: None,
) -> Base:
    """The base of that name: a folder with a Hugging Face checkpoint, a GGUF file, `ORG/NAME` or `ORG/NAME@REVISION` of the hub, or `embedded:NAME`.

    A GGUF is turned into a checkpoint in `cache` (else `cache_dir()`), once; what is not here is fetched from the hub. `template` is a file
    with a Jinja chat template that is used in place of the base's own. Raises `ConfigError` that says what to do.
    """
    cache = cache or cache_dir()
    hashes = Hashes(cache)
    gguf = _gguf(name)
    if gguf is None:
        return _read(_folder(name, progress), _short(name), hashes, template=template)
    progress("hashing the base", 0, 1)
    gguf_sha256 = _hashed(hashes, gguf)
    folder = checkpoint_of(gguf, cache / f"{gguf.stem}-hf-{gguf_sha256[:12]}", progress)
    read = _read(folder, _short(name), hashes, template=template)
    return msgspec.structs.replace(read, gguf=gguf, gguf_sha256=gguf_sha256)


def _gguf(name: str) -> Path | None:
    """The GGUF file that `name` means; None where it means none."""
    if name.startswith(EMBEDDED):
        short = name.removeprefix(EMBEDDED)
        known(short)
        if found := find(short):
            return found
        raise ConfigError(f"the weights of {short} are not here: smallfirst models pull {short}")
    if not is_path(name):
        return None
    if found := find(name):
        return found.absolute()
    raise ConfigError(f"the base {name}: there is no such file; --base says where it lies")


def _folder(name: str, progress: Progress) -> Path:
    """The folder of a Hugging Face checkpoint."""
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path.absolute()
    if path.is_file():
        raise ConfigError(f"the base {name} is a file, but no .gguf: give the folder that it lies in")
    if is_hub_id(name):
        return fetched(name, progress)
    raise ConfigError(
        f"the base {name}: there is no such folder, nor is it ORG/NAME of the hub, a .gguf file or embedded:NAME"
    )


def _short(name: str) -> str:
    """What an adapter calls its base: no paths of this machine."""
    return (
        name
        if name.startswith(EMBEDDED) or (is_hub_id(name) and not Path(name).exists())
        else Path(name).expanduser().resolve().name
    )


def _read(folder: Path, name: str, hashes: Hashes, *, template: Path | None) -> Base:
    config = config_of(folder, name)
    files = {path.name: _hashed(hashes, path) for path in weights_of(folder, name)}
    told = {key: value for key, value in config.items() if key not in _UNSAID}
    canonical = msgspec.json.encode(told, order="sorted")
    context_tokens = config.get("max_position_embeddings")
    if not isinstance(context_tokens, int):
        raise ConfigError(f"the base {name}: its config.json says no max_position_embeddings")
    base = Base(
        name=name,
        folder=folder,
        sha256=folder_sha256({**files, "config.json": hashlib.sha256(canonical).hexdigest()}),
        template=_given(template) if template else template_of(folder, name),
        architecture=config["model_type"],
        parameters=parameters_of(folder, name),
        context_tokens=context_tokens,
        template_given=template is not None,
    )
    _check_architecture(base)
    if template:
        _check_template(base, template)
    return base


def _check_architecture(base: Base) -> None:
    with _opened(base.name):
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        if base.architecture not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            raise ConfigError(
                f"the base {base.name} is of the kind {base.architecture}, which this version of transformers does not know as a causal "
                "language model; its own code is never run"
            )


def _given(template: Path) -> str:
    try:
        text = template.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--template {template} cannot be read: {error}") from error
    if not text.strip():
        raise ConfigError(f"--template {template} is empty")
    return text


def _check_template(base: Base, template: Path) -> None:
    """Raises `ConfigError` where it is no template, or says nothing of what is asked."""
    import jinja2

    asked = "is it so?"
    try:
        rendered = base.tokenizer().apply_chat_template(
            [{"role": "user", "content": asked}], tokenize=False, add_generation_prompt=True
        )
    except jinja2.TemplateError as error:
        raise ConfigError(f"--template {template} is no chat template: {error}") from error
    if asked not in rendered:
        raise ConfigError(
            f"--template {template} leaves out what a user says: it renders `messages`, each with `role` and `content`"
        )


def _hashed(hashes: Hashes, path: Path) -> str:
    try:
        return hashes.of(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


@contextmanager
def _opened(name: str) -> Iterator[None]:
    """What transformers says of a base that it cannot open, on one line."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"the base {name} is to be opened; {NEEDS_TRAIN} ({error})") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = re.sub(r"\s+", " ", str(error))[:300]
        raise ConfigError(f"the base {name} cannot be opened: {said}") from error


@contextmanager
def _no_bars() -> Iterator[None]:
    """transformers draws bars of its own, over ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
