"""The dialects: OpenAI chat, Anthropic messages, SSE framing and error bodies. Bytes in, bytes out."""
