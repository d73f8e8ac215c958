"""Changes to who may come in: kept first, told to every gateway, and never more given than one has."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.gateway.access import ALL_SCOPES, Access, AccessRefused, Caller
from folkmoot.gateway.identity import Key, Verifier
from folkmoot.gateway.registrar import Registrar
from folkmoot.gateway.standings import Standings
from folkmoot.ports import subjects
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.ports.store import StoreFull
from folkmoot.ports.subjects import StandingMoved

SECRET = b"only for tests, and long enough for HS256"


class Office:
    """A registrar, and what it said on the bus."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.disk = Disk()
        self.accounts = MemoryAccounts(self.disk)
        self.heard: list[StandingMoved] = []
        access = Access(Verifier([Key(algorithm="HS256", material=SECRET)]), Standings(self.accounts, clock), clock)
        bus = MemoryBus()
        bus.subscribe(
            subjects.STANDING, lambda message, _: self.heard.append(msgspec.msgpack.decode(message, type=StandingMoved))
        )
        self.registrar = Registrar(self.accounts, access, bus, clock, SystemChance())

    async def settled(self) -> list[StandingMoved]:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.heard


def someone(*scopes: str) -> Caller:
    return Caller(
        user="",
        device="",
        expires_ms=None,
        issued_ms=0,
        signer="",
        key="k",
        scopes=frozenset(scopes) or ALL_SCOPES,
        is_user=False,
    )


def an_office(test: Callable[[Office], Awaitable[None]]) -> None:
    async def run() -> None:
        await test(Office())

    asyncio.run(run())


def test_each_change_is_kept_and_told() -> None:
    async def test(office: Office) -> None:
        key, _ = await office.registrar.create_key(someone(), "shop", ["read"])
        assert await office.settled() == []
        await office.registrar.set_active("user-1", False)
        await office.registrar.sign_out("user-2", "phone")
        await office.registrar.revoke_key(key.id)
        assert not (await office.accounts.standing("user-1")).active
        assert "phone" in (await office.accounts.standing("user-2")).devices_out
        kept = await office.accounts.key(key.id)
        assert kept is not None
        assert kept.revoked_ms is not None
        assert await office.settled() == [
            StandingMoved(user="user-1"),
            StandingMoved(user="user-2"),
            StandingMoved(key=key.id),
        ]
        assert not await office.registrar.revoke_key("nothing")
        assert len(await office.settled()) == 3

    an_office(test)


def test_a_change_that_may_have_been_written_is_told_whatever_the_store_says() -> None:
    async def test(office: Office) -> None:
        office.disk.full = True
        with pytest.raises(StoreFull):
            await office.registrar.set_active("user-1", False)
        assert await office.settled() == [StandingMoved(user="user-1")]

    an_office(test)


@pytest.mark.parametrize(
    ("name", "scopes", "requests_per_s"),
    [
        ("", ["read"], 1.0),
        ("x" * 101, ["read"], 1.0),
        ("a\nb", ["read"], 1.0),
        ("shop", [], 1.0),
        ("shop", ["everything"], 1.0),
        ("shop", ["read"], 0.0),
        ("shop", ["read"], float("nan")),
        ("shop", ["read"], 10_001.0),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(name: str, scopes: list[str], requests_per_s: float) -> None:
    async def test(office: Office) -> None:
        with pytest.raises(AccessRefused) as refused:
            await office.registrar.create_key(someone(), name, scopes, requests_per_s)
        assert refused.value.code == "bad_request"
        assert await office.accounts.keys(after="", rows_max=5) == []

    an_office(test)


def test_a_key_gives_no_other_what_it_lacks() -> None:
    async def test(office: Office) -> None:
        maker = someone("keys", "read")
        await office.registrar.create_key(maker, "reader", ["read"])
        with pytest.raises(AccessRefused, match="write") as refused:
            await office.registrar.create_key(maker, "writer", ["read", "write"])
        assert refused.value.code == "not_allowed"

    an_office(test)
