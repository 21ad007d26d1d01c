"""A JSON object whose values stay as they were written: numbers keep their digits, strings their escapes."""

from __future__ import annotations

import msgspec

Fields = dict[str, msgspec.Raw]
_decoder = msgspec.json.Decoder(Fields)
_encoder = msgspec.json.Encoder()


def read_fields(data: bytes) -> Fields:
    """The top-level fields in their order, their values undecoded; of a field given twice the last value.

    Raises `msgspec.DecodeError` where it is no JSON object, `UnicodeDecodeError` where a name is not UTF-8.
    """
    return _decoder.decode(data)


def write_fields(fields: Fields) -> bytes:
    """The object again: every value byte for byte, without blank space between them."""
    return _encoder.encode(fields)


def rename(data: bytes, model: str) -> bytes:
    """The same JSON object, saying `model`; the very same bytes where it says so already or has no model to say.

    Raises like `read_fields`.
    """
    fields = _decoder.decode(data)
    said = fields.get("model")
    if said is None:
        return data
    name = _encoder.encode(model)
    if bytes(said) == name:
        return data
    fields["model"] = msgspec.Raw(name)
    return _encoder.encode(fields)
