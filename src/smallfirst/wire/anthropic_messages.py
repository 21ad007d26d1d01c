"""Anthropic messages: everything that is known of the dialect, under one name."""

from smallfirst.wire.anthropic_read import read_reply, read_request
from smallfirst.wire.anthropic_reply import StreamPeek, peek_reply, rename
from smallfirst.wire.anthropic_request import Body, decode
from smallfirst.wire.anthropic_stream import StreamReader, StreamWriter
from smallfirst.wire.anthropic_usage import read_usage, write_usage
from smallfirst.wire.anthropic_write import write_reply, write_request
from smallfirst.wire.peek import Peek
from smallfirst.wire.reassembly import reply_from_stream, stream_from_reply

__all__ = [
    "Body",
    "Peek",
    "StreamPeek",
    "StreamReader",
    "StreamWriter",
    "decode",
    "peek_reply",
    "read_reply",
    "read_request",
    "read_usage",
    "rename",
    "reply_from_stream",
    "stream_from_reply",
    "write_reply",
    "write_request",
    "write_usage",
]
