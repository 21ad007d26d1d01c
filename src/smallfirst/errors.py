"""The error tree. Each class owns its HTTP status, its code and what the reader should do; dialects are rendered in `wire/errors.py`.

SmallfirstError
├── ConfigError               smallfirst.toml or another file of the user's is wrong: names the path and the fix
├── StateError                the state directory: locked by another process, damaged, full
├── ReleaseError              a release is missing, altered, unproven or does not fit the configuration
├── DatasetError              a dataset is missing, altered, or cannot be made of what was given
├── ScorerError               an output cannot be scored: a reference of another kind, a judge that does not answer
├── TrainingError             a model cannot be trained on: names what went wrong and the setting that helps
├── EvalError                 an evaluation cannot begin, go on or be compared: names what is wrong and how to go on
├── DeployError               an adapter cannot be loaded where it was wanted, or answers otherwise there: nothing was recorded
└── CallError                 a call ends with this; everything below is shown to the client
    ├── BadRequest            400  the body is not what the dialect says; `param` is the path
    ├── Untranslatable        400  a field that the answering provider's dialect cannot say
    ├── BadKey                401  missing, unknown or revoked
    ├── NotAllowed            403
    ├── Stopped               403  by an operator: names the scope
    ├── UnknownModel          404  names the nearest known
    ├── UnknownRoute          404
    ├── BodyTooLarge          413
    ├── BudgetExceeded        429  names the budget
    ├── RateLimited           429  names the limit, and when to come again
    ├── Overloaded            503  our own bounds: calls in flight, journal
    ├── LedgerUnavailable     503  a call that cannot be recorded is not made
    ├── UpstreamError         502  what an upstream did wrong
    │   ├── UpstreamRefused        its own status and body, passed on
    │   ├── UpstreamUnreachable
    │   ├── UpstreamTimeout   504
    │   ├── UpstreamBroken         cut, garbage or truncated
    │   └── UpstreamUnavailable 503 every endpoint's breaker is open
    ├── NotCached             504  the client wants an answer from the cache or none, and there is none
    └── ContractUnmet         502  every rung answered, none passed the task's check
"""

from __future__ import annotations


class SmallfirstError(Exception):
    """Everything that smallfirst raises on purpose. The message says what is wrong and, where it can, what to do."""


class ConfigError(SmallfirstError):
    """A file of the user's is wrong. `path` names the field, as in `tasks.ticket-triage.margin`."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class StateError(SmallfirstError):
    """The state directory cannot be used as asked."""


class ReleaseError(SmallfirstError):
    """A release cannot be built, found, trusted or served."""


class DatasetError(SmallfirstError):
    """A dataset cannot be made, found or trusted."""


class ScorerError(SmallfirstError):
    """A scorer cannot be made, or cannot do its work."""


class TrainingError(SmallfirstError):
    """A model cannot be trained, or trained further."""


class EvalError(SmallfirstError):
    """An evaluation cannot begin, go on or be compared."""


class DeployError(SmallfirstError):
    """An adapter cannot be served where it was wanted, or cannot be taken away from there."""


class CallError(SmallfirstError):
    """Ends a call. `retry` tells an SDK whether asking again can help; `param` is the JSON path of a wrong field."""

    status = 500
    type = "api_error"
    code = "internal_error"
    retry = False

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class BadRequest(CallError):
    status, type, code = 400, "invalid_request_error", "invalid_request"


class Untranslatable(BadRequest):
    """The model that answers speaks another dialect, which has no word for this field."""

    code = "untranslatable"


class BadKey(CallError):
    status, type, code = 401, "authentication_error", "invalid_api_key"


class NotAllowed(CallError):
    status, type, code = 403, "permission_error", "not_allowed"


class UnknownModel(CallError):
    status, type, code = 404, "not_found_error", "model_not_found"


class UnknownRoute(CallError):
    status, type, code = 404, "not_found_error", "not_found"


class BodyTooLarge(CallError):
    status, type, code = 413, "request_too_large", "request_too_large"


class BudgetExceeded(CallError):
    """`budget` is which one, in words. `leaves_small`: the call may still be answered by the small rungs of its ladder, if they fit."""

    status, type, code = 429, "rate_limit_error", "budget_exceeded"

    def __init__(self, message: str, *, budget: str = "", leaves_small: bool = False) -> None:
        super().__init__(message)
        self.budget = budget
        self.leaves_small = leaves_small


class Stopped(CallError):
    """An operator has stopped whom the call is from, or what it asks. `is_model`: it is a model alone, and another may be asked."""

    status, type, code = 403, "permission_error", "stopped"

    def __init__(self, message: str, *, is_model: bool = False) -> None:
        super().__init__(message)
        self.is_model = is_model


class RateLimited(CallError):
    """Too fast. `scope_kind` is whose limit it was ("key", "tenant", "task" or "gateway"), `counted` what it counts. Without `retry_after_s` asking
    again is of no use: the call can never be let in.
    """

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"

    def __init__(
        self, message: str, *, scope_kind: str, counted: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.scope_kind = scope_kind
        self.counted = counted
        self.retry = retry_after_s is not None


class Overloaded(CallError):
    status, type, code, retry = 503, "overloaded_error", "overloaded", True


class LedgerUnavailable(CallError):
    status, type, code, retry = 503, "overloaded_error", "ledger_unavailable", True


class NotCached(CallError):
    """`Cache-Control: only-if-cached`, and the cache has nothing (RFC 9111, section 5.2.1.7)."""

    status, code = 504, "not_cached"


class UpstreamError(CallError):
    """What an upstream did wrong. `kind` is the word the ledger keeps for the attempt."""

    status, type, code = 502, "api_error", "upstream_error"
    kind = "error"
    request_id = ""  # the upstream's own name for the request, where its headers had come


class UpstreamRefused(UpstreamError):
    """The upstream answered with an error status: passed on to the client as it is, where the dialects agree."""

    code = "upstream_refused"

    def __init__(self, message: str, *, status: int, body: bytes, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.status = status
        self.body = body


class UpstreamUnreachable(UpstreamError):
    code, kind = "upstream_unreachable", "unreachable"


class UpstreamTimeout(UpstreamError):
    status, code, kind = 504, "upstream_timeout", "timeout"
    type = "timeout_error"


class UpstreamBroken(UpstreamError):
    """Cut, garbage or truncated."""

    code, kind = "upstream_broken", "broken"


class UpstreamUnavailable(UpstreamError):
    status, code, kind = 503, "upstream_unavailable", "breaker"
    type = "overloaded_error"
