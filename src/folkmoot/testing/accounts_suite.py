"""The suite that judges where accounts are kept: every sentence of `ports.accounts.Accounts`, for any backend.

A test module runs each of `CHECKS` against a harness:

    @pytest.mark.parametrize("check", CHECKS, ids=name_of)
    def test_my_accounts(check, tmp_path):
        asyncio.run(check(MyHarness(tmp_path)))
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from folkmoot.ports.accounts import DEVICES_OUT_MAX, Accounts, ApiKey, Profile, Standing
from folkmoot.ports.store import StoreAway

USER, OTHER = "user-1", "user-2"
KEY = ApiKey(
    id="k1",
    name="shop",
    secret_hash=bytes(range(32)),
    scopes=("read", "write", "keys"),
    requests_per_s=2.5,
    created_ms=2**41,
)


class AccountsHarness(Protocol):
    """How the suite opens accounts, takes their process away, and closes them."""

    async def open(self) -> Accounts:
        """Accounts over what is durable: nothing at first."""

    async def crash(self) -> None:
        """The process is gone, and with it whatever was not durable."""

    async def shut(self) -> None:
        """Close what was opened last."""


Check: TypeAlias = Callable[[AccountsHarness], Awaitable[None]]
CHECKS: Final[list[Check]] = []
"""Every check of the suite, in the order in which they are best read."""


def name_of(check: Check) -> str:
    """What to call a check in a report."""
    return getattr(check, "__name__", str(check))


def _check(check: Check) -> Check:
    CHECKS.append(check)
    return check


async def _all(accounts: Accounts) -> dict[str, Any]:
    """Everything that can be read, users and keys by page."""
    users: list[str] = []
    while page := await accounts.users(after=users[-1] if users else "", rows_max=2):
        users.extend(page)
    keys: list[ApiKey] = []
    while found := await accounts.keys(after=keys[-1].id if keys else "", rows_max=2):
        keys.extend(found)
    standings = {user: await accounts.standing(user) for user in users}
    profiles = await accounts.profiles(users)
    one_by_one = [await accounts.key(key.id) for key in keys]
    assert one_by_one == keys
    return {"users": users, "keys": keys, "standings": standings, "profiles": profiles}


@_check
async def nothing_is_known_of_whom_nothing_was_written(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    assert await accounts.standing(USER) == Standing(user=USER)
    assert await accounts.profiles([USER, OTHER]) == {}
    assert await accounts.profiles([]) == {}
    assert await accounts.key("k1") is None
    assert await accounts.users(after="", rows_max=5) == []
    assert await accounts.keys(after="", rows_max=5) == []
    await accounts.revoke_key("k1", at_ms=5)
    assert await accounts.key("k1") is None


@_check
async def what_was_written_is_seen_by_every_later_read_and_after_a_crash(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    profile = Profile(
        user=USER, name="One", picture="https://example.org/1", data=b'{"a":[1,"\xc3\xa9"]}', changed_ms=7
    )
    await accounts.put_profile(profile)
    assert await accounts.profiles([USER, OTHER]) == {USER: profile}
    await accounts.set_active(OTHER, False, at_ms=9)
    assert await accounts.standing(OTHER) == Standing(user=OTHER, active=False, active_changed_ms=9)
    await accounts.sign_out("user-3", "", at_ms=11)
    assert (await accounts.standing("user-3")).out_before_ms == 11
    await accounts.sign_out("user-4", "phone", at_ms=13)
    assert (await accounts.standing("user-4")).devices_out == {"phone": 13}
    await accounts.put_key(KEY)
    assert await accounts.key("k1") == KEY
    await accounts.put_key(msgspec.structs.replace(KEY, id="k2"))
    await accounts.revoke_key("k2", at_ms=15)
    before = await _all(accounts)
    assert before["users"] == [USER, OTHER, "user-3", "user-4"]
    assert [key.revoked_ms for key in before["keys"]] == [None, 15]
    await harness.crash()
    assert await _all(await harness.open()) == before


@_check
async def one_user_or_key_is_not_another(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    await accounts.set_active(USER, False, at_ms=5)
    await accounts.sign_out(USER, "phone", at_ms=5)
    await accounts.put_profile(Profile(user=USER, name="One", changed_ms=5))
    await accounts.put_key(KEY)
    await accounts.put_key(msgspec.structs.replace(KEY, id="K1"))
    await accounts.revoke_key("k1", at_ms=5)
    for other in (OTHER, "User-1", "user-", "user-11"):
        assert await accounts.standing(other) == Standing(user=other)
        assert await accounts.profiles([other]) == {}
    upper = await accounts.key("K1")
    assert upper is not None
    assert upper.revoked_ms is None


@_check
async def of_two_changes_to_a_user_the_later_stays(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    await accounts.set_active(USER, False, at_ms=10)
    await accounts.set_active(USER, True, at_ms=5)
    assert await accounts.standing(USER) == Standing(user=USER, active=False, active_changed_ms=10)
    await accounts.set_active(USER, True, at_ms=11)
    await accounts.set_active(USER, False, at_ms=9)
    assert await accounts.standing(USER) == Standing(user=USER, active=True, active_changed_ms=11)


@_check
async def of_two_profiles_the_later_stays(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    later = Profile(user=USER, name="later", picture="p", data=b'{"n":2}', changed_ms=10)
    await accounts.put_profile(later)
    await accounts.put_profile(Profile(user=USER, name="earlier", changed_ms=9))
    assert await accounts.profiles([USER]) == {USER: later}
    latest = Profile(user=USER, changed_ms=11)
    await accounts.put_profile(latest)
    assert await accounts.profiles([USER]) == {USER: latest}


@_check
async def a_sign_outs_time_only_rises(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    await accounts.sign_out(USER, "", at_ms=10)
    await accounts.sign_out(USER, "", at_ms=5)
    assert (await accounts.standing(USER)).out_before_ms == 10
    await accounts.sign_out(USER, "phone", at_ms=20)
    await accounts.sign_out(USER, "phone", at_ms=15)
    await accounts.sign_out(USER, "tablet", at_ms=8)
    standing = await accounts.standing(USER)
    assert not standing.admits("phone", 19)
    assert standing.admits("phone", 20)
    assert not standing.admits("tablet", 9)
    assert standing.admits("tablet", 10)
    # All out, later than some device: what is over is dropped, what is not stays.
    await accounts.sign_out(USER, "", at_ms=18)
    assert await accounts.standing(USER) == Standing(user=USER, out_before_ms=18, devices_out={"phone": 20})


@_check
async def signing_out_and_deactivating_leave_one_another_alone(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    await accounts.sign_out(USER, "phone", at_ms=10)
    await accounts.sign_out(USER, "", at_ms=4)
    await accounts.set_active(USER, False, at_ms=3)
    await accounts.sign_out(USER, "tablet", at_ms=12)
    assert await accounts.standing(USER) == Standing(
        user=USER, active=False, active_changed_ms=3, out_before_ms=4, devices_out={"phone": 10, "tablet": 12}
    )
    await accounts.set_active(USER, True, at_ms=20)
    standing = await accounts.standing(USER)
    assert (standing.active, standing.out_before_ms, len(standing.devices_out)) == (True, 4, 2)


@_check
async def one_device_too_many_signs_out_all(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    for n in range(DEVICES_OUT_MAX):
        await accounts.sign_out(USER, f"d{n}", at_ms=100 + n)
    standing = await accounts.standing(USER)
    assert len(standing.devices_out) == DEVICES_OUT_MAX
    assert standing.out_before_ms == 0
    await accounts.sign_out(USER, "one more", at_ms=1_000)
    assert await accounts.standing(USER) == Standing(user=USER, out_before_ms=1_000)


@_check
async def a_key_stays_as_it_was_made_and_revoked(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    await accounts.put_key(KEY)
    await accounts.put_key(msgspec.structs.replace(KEY, name="another", secret_hash=b"x" * 32, scopes=("read",)))
    assert await accounts.key("k1") == KEY
    await accounts.revoke_key("k1", at_ms=10)
    revoked = msgspec.structs.replace(KEY, revoked_ms=10)
    await accounts.revoke_key("k1", at_ms=20)
    await accounts.put_key(KEY)
    assert await accounts.key("k1") == revoked
    await harness.crash()
    accounts = await harness.open()
    await accounts.put_key(KEY)
    assert await accounts.key("k1") == revoked


@_check
async def every_call_is_safe_to_repeat(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    seen = []
    for _ in range(2):
        await accounts.put_profile(Profile(user=USER, name="One", changed_ms=5))
        await accounts.set_active(USER, False, at_ms=5)
        await accounts.sign_out(USER, "", at_ms=5)
        await accounts.sign_out(USER, "phone", at_ms=6)
        await accounts.put_key(KEY)
        await accounts.revoke_key("k1", at_ms=7)
        seen.append(await _all(accounts))
    assert seen[0] == seen[1]


@_check
async def pages_are_in_the_order_of_bytes_and_bounded(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    names = ["B", "a", "b", "user-1", "user-10", "user-2", "é", "中"]
    for n, user in enumerate(names):
        if n % 2:
            await accounts.put_profile(Profile(user=user, changed_ms=1))
        if n % 3 == 0:
            await accounts.set_active(user, True, at_ms=1)
        if n % 2 == 0 and n % 3:
            await accounts.sign_out(user, "phone", at_ms=1)
        await accounts.put_key(msgspec.structs.replace(KEY, id=user))
    assert await accounts.users(after="", rows_max=100) == names
    assert await accounts.users(after="a", rows_max=3) == ["b", "user-1", "user-10"]
    assert await accounts.users(after="a\0", rows_max=1) == ["b"]
    assert await accounts.users(after="中", rows_max=5) == []
    assert await accounts.users(after="", rows_max=0) == []
    assert [key.id for key in await accounts.keys(after="", rows_max=100)] == names
    assert [key.id for key in await accounts.keys(after="b", rows_max=2)] == ["user-1", "user-10"]
    assert await accounts.keys(after="", rows_max=0) == []
    assert sorted(await accounts.profiles([*names, "nobody"])) == sorted(names[1::2])


@_check
async def many_at_once_lose_nothing(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    await asyncio.gather(
        *(accounts.sign_out(USER, f"d{n}", at_ms=n + 1) for n in range(20)),
        *(accounts.set_active(f"u{n:02}", False, at_ms=1) for n in range(20)),
        *(accounts.put_key(msgspec.structs.replace(KEY, id=f"k{n:02}")) for n in range(20)),
        accounts.set_active(USER, False, at_ms=1),
    )
    standing = await accounts.standing(USER)
    assert standing.devices_out == {f"d{n}": n + 1 for n in range(20)}
    assert not standing.active
    assert len(await accounts.keys(after="", rows_max=100)) == 20
    assert len(await accounts.users(after="", rows_max=100)) == 21


@_check
async def closed_accounts_say_so(harness: AccountsHarness) -> None:
    accounts = await harness.open()
    await accounts.put_key(KEY)
    await harness.shut()
    calls: list[Awaitable[object]] = [
        accounts.standing(USER),
        accounts.profiles([USER]),
        accounts.users(after="", rows_max=1),
        accounts.key("k1"),
        accounts.keys(after="", rows_max=1),
        accounts.set_active(USER, False, at_ms=1),
        accounts.sign_out(USER, "", at_ms=1),
        accounts.put_profile(Profile(user=USER)),
        accounts.put_key(KEY),
        accounts.revoke_key("k1", at_ms=1),
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreAway] * len(calls)
