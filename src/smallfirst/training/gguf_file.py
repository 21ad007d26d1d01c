"""GGUF files, llama.cpp's format: reading them so that what is no whole GGUF is said, and writing them with the metadata of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from smallfirst.errors import ConfigError, StateError

if TYPE_CHECKING:
    import numpy
    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, ReaderTensor

NEEDS_TRAIN = "it needs the train extra: pip install 'smallfirst[train]'"
_MAGIC = b"GGUF"
_OF_THE_FILE = "GGUF."  # version and counts: the writer's own business
_ARCHITECTURE = "general.architecture"


class Field(NamedTuple):
    """A value of the metadata as `GGUFWriter.add_key_value` takes it. `type` and `of` (an array's) are `gguf.GGUFValueType`."""

    value: Any
    type: Any
    of: Any = None


class Tensor(NamedTuple):
    """A tensor to be written, made when it is its turn: `made()` is in the type's own layout (bytes, where it is quantised).

    `shape` is as numpy has it, in weights, not bytes; llama.cpp's is reversed.
    """

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    made: Callable[[], numpy.ndarray]


def kept(tensor: ReaderTensor) -> Tensor:
    """A tensor of another file, as it is."""
    return Tensor(tensor.name, tuple(tensor.shape.tolist()[::-1]), tensor.tensor_type, lambda: tensor.data)


def open_gguf(path: Path) -> GGUFReader:
    """The file, mapped, all its tensors within it. Raises `ConfigError` that says what is wrong with it."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise ConfigError(f"{path.name}: a GGUF is to be read; {NEEDS_TRAIN}") from error
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
        if begins != _MAGIC:
            raise ConfigError(f"{path} is no GGUF file: it does not begin with GGUF")
        return GGUFReader(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise ConfigError(f"{path} is damaged or cut off ({error}); fetch it again") from error


@contextmanager
def written(what: str) -> Iterator[None]:
    """Within it, a file that cannot be written is a `StateError` that says which and why: numpy and safetensors say it in their own ways."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or f"the disk seems to be full ({error})"
        raise StateError(f"{what} cannot be written: {why}; nothing half was left behind") from error


def text_of(reader: GGUFReader, key: str) -> str | None:
    """A string of the metadata; None where there is none."""
    field = reader.get_field(key)
    value = field.contents() if field else None
    return value if isinstance(value, str) else None


def number_of(reader: GGUFReader, key: str) -> int | None:
    """A whole number of the metadata; None where there is none."""
    field = reader.get_field(key)
    value = field.contents() if field else None
    return value if isinstance(value, int) else None


def architecture_of(reader: GGUFReader) -> str:
    """llama.cpp's word for the architecture. Raises `ConfigError`."""
    if name := text_of(reader, _ARCHITECTURE):
        return name
    raise ConfigError(f"the GGUF says no {_ARCHITECTURE}: it holds no model")


def fields_of(reader: GGUFReader) -> dict[str, Field]:
    """The whole metadata, to be written into another file."""
    from gguf import GGUFValueType

    found: dict[str, Field] = {}
    for key, field in reader.fields.items():
        if key.startswith(_OF_THE_FILE) or not field.types:
            continue
        if field.types[0] == GGUFValueType.ARRAY:
            if field.data:  # an empty array has no type that could be written again
                found[key] = Field(field.contents(), GGUFValueType.ARRAY, field.types[-1])
        else:
            found[key] = Field(field.contents(), field.types[0])
    return found


def write_gguf(path: Path, fields: Mapping[str, Field], tensors: Sequence[Tensor]) -> None:
    """Writes the file, one tensor after the other: no two are in memory at once. Raises `OSError`."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, fields[_ARCHITECTURE].value)
    try:
        for key, field in fields.items():
            if key != _ARCHITECTURE:  # the writer has said it
                writer.add_key_value(key, field.value, field.type, sub_type=field.of)
        for tensor in tensors:
            _announce(writer, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        assert writer.fout is not None
        (file,) = writer.fout
        for tensor in tensors:
            _append(writer, file, tensor.made())
    finally:
        writer.close()


def _append(writer: GGUFWriter, file: IO[bytes], data: numpy.ndarray) -> None:
    """As `GGUFWriter.write_tensor_data`, but for `numpy.tofile`: that buffers on its own, and loses without a word what a full disk does not take."""
    import numpy

    writer.write_padding(file, file.tell())
    file.write(numpy.ascontiguousarray(data).reshape(-1).view(numpy.uint8).data)
    writer.write_padding(file, data.nbytes)


def _announce(writer: GGUFWriter, tensor: Tensor) -> None:
    import numpy
    from gguf import GGMLQuantizationType as Type
    from gguf.quants import quant_shape_to_byte_shape

    plain = {Type.F32: numpy.float32, Type.F16: numpy.float16}.get(tensor.type)
    shape = tensor.shape if plain else quant_shape_to_byte_shape(tensor.shape, tensor.type)
    dtype = numpy.dtype(plain or numpy.uint8)
    writer.add_tensor_info(tensor.name, shape, dtype, prod(shape) * dtype.itemsize, raw_dtype=tensor.type)
