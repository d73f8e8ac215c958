"""One file, several processes: the one that routes writes, the others read it and send it their few writes by the bus.

Appends are the router's alone. What others write are read pointers and accounts: each safe to repeat, so that a request
whose answer was lost is simply made again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from folkmoot.backends.sqlite.accounts import SqliteAccounts
from folkmoot.backends.sqlite.file import StoreFile, Work
from folkmoot.backends.sqlite.reader import Readers
from folkmoot.backends.sqlite.reserve import Reserve
from folkmoot.backends.sqlite.store import SqliteStore
from folkmoot.model.ids import DeviceId, UserId
from folkmoot.ports import subjects
from folkmoot.ports.accounts import ApiKey, Profile
from folkmoot.ports.bus import Bus, BusClosed, NoAnswer, Reply, Subscription
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import MovedPointer, StoreAway, StoreFull, StoreUnknown
from folkmoot.ports.subjects import (
    MovePointers,
    PutKey,
    PutProfile,
    RevokeKey,
    SetActive,
    SharedWrite,
    SignOut,
    Written,
)
from folkmoot.ports.transfer import StoreSealed

_log = logging.getLogger(__name__)

WRITE_TIMEOUT_S: Final = 5.0
POINTERS_PER_WRITE_MAX: Final = 1_000
WRITES_AT_ONCE_MAX: Final = 1_000
"""Of other processes, under way in the writer. One more gets no answer, and is made again."""

_ERRORS: Final[dict[str, type[Exception]]] = {"full": StoreFull, "away": StoreAway, "unknown": StoreUnknown}


async def open_shared(path: Path, bus: Bus, *, clock: Clock, readers: int = 2) -> SqliteStore:
    """The store in `path`, which another process writes. Raises OSError where it has not made it yet, StoreSealed."""
    if not await asyncio.to_thread(path.exists):
        raise OSError(f"{path} is not there: the process that routes makes it, start that first")
    file = StoreFile(path, Reserve(path.with_name("reserve"), 0), clock, wal_bytes_max=0)
    writer = _RemoteWriter(bus)
    pool = Readers(file.connect_reader, lambda: 0, threads=readers)
    store = SqliteStore(file, writer, pool, None)
    store.accounts = _SharedAccounts(pool.run, writer.ask)
    file.epoch = await pool.run(
        lambda database: int((database.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone() or (0,))[0])
    )
    try:
        (await store.transfer.custody()).check_served()
    except StoreSealed:
        await store.close()
        raise
    return store


class WritesOfOthers:
    """What other processes ask the one that writes: taken from the bus, carried out, answered."""

    def __init__(self, bus: Bus, store: SqliteStore) -> None:
        self._bus = bus
        self._store = store
        self._subscription: Subscription | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._subscription = self._bus.subscribe(subjects.WRITES, self._on_write)

    async def stop(self) -> None:
        if self._subscription is not None:
            self._subscription.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_write(self, message: bytes, reply: Reply | None) -> None:
        if reply is None or len(self._tasks) >= WRITES_AT_ONCE_MAX:
            return
        task = asyncio.create_task(self._carry_out(_WRITE.decode(message), reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, write: SharedWrite, reply: Reply) -> None:
        error = detail = ""
        try:
            await self._do(write)
        except tuple(_ERRORS.values()) as failed:
            error = next(name for name, kind in _ERRORS.items() if isinstance(failed, kind))
            detail = str(failed)
        except Exception:
            # Nobody is answered what nobody knows: it is asked again.
            _log.exception("a write of another process failed")
            return
        reply(_ENCODER.encode(Written(error, detail)))

    async def _do(self, write: SharedWrite) -> None:
        accounts = self._store.accounts
        match write:
            case MovePointers(pointers=pointers):
                await self._store.move_pointers(pointers)
            case PutProfile(profile=profile):
                await accounts.put_profile(profile)
            case SetActive(user=user, active=active, at_ms=at_ms):
                await accounts.set_active(user, active, at_ms=at_ms)
            case SignOut(user=user, device=device, at_ms=at_ms):
                await accounts.sign_out(user, device, at_ms=at_ms)
            case PutKey(key=key):
                await accounts.put_key(key)
            case RevokeKey(key=key_id, at_ms=at_ms):
                await accounts.revoke_key(key_id, at_ms=at_ms)


class _RemoteWriter:
    """Stands where the writer's thread does in a process that does not write."""

    away = False
    waiting = 0
    unknown = 0
    generation = 0

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def write(self, work: Work) -> Any:
        if not isinstance(work, list):
            raise StoreAway("only the process that routes appends")
        pointers: list[MovedPointer] = work
        for start in range(0, max(1, len(pointers)), POINTERS_PER_WRITE_MAX):
            await self.ask(MovePointers(pointers[start : start + POINTERS_PER_WRITE_MAX]))

    async def ask(self, write: SharedWrite) -> None:
        try:
            raw = await self._bus.request(subjects.WRITES, _ENCODER.encode(write), timeout_s=WRITE_TIMEOUT_S)
        except (NoAnswer, BusClosed) as error:
            raise StoreUnknown("the process that writes did not answer") from error
        written = _WRITTEN.decode(raw)
        if written.error:
            raise _ERRORS.get(written.error, StoreUnknown)(written.detail)

    async def close(self) -> None:
        """There is nothing of one's own to close."""


class _SharedAccounts(SqliteAccounts):
    """Accounts read from the file, and written by the process that writes it."""

    def __init__(self, read: Any, ask: Callable[[SharedWrite], Awaitable[None]]) -> None:
        super().__init__(read, _never)
        self._ask = ask

    async def put_profile(self, profile: Profile) -> None:
        await self._ask(PutProfile(profile))

    async def set_active(self, user: UserId, active: bool, *, at_ms: int) -> None:
        await self._ask(SetActive(user, active, at_ms))

    async def sign_out(self, user: UserId, device: DeviceId, *, at_ms: int) -> None:
        await self._ask(SignOut(user, device, at_ms))

    async def put_key(self, key: ApiKey) -> None:
        await self._ask(PutKey(key))

    async def revoke_key(self, key_id: str, *, at_ms: int) -> None:
        await self._ask(RevokeKey(key_id, at_ms))


async def _never(_: object) -> None:
    raise StoreAway("only the process that routes writes the file")


_WRITE = msgspec.msgpack.Decoder(SharedWrite)
_WRITTEN = msgspec.msgpack.Decoder(Written)
_ENCODER = msgspec.msgpack.Encoder()
