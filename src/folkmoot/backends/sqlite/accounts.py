"""Accounts in the store's file: read by its readers, and written by its one writer in the transactions of the rest."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import apsw
import msgspec

from folkmoot.backends.sqlite.file import Change
from folkmoot.model.ids import DeviceId, UserId
from folkmoot.ports.accounts import ApiKey, Profile, Standing

T = TypeVar("T")

STANDINGS_PER_READ_MAX: Final = 500
"""The rest go into the next read: no answer waits for a long one."""

_PUT_PROFILE: Final = (
    "INSERT INTO profiles (user, name, picture, data, changed_ms) VALUES (?, ?, ?, ?, ?) ON CONFLICT (user) DO UPDATE"
    " SET name = excluded.name, picture = excluded.picture, data = excluded.data, changed_ms = excluded.changed_ms"
    " WHERE excluded.changed_ms >= changed_ms"
)
_PUT_STANDING: Final = (
    "INSERT OR REPLACE INTO standings (user, active, active_changed_ms, out_before_ms, devices_out)"
    " VALUES (?, ?, ?, ?, ?)"
)
_PUT_KEY: Final = (
    "INSERT OR IGNORE INTO api_keys (id, name, secret_hash, scopes, requests_per_s, created_ms, revoked_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_KEY: Final = "SELECT id, name, secret_hash, scopes, requests_per_s, created_ms, revoked_ms FROM api_keys"
_USERS: Final = (
    "SELECT user FROM profiles WHERE user > ?1 UNION SELECT user FROM standings WHERE user > ?1 ORDER BY user LIMIT ?2"
)

_devices = msgspec.json.Decoder(dict[str, int])


class Read(Protocol):
    """The store's readers: what a function of a connection returns."""

    def __call__(self, read: Callable[[apsw.Connection], T], /) -> Awaitable[T]: ...


class SqliteAccounts:
    """`ports.accounts.Accounts` beside the groups of a `SqliteStore`, which makes it and closes with it."""

    def __init__(self, read: Read, write: Callable[[Change], Awaitable[Any]]) -> None:
        self._read = read
        self._write = write
        self._asked: list[tuple[UserId, asyncio.Future[Standing]]] = []
        self._answering: asyncio.Task[None] | None = None

    async def profiles(self, users: Sequence[UserId]) -> dict[UserId, Profile]:
        sql = (
            "SELECT user, name, picture, data, changed_ms FROM profiles WHERE user IN (SELECT value FROM json_each(?))"
        )

        def read(database: apsw.Connection) -> dict[UserId, Profile]:
            rows = database.execute(sql, (msgspec.json.encode(list(users)).decode(),))
            return {
                user: Profile(user=user, name=name, picture=picture, data=data, changed_ms=changed_ms)
                for user, name, picture, data, changed_ms in rows
            }

        return await self._read(read)

    async def put_profile(self, profile: Profile) -> None:
        row = (profile.user, profile.name, profile.picture, profile.data, profile.changed_ms)
        await self._write(Change(lambda database: _run(database, _PUT_PROFILE, row)))

    async def standing(self, user: UserId) -> Standing:
        answer: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()
        self._asked.append((user, answer))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer())
        return await answer

    async def set_active(self, user: UserId, active: bool, *, at_ms: int) -> None:
        await self._move(user, lambda standing: standing.switched(active, at_ms))

    async def sign_out(self, user: UserId, device: DeviceId, *, at_ms: int) -> None:
        await self._move(user, lambda standing: standing.signed_out(device, at_ms))

    async def users(self, *, after: UserId, rows_max: int) -> list[UserId]:
        return await self._read(
            lambda database: [user for (user,) in database.execute(_USERS, (after, max(0, rows_max)))]
        )

    async def put_key(self, key: ApiKey) -> None:
        scopes = ",".join(key.scopes)
        row = (key.id, key.name, key.secret_hash, scopes, key.requests_per_s, key.created_ms, key.revoked_ms)
        await self._write(Change(lambda database: _run(database, _PUT_KEY, row)))

    async def key(self, key_id: str) -> ApiKey | None:
        def read(database: apsw.Connection) -> ApiKey | None:
            row = database.execute(f"{_KEY} WHERE id = ?", (key_id,)).fetchone()
            return None if row is None else _key_of(row)

        return await self._read(read)

    async def keys(self, *, after: str, rows_max: int) -> list[ApiKey]:
        sql = f"{_KEY} WHERE id > ? ORDER BY id LIMIT ?"
        return await self._read(
            lambda database: [_key_of(row) for row in database.execute(sql, (after, max(0, rows_max)))]
        )

    async def revoke_key(self, key_id: str, *, at_ms: int) -> None:
        sql = "UPDATE api_keys SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL"
        # Shutting someone out has to work on a full disk too.
        await self._write(Change(lambda database: _run(database, sql, (at_ms, key_id)), reserve=True))

    async def _answer(self) -> None:
        """Read the standings that were asked for together: a crowd that connects again asks for one each."""
        while self._asked:
            asked, self._asked = self._asked[:STANDINGS_PER_READ_MAX], self._asked[STANDINGS_PER_READ_MAX:]
            users = [user for user, _ in asked]
            try:
                found = await self._read(functools.partial(_standings, users))
            except Exception as error:
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), standing in zip(asked, found, strict=True):
                    if not answer.done():
                        answer.set_result(standing)
        self._answering = None

    async def _move(self, user: UserId, rule: Callable[[Standing], Standing]) -> None:
        """Read, decide and write in the writer's transaction: nothing comes between."""

        def run(database: apsw.Connection) -> None:
            standing = rule(_standing(database, user))
            devices = msgspec.json.encode(standing.devices_out).decode()
            row = (user, int(standing.active), standing.active_changed_ms, standing.out_before_ms, devices)
            _run(database, _PUT_STANDING, row)

        await self._write(Change(run, reserve=True))


def _standings(users: Sequence[UserId], database: apsw.Connection) -> list[Standing]:
    return [_standing(database, user) for user in users]


def _standing(database: apsw.Connection, user: UserId) -> Standing:
    row = database.execute(
        "SELECT active, active_changed_ms, out_before_ms, devices_out FROM standings WHERE user = ?", (user,)
    ).fetchone()
    if row is None:
        return Standing(user=user)
    active, active_changed_ms, out_before_ms, devices = row
    return Standing(
        user=user,
        active=bool(active),
        active_changed_ms=active_changed_ms,
        out_before_ms=out_before_ms,
        devices_out=_devices.decode(devices),
    )


def _key_of(row: Any) -> ApiKey:
    key_id, name, secret_hash, scopes, requests_per_s, created_ms, revoked_ms = row
    return ApiKey(
        id=key_id,
        name=name,
        secret_hash=secret_hash,
        scopes=tuple(scopes.split(",")) if scopes else (),
        requests_per_s=requests_per_s,
        created_ms=created_ms,
        revoked_ms=revoked_ms,
    )


def _run(database: apsw.Connection, sql: str, row: tuple[Any, ...]) -> None:
    database.execute(sql, row)
