"""Accounts beside the groups: each user and each key a row, changed on the condition that nobody else did."""

import asyncio
import heapq
import zlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from folkmoot.backends.cassandra.driver import Driver, Statement
from folkmoot.model.ids import DeviceId, UserId
from folkmoot.ports.accounts import ApiKey, Profile, Standing
from folkmoot.ports.store import StoreAway, StoreUnknown

SHARDS: Final = 16
"""Partitions over which the names of all users are dealt, for lists in their order."""

TRIES_MAX: Final = 30
"""Of a change that others keep overtaking. Then StoreAway: nothing was written, and the call is safe to repeat."""

_USER: Final = "SELECT version, profile, standing FROM users WHERE user = ?"
_NEW_USER: Final = "INSERT INTO users (user, version, profile, standing) VALUES (?, ?, ?, ?) IF NOT EXISTS"
_CHANGE_USER: Final = "UPDATE users SET version = ?, profile = ?, standing = ? WHERE user = ? IF version = ?"
_NAME_USER: Final = "INSERT INTO user_names (shard, user) VALUES (?, ?)"
_NAMES: Final = "SELECT user FROM user_names WHERE shard = ? AND user > ? LIMIT ?"
_NEW_KEY: Final = "INSERT INTO api_keys (shard, id, version, key) VALUES (0, ?, 1, ?) IF NOT EXISTS"
_KEY: Final = "SELECT version, key FROM api_keys WHERE shard = 0 AND id = ?"
_KEYS: Final = "SELECT key FROM api_keys WHERE shard = 0 AND id > ? LIMIT ?"
_CHANGE_KEY: Final = "UPDATE api_keys SET version = ?, key = ? WHERE shard = 0 AND id = ? IF version = ?"

_encode: Final = msgspec.msgpack.Encoder().encode
_profile: Final = msgspec.msgpack.Decoder(Profile)
_standing: Final = msgspec.msgpack.Decoder(Standing)
_key: Final = msgspec.msgpack.Decoder(ApiKey)


class _User(msgspec.Struct, frozen=True):
    version: int
    profile: Profile | None
    standing: Standing | None


class CassandraAccounts:
    """`ports.accounts.Accounts` in the keyspace of a `CassandraStore`, which makes it and closes with it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def profiles(self, users: Sequence[UserId]) -> dict[UserId, Profile]:
        self._driver.check()
        found = await asyncio.gather(*(self._user(user) for user in users))
        return {user: one.profile for user, one in zip(users, found, strict=True) if one.profile is not None}

    async def put_profile(self, profile: Profile) -> None:
        def put(user: _User) -> _User:
            if user.profile is not None and user.profile.changed_ms > profile.changed_ms:
                return user
            return msgspec.structs.replace(user, profile=profile)

        await self._change(profile.user, put)

    async def standing(self, user: UserId) -> Standing:
        return (await self._user(user)).standing or Standing(user=user)

    async def set_active(self, user: UserId, active: bool, *, at_ms: int) -> None:
        await self._move(user, lambda standing: standing.switched(active, at_ms))

    async def sign_out(self, user: UserId, device: DeviceId, *, at_ms: int) -> None:
        await self._move(user, lambda standing: standing.signed_out(device, at_ms))

    async def users(self, *, after: UserId, rows_max: int) -> list[UserId]:
        self._driver.check()
        if rows_max <= 0:
            return []
        shards = await asyncio.gather(*(self._driver.read(_NAMES, (n, after, rows_max)) for n in range(SHARDS)))
        return [row[0] for row in heapq.merge(*shards)][:rows_max]

    async def put_key(self, key: ApiKey) -> None:
        await self._driver.decide((_NEW_KEY, (key.id, _encode(key))))

    async def key(self, key_id: str) -> ApiKey | None:
        rows = await self._driver.read(_KEY, (key_id,))
        return _key.decode(rows[0][1]) if rows else None

    async def keys(self, *, after: str, rows_max: int) -> list[ApiKey]:
        self._driver.check()
        if rows_max <= 0:
            return []
        return [_key.decode(row[0]) for row in await self._driver.read(_KEYS, (after, rows_max))]

    async def revoke_key(self, key_id: str, *, at_ms: int) -> None:
        for _ in range(TRIES_MAX):
            rows = await self._driver.read(_KEY, (key_id,))
            if not rows:
                return
            version, key = rows[0][0], _key.decode(rows[0][1])
            if key.revoked_ms is not None:
                return
            revoked = msgspec.structs.replace(key, revoked_ms=at_ms)
            if (await self._driver.decide((_CHANGE_KEY, (version + 1, _encode(revoked), key_id, version))))[0]:
                return
        raise StoreAway(f"the key was changed by others {TRIES_MAX} times over")

    async def _move(self, user: UserId, rule: Callable[[Standing], Standing]) -> None:
        await self._change(
            user, lambda one: msgspec.structs.replace(one, standing=rule(one.standing or Standing(user=user)))
        )

    async def _user(self, user: UserId) -> _User:
        rows = await self._driver.read(_USER, (user,))
        if not rows:
            return _User(0, None, None)
        version, profile, standing = rows[0]
        return _User(
            version,
            None if profile is None else _profile.decode(profile),
            None if standing is None else _standing.decode(standing),
        )

    async def _change(self, user: UserId, rule: Callable[[_User], _User]) -> None:
        """Read, decide, and write if nobody else did; again if somebody did."""
        listed = False
        for _ in range(TRIES_MAX):
            before = await self._user(user)
            after = rule(before)
            if after == before and before.version:
                return
            if not before.version and not listed:
                # Before the row, so that a list never lacks a user of whom something is known.
                await self._name(user)
                listed = True
            profile = None if after.profile is None else _encode(after.profile)
            standing = None if after.standing is None else _encode(after.standing)
            if before.version:
                statement: Statement = (_CHANGE_USER, (before.version + 1, profile, standing, user, before.version))
            else:
                statement = (_NEW_USER, (user, 1, profile, standing))
            if (await self._driver.decide(statement))[0]:
                return
        raise StoreAway(f"the user was changed by others {TRIES_MAX} times over")

    async def _name(self, user: UserId) -> None:
        try:
            await self._driver.write(_NAME_USER, (zlib.crc32(user.encode()) % SHARDS, user))
        except StoreUnknown as error:
            raise StoreAway(str(error)) from error
