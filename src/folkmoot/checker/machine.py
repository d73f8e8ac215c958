"""What a server finds on its machine, looked up: port, files, disk, clock, versions, and its data folder."""

import ctypes
import errno
import http.client
import os
import platform
import resource
import socket
import ssl
import struct
import time
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import apsw
import msgspec
from cryptography import x509

from folkmoot.backends.sqlite.database import APPLICATION_ID, SCRIPTS
from folkmoot.gateway.lane import IS_NATIVE, write_together
from folkmoot.gateway.tls import Certificate, CertificateUnusable

PROBES_MAX: Final = 200
PROBE_SECONDS_MAX: Final = 2.0
PROBE_BYTES: Final = 4_096
PROBE_FILE: Final = "doctor.probe"
LAST_GROUPS_MAX: Final = 64
ANSWER_SECONDS_MAX: Final = 2.0
DATABASE_FILE: Final = "folkmoot.db"
SECRET_FILE: Final = "secret.key"

STA_UNSYNC: Final = 0x40
"""Of adjtimex(2): the kernel was not told lately that something keeps the clock right."""


class Port(msgspec.Struct, frozen=True):
    """Whether an address can be listened on, and who does."""

    host: str
    port: int
    state: Literal["free", "ours", "taken", "denied", "unknown address"]


class OpenFiles(msgspec.Struct, frozen=True):
    """The hard limit of open files; of the running server with this pid, or of this process where `pid` is None."""

    hard: int
    pid: int | None


class SyncTimes(msgspec.Struct, frozen=True):
    """Times of fdatasync after a write of 4 KiB, in ms; `count` 0 where it could not be tried, and `error` says why."""

    ms_p50: float
    ms_p99: float
    count: int
    error: str = ""


class Disk(msgspec.Struct, frozen=True):
    """Where the data folder is, or will be: room for one who is not root, the store's own size, the file system."""

    free_bytes: int
    store_bytes: int
    file_system: str


class Clocks(msgspec.Struct, frozen=True):
    """The wall clock, by how much it moved against the monotonic one while being looked at, and whether it is kept."""

    wall_ms: int
    moved_ms: float
    synchronised: bool | None


class Versions(msgspec.Struct, frozen=True):
    """What runs, and what this distribution asks for: `wanted` by name the least version, `tried` the exact ones."""

    python: str
    sqlite: str
    installed: dict[str, str]
    wanted: dict[str, str]
    tried: dict[str, str]
    native: bool = True
    """Whether what is written in C was built."""
    together: bool = True
    """Whether the system lets it write to many by one call."""


class StoreFacts(msgspec.Struct, frozen=True):
    """What the store's file says of itself, read beside whoever uses it; `problem` where it cannot be read."""

    exists: bool
    schema: int = 0
    schema_known: int = len(SCRIPTS)
    epoch: int = 0
    last_entry_ms: int = 0
    log_bytes: int = 0
    problem: str = ""


class FileMode(msgspec.Struct, frozen=True):
    """Who may read a file or folder; `mode` None where it is not there."""

    name: str
    mode: int | None
    size_bytes: int = 0
    ours: bool = True


class CertificateFacts(msgspec.Struct, frozen=True):
    """When the time of the certificate is over (wall clock); `problem` where the server could not serve with it."""

    ends_ms: int
    problem: str = ""


def port_of(host: str, port: int, *, tls: bool = False) -> Port:
    """Try to listen, for an instant; where that cannot be, ask who does: over TLS first where the server would."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            return Port(host, port, "denied")
        except socket.gaierror:
            return Port(host, port, "unknown address")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return Port(host, port, "unknown address")
        else:
            return Port(host, port, "free")
    return Port(host, port, "ours" if any(_is_ours(host, port, tls=way) for way in (tls, not tls)) else "taken")


def server_pid(data_dir: Path) -> int | None:
    """The process that has the store, by the kernel's list of locks; None where none has, or the list does not say."""
    try:
        status = (data_dir / f"{DATABASE_FILE}.lock").stat()
    except OSError:
        return None
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in _text(Path("/proc/locks")).splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == place and words[4].isdecimal():
            return int(words[4])
    return None


def open_files(pid: int | None) -> OpenFiles:
    """The limit of the server `pid`, or of this process, which one started from here would have."""
    for line in _text(Path(f"/proc/{pid}/limits")).splitlines() if pid else ():
        if line.startswith("Max open files"):
            hard = line.split()[4]
            return OpenFiles(2**31 if hard == "unlimited" else int(hard), pid)
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return OpenFiles(2**31 if hard_limit == resource.RLIM_INFINITY else hard_limit, None)


def sync_times(data_dir: Path) -> SyncTimes:
    """Write and sync, again and again for a moment, in a file that is removed afterwards."""
    path, times_ms = data_dir / PROBE_FILE, list[float]()
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        return SyncTimes(0, 0, 0, os.strerror(error.errno or 0))
    try:
        # Into room that the file has already, as the store's log is written.
        os.pwrite(file, b"\0" * PROBE_BYTES * PROBES_MAX, 0)
        os.fsync(file)
        end_s = time.monotonic() + PROBE_SECONDS_MAX
        for number in range(PROBES_MAX):
            os.pwrite(file, os.urandom(PROBE_BYTES), number * PROBE_BYTES)
            began_s = time.perf_counter()
            os.fdatasync(file)
            times_ms.append((time.perf_counter() - began_s) * 1_000)
            if time.monotonic() > end_s:
                break
    except OSError as error:
        return SyncTimes(0, 0, 0, os.strerror(error.errno or 0))
    finally:
        os.close(file)
        path.unlink(missing_ok=True)
    times_ms.sort()
    return SyncTimes(times_ms[len(times_ms) // 2], times_ms[int(len(times_ms) * 0.99)], len(times_ms))


def disk_of(data_dir: Path) -> Disk:
    """Of the folder, or of the nearest one above it that is there."""
    there = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    room = os.statvfs(there)
    sizes = [path.stat().st_size for path in data_dir.glob(f"{DATABASE_FILE}*") if path.is_file()]
    return Disk(room.f_bavail * room.f_frsize, sum(sizes), _file_system(there))


def clocks(interval_s: float = 0.2) -> Clocks:
    """Look at both clocks twice, so far apart."""
    wall_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
    time.sleep(interval_s)
    moved_ns = (time.time_ns() - wall_ns) - (time.monotonic_ns() - monotonic_ns)
    return Clocks(time.time_ns() // 1_000_000, moved_ns / 1_000_000, _synchronised())


def versions() -> Versions:
    """Of Python, SQLite, and each library that this distribution names."""
    wanted: dict[str, str] = {}
    for text in metadata.requires("folkmoot") or ():
        requirement, _, marker = text.partition(";")
        name, _, least = requirement.partition(">=")
        if least and ("extra" not in marker or '"server"' in marker.replace("'", '"')):
            wanted[name.strip()] = least.strip()
    installed: dict[str, str] = {}
    for name in wanted:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = ""
    return Versions(
        platform.python_version(),
        apsw.sqlite_lib_version(),
        installed,
        wanted,
        _tried(),
        IS_NATIVE,
        _may_write_together(),
    )


def _may_write_together() -> bool:
    allowed = write_together(True)
    write_together(False)
    return allowed


def store_of(data_dir: Path) -> StoreFacts:
    """What the store says of itself. Nothing is written."""
    path = data_dir / DATABASE_FILE
    if not path.exists() or path.stat().st_size == 0:
        return StoreFacts(False)
    try:
        database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            database.set_busy_timeout(2_000)
            if database.execute("PRAGMA application_id").get != APPLICATION_ID:
                return StoreFacts(True, problem="it is another program's database")
            schema = int(database.execute("PRAGMA user_version").get)
            epoch = int(database.execute("SELECT value FROM meta WHERE name = 'epoch'").get)
            last = _last_entry_ms(database)
        finally:
            database.close(True)
    except (apsw.Error, TypeError, ValueError) as error:
        return StoreFacts(True, problem=str(error))
    log = path.with_name(path.name + "-wal")
    return StoreFacts(True, schema, len(SCRIPTS), epoch, last, log.stat().st_size if log.exists() else 0)


def mode_of(path: Path) -> FileMode:
    """Who may read it, and whether it is this user's."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return FileMode(path.name, None)
    return FileMode(path.name, status.st_mode & 0o777, status.st_size, status.st_uid == os.geteuid())


def certificate_of(cert_file: Path, key_file: Path) -> CertificateFacts:
    """Whether a server could serve with it, and until when."""
    try:
        Certificate(cert_file, key_file)
        first = x509.load_pem_x509_certificates(cert_file.read_bytes())[0]
    except (CertificateUnusable, ValueError, OSError) as error:
        return CertificateFacts(0, str(error))
    return CertificateFacts(int(first.not_valid_after_utc.timestamp() * 1_000))


def _last_entry_ms(database: apsw.Connection) -> int:
    """The time of the newest entry among the groups that were written to last; 0 where none is known."""
    noted = database.execute("SELECT value FROM meta WHERE name = 'last_groups'").get
    last = 0
    for number in str(noted or "").split()[:LAST_GROUPS_MAX]:
        time_ms = database.execute(
            "SELECT e.time_ms FROM groups g JOIN entries e ON e.group_no = g.no AND e.seq = g.seq WHERE g.no = ?",
            (int(number),),
        ).get
        last = max(last, time_ms or 0)
    return last


def _is_ours(host: str, port: int, *, tls: bool) -> bool:
    connection: http.client.HTTPConnection
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if tls:
        # Whether it is a Folkmoot server is asked, not whose: nothing secret is said.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(reached, port, timeout=ANSWER_SECONDS_MAX, context=context)
    else:
        connection = http.client.HTTPConnection(reached, port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return bool(msgspec.json.decode(answer.read(4_096)) == {"status": "alive"})
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return False
    finally:
        connection.close()


def _file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, "" where the system does not say."""
    device = folder.stat().st_dev
    place = f"{os.major(device)}:{os.minor(device)}"
    for line in _text(Path("/proc/self/mountinfo")).splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2:3] == [place]:
            return after.split()[0]
    return ""


def _synchronised() -> bool | None:
    """What the kernel knows of it: whether a time service has set the clock lately; None where it cannot be asked."""
    # struct timex, only read: `modes` 0 changes nothing. status stands behind modes, offset, freq, maxerror, esterror.
    buffer = ctypes.create_string_buffer(1_024)
    try:
        if ctypes.CDLL(None).adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    status = struct.unpack_from("@i4qi", buffer.raw)[-1]
    return not status & STA_UNSYNC


def _tried() -> dict[str, str]:
    """The exact versions that the checks ran with: known where this is run from its sources."""
    lines = _text(Path(__file__).parents[3] / "constraints" / "all.txt").splitlines()
    return {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines)}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
