"""`smallfirst.toml` as frozen structs: every field, its default and what it means.

Parsed once, in `config/load.py`.

Three kinds of tables. *Where things are*: `server`, `limits`, `budget`, `storage`, `providers`, `models`, `aliases`, `tenants`,
`keys`, `prices`, `relay`, `cache`. A reload (SIGHUP) may change these, but for what needs a restart (`cache`
and some fields: `config/diff.py`). *How calls are answered*: `tasks` and `routing.intents`, the source from
which `smallfirst release build` makes a candidate; editing it changes nothing that is served. *What proof is
asked for*: `gate` and `tasks.NAME.gate`; a verdict names the rule by which it was reached, and one reached by
another rule does not count.

Every number with a unit carries it in its name. Secrets are never written here: a secret field holds
`env:NAME`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from smallfirst import limits
from smallfirst.config.budget import Budget
from smallfirst.config.rates import RateLimits
from smallfirst.config.strict import Day, Name, Positive, SecretRef, Share, Strict
from smallfirst.contracts import Contract, TextContract


class Server(Strict, frozen=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    allowed_hosts: tuple[str, ...] = ()  # Host headers accepted beside the bind address and localhost
    drain_s: Positive = limits.DRAIN_S
    max_body_bytes: Annotated[int, Meta(ge=1024)] = limits.MAX_BODY_BYTES
    max_calls_in_flight: Annotated[int, Meta(ge=1)] = limits.MAX_CALLS_IN_FLIGHT
    require_key: bool = True  # false only on loopback: every call is tenant `local`
    metrics: bool = True


class Storage(Strict, frozen=True):
    path: str = ".smallfirst"  # the state directory, relative to the configuration file
    # how long kept bodies are kept, unless the tenant says otherwise
    bodies_days: Annotated[int, Meta(ge=0)] = 30
    calls_days: Annotated[int, Meta(ge=1)] | None = None  # rows of calls and attempts; hourly rollups stay


class Timeouts(Strict, frozen=True):
    connect_s: Positive = limits.CONNECT_TIMEOUT_S
    first_byte_s: Positive = limits.FIRST_BYTE_TIMEOUT_S
    between_bytes_s: Positive = limits.BETWEEN_BYTES_TIMEOUT_S
    total_s: Positive = limits.TOTAL_TIMEOUT_S


ProviderKind = Literal["openai", "anthropic", "azure", "embedded", "head"]


class Provider(Strict, frozen=True):
    """Somebody who answers.

    `openai` is any OpenAI-compatible endpoint (vLLM, TGI, llama.cpp, OpenRouter, …). `embedded` models run
    beside the gateway, and a `head` (a label head that `smallfirst train` made) answers in its own process.
    """

    kind: ProviderKind = "openai"
    base_url: str | None = None  # required but for `embedded`, `head` and the two well-known hosts
    api_key: SecretRef | None = None
    headers: dict[str, str] = {}  # sent with every request; values may be `env:NAME`
    accepts: tuple[str, ...] = ()  # model names, with `*`, that go to this provider without being declared
    price_as: str | None = None  # the provider's id in the price table, where its kind does not tell
    api_version: str | None = None  # azure
    engine: Literal["hosted", "vllm", "llamacpp"] = "hosted"  # owned engines get an allowlist of fields
    simulated: bool = False  # said in every report
    # false for servers that refuse `stream_options`; their streams' usage is then estimated
    stream_usage: bool = True
    timeouts: Timeouts = Timeouts()
    max_attempts: Annotated[int, Meta(ge=1, le=10)] = limits.MAX_ATTEMPTS_PER_RUNG


class PriceOverride(Strict, frozen=True):
    """US dollars per million tokens, from a day on. What is absent is not charged apart.

    Cache reads cost as input, and so on.
    """

    since: Day
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    reasoning: Decimal | None = None
    per_call: Decimal = Decimal(0)  # US dollars a call
    tier: Literal["standard", "batch", "priority", "flex"] = "standard"
    note: str = ""  # "negotiated, contract 2026-07", shown beside the price


class Model(Strict, frozen=True):
    """Something that answers, under the name that callers and ladders use."""

    provider: str
    # the provider's own name for it; the table's name where absent. Of a head: the task whose newest head
    # answers, or a head's hash
    id: str | None = None
    endpoints: tuple[str, ...] = ()  # base URLs of replicas, balanced; the provider's own where absent
    # what an hour of the machine costs: the model's own tokens are then free
    hourly_usd: Decimal | None = None
    context_tokens: Annotated[int, Meta(ge=1)] | None = None
    tools: bool = True
    weights_sha256: str | None = None
    tier: Literal["standard", "batch", "priority", "flex"] = "standard"
    prices: tuple[PriceOverride, ...] = ()
    concurrency: Annotated[int, Meta(ge=1)] | None = None  # at most this many at once; more climb at once
    show_model: bool = False  # true: the response's `model` is what answered, not what was asked
    # LoRA weights over the base that `id` names: a task, whose newest adapter it is, or an adapter's hash (12 digits at least).
    # An embedded model's, or a vLLM's
    adapter: Name | None = None
    # how the adapter is served; "auto": lora on the embedded server, peft on vLLM
    form: Literal["auto", "lora", "q8_0", "f16", "q4_1", "peft"] = "auto"


class Tenant(Strict, frozen=True):
    budget: Budget = Budget()
    limits: RateLimits = RateLimits()
    bodies_days: Annotated[int, Meta(ge=0)] | None = None


class Key(Strict, frozen=True):
    """A key declared in the file; `smallfirst keys create` makes others."""

    secret: SecretRef
    tenant: Name = "default"
    budget: Budget = Budget()
    limits: RateLimits = RateLimits()
    models: tuple[str, ...] = ()  # names, with `*`, that this key may ask for; empty: all
    expires: Day | None = None


class Retrieve(Strict, frozen=True):
    """Examples that stand in the prompt: of the same tenant's training examples, those that are nearest to the question."""

    k: Annotated[int, Meta(ge=1, le=limits.MAX_SHOTS)] = 8
    # which index of `smallfirst train TASK --method retrieval`: the "newest" of the task, or a hash
    index: str = "newest"
    order: Literal["nearest-last", "nearest-first"] = "nearest-last"  # last: beside the question
    # of all examples together; one that does not fit is left out, none is cut
    max_chars: Annotated[int, Meta(ge=1, le=limits.MAX_SHOTS_CHARS)] = limits.SHOTS_CHARS


class Rung(Strict, frozen=True):
    """One model of a task's ladder, and how it is asked."""

    model: str
    instructions: str | None = None  # replaces the client's system prompt for this rung
    constrained: bool = True  # an owned engine is held to the contract while it decodes
    max_tokens: Annotated[int, Meta(ge=1)] | None = None  # where the client gives none
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    timeout_s: Positive | None = None  # past this the call climbs
    # the share of calls, by hash of the call, that begin at this rung; the rest begin above
    sample: Share = 1.0
    retrieve: Retrieve | None = None  # examples that it is shown with each call


class TaskRouter(Strict, frozen=True):
    """How the task's calls are decided. What is learned comes from `smallfirst router fit`."""

    fit: str = "newest"  # the router to release: "newest" of the task, a hash, or "none"
    # what turns text into numbers: wordllama, minilm, model2vec:PATH, onnx:FOLDER, model:NAME
    embedder: str = "wordllama"
    # for the answer of the model that a router asks (`router fit --by`), or of an embedder behind an endpoint; past this the call
    # goes to the frontier
    timeout_s: Positive = limits.ROUTER_TIMEOUT_S
    verify: bool = False  # text answers of small models are held back and judged before they are released
    question_after: str = ""  # the mark in the last user message after which the user's own question stands
    question_before: str = ""  # the mark before which it ends
    sticky: bool = True  # a conversation stays with its model, unless changing is worth the lost prompt cache
    # the share of a tenant's calls that may go to the frontier for being unlike anything seen; beyond it they go where the router
    # would send them, recorded as outside the quality bound. 1: all of them may
    unknown_share: Share = 1.0


class Scorer(Strict, frozen=True):
    """From an answer and a reference to a score in [0, 1]. `smallfirst release build` takes it into the policy."""

    # auto: label for `label` contracts, json for `json`, rouge-l for `text`
    kind: Literal[
        "auto", "label", "json", "rouge-l", "chrf", "embedding", "regex", "numeric", "judge", "python"
    ] = "auto"
    normalise: bool = False  # label, regex: case, blank space and punctuation do not count
    # json: what each field counts (default: the same), and how it is compared: exact, text, numeric
    weights: dict[str, float] = {}
    compare: dict[str, Literal["exact", "text", "numeric"]] = {}
    pattern: str = ""  # regex: what is compared is its first group, or all of it
    tolerance: Annotated[float, Meta(ge=0)] = 0.0  # numeric: a relative difference that is right still
    embedder: str = "wordllama"  # embedding
    model: str | None = None  # judge: who is asked
    rubric: str = ""  # judge: what is a good answer, in words
    mode: Literal["absolute", "pairwise"] = "absolute"  # judge
    scale: Literal["1-5", "yes-no"] = "1-5"  # judge: what it answers with, in absolute mode
    entry_point: str = ""  # python: the name of an entry point in the group `smallfirst.scorers`


class TaskGate(Strict, frozen=True):
    """What a candidate must show for this task, beside its margin."""

    dataset: str = "newest"  # whose held-out part is read: "newest" of the task, or a hash
    slices: tuple[str, ...] = ()  # fields of examples; each value with enough rows must pass by itself
    slice_margin: Share | None = None  # default: the task's margin
    cost_ratio_max: Positive | None = None  # cost per call over the live release's
    latency_ratio_max: Positive | None = None  # 95th percentile over the live release's
    cache_error_max: Share | None = None  # wrong answers from the cache, of all calls


class Rollout(Strict, frozen=True):
    """How a release of this task is watched once it answers calls."""

    # the share of calls of which the frontier and the small rungs are all asked, drawn before anything else
    explore: Share = 0.02
    explore_usd_per_day: Decimal = Decimal(5)  # what exploration, shadow answers and spot checks may cost
    pairs: Share = 0.5  # the share of a canary's calls that are also put to the frontier, to compare
    drop: Share | None = None  # the loss beyond what its verdict found that must be caught; default: margin
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.99  # of the watch over a whole canary


class SemanticCache(Strict, frozen=True):
    """Answers to calls that ask the same in other words: the last user message may differ, everything else may not."""

    # wrong answers from the cache, of all calls of the task: what is proven before one is served, and watched
    delta: Annotated[float, Meta(gt=0, le=0.2)] = 0.01
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95  # of that bound, at all times together
    embedder: str = "wordllama"  # as in `router.embedder`
    # two answers are the same where the task's scorer gives this much for the one with the other as reference
    same: Annotated[float, Meta(gt=0, le=1)] = 1.0
    min_checks: Share = 0.02  # the share of such hits that the models answer too, at least


class TaskCache(Strict, frozen=True):
    """Answers that may be given again, to the same tenant."""

    exact: bool = False  # to the same call
    semantic: SemanticCache | None = None  # and to one that asks the same in other words; needs `exact`
    ttl_s: Positive = limits.CACHE_TTL_S  # counted from the answer, however often it is given again
    sampled: bool = False  # also calls that sample: whose temperature is above 0, or not given
    tools: bool = False  # also calls that offer tools; an answer that calls one is never stored
    # top-level fields of a request that change nothing about its answer, such as `user` or `metadata`
    ignore: tuple[str, ...] = ()

    @property
    def error_max(self) -> float:
        """The share of all calls that the cache itself may answer wrongly: 0 where it answers the same call alone."""
        return 0.0 if self.semantic is None else self.semantic.delta


class Task(Strict, frozen=True):
    """A named kind of call. `ladder` names models, cheapest first; the last is the frontier model."""

    ladder: tuple[str | Rung, ...]
    contract: Contract = TextContract()
    description: str = ""
    instructions: str | None = None  # the task's own system prompt, for callers that send none
    margin: Share = 0.02  # the loss of quality that is acceptable
    router: TaskRouter = TaskRouter()
    scorer: Scorer = Scorer()
    gate: TaskGate = TaskGate()
    rollout: Rollout = Rollout()
    cache: TaskCache = TaskCache()
    latency_ms: Positive | None = None
    budget: Budget = Budget()
    limits: RateLimits = RateLimits()
    keep_bodies: bool = False
    redact: tuple[str, ...] = ()  # regular expressions whose matches are not stored

    @property
    def models_margin(self) -> float:
        """What is left of the margin for the models, once the cache has lost what it may."""
        return self.margin - self.cache.error_max


class Routing(Strict, frozen=True):
    """Calls that name no task, but leave it to smallfirst which one they are."""

    auto: tuple[str, ...] = ("auto",)  # the model names under which calls are taken for a task, or for none
    # the model that answers calls that are none of the tasks; default: `frontier`, else the last of the
    # first task's ladder
    unclassified: str | None = None
    intents: str = "newest"  # the intent classifier to release: "newest", a hash, or "none"


class Gate(Strict, frozen=True):
    """The rule by which candidates are judged. A verdict reached by another rule does not count."""

    # the probability that a candidate past its margin passes, over all reads of one held-out set together
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    power: Annotated[float, Meta(gt=0.5, lt=1)] = 0.9  # with which "how many more examples" is answered
    min_slice_rows: Annotated[int, Meta(ge=20)] = 200
    approvers: tuple[str, ...] = ()  # users one of whom, not the author, must approve before a promotion
    signing_key: SecretRef | None = None  # verdicts are signed with it, and those that are not are refused
    # whether evidence lapses also when a provider answers with a `system_fingerprint` that the comparison has
    # not seen; hosted ones change it often. Another model name always lapses it
    system_fingerprints: bool = True


class Cache(Strict, frozen=True):
    """Where answers that may be given again are kept, and how many."""

    url: SecretRef | None = (
        None  # `env:NAME` of redis://… or valkey://…, shared by replicas; default: a file of the state directory
    )
    max_entries: Annotated[int, Meta(ge=1)] = limits.CACHE_MAX_ENTRIES
    max_bytes: Annotated[int, Meta(ge=1024)] = limits.CACHE_MAX_BYTES
    max_entry_bytes: Annotated[int, Meta(ge=256)] = (
        limits.CACHE_MAX_ENTRY_BYTES
    )  # of one answer; longer ones are not kept


class Learning(Strict, frozen=True):
    """What may be learned from. Read your providers' terms: many forbid to train on what their models answer."""

    never_train_on: tuple[Name, ...] = ()  # providers on whose outputs nothing is trained
    # what is taken out of texts before they are stored in a dataset: kinds of personal data, or "none"
    redact: tuple[str, ...] = ("email", "phone", "iban", "credit-card", "ip", "ssn")


class Relay(Strict, frozen=True):
    """Paths that are passed on verbatim: `prefix` to `provider`."""

    prefix: str
    provider: str
    free: bool = False  # the provider charges nothing for it, as for /v1/messages/count_tokens


class Config(Strict, frozen=True):
    """The whole file."""

    server: Server = Server()
    limits: RateLimits = RateLimits()  # of all calls together
    budget: Budget = Budget()  # the same
    storage: Storage = Storage()
    providers: dict[Name, Provider] = {}
    models: dict[Name, Model] = {}
    aliases: dict[Name, str] = {}
    tenants: dict[Name, Tenant] = {}
    keys: dict[Name, Key] = {}
    tasks: dict[Name, Task] = {}
    routing: Routing = Routing()
    gate: Gate = Gate()
    cache: Cache = Cache()
    learning: Learning = Learning()
    relay: tuple[Relay, ...] = ()
    # the model that baseline sends tasks to where a task's ladder is not to be trusted; default: each
    # ladder's last
    frontier: str | None = None
