"""The accounts suite itself: accounts that break any one promise do not pass it."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.model.ids import DeviceId, UserId
from folkmoot.ports.accounts import Accounts, ApiKey, Profile, Standing
from folkmoot.testing.accounts_suite import CHECKS, Check, name_of


class AnswersBeforeItIsOnTheDisk(MemoryAccounts):
    def _write(self, record: Profile | Standing | ApiKey) -> None:
        super()._write(record)
        self._disk.accounts.pop()


class LosesRevocationsAtARestart(MemoryAccounts):
    async def revoke_key(self, key_id: str, *, at_ms: int) -> None:
        before = len(self._disk.accounts)
        await super().revoke_key(key_id, at_ms=at_ms)
        del self._disk.accounts[before:]


class FailsForWhomNothingIsKnown(MemoryAccounts):
    async def standing(self, user: UserId) -> Standing:
        return self._standings[user]


class MakesUpProfiles(MemoryAccounts):
    async def profiles(self, users: Sequence[UserId]) -> dict[UserId, Profile]:
        return {user: Profile(user=user) for user in users} | await super().profiles(users)


class RevokesWhatIsNotThere(MemoryAccounts):
    async def revoke_key(self, key_id: str, *, at_ms: int) -> None:
        key = await self.key(key_id)
        gone = ApiKey(id=key_id, name="", secret_hash=b"", scopes=(), requests_per_s=1.0, created_ms=0)
        if key is None or key.revoked_ms is None:
            self._write(msgspec.structs.replace(key or gone, revoked_ms=at_ms))


class LetsTheLastWordStay(MemoryAccounts):
    async def set_active(self, user: UserId, active: bool, *, at_ms: int) -> None:
        standing = await self.standing(user)
        self._write(msgspec.structs.replace(standing, active=active, active_changed_ms=at_ms))


class LetsTheLastProfileStay(MemoryAccounts):
    async def put_profile(self, profile: Profile) -> None:
        self._check()
        self._write(profile)


class LetsSignOutsGoBack(MemoryAccounts):
    async def sign_out(self, user: UserId, device: DeviceId, *, at_ms: int) -> None:
        standing = await self.standing(user)
        if device:
            self._write(msgspec.structs.replace(standing, devices_out={**standing.devices_out, device: at_ms}))
        else:
            self._write(msgspec.structs.replace(standing, out_before_ms=at_ms))


class SignsDevicesOutForEver(MemoryAccounts):
    """No bound on how many it keeps."""

    async def sign_out(self, user: UserId, device: DeviceId, *, at_ms: int) -> None:
        standing = await self.standing(user)
        if not device:
            self._write(standing.signed_out(device, at_ms))
            return
        latest = max(at_ms, standing.devices_out.get(device, 0))
        self._write(msgspec.structs.replace(standing, devices_out={**standing.devices_out, device: latest}))


class ForgetsSignOutsOfWhomItSwitches(MemoryAccounts):
    async def set_active(self, user: UserId, active: bool, *, at_ms: int) -> None:
        standing = (await self.standing(user)).switched(active, at_ms)
        self._write(msgspec.structs.replace(standing, out_before_ms=0, devices_out={}))


class ReadsThenWritesLater(MemoryAccounts):
    """What another wrote in between is lost."""

    async def sign_out(self, user: UserId, device: DeviceId, *, at_ms: int) -> None:
        standing = await self.standing(user)
        await asyncio.sleep(0)
        self._write(standing.signed_out(device, at_ms))


class ReplacesKeys(MemoryAccounts):
    async def put_key(self, key: ApiKey) -> None:
        self._check()
        self._write(key)


class RevokesAgain(MemoryAccounts):
    async def revoke_key(self, key_id: str, *, at_ms: int) -> None:
        key = await self.key(key_id)
        if key is not None:
            self._write(msgspec.structs.replace(key, revoked_ms=at_ms))


class ForgetsTheCaseOfLetters(MemoryAccounts):
    async def standing(self, user: UserId) -> Standing:
        return msgspec.structs.replace(await super().standing(user.lower()), user=user)

    async def key(self, key_id: str) -> ApiKey | None:
        return await super().key(key_id.lower())


class AddsToWhatIsThere(MemoryAccounts):
    async def put_profile(self, profile: Profile) -> None:
        before = (await self.profiles([profile.user])).get(profile.user)
        name = (before.name if before else "") + profile.name
        await super().put_profile(msgspec.structs.replace(profile, name=name))


class ListsOnlyProfiles(MemoryAccounts):
    async def users(self, *, after: UserId, rows_max: int) -> list[UserId]:
        self._check()
        return sorted(user for user in self._profiles if user > after)[: max(0, rows_max)]


class ListsInTheOrderOfLetters(MemoryAccounts):
    async def users(self, *, after: UserId, rows_max: int) -> list[UserId]:
        return sorted(await super().users(after=after, rows_max=rows_max), key=str.lower)


class ListsOneMore(MemoryAccounts):
    async def keys(self, *, after: str, rows_max: int) -> list[ApiKey]:
        return await super().keys(after=after, rows_max=rows_max + 1)


class ListsNoRevokedKeys(MemoryAccounts):
    async def keys(self, *, after: str, rows_max: int) -> list[ApiKey]:
        return [key for key in await super().keys(after=after, rows_max=rows_max) if key.revoked_ms is None]


class CutsHashes(MemoryAccounts):
    async def put_key(self, key: ApiKey) -> None:
        await super().put_key(msgspec.structs.replace(key, secret_hash=key.secret_hash.lstrip(b"\0")))


class AnswersOnceClosed(MemoryAccounts):
    async def close(self) -> None:
        pass


FAULTY: list[type[MemoryAccounts]] = sorted(
    (kind for kind in MemoryAccounts.__subclasses__() if kind.__module__ == __name__), key=lambda kind: kind.__name__
)


class Harness:
    def __init__(self, kind: type[MemoryAccounts]) -> None:
        self._kind = kind
        self._disk = Disk()
        self._open: list[MemoryAccounts] = []

    async def open(self) -> Accounts:
        self._open.append(self._kind(self._disk))
        return self._open[-1]

    async def crash(self) -> None:
        """The disk stays."""

    async def shut(self) -> None:
        await self._open[-1].close()


def breaks(kind: type[MemoryAccounts], check: Check) -> bool:
    try:
        asyncio.run(asyncio.wait_for(check(Harness(kind)), 10))
    except Exception:
        return True
    return False


@pytest.mark.parametrize("kind", FAULTY, ids=lambda kind: kind.__name__)
def test_accounts_that_break_a_promise_are_found_out(kind: type[MemoryAccounts]) -> None:
    assert any(breaks(kind, check) for check in CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_each_check_passes_for_accounts_that_keep_them_and_fails_for_some_that_do_not(check: Check) -> None:
    assert not breaks(MemoryAccounts, check)
    assert [kind.__name__ for kind in FAULTY if breaks(kind, check)]
