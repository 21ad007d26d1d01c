"""OpenAI chat completions: everything that is known of the dialect, under one name."""

from smallfirst.wire.openai_read import read_reply, read_request
from smallfirst.wire.openai_reply import StreamPeek, peek_reply, without_logprobs
from smallfirst.wire.openai_request import Body, decode
from smallfirst.wire.openai_stream import StreamReader, StreamWriter
from smallfirst.wire.openai_usage import read_usage, write_usage
from smallfirst.wire.openai_write import write_reply, write_request
from smallfirst.wire.peek import Peek
from smallfirst.wire.raw import rename
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
    "without_logprobs",
    "write_reply",
    "write_request",
    "write_usage",
]
