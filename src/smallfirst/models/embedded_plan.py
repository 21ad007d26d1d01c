"""Which embedded servers a configuration and its deployments want: one for each base, and one for each adapter that is merged into its base."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.config.adapters import form_of
from smallfirst.config.schema import Config
from smallfirst.config.schema import Model as ModelConfig
from smallfirst.errors import SmallfirstError
from smallfirst.models import weights
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import EMBEDDED, Deployment
from smallfirst.models.adapters.store import Adapters
from smallfirst.models.ggufs import gguf_sha256
from smallfirst.models.llamacpp_child import Settings

_log = logging.getLogger(__name__)
_DEFAULT_CONTEXT_TOKENS = 2048
_SLOTS = 2  # generated at once; what else a model takes waits in its queue


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One server. `models` are those that it answers, by their configured names; `served` the deployments that it has. `log` names its file."""

    settings: Settings
    log: str
    models: tuple[str, ...]
    served: tuple[Deployment, ...] = ()
    merged: bool = False

    def is_served_by(self, other: Wanted) -> bool:
        """Whether a server of the other's making is one of this: the same settings, over the same files."""
        files = [[one.sha256 for one in wanted.served] for wanted in (self, other)]
        return self.settings == other.settings and files[0] == files[1]


class _Base(msgspec.Struct, frozen=True):
    """The models that share one GGUF file. `id` is what they call it."""

    id: str
    path: Path
    models: dict[str, ModelConfig]


def planned(
    config: Config, deployments: Iterable[Deployment], *, state: Path, base: Path
) -> dict[str, Wanted]:
    """The servers by the name of what they serve. `base` is the configuration's folder, to which paths of GGUF files are relative.

    What cannot be served is logged and left out: its calls climb. Reads whole files to tell their hashes.
    """
    mine = [one for one in deployments if one.target == EMBEDDED]
    adapters = Adapters(state)
    found: dict[str, Wanted] = {}
    for group in _bases(config, base):
        forms = {
            form_of(model, config.providers[model.provider])
            for model in group.models.values()
            if model.adapter
        }
        theirs = [one for one in mine if one.base == group.id and one.form in forms]
        fit = {one: path for one in theirs if (path := _artefact(one, group, adapters)) is not None}
        if wanted := _of_base(group, fit, config):
            found[group.id] = wanted
        for one in _newest([one for one in fit if one.form != "lora"], limits.EMBEDDED_MERGED, group):
            found[one.served_name] = _of_merged(group, one, fit[one], config)
    return found


def _of_base(group: _Base, fit: dict[Deployment, Path], config: Config) -> Wanted | None:
    """The server of the base itself, with the adapters over it; None where each of its models is merged."""
    models = tuple(name for name, model in group.models.items() if _form(model, config) in (None, "lora"))
    if not models:
        return None
    loras = _newest([one for one in fit if one.form == "lora"], limits.EMBEDDED_ADAPTERS, group)
    loras.sort(key=lambda one: one.served_name)  # one that is deployed again is no reason for another server
    settings = _settings(group, models, group.id, group.path)
    adapters = tuple((one.served_name, str(fit[one])) for one in loras)
    return Wanted(
        settings=msgspec.structs.replace(settings, adapters=adapters),
        log=models[0],
        models=models,
        served=tuple(loras),
    )


def _newest(fit: list[Deployment], most: int, group: _Base) -> list[Deployment]:
    if len(fit) > most:
        left_out = ", ".join(one.served_name for one in fit[:-most])
        _log.error(
            "more than %d adapters are deployed over %s; these are not served: %s", most, group.id, left_out
        )
    return fit[-most:]


def _of_merged(group: _Base, one: Deployment, path: Path, config: Config) -> Wanted:
    models = tuple(name for name, model in group.models.items() if _form(model, config) == one.form)
    name = one.served_name
    settings = _settings(group, models, name, path)
    return Wanted(settings=settings, log=name, models=models, served=(one,), merged=True)


def _settings(group: _Base, models: tuple[str, ...], name: str, path: Path) -> Settings:
    told = [group.models[model] for model in models]
    return Settings(
        weights=str(path),
        name=name,
        context_tokens=max(model.context_tokens or _DEFAULT_CONTEXT_TOKENS for model in told),
        slots=min(_SLOTS, sum(model.concurrency or _SLOTS for model in told)),
        threads=1,
    )


def _bases(config: Config, base: Path) -> Iterator[_Base]:
    """The embedded models whose weights are here, by what they call them."""
    groups: dict[str, _Base] = {}
    for name, model in config.models.items():
        if config.providers[model.provider].kind != "embedded":
            continue
        wanted = model.id or name
        path = _file(name, model, wanted, base)
        if path is not None:
            groups.setdefault(wanted, _Base(wanted, path, {})).models[name] = model
    yield from groups.values()


def _file(name: str, model: ModelConfig, wanted: str, base: Path) -> Path | None:
    path = weights.find(wanted, base=base)
    if path is None:
        _log.warning(
            "models.%s: no weights; `smallfirst models pull %s` fetches them. Its calls climb until then",
            name,
            wanted,
        )
    elif model.weights_sha256 is not None and _sha256(path) != model.weights_sha256:
        _log.error("models.%s: %s is not what weights_sha256 says. Its calls climb", name, path)
    elif importlib.util.find_spec("xllamacpp") is None:
        _log.warning(
            "models.%s: `pip install 'smallfirst[embedded]'` installs its engine. Its calls climb until then",
            name,
        )
    else:
        return path
    return None


def _sha256(path: Path) -> str:
    try:
        return gguf_sha256(path)
    except OSError as error:
        return f"unreadable: {error}"


def _artefact(one: Deployment, group: _Base, adapters: Adapters) -> Path | None:
    """The file of a deployed adapter, once it is known to be what was deployed, over these weights; None where it is not."""
    try:
        adapter = adapters.open(one.adapter)
        found = adapter.exported(one.form)
        fits = adapter.manifest.base.gguf_sha256 == gguf_sha256(group.path)
        same = found is not None and gguf_sha256(found[0]) == one.sha256 and adapter.manifest.task == one.task
    except (SmallfirstError, OSError) as error:
        _log.error("adapter %s is deployed and cannot be served: %s. Its calls climb", one.served_name, error)
        return None
    if found is not None and fits and same:
        return found[0]
    why = "was trained over other weights" if not fits else "was altered, or is gone"
    _log.error(
        "adapter %s is deployed over %s and %s: it is not served, its calls climb; `smallfirst adapters deploy %s --to embedded` "
        "puts it right",
        one.served_name,
        group.id,
        why,
        one.adapter[:12],
    )
    return None


def _form(model: ModelConfig, config: Config) -> Form | None:
    return form_of(model, config.providers[model.provider]) if model.adapter else None
