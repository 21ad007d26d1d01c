"""Every bound in one place. A bound that a user may move has its default here and its field in `config/schema.py`."""

from __future__ import annotations

# What a client may send.
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024  # of a request line and its headers, before anybody has shown a key
REQUEST_TIMEOUT_S = 75.0  # from its first byte to its last; a body alone has 60
MAX_HEADER_VALUE_CHARS = 512  # of the x-smallfirst-* headers that are stored
MAX_CHOICES = 16  # `n`; vLLM allows 16384 of them to one client
MAX_JSON_DEPTH = 128

# What an upstream may send.
MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_SSE_EVENT_BYTES = 8 * 1024 * 1024
MAX_HELD_STREAM_BYTES = 16 * 1024 * 1024  # a stream held back until its contract is checked
MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_TOKENS = 10**9  # of one attempt: usage beyond it is not believed, a limit beyond it reserves this

# Time, in seconds; each a default of a provider's `timeouts`.
CONNECT_TIMEOUT_S = 5.0
FIRST_BYTE_TIMEOUT_S = 120.0
BETWEEN_BYTES_TIMEOUT_S = 60.0
TOTAL_TIMEOUT_S = 600.0
DISCONNECT_WATCH_AFTER_S = 0.2  # calls shorter than this never pay for watching their client
DRAIN_S = 30.0

# Retries: one owner, before the first byte only (Finagle's budget: a fifth of the calls and ten a second).
MAX_ATTEMPTS_PER_RUNG = 3
RETRY_BUDGET_RATIO = 0.2
RETRY_BUDGET_PER_SECOND = 10.0
RETRY_BACKOFF_BASE_S = 0.1
RETRY_BACKOFF_MAX_S = 4.0

# The circuit breaker of an endpoint.
BREAKER_FAILURES = 5
BREAKER_OPEN_S = 10.0

# Concurrency.
MAX_CALLS_IN_FLIGHT = 4096
MAX_CONNECTIONS_PER_HOST = 1024
MAX_MODEL_LABELS = 512  # names of models in the metrics

# Journal and ledger.
JOURNAL_SEGMENT_BYTES = 16 * 1024 * 1024
JOURNAL_MAX_UNIMPORTED_BYTES = 512 * 1024 * 1024  # past this, calls are refused: pushed back, never discarded
JOURNAL_SETTLEMENT_BYTES = (
    16 * 1024
)  # room kept for each admitted call's settlement, so that a full disk loses none
IMPORT_EVERY_S = 0.2
IMPORT_BATCH_RECORDS = 2048
MAX_STORED_BODY_BYTES = 1024 * 1024

# What is told of calls' answers.
MAX_OUTCOMES = 10_000  # of one request
MAX_OUTCOMES_OF_CALL = 1000
MAX_OUTCOME_REQUESTS = 32  # that wait for their turn; more are asked to come again
MAX_OUTCOME_VALUE_BYTES = 64 * 1024  # of JSON
MAX_OUTCOME_SOURCE_CHARS = 128

# Calls that are answered again, off their client's path.
ASIDE_WAITING = 256  # more are left out
ASIDE_AT_ONCE = 8
ASIDE_BODY_BYTES = 256 * 1024  # a longer request is left out
ASIDE_KEPT = 1024  # calls whose answers wait in memory for a corrected label
ASIDE_LABELS_EVERY_S = 1.0
ASIDE_SCORED_CHARS = 8192  # of one answer; scoring texts takes the square of their length

# Budgets: what is reserved for a call that names no `max_tokens` and has no history.
DEFAULT_RESERVED_OUTPUT_TOKENS = 1024
MAX_HISTORIES = 4096  # pairs of task and model whose answers' lengths are followed
RESERVED_TOKENS_PER_IMAGE = 4096
RESERVED_TOKENS_PER_MESSAGE = 16

# Alarms of budgets, and where they are sent.
MAX_ALARMS_OF_BUDGET = 16
WEBHOOKS_WAITING = 256  # deliveries under way or to be tried again; more are given up at once
WEBHOOK_TIMEOUT_S = 10.0  # of one try
WEBHOOK_TRIES = 6
WEBHOOK_RETRY_FIRST_S = 2.0  # then four times as long after each failure
WEBHOOK_STOP_S = 2.0  # a gateway that ends waits so long for deliveries under way

# Stops.
STOPS_EVERY_S = 0.25  # how often a gateway looks whether something was stopped, or may go on
MAX_STOPS = 10_000
MAX_STOPS_BYTES = 32 * 2**20  # more than so many stops come to, with the longest names and reasons

# Rate limits: what has gathered while nobody called may come at once, up to so many seconds' worth.
RATE_BURST_S = 60.0
MAX_RATE_BURST_S = 3600.0
MAX_RATE_PER_MINUTE = 10**12

# A task's ladder.
MAX_RUNGS = 8

# The price book.
MAX_PRICES_KEPT = 4096  # found prices, by model, provider and day

# The embedded model's server.
EMBEDDED_WAITING_PER_SLOT = 8  # requests that wait for each slot; more are refused, so that the ladder climbs
EMBEDDED_PROMPT_CACHE_MIB = 64
EMBEDDED_LOG_BYTES = 1024 * 1024
EMBEDDED_LOG_KEPT_BYTES = 64 * 1024  # of a log that grew too long
EMBEDDED_START_TIMEOUT_S = 120.0
EMBEDDED_STOP_TIMEOUT_S = 5.0
EMBEDDED_RESTART_FIRST_S = 0.5  # then twice as long after each death in a row
EMBEDDED_RESTART_MAX_S = 30.0
EMBEDDED_RESTARTS = 6  # in a row: then it is called failed, and tried at the longest pause
EMBEDDED_STEADY_S = 60.0  # a server that lived this long was well
EMBEDDED_ADAPTERS = 16  # over one base
EMBEDDED_MERGED = 4  # merged into one base, each with a server of its own
EMBEDDED_FINISH_S = 120.0  # a server that another has taken the place of may answer for so long

# Deploying an adapter.
DEPLOY_REQUEST_TIMEOUT_S = 600.0  # of a server that may have to read its weights first
DEPLOY_UNDO_TIMEOUT_S = 10.0

# Label heads that are too slow for the event loop.
HEAD_THREADS = 2
HEAD_WAITING = 32  # texts that wait for a thread; more are refused, so that the ladder climbs

# Routing: what is read of a call to decide it.
MAX_EMBEDDED_CHARS = 4096  # of one text: its beginning and its end
MAX_CONTEXT_CHARS = 2048  # of what was said before the question
MAX_CONVERSATIONS = (
    65_536  # turns of conversations that one gateway remembers, so that they stay with their model
)
MAX_WATCHED = 16_384  # pairs of tenant and task whose share of the frontier is watched
MAX_RATED_CHARS = 2000  # of a question that a model is asked to rate: its beginning and its end
MAX_RATED_CONTEXT_CHARS = 500  # of what was said before it, its end
ROUTER_TIMEOUT_S = 2.0  # for that model's answer; without it the call goes to the frontier
MAX_INTENT_EXAMPLES = 2048  # whose vectors an intent classifier keeps
MAX_TASK_FINGERPRINTS = 64  # different system prompts that are kept of a task
MAX_SYSTEM_PROMPTS = 1024  # whose vectors a gateway keeps, so that they are not made for each call
INTENT_TIMEOUT_S = 2.0  # for an embedder off the event loop to say which task a call is
MANY_TOOLS = 6  # from here on the frontier answers, until outcomes say otherwise

# Examples that a rung shows its model.
MAX_EXAMPLES = 20_000  # of one index
MAX_EXAMPLES_BYTES = 64 * 1024 * 1024  # of their texts
MAX_SHOTS = 64  # shown of them at once
MAX_SHOTS_CHARS = 200_000  # of their texts together
SHOTS_CHARS = 8000
SHOTS_TIMEOUT_S = 2.0  # for an embedder off the event loop; past it the rung is not asked
SHOTS_WAITING = 32  # questions that wait for such an embedder; for more the rung is not asked
EXAMPLES_LOOKED_AFTER_S = 0.25  # how often it is looked whether some were erased

# Releases while they roll out.
CHANNELS_EVERY_S = 0.25  # how often a gateway looks whether another release should answer
ROLLBACK_WAIT_S = 0.25  # for what was live before to be loaded; baseline answers meanwhile
LEASES_A_LEASE = 3  # how often a lease is renewed before it would have ended
CANARY_LEASE_S = 15.0  # a canary answers for so long after its controller was last heard of
CONTROLLER_RESTART_FIRST_S = 0.5  # then twice as long after each death in a row
CONTROLLER_RESTART_MAX_S = 30.0
CONTROLLER_STEADY_S = 60.0  # a controller that lived this long was well
CONTROLLER_STOP_TIMEOUT_S = 5.0

# The cache.
CACHE_TTL_S = 24 * 3600.0
CACHE_MAX_ENTRIES = 1_000_000
CACHE_MAX_BYTES = 1024 * 1024 * 1024
CACHE_MAX_ENTRY_BYTES = 1024 * 1024
CACHE_KEY_COMMAS = (
    100_000  # of a body that has a key: reading one exactly takes 0.5 µs for each, of everybody's time
)
CACHE_WRITES_WAITING = 4096  # more are left out: a call never waits for its answer to be kept
CACHE_WRITES_WAITING_BYTES = 64 * 1024 * 1024
CACHE_WRITE_EVERY_S = 0.03  # what comes meanwhile is written together
CACHE_PUT_EVERY_S = 0.25  # the same of answers, which are found before: a transaction for each would cost more than the answers do
CACHE_TOUCH_EVERY_S = 1.0
CACHE_EXPIRE_EVERY_S = 60.0  # what is over is removed, wanted or not
CACHE_CHANGES_KEPT = 10_000  # that a reader may have missed; past it, it reads what it holds again
CACHE_PURGES_KEPT = 1000
CACHE_REDIS_TIMEOUT_S = 0.05  # of a look-up
CACHE_REDIS_WORK_TIMEOUT_S = 5.0  # of what no call waits for
CACHE_REDIS_FAILURES = 3  # in a row; then it is left alone for a while
CACHE_REDIS_OPEN_S = 5.0
CACHE_FLIGHT_WAIT_S = 30.0  # for another call's answer to the same; past it a call asks for itself
CACHE_OUTCOMES_EVERY_S = 1.0  # how often it is looked what was told of its answers
CACHE_FLIGHTS = 4096  # calls that others may wait for
CACHE_CANDIDATES = 48  # neighbours that are looked at
CACHE_PARTITIONS = 1024  # whose vectors a gateway holds in memory
CACHE_VECTORS = 1_000_000  # that it holds together
CACHE_PARTITION_VECTORS = 200_000  # of one partition, its newest
CACHE_EMBEDDING_TIMEOUT_S = (
    1.0  # for a question's vector, of an embedder that is slow; past it the call has no neighbours
)
CACHE_STANDING_LEASE_S = (
    15.0  # what has been proven counts for so long after the controller was last heard of
)
CACHE_OBSERVATIONS = 200_000  # that are kept of a policy's semantic look-ups, the latest
CACHE_LEARNING_WAITING = (
    1024  # misses whose answers wait to be compared with their neighbours'; more are left out
)
CACHE_CHECKS_WAITING = 256  # spot checks; while there are so many no hit is served
CACHE_CHECKS_STOP_S = 5.0  # a gateway that ends waits so long for spot checks that are under way
CACHE_CHECK_PATIENCE_S = 120.0  # for a spot check to be made; one that cannot be counts as a wrong hit

# A judge: what it is shown of one text, its beginning and its end, and of a conversation.
MAX_JUDGED_CHARS = 20_000
MAX_JUDGED_TURNS = 40

# An account that a ledger is held against.
MAX_INVOICE_DOCUMENT_BYTES = 256 * 2**20  # of one JSON document; JSON Lines and CSV may be of any size
DIFFERENCES_KEPT = 10_000  # differing calls in a report; all of them are in its CSV
