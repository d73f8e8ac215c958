"""Whoever is shut out leaves at once, on every connection, and nobody else does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.access import ALL_SCOPES, Caller
from folkmoot.gateway.identity import Key, mint
from folkmoot.gateway.service import GatewaySettings
from folkmoot.ports.clock import SystemClock
from folkmoot.protocol import events as ev
from folkmoot.testing.edge import SECRET, Edge, Talker

OTHERS = b"a customer's own, and long enough for HS256"
OWN = Key(algorithm="HS256", material=SECRET, local=True)


def an_edge(test: Callable[[Edge], Awaitable[None]], **fields: Any) -> None:
    async def body() -> None:
        async with Edge(MemoryStore(Disk(), bucket_size=8), **fields) as edge:
            await test(edge)

    asyncio.run(body())


async def came_in(
    edge: Edge, user: str, *, device: str = "", key: str = "", secret: bytes = SECRET, issued_ms: int = 0
) -> Talker:
    """A client whose token says all of this."""
    talker = Talker(edge, user, device)
    token = mint(secret, user, device=device, key=key, lifetime_s=60, now_ms=issued_ms or SystemClock().wall_ms())
    talker.say(ev.Hello(token=token, versions=[1], device=device))
    await talker.wait(ev.Welcome)
    return talker


async def left(talker: Talker, code: str, close: int) -> None:
    goodbye = await talker.wait(ev.Goodbye)
    assert goodbye.code == code
    assert talker.outlet.closed == (close, code)


def operator() -> Caller:
    return Caller(
        user="", device="", expires_ms=None, issued_ms=0, signer="", key="", scopes=ALL_SCOPES, is_user=False
    )  # fmt: skip


async def stays(talker: Talker) -> None:
    """The client is answered, and was told nothing of an end."""
    pongs = talker.count(ev.Pong)
    talker.say(ev.Ping(ref="x"))
    await talker.until(lambda: talker.count(ev.Pong) > pongs)
    assert talker.count(ev.Goodbye) == 0


def test_a_deactivated_user_leaves_on_every_device() -> None:
    async def test(edge: Edge) -> None:
        phone, tablet = await came_in(edge, "user-1", device="phone"), await came_in(edge, "user-1", device="tablet")
        bystander = await came_in(edge, "user-2")
        await edge.registrar.set_active("user-1", False)
        await left(phone, "deactivated", 4206)
        await left(tablet, "deactivated", 4206)
        await stays(bystander)

    an_edge(test)


def test_one_device_or_all_are_signed_out_and_may_come_again_with_a_new_token() -> None:
    async def test(edge: Edge) -> None:
        phone, tablet = await came_in(edge, "user-1", device="phone"), await came_in(edge, "user-1", device="tablet")
        await edge.registrar.sign_out("user-1", "phone")
        await left(phone, "signed_out", 4102)
        await stays(tablet)
        await edge.registrar.sign_out("user-1")
        await left(tablet, "signed_out", 4102)
        out_before_ms = (await edge.accounts.standing("user-1")).out_before_ms
        await stays(await came_in(edge, "user-1", device="phone", issued_ms=out_before_ms))

    an_edge(test)


def test_a_device_that_only_the_hello_names_is_signed_out_too() -> None:
    async def test(edge: Edge) -> None:
        phone = await edge.talker("user-1", device="phone")
        await edge.registrar.sign_out("user-1", "phone")
        await left(phone, "signed_out", 4102)

    an_edge(test)


def test_a_revoked_key_ends_the_tokens_that_it_had_made() -> None:
    async def test(edge: Edge) -> None:
        ours, _ = await edge.registrar.create_key(operator(), "shop", ["tokens"])
        other, _ = await edge.registrar.create_key(operator(), "other shop", ["tokens"])
        mine, yours = await came_in(edge, "user-1", key=ours.id), await came_in(edge, "user-1", key=other.id)
        own = await came_in(edge, "user-2")
        await edge.registrar.revoke_key(ours.id)
        await left(mine, "key_revoked", 4103)
        await stays(yours)
        await stays(own)

    an_edge(test)


def test_a_signer_that_is_gone_takes_along_who_came_by_it() -> None:
    async def test(edge: Edge) -> None:
        customer = Key(algorithm="HS256", material=OTHERS, kid="customer")
        edge.access.verifier.replace([OWN, customer])
        by_customer, by_server = await came_in(edge, "user-1", secret=OTHERS), await came_in(edge, "user-1")
        edge.access.verifier.replace([OWN, customer, Key(algorithm="HS256", material=OTHERS[::-1])])
        await stays(by_customer)
        edge.access.verifier.replace([OWN])
        await left(by_customer, "token_invalid", 4101)
        await stays(by_server)

    an_edge(test)


def test_what_the_bus_lost_the_sweep_finds() -> None:
    class Deaf(MemoryBus):
        def publish(self, subject: str, message: bytes) -> None:
            if not subject.startswith("standing"):
                super().publish(subject, message)

    async def test(edge: Edge) -> None:
        talker, bystander = await came_in(edge, "user-1"), await came_in(edge, "user-2")
        # As another gateway would do it: nothing of it is heard here.
        await edge.accounts.set_active("user-1", False, at_ms=5)
        await left(talker, "deactivated", 4206)
        await stays(bystander)

    an_edge(test, bus=Deaf(), gateway=GatewaySettings(sweep_interval_s=0.1))


def test_a_gap_on_the_bus_has_everyone_looked_at() -> None:
    async def test(edge: Edge) -> None:
        talker, bystander = await came_in(edge, "user-1"), await came_in(edge, "user-2")
        await edge.accounts.set_active("user-1", False, at_ms=5)
        await stays(talker)
        edge.gateway.revocation.look_at_all()
        await left(talker, "deactivated", 4206)
        await stays(bystander)

    an_edge(test)


def test_while_the_store_is_away_nobody_is_judged_and_then_everyone_is() -> None:
    async def run() -> None:
        disk = Disk()
        async with Edge(MemoryStore(Disk(), bucket_size=8), accounts=MemoryAccounts(disk)) as edge:
            talker = await came_in(edge, "user-1")
            await edge.registrar.set_active("user-2", False)
            await edge.accounts.set_active("user-1", False, at_ms=5)
            disk.away = True
            edge.gateway.revocation.look_at("user-1")
            await stays(talker)
            disk.away = False
            await left(talker, "deactivated", 4206)

    asyncio.run(run())


def test_who_is_shut_out_while_coming_in_does_not_get_in() -> None:
    class Held(MemoryAccounts):
        """What is read is answered late, as it was when it was read."""

        gate = asyncio.Event()
        begun = asyncio.Event()

        async def standing(self, user: str) -> Any:
            standing = await super().standing(user)
            self.begun.set()
            await self.gate.wait()
            return standing

    async def run() -> None:
        accounts = Held(Disk())
        async with Edge(MemoryStore(Disk(), bucket_size=8), accounts=accounts) as edge:
            talker = Talker(edge, "user-1", "")
            token = mint(SECRET, "user-1", lifetime_s=60, now_ms=SystemClock().wall_ms())
            talker.say(ev.Hello(token=token, versions=[1]))
            await accounts.begun.wait()
            accounts.gate.set()
            accounts._standings["user-1"] = (await MemoryAccounts(Disk()).standing("user-1")).switched(False, 5)
            edge.gateway.revocation.look_at("user-1")
            goodbye = await talker.wait(ev.Goodbye)
            assert goodbye.code == "deactivated"
            assert talker.count(ev.Welcome) == 0

    asyncio.run(run())


@pytest.mark.parametrize("users", [300])
def test_many_at_once_are_all_found(users: int) -> None:
    async def test(edge: Edge) -> None:
        talkers = [await came_in(edge, f"user-{n}") for n in range(users)]
        await asyncio.gather(*(edge.registrar.set_active(f"user-{n}", False) for n in range(0, users, 2)))
        for n, talker in enumerate(talkers):
            if n % 2:
                await stays(talker)
            else:
                await left(talker, "deactivated", 4206)

    an_edge(test)
