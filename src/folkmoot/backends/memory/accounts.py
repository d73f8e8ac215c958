"""Accounts in memory: every promise of the port in the plainest way, rebuilt from a disk that outlives them."""

from collections.abc import Sequence

import msgspec

from folkmoot.backends.memory.disk import Disk
from folkmoot.model.ids import DeviceId, UserId
from folkmoot.ports.accounts import ApiKey, Profile, Standing
from folkmoot.ports.store import StoreAway, StoreFull


class MemoryAccounts:
    """Profiles, standings and keys by id, on the disk of a memory store."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._profiles: dict[UserId, Profile] = {}
        self._standings: dict[UserId, Standing] = {}
        self._keys: dict[str, ApiKey] = {}
        self._closed = False
        for record in disk.accounts:
            self._apply(record)

    async def profiles(self, users: Sequence[UserId]) -> dict[UserId, Profile]:
        self._check()
        return {user: self._profiles[user] for user in users if user in self._profiles}

    async def put_profile(self, profile: Profile) -> None:
        self._check()
        before = self._profiles.get(profile.user)
        if before is None or profile.changed_ms >= before.changed_ms:
            self._write(profile)

    async def standing(self, user: UserId) -> Standing:
        self._check()
        return self._standings.get(user) or Standing(user=user)

    async def set_active(self, user: UserId, active: bool, *, at_ms: int) -> None:
        self._write((await self.standing(user)).switched(active, at_ms))

    async def sign_out(self, user: UserId, device: DeviceId, *, at_ms: int) -> None:
        self._write((await self.standing(user)).signed_out(device, at_ms))

    async def users(self, *, after: UserId, rows_max: int) -> list[UserId]:
        self._check()
        known = self._profiles.keys() | self._standings.keys()
        return sorted(user for user in known if user > after)[: max(0, rows_max)]

    async def put_key(self, key: ApiKey) -> None:
        self._check()
        if key.id not in self._keys:
            self._write(key)

    async def key(self, key_id: str) -> ApiKey | None:
        self._check()
        return self._keys.get(key_id)

    async def keys(self, *, after: str, rows_max: int) -> list[ApiKey]:
        self._check()
        return [self._keys[key_id] for key_id in sorted(self._keys) if key_id > after][: max(0, rows_max)]

    async def revoke_key(self, key_id: str, *, at_ms: int) -> None:
        key = await self.key(key_id)
        if key is not None and key.revoked_ms is None:
            self._write(msgspec.structs.replace(key, revoked_ms=at_ms))

    async def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed or self._disk.away:
            raise StoreAway

    def _write(self, record: Profile | Standing | ApiKey) -> None:
        if self._disk.full:
            raise StoreFull
        self._disk.accounts.append(record)
        self._apply(record)

    def _apply(self, record: Profile | Standing | ApiKey) -> None:
        match record:
            case Profile():
                self._profiles[record.user] = record
            case Standing():
                self._standings[record.user] = record
            case ApiKey():
                self._keys[record.id] = record
