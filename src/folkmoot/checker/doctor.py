"""What is wrong with a server's machine, data folder and settings, and how to mend it: verdicts on facts, pure."""

import ipaddress
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from folkmoot.checker.machine import (
    CertificateFacts,
    Clocks,
    Disk,
    FileMode,
    OpenFiles,
    Port,
    StoreFacts,
    SyncTimes,
    Versions,
)
from folkmoot.node.config import Settings

PYTHON_MIN: Final = (3, 11)
FILES_BESIDE: Final = 1_024 + 64
"""Beside WebSockets: the bound of HTTP connections, the store, logs, and what libraries open."""

SYNC_MS_P50_SLOW, SYNC_MS_P99_SLOW, SYNC_MS_P50_BAD = 5.0, 50.0, 50.0
SYNC_MS_P50_UNLIKELY: Final = 0.01
"""No disk is this fast: what is said to be synced is in a memory that a power cut empties."""

FREE_BYTES_LOW: Final = 1_073_741_824
CLOCK_MS_MIN: Final = 1_735_689_600_000
"""The beginning of 2025, before which this program was not there."""

CLOCK_MOVED_MS_MAX: Final = 20.0
CLOCK_BEHIND_MS_MAX: Final = 5_000
SECRET_BYTES_MIN: Final = 32
CERTIFICATE_DAYS_MIN: Final = 14

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
OF_A_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "afs"})

Level = Literal["ok", "warn", "bad"]


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor's: `mend` is empty where all is well."""

    name: str
    level: Level
    what: str
    mend: str = ""


def on_port(fact: Port, server: int | None) -> Finding:
    where = f"[{fact.host}]:{fact.port}" if ":" in fact.host else f"{fact.host}:{fact.port}"
    running = "" if server is None else f" (the store is process {server}'s)"
    match fact.state:
        case "free" if fact.port == 0:
            return Finding("port", "ok", "any that is free")
        case "free":
            return Finding("port", "ok", f"{where} is free{running}")
        case "ours":
            return Finding("port", "ok", f"a Folkmoot server answers on {where}{running}")
        case "taken" if server is not None:
            return Finding(
                "port", "warn", f"{where} is taken, and does not answer as Folkmoot{running}",
                "if that process is only starting, all is well; else choose another port",
            )  # fmt: skip
        case "taken":
            return Finding(
                "port", "bad", f"another program listens on {where}", "stop it, or choose another port (--port)"
            )
        case "denied":
            return Finding(
                "port", "bad", f"this user may not listen on {where}",
                "choose a port from 1024 on and put a proxy in front, or give the service CAP_NET_BIND_SERVICE",
            )  # fmt: skip
        case "unknown address":
            return Finding(
                "port", "bad", f"{fact.host} is no address of this machine", "set host to one that is, or to 0.0.0.0"
            )


def on_open_files(fact: OpenFiles, connections_max: int) -> Finding:
    needed = connections_max + FILES_BESIDE
    whose = "of a server started from here" if fact.pid is None else f"of the running server (process {fact.pid})"
    if fact.hard >= needed:
        return Finding("open files", "ok", f"{fact.hard} {whose}, {needed} needed")
    return Finding(
        "open files", "bad", f"{fact.hard} {whose}, {needed} needed for {connections_max} connections",
        f"raise the hard limit (LimitNOFILE={needed} in systemd, ulimit -Hn {needed}), or lower connections_max to"
        f" {max(1, fact.hard - FILES_BESIDE)}",
    )  # fmt: skip


def on_disk(disk: Disk, settings: Settings) -> Iterator[Finding]:
    spare = settings.sqlite_wal_bytes_max + settings.sqlite_reserve_bytes
    what = f"{_amount(disk.free_bytes)} free, the store has {_amount(disk.store_bytes)}"
    if disk.free_bytes < spare:
        mend = f"make room: the log alone may take {_amount(settings.sqlite_wal_bytes_max)} before it is begun anew"
        yield Finding("space", "bad", what, mend)
    elif disk.free_bytes < max(FREE_BYTES_LOW, disk.store_bytes):
        yield Finding(
            "space", "warn", what, "make room for the store to grow, and for a backup of it before it is moved"
        )
    else:
        yield Finding("space", "ok", what)
    kind = disk.file_system
    if kind in IN_MEMORY:
        mend = "put data_dir on a disk: whatever is acknowledged is gone with the power"
        yield Finding("file system", "bad", f"{kind} is memory", mend)
    elif kind in OF_A_NETWORK:
        mend = "put data_dir on a disk of this machine: SQLite's log does not work over a network"
        yield Finding("file system", "bad", f"{kind} is on a network", mend)
    else:
        yield Finding("file system", "ok", kind or "not known")


def on_sync(times: SyncTimes, data_dir: str) -> Finding:
    if not times.count:
        mend = f"make {data_dir} writable for the server's user"
        return Finding("disk sync", "bad", f"nothing can be written in {data_dir}: {times.error}", mend)
    what = f"fdatasync p50 {times.ms_p50:.2f} ms, p99 {times.ms_p99:.2f} ms, {times.count} of 4 KiB"
    if times.ms_p50 < SYNC_MS_P50_UNLIKELY:
        mend = "a disk that keeps what it is told takes longer: look for a cache without a battery, or a disk in memory"
        return Finding("disk sync", "warn", what, mend)
    if times.ms_p50 >= SYNC_MS_P50_BAD:
        return Finding(
            "disk sync", "bad", what, "every answer waits for one: use a faster disk, or move what else uses it"
        )
    if times.ms_p50 >= SYNC_MS_P50_SLOW or times.ms_p99 >= SYNC_MS_P99_SLOW:
        return Finding("disk sync", "warn", what, "every answer waits for one: sends will be slow while it is")
    return Finding("disk sync", "ok", what)


def on_clock(clock: Clocks, store: StoreFacts) -> Finding:
    """Tokens end by it, a restore takes its epoch from it, and people read it beside each message."""
    mend = "set it, and keep it by a time service (chrony, systemd-timesyncd)"
    if clock.wall_ms < CLOCK_MS_MIN:
        return Finding("clock", "bad", "it is before 2025", mend)
    if clock.wall_ms < store.last_entry_ms - CLOCK_BEHIND_MS_MAX:
        behind_s = (store.last_entry_ms - clock.wall_ms) // 1_000
        return Finding("clock", "bad", f"it is {behind_s} s before the store's last entry", mend)
    if abs(clock.moved_ms) > CLOCK_MOVED_MS_MAX:
        return Finding("clock", "warn", f"it was moved by {clock.moved_ms:.0f} ms while it was looked at", mend)
    if clock.synchronised is False:
        return Finding("clock", "warn", "the kernel knows of no time service that keeps it right", mend)
    kept = "not known whether a time service keeps it" if clock.synchronised is None else "kept by a time service"
    return Finding("clock", "ok", f"it goes as it should; {kept}")


def on_versions(fact: Versions) -> Iterator[Finding]:
    if _numbers(fact.python) < PYTHON_MIN:
        yield Finding("python", "bad", fact.python, f"use {'.'.join(map(str, PYTHON_MIN))} or newer")
    else:
        yield Finding("python", "ok", f"{fact.python}, SQLite {fact.sqlite}")
    missing = sorted(name for name in fact.wanted if not fact.installed.get(name))
    old = sorted(
        n for n, least in fact.wanted.items() if n not in missing and _numbers(fact.installed[n]) < _numbers(least)
    )
    others = sorted(
        f"{name} {version} (tried: {fact.tried[name]})"
        for name, version in fact.installed.items()
        if version and fact.tried.get(name, version) != version
    )
    if missing or old:
        wrong = [*(f"{name} is missing" for name in missing)]
        wrong += [f"{name} {fact.installed[name]} is older than {fact.wanted[name]}" for name in old]
        yield Finding("libraries", "bad", "; ".join(wrong), "pip install --upgrade 'folkmoot[server]'")
    elif others:
        mend = "they may well do: pip install -c constraints/all.txt '.[server]' has those that were tried"
        yield Finding("libraries", "warn", ", ".join(others), mend)
    else:
        yield Finding("libraries", "ok", f"{len(fact.installed)} as asked for")
    if fact.native:
        how = "one call of the kernel for many members" if fact.together else "no io_uring here, so one call a member"
        yield Finding("write loop", "ok", f"in C, {how}")
    else:
        mend = (
            "install a C compiler and Python's headers (on Debian: apt-get install gcc libc6-dev python3-dev), then"
            " pip install --force-reinstall --no-deps folkmoot, with the version that runs"
        )
        yield Finding("write loop", "warn", "in Python, since C could not be built: each delivery costs more", mend)


def on_store(fact: StoreFacts, settings: Settings) -> Finding:
    if not fact.exists:
        return Finding("store", "ok", "there is none yet: the first start makes it")
    if fact.problem:
        mend = "folkmoot doctor --deep says more; restore a backup, or what can be read (restore --salvage)"
        return Finding("store", "bad", f"it cannot be read: {fact.problem}", mend)
    what = f"schema {fact.schema}, epoch {fact.epoch}"
    if fact.schema > fact.schema_known:
        return Finding("store", "bad", f"{what}: this program knows {fact.schema_known}", "use a newer program")
    if fact.schema < fact.schema_known:
        mend = "back it up first: an older program cannot use it afterwards"
        return Finding("store", "warn", f"{what}: the next start makes it {fact.schema_known}", mend)
    if fact.log_bytes > 2 * settings.sqlite_wal_bytes_max:
        mend = "something reads it for a long time (a backup, --deep), or the disk is full: it shrinks by itself then"
        return Finding("store", "warn", f"{what}, its log has {_amount(fact.log_bytes)}", mend)
    return Finding("store", "ok", what)


def on_secret(secret: FileMode) -> Finding:
    if secret.mode is None:
        return Finding("secret", "ok", "there is none yet: the first start makes it")
    if secret.mode & 0o077:
        mend = f"chmod 600 {secret.name}; whoever read it can be anyone: change it (folkmoot secret rotate)"
        return Finding("secret", "bad", f"{secret.name} has mode {secret.mode:03o}: others can read it", mend)
    if not secret.ours:
        return Finding("secret", "warn", f"{secret.name} is another user's", "run the server and this as the same user")
    if secret.size_bytes < SECRET_BYTES_MIN:
        mend = "remove it to have a new one made: all tokens end"
        return Finding("secret", "bad", f"{secret.name} is shorter than {SECRET_BYTES_MIN} bytes", mend)
    return Finding("secret", "ok", f"mode {secret.mode:03o}")


def on_key_file(setting: str, path: str, fact: FileMode) -> Finding:
    if fact.mode is None:
        return Finding("keys", "bad", f"{setting} is {path}, which is not there", "put the keys there, or unset it")
    if fact.mode & 0o022:
        mend = f"chmod go-w {path}: whoever can write it can be anyone"
        return Finding("keys", "bad", f"{path} can be written by others", mend)
    return Finding("keys", "ok", f"{setting} is there")


def on_certificate(fact: CertificateFacts, now_ms: int) -> Finding:
    if fact.problem:
        return Finding("certificate", "bad", fact.problem, "put a certificate and its key there, each in PEM")
    days = (fact.ends_ms - now_ms) // 86_400_000
    if days < 0:
        return Finding(
            "certificate", "bad", "its time is over: clients do not connect", "renew it: files are read anew"
        )
    if days < CERTIFICATE_DAYS_MIN:
        mend = "renew it: the files are read anew while the server runs"
        return Finding("certificate", "warn", f"it ends in {days} days", mend)
    return Finding("certificate", "ok", f"good for {days} days")


def on_data_dir(folder: FileMode) -> Finding:
    if folder.mode is None:
        return Finding("data folder", "ok", "it is not there yet: the first start makes it")
    if folder.mode & 0o007:
        mend = f"chmod 700 {folder.name}: every message is in it"
        return Finding(
            "data folder", "warn", f"{folder.name} has mode {folder.mode:03o}: every user can look into it", mend
        )
    return Finding("data folder", "ok", f"mode {folder.mode:03o}")


def on_settings(settings: Settings) -> list[Finding]:
    """What is allowed each for itself and makes no sense together."""
    found = [Finding("settings", "warn", what, mend) for what, mend in _contradictions(settings)]
    return found or [Finding("settings", "ok", "nothing in them contradicts")]


def _contradictions(s: Settings) -> Iterator[tuple[str, str]]:
    if s.sends_per_s > s.events_per_s or s.sends_burst > s.events_burst:
        yield "a connection may send more than it may say at all", "let events_per_s and events_burst be the larger"
    if s.announce_interval_s > s.sweep_interval_s:
        yield "announcements are rarer than the sweep that relies on them", "lower announce_interval_s"
    if s.heads_interval_s > s.announce_interval_s:
        yield "heads are repeated more rarely than everything is announced", "lower heads_interval_s"
    if s.drain_seconds_max < s.ask_again_s:
        yield "a stopping server waits less long than one ask takes", "let drain_seconds_max be above ask_again_s"
    if s.sqlite_reserve_bytes == 0:
        yield "no room is set aside: on a full disk even refusals cannot be stored", "set sqlite_reserve_bytes"
    if s.metrics_open and not _is_loopback(s.host):
        yield "/metrics is open, and host is reached from other machines", "unset metrics_open, or keep strangers out"
    if not s.tls_cert_file and not _is_loopback(s.host):
        mend = "give a certificate (--tls-cert), or listen on 127.0.0.1 behind a proxy that has one"
        yield "host is reached from other machines, and tokens and messages go in the clear", mend
    if (s.token_issuer or s.token_audience) and not _foreign_keys(s):
        yield "token_issuer and token_audience are asked of foreign tokens only, and no foreign key is set", "set a key"


def _foreign_keys(s: Settings) -> bool:
    return bool(s.token_public_key_file or s.token_jwks_file or s.token_jwks_url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _numbers(version: str) -> tuple[int, ...]:
    parts = []
    for part in version.split("."):
        digits = "".join(c for c in part if c.isdigit())
        if not digits or digits != part:
            break
        parts.append(int(digits))
    return tuple(parts)


def _amount(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1_024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_024
    return f"{size:.1f} TiB"
