"""What goes wrong at a provider, and how each dialect says it."""

from __future__ import annotations

from typing import Any

_OPENAI_TYPES = {429: "rate_limit_error", 500: "server_error", 502: "server_error", 503: "server_error"}
_OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES = {
    400: "The request was malformed (simulated).",
    401: "Incorrect API key provided (simulated).",
    404: "Not found (simulated).",
    408: "The request timed out (simulated).",
    429: "Rate limit reached (simulated).",
    500: "The server had an error while processing your request (simulated).",
    502: "Bad gateway (simulated).",
    503: "The engine is currently overloaded (simulated).",
    529: "Overloaded",
}


class ApiError(Exception):
    """A request that the simulated provider refuses, with all that any dialect says of it."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        error_type: str | None = None,
    ) -> None:
        self.status = status
        self.message = message or _MESSAGES.get(status, f"Status {status} (simulated).")
        self.param = param
        self.code = code
        self.error_type = error_type
        super().__init__(self.message)

    def body(self, dialect: str, request_id: str) -> dict[str, Any]:
        """The error object exactly in the shape of ``dialect`` (openai, azure or anthropic)."""
        if dialect == "anthropic":
            fallback = "api_error" if self.status >= 500 else "invalid_request_error"
            kind = self.error_type or _ANTHROPIC_TYPES.get(self.status, fallback)
            return {
                "type": "error",
                "error": {"type": kind, "message": self.message},
                "request_id": request_id,
            }
        code = self.code or _OPENAI_CODES.get(self.status)
        if dialect == "azure" and self.status in (401, 404):
            return {"error": {"code": self.code or str(self.status), "message": self.message}}
        fallback = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = self.error_type or _OPENAI_TYPES.get(self.status, fallback)
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": code}}
