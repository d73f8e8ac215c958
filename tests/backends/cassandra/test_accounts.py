"""Accounts on Cassandra where several processes change the same user at once."""

import asyncio
from collections.abc import Callable

import pytest

from folkmoot.backends.cassandra.driver import CassandraSettings
from folkmoot.ports.accounts import ApiKey, Profile
from folkmoot.testing.cassandra_harness import CassandraHarness

pytestmark = pytest.mark.cassandra

Keyspace = Callable[[int], CassandraSettings]


def test_what_two_processes_change_at_once_is_all_there(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        one, two = (await harness.open_store()).accounts, (await harness.open_store()).accounts
        await asyncio.gather(
            *(accounts.sign_out("user-1", f"{n}d{k}", at_ms=n + 1)
              for n in range(6) for k, accounts in enumerate((one, two))),
            two.put_profile(Profile(user="user-1", name="One", changed_ms=3)),
            one.set_active("user-1", False, at_ms=4),
        )  # fmt: skip
        for accounts in (one, two):
            standing = await accounts.standing("user-1")
            assert len(standing.devices_out) == 12
            assert not standing.active
            assert (await accounts.profiles(["user-1"]))["user-1"].name == "One"
            assert await accounts.users(after="", rows_max=9) == ["user-1"]
        await harness.close()

    asyncio.run(run())


def test_a_key_is_made_by_one_and_revoked_for_good_by_another(keyspace: Keyspace) -> None:
    harness = CassandraHarness(keyspace(8))

    async def run() -> None:
        one, two = (await harness.open_store()).accounts, (await harness.open_store()).accounts
        keys = [
            ApiKey(id="k", name=name, secret_hash=b"h" * 32, scopes=("read",), requests_per_s=1.0, created_ms=1)
            for name in "ab"
        ]
        await asyncio.gather(one.put_key(keys[0]), two.put_key(keys[1]))
        made = await one.key("k")
        assert made == await two.key("k")
        assert made in keys
        await asyncio.gather(*(accounts.revoke_key("k", at_ms=9) for accounts in (one, two, one, two)))
        revoked = await one.key("k")
        assert revoked is not None
        assert revoked.revoked_ms == 9
        await harness.close()

    asyncio.run(run())
