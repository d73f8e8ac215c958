"""Every setting: its default, its unit (last in the name), why it is what it is; and where a value came from."""

import functools
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from folkmoot.gateway.handshake import origin_fault
from folkmoot.gateway.proxies import Proxies

ENVIRONMENT_PREFIX = "FOLKMOOT_"
ROLES = ("gateway", "router", "delivery")
_OF_CLIENTS = ("url", "token", "token_file", "ca_file", "config")


class SettingsError(ValueError):
    """A setting cannot be what it was given as; the text names it, where it came from, and what it may be."""


def _reason(text: str, **bounds: Any) -> Meta:
    return Meta(description=text, **bounds)


def _live(text: str, **bounds: Any) -> Meta:
    """The reason of a setting that a running process takes over when it is told to read them again."""
    return Meta(description=text, extra={"live": True}, **bounds)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process's settings. Defaults are for one machine that other machines do not reach."""

    host: Annotated[
        str, _reason("The address to listen on; the default is reached from this machine only.", min_length=1)
    ] = "127.0.0.1"
    port: Annotated[int, _reason("The one port for everything; 0 takes one that is free.", ge=0, le=65_535)] = 8420
    data_dir: Annotated[
        str, _reason("Where the store, its reserve and the secret are; made if it is not there.", min_length=1)
    ] = "data"
    log_level: Annotated[str, _live("The least level logged.", pattern="^(debug|info|warning|error)$")] = "info"
    log_json: Annotated[bool, _reason("One JSON object a line, for machines, instead of text for people.")] = False

    metrics_open: Annotated[
        bool,
        _reason("Whoever reaches the port may read /metrics: where a proxy or a firewall keeps strangers from it."),
    ] = False
    traces_endpoint: Annotated[
        str,
        _reason(
            "Where traces of messages' ways go: an OTLP collector's URL (http://host:4318/v1/traces), or `console`.",
            pattern="^(|console|https?://.+)$",
        ),
    ] = ""
    traces_ratio: Annotated[
        float, _live("How many of the messages are traced: 1 in a hundred costs next to nothing.", ge=0, le=1)
    ] = 0.01

    roles: Annotated[
        tuple[str, ...], _reason("What this process is: gateway, router, delivery; all three are a whole server.")
    ] = ("gateway", "router", "delivery")
    bus: Annotated[
        str,
        _reason(
            "What roles talk over: `memory` within one process, `nats` between several.", pattern="^(memory|nats)$"
        ),
    ] = "memory"
    nats_urls: Annotated[
        tuple[str, ...], _reason("Servers of NATS, `nats://host:port` or `tls://host:port`; any of them will do.")
    ] = ("nats://127.0.0.1:4222",)
    nats_credentials_file: Annotated[
        str, _reason("Who this process is to NATS: a file that only its owner can read.")
    ] = ""
    nats_ca_file: Annotated[str, _reason("A PEM file with the authority of NATS' certificates.")] = ""
    store: Annotated[
        str,
        _reason(
            "Where logs are: `sqlite`, a file of this machine, or `cassandra`, for several.",
            pattern="^(sqlite|cassandra)$",
        ),
    ] = "sqlite"
    cassandra_hosts: Annotated[
        tuple[str, ...], _reason("Nodes of the home data centre that are asked first for the others.")
    ] = ("127.0.0.1",)
    cassandra_port: Annotated[int, _reason("Where all of them speak CQL.", ge=1, le=65_535)] = 9_042
    cassandra_keyspace: Annotated[str, _reason("What `folkmoot migrate` makes, and all of it is in.", min_length=1)] = (
        "folkmoot"
    )
    cassandra_datacenter: Annotated[
        str, _reason("The home: all order is made there. A router of another one refuses to start.", min_length=1)
    ] = "datacenter1"
    cassandra_replication: Annotated[
        int, _reason("Copies of each row when `migrate` makes the keyspace: with 3, one node may be gone.", ge=1)
    ] = 3
    cassandra_user: Annotated[str, _reason("Who this process is to Cassandra; empty: nobody is asked.")] = ""
    cassandra_password_file: Annotated[str, _reason("A file with the password, that only its owner can read.")] = ""
    cassandra_ca_file: Annotated[
        str, _reason("A PEM file with the authority of Cassandra's certificates: TLS is spoken.")
    ] = ""
    bucket_size: Annotated[
        int, _reason("Entries of a group in one partition of Cassandra; stands in the schema for good.", ge=2)
    ] = 1_000
    reuse_port: Annotated[
        bool, _reason("Share the port with other processes of this machine: each takes some of the connections.")
    ] = False

    token_lifetime_s: Annotated[
        int, _reason("How long the tokens made by `serve` and `token` are good for: a week to try it out.", ge=1)
    ] = 604_800
    token_public_key_file: Annotated[
        str,
        _reason("A PEM file with a public key (Ed25519, RSA or P-256): tokens signed with its other half are good."),
    ] = ""
    token_jwks_file: Annotated[str, _reason("A file with such keys as a JWKS: several at once, named by `kid`.")] = ""
    token_jwks_url: Annotated[
        str, _reason("Where an identity provider has them: https, or http on this machine; the last good ones stay.")
    ] = ""
    token_jwks_refresh_s: Annotated[
        float, _reason("How often it is asked; also when a token names a key that is unknown.", ge=10)
    ] = 300.0
    token_issuer: Annotated[
        str, _reason("Tokens have this `iss`; empty: any. Those of the server's own secret need none.")
    ] = ""
    token_audience: Annotated[
        str, _reason("Tokens have this `aud`, or have it among theirs; empty: any. The same holds.")
    ] = ""
    tls_cert_file: Annotated[
        str,
        _reason("A PEM file with a certificate and its chain: the port speaks TLS. Taken up when it changes."),
    ] = ""
    tls_key_file: Annotated[str, _reason("A PEM file with the certificate's key, without a passphrase.")] = ""
    hello_seconds: Annotated[
        float, _reason("A connection that has not said who it is by then is closed.", ge=1, le=60)
    ] = 5.0
    allowed_origins: Annotated[
        tuple[str, ...],
        _live("Pages of these origins may connect and ask, beside those of the server's own host; `*`: all."),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        _reason("Addresses and networks of proxies: theirs is the word on who asks, for which host, and by https."),
    ] = ()
    ping_interval_s: Annotated[
        float,
        _reason("Keeps address translators' entries alive; two of them in silence end a connection.", ge=1, le=300),
    ] = 25.0
    request_seconds_max: Annotated[
        float, _reason("A connection that has not sent a whole HTTP request by then is closed.", ge=1)
    ] = 10.0
    connections_max: Annotated[
        int, _live("More are answered 503: the limit of open files leaves room for the rest.", ge=1)
    ] = 15_000
    write_bytes_high: Annotated[
        int,
        _live(
            "A reader with this much unread leaves the live feed for the log: all that a slow one may take of memory.",
            ge=4_096,
        ),
    ] = 49_152
    write_bytes_low: Annotated[int, _live("It is brought up again once it is down to this.", ge=0)] = 16_384
    io_uring: Annotated[
        bool,
        _reason(
            "Write to many members by one call of the kernel, where it allows that: each write costs an eighth less."
        ),
    ] = True
    sends_per_s: Annotated[
        float, _live("Of one connection: many times what a person types, and a bot's fair share.", gt=0)
    ] = 50.0
    sends_burst: Annotated[float, _live("Sends at once, as after a time away.", ge=1)] = 100.0
    events_per_s: Annotated[
        float, _live("Of any kind, of one connection; past it and its burst the connection ends.", gt=0)
    ] = 200.0
    events_burst: Annotated[float, _live("Events at once, as when thousands of positions are given.", ge=1)] = 2_000.0
    requests_per_s: Annotated[
        float, _live("Calls of REST of one user, by whatever connections; more are answered 429.", gt=0)
    ] = 100.0
    requests_burst: Annotated[float, _live("Calls at once, as when an application opens.", ge=1)] = 200.0
    reads_at_once_max: Annotated[
        int, _reason("Pages read from the store at once: what a crowd that reconnects costs in memory.", ge=1)
    ] = 64

    ask_again_s: Annotated[float, _live("A gateway without an answer asks whoever routes then.", gt=0)] = 2.0
    asks_max: Annotated[int, _live("Then the client is told that nobody answered, and asks itself.", ge=1)] = 3
    batch_entries_max: Annotated[
        int, _live("Sends of one group in one conditional write; more gains little and delays the first.", ge=1)
    ] = 256
    groups_cached_max: Annotated[
        int, _live("Groups whose state a router holds; others are loaded when written to.", ge=1)
    ] = 10_000
    refusals_per_minute: Annotated[
        int, _live("Stored for one sender in one group: what a confused client may cost.", ge=1)
    ] = 10
    members_max: Annotated[int, _live("Members of one group.", ge=1)] = 100_000

    routes_all: Annotated[
        bool,
        _reason("Take the sends of every partition, whatever other routers take: to see that it only costs time."),
    ] = False

    heads_interval_s: Annotated[float, _live("How soon a copy lost between router and gateway is noticed.", gt=0)] = 1.0
    announce_interval_s: Annotated[float, _live("How often gateways tell again which groups they serve.", gt=0)] = 120.0
    sweep_interval_s: Annotated[
        float, _live("How often everything is compared with the store: the bound on 'eventually'.", gt=0)
    ] = 300.0
    audit_interval_s: Annotated[
        float, _live("How often one of the groups in use has its counts compared with its log: a few reads.", gt=0)
    ] = 10.0
    drain_spread_s: Annotated[
        float, _live("Over how long clients are told to come back when the server stops.", ge=0)
    ] = 5.0
    drain_seconds_max: Annotated[
        float, _live("How long a stopping server waits for answers to sends it took.", ge=0)
    ] = 5.0

    sqlite_readers: Annotated[int, _reason("Threads that read the store, so that none waits for a commit.", ge=1)] = 2
    sqlite_gather_s: Annotated[
        float,
        _reason(
            "How long a write waits for others where several before it shared a sync: an eighth less CPU a send.",
            ge=0,
            le=0.1,
        ),
    ] = 0.002
    sqlite_wal_bytes_max: Annotated[
        int, _reason("The write-ahead log is copied into the file at this length, whoever waits.", ge=1_048_576)
    ] = 67_108_864
    sqlite_reserve_bytes: Annotated[
        int, _reason("Room kept aside so that refusals can be stored on a full disk; 0: none.", ge=0)
    ] = 4_194_304


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and for each where its value came from: `default`, the file's name, the variable, or the flag."""

    settings: Settings
    sources: dict[str, str]


def load_settings(flags: Mapping[str, object], env: Mapping[str, str], toml: Path | None) -> Settings:
    """Defaults, then the TOML file, then FOLKMOOT_ variables, then flags that are not None. Raises SettingsError."""
    return load(flags, env, toml).settings


def load(flags: Mapping[str, object], env: Mapping[str, str], toml: Path | None) -> Loaded:
    """The same, with where each value came from."""
    names = set(Settings.__struct_fields__)
    values: dict[str, object] = {}
    sources = dict.fromkeys(Settings.__struct_fields__, "default")
    file = {} if toml is None else _read_toml(toml)
    layers: list[tuple[str, Mapping[str, object]]] = [("" if toml is None else toml.name, file)]
    variables = {
        k.removeprefix(ENVIRONMENT_PREFIX).lower(): v for k, v in env.items() if k.startswith(ENVIRONMENT_PREFIX)
    }
    # Clients are told where to go by variables of the same prefix: those are not settings of a server.
    layers.append(
        (
            "environment",
            {
                k: v
                for k, v in variables.items()
                if k not in ("url", "token", "token_file", "ca_file", "api_key", "config")
            },
        )
    )
    layers.append(("flags", {k: v for k, v in flags.items() if v is not None}))
    for source, layer in layers:
        for name, value in layer.items():
            if name not in names:
                raise SettingsError(f"{_where(source, name)}: there is no such setting")
            values[name] = _converted(source, name, value, is_text=layer is not file and isinstance(value, str))
            sources[name] = _where(source, name)
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error)) from error
    if settings.write_bytes_low > settings.write_bytes_high:
        raise SettingsError("write_bytes_low: is above write_bytes_high")
    unknown = [role for role in settings.roles if role not in ROLES]
    if unknown or not settings.roles or len(set(settings.roles)) != len(settings.roles):
        raise SettingsError(f"roles: {','.join(settings.roles)!r}: some of {', '.join(ROLES)}, each once")
    if settings.bus == "memory" and set(settings.roles) != set(ROLES):
        raise SettingsError("roles: only some of them need a bus to the others: bus = nats")
    for origin in settings.allowed_origins:
        if why := origin_fault(origin):
            raise SettingsError(f"allowed_origins: {origin!r}: {why}")
    try:
        Proxies(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"trusted_proxies: {error}") from error
    return Loaded(settings, sources)


def reason_of(name: str) -> str:
    """Why a setting is there, for the reference."""
    return str(_meta_of(name).description)


def changes_live(name: str) -> bool:
    """Whether a running process takes the setting over on a reload; else it needs a restart."""
    return bool((_meta_of(name).extra or {}).get("live"))


@functools.cache
def _hints() -> dict[str, Any]:
    return typing.get_type_hints(Settings, include_extras=True)


def _meta_of(name: str) -> Meta:
    hint = _hints()[name]
    return next(meta for meta in hint.__metadata__ if isinstance(meta, Meta))


def _converted(source: str, name: str, value: object, *, is_text: bool) -> object:
    """The value as its setting has it: text from a variable or a flag is read, a file has types of its own."""
    hint = _hints()[name]
    try:
        if is_text and hint.__origin__ == tuple[str, ...]:
            value = [part.strip() for part in str(value).split(",") if part.strip()]
        return msgspec.convert(value, hint, strict=not is_text)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{_where(source, name)}: {error}") from error


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _where(source: str, name: str) -> str:
    if source == "environment":
        return ENVIRONMENT_PREFIX + name.upper()
    return f"--{name.replace('_', '-')}" if source == "flags" else f"{name} in {source}"
