"""Tables that cannot be changed after they were read."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar, cast

import msgspec

_T = TypeVar("_T")


class FrozenDict(dict[Any, Any]):
    """A `dict` that refuses to be changed: whatever reads, encodes or validates a `dict` takes it.

    What writes to it gets a `TypeError`.
    """

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the configuration is immutable; msgspec.structs.replace makes a changed copy")

    __setitem__ = __delitem__ = __ior__ = _refuse  # type: ignore[assignment]
    clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[Any, Any]]]:
        return FrozenDict, (dict(self),)


def frozen(value: _T) -> _T:
    """The same value with every `dict` in it frozen, through structs, tuples and tables.

    The lists inside a contract's JSON Schema stay lists: validators know no tuples.
    """
    return cast("_T", _frozen(value))


def _frozen(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        changes = {name: _frozen(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **changes)
    if isinstance(value, dict):
        return FrozenDict({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, list):
        return [_frozen(item) for item in value]
    return value
