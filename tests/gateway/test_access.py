"""Who may come in, and as whom: users' tokens, operators' tokens and API keys, good and no longer good."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import pytest

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.gateway.access import (
    ALL_SCOPES,
    TOKEN_LIFETIME_S_MAX,
    USER_SCOPES,
    Access,
    AccessRefused,
    Caller,
    require,
    require_user,
)
from folkmoot.gateway.identity import Key, TokenRefused, Verifier, mint
from folkmoot.gateway.registrar import Registrar
from folkmoot.gateway.standings import Standings
from folkmoot.ports.accounts import Standing
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.ports.subjects import StandingMoved

SECRET = b"only for tests, and long enough for HS256"
OTHERS = b"a customer's own, and long enough for HS256"
OWN = Key(algorithm="HS256", material=SECRET, local=True)
CUSTOMER = Key(algorithm="HS256", material=OTHERS, kid="customer")
NOW_MS = 1_800_000_000_000


class HandClock(SystemClock):
    def __init__(self) -> None:
        self.ms = NOW_MS

    def wall_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1_000


class House:
    """Accounts, and the door to them."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.disk = Disk()
        self.accounts = MemoryAccounts(self.disk)
        standings = Standings(self.accounts, self.clock)
        self.access = Access(Verifier([OWN, CUSTOMER]), standings, self.clock)
        self.registrar = Registrar(self.accounts, self.access, MemoryBus(), self.clock, SystemChance())

    def token(self, user: str = "user-1", *, secret: bytes = SECRET, **fields: str | bool) -> str:
        return mint(secret, user, lifetime_s=60, now_ms=self.clock.ms, **fields)  # type: ignore[arg-type]

    async def asked(self, credential: str, acting_as: str | None = None) -> Caller:
        return await self.access.of_request(f"Bearer {credential}", acting_as)

    async def operator(self) -> Caller:
        return await self.asked(self.token("operator", operator=True))

    async def key(self, *scopes: str, requests_per_s: float = 100.0) -> tuple[str, str]:
        """A new key's id and its text."""
        key, text = await self.registrar.create_key(await self.operator(), "shop", scopes, requests_per_s)
        return key.id, text

    async def refused(self, waited: Awaitable[object], code: str) -> AccessRefused:
        with pytest.raises(AccessRefused) as refused:
            await waited
        assert refused.value.code == code
        return refused.value

    async def ended(self, token: str, code: str, device: str = "") -> None:
        with pytest.raises(TokenRefused) as refused:
            await self.access.of_token(token, device=device)
        assert refused.value.code == code


def a_house(test: Callable[[House], Awaitable[None]]) -> None:
    async def run() -> None:
        await test(House())

    asyncio.run(run())


def test_a_users_token_reads_and_writes_as_that_user() -> None:
    async def test(house: House) -> None:
        caller = await house.asked(house.token(device="phone"))
        assert caller == Caller(
            user="user-1",
            device="phone",
            expires_ms=NOW_MS + 60_000,
            issued_ms=NOW_MS,
            signer=OWN.name,
            key="",
            scopes=USER_SCOPES,
            is_user=True,
        )
        assert await house.access.of_token(house.token(device="phone")) == caller
        assert (await house.access.of_token(house.token(), device="tablet")).device == "tablet"
        assert (await house.access.of_token(house.token(device="phone"), device="tablet")).device == "phone"
        require(caller, "read")
        with pytest.raises(AccessRefused, match="users"):
            require(caller, "users")
        assert await house.asked(house.token(), "user-1")
        assert (await house.refused(house.asked(house.token(), "user-2"), "not_allowed")).status == 403

    a_house(test)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjp4", "x"])
def test_whoever_brings_nothing_is_told_what_to_bring(header: str | None) -> None:
    async def test(house: House) -> None:
        refused = await house.refused(house.access.of_request(header, None), "token_invalid")
        assert refused.status == HTTPStatus.UNAUTHORIZED
        assert "Authorization: Bearer" in refused.detail

    a_house(test)


def test_a_bad_or_an_old_token_is_refused() -> None:
    async def test(house: House) -> None:
        token = house.token()
        assert (await house.refused(house.asked(token[:-2]), "token_invalid")).status == 401
        house.clock.ms += 60_000
        assert (await house.refused(house.asked(token), "token_expired")).status == 401
        await house.ended(token, "token_expired")

    a_house(test)


def test_an_operator_acts_for_anyone_and_opens_no_connection() -> None:
    async def test(house: House) -> None:
        token = house.token("operator", operator=True)
        caller = await house.asked(token)
        assert (caller.user, caller.scopes, caller.is_user) == ("", ALL_SCOPES, False)
        with pytest.raises(AccessRefused, match="Folkmoot-User"):
            require_user(caller)
        assert require_user(await house.asked(token, "user-1")) == "user-1"
        assert (await house.refused(house.asked(token, "not a name"), "bad_request")).status == 400
        await house.ended(token, "token_invalid")

    a_house(test)


def test_only_the_servers_own_secret_makes_operators_and_speaks_of_keys() -> None:
    async def test(house: House) -> None:
        caller = await house.asked(house.token(secret=OTHERS, operator=True, key="k"))
        assert (caller.user, caller.scopes, caller.key, caller.signer) == ("user-1", USER_SCOPES, "", CUSTOMER.name)

    a_house(test)


def test_a_key_acts_for_any_user_within_its_scopes() -> None:
    async def test(house: House) -> None:
        key_id, text = await house.key("write", "read")
        assert text.startswith(f"fmk_{key_id}_")
        nobody, user = await house.asked(text), await house.asked(text, "user-7")
        assert (nobody.user, user.user, user.is_user, user.signer, user.expires_ms) == ("", "user-7", False, "", None)
        assert user.key == key_id
        require(user, "write")
        with pytest.raises(AccessRefused):
            require(user, "keys")
        # What is kept of it does not let anyone in.
        assert text.rpartition("_")[2] not in repr(house.disk.accounts)
        kept = await house.accounts.key(key_id)
        assert kept is not None
        assert kept.scopes == ("read", "write")
        for wrong in (text[:-1], text + "0", f"fmk_{key_id}_", f"fmk_{key_id}", "fmk_", f"fmk_{'0' * 16}_{'0' * 64}"):
            assert (await house.refused(house.asked(wrong), "token_invalid")).status == 401
        assert (await house.refused(house.asked(f"fmk_{key_id}_{kept.secret_hash.hex()}"), "token_invalid")).code
        with pytest.raises(TokenRefused):
            await house.access.of_token(text)

    a_house(test)


def test_a_key_asks_no_faster_than_its_rate_and_hurts_no_other() -> None:
    async def test(house: House) -> None:
        _, slow = await house.key("read", requests_per_s=2.0)
        _, other = await house.key("read", requests_per_s=2.0)
        for _ in range(4):
            await house.asked(slow)
        refused = await house.refused(house.asked(slow, "user-1"), "rate_limited")
        assert refused.status == HTTPStatus.TOO_MANY_REQUESTS
        assert refused.retry_after_s == pytest.approx(0.5)
        await house.asked(other)
        # Whoever only knows the key's id does not spend its rate.
        house.clock.ms += 500
        await house.refused(house.asked(slow[:-1]), "token_invalid")
        await house.asked(slow)

    a_house(test)


def test_a_revoked_key_and_the_tokens_it_had_made_are_good_no_longer() -> None:
    async def test(house: House) -> None:
        key_id, text = await house.key("tokens")
        _, other = await house.key("tokens")
        token, ends_ms = await house.access.mint_for(await house.asked(text), "user-1", "phone", lifetime_s=60)
        bystander, _ = await house.access.mint_for(await house.asked(other), "user-1", lifetime_s=60)
        caller = await house.access.of_token(token)
        assert (caller.user, caller.device, caller.key, caller.is_user) == ("user-1", "phone", key_id, True)
        assert caller.expires_ms == ends_ms == NOW_MS + 60_000
        assert await house.registrar.revoke_key(key_id)
        assert (await house.refused(house.asked(text), "key_revoked")).status == 401
        assert (await house.refused(house.asked(token), "key_revoked")).status == 401
        await house.ended(token, "key_revoked")
        with pytest.raises(TokenRefused):
            await house.access.check(caller)
        await house.asked(other)
        await house.access.of_token(bystander)
        assert not await house.registrar.revoke_key("nothing")

    a_house(test)


def test_tokens_are_made_by_whoever_may_and_within_bounds() -> None:
    async def test(house: House) -> None:
        _, reader = await house.key("read")
        _, maker = await house.key("tokens")
        caller = await house.asked(maker)
        for lifetime_s in (0, -1, TOKEN_LIFETIME_S_MAX + 1):
            await house.refused(house.access.mint_for(caller, "user-1", lifetime_s=lifetime_s), "bad_request")
        await house.refused(house.access.mint_for(caller, "not a name", lifetime_s=1), "bad_request")
        await house.refused(house.access.mint_for(caller, "user-1", "not a name", lifetime_s=1), "bad_request")
        reading = await house.asked(reader)
        await house.refused(house.access.mint_for(reading, "user-1", lifetime_s=1), "not_allowed")
        by_operator, _ = await house.access.mint_for(await house.operator(), "user-1", lifetime_s=60)
        assert (await house.access.of_token(by_operator)).key == ""

    a_house(test)


def test_a_deactivated_user_comes_in_by_no_door_until_they_are_active_again() -> None:
    async def test(house: House) -> None:
        _, text = await house.key("read", "write")
        token = house.token()
        await house.registrar.set_active("user-1", False)
        assert (await house.refused(house.asked(token), "deactivated")).status == 403
        await house.refused(house.asked(text, "user-1"), "deactivated")
        await house.refused(house.asked(house.token("operator", operator=True), "user-1"), "deactivated")
        await house.ended(token, "deactivated")
        await house.asked(text, "user-2")
        await house.asked(text)
        house.clock.ms += 1
        await house.registrar.set_active("user-1", True)
        await house.asked(token)

    a_house(test)


def test_a_sign_out_ends_older_tokens_and_keys_act_on() -> None:
    async def test(house: House) -> None:
        _, text = await house.key("read")
        phone, tablet, plain = house.token(device="phone"), house.token(device="tablet"), house.token()
        await house.registrar.sign_out("user-1", "phone")
        await house.ended(phone, "signed_out")
        assert (await house.refused(house.asked(phone), "signed_out")).status == 401
        # A token that names no device is the device's whose word comes with it.
        await house.ended(plain, "signed_out", device="phone")
        await house.access.of_token(plain, device="tablet")
        await house.access.of_token(tablet)
        await house.registrar.sign_out("user-1")
        for token in (tablet, plain):
            await house.ended(token, "signed_out")
        house.clock.ms += 1
        await house.access.of_token(house.token(device="phone"))
        assert (await house.asked(text, "user-1")).user == "user-1"
        await house.access.of_token(house.token("user-2"))

    a_house(test)


def test_while_the_store_is_away_who_is_not_known_is_asked_to_come_again() -> None:
    async def test(house: House) -> None:
        _, text = await house.key("read")
        await house.asked(house.token())
        house.disk.away = True
        await house.asked(house.token())
        refused = await house.refused(house.asked(house.token("user-2")), "unavailable")
        assert (refused.status, refused.retry_after_s > 0) == (503, True)
        await house.refused(house.asked(text), "unavailable")

    a_house(test)


class Slow(MemoryAccounts):
    """A standing is answered as it was when it was read, once the gate is open."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self.begun = asyncio.Semaphore(0)
        self.gate = asyncio.Event()

    async def standing(self, user: str) -> Standing:
        standing = await super().standing(user)
        self.begun.release()
        await self.gate.wait()
        return standing


@pytest.mark.parametrize("what", ["the key", "the signer", "nothing"])
def test_what_ends_while_something_else_is_looked_at_is_noticed(what: str) -> None:
    async def test(house: House) -> None:
        key_id, text = await house.key("tokens")
        token, _ = await house.access.mint_for(await house.asked(text), "user-1", lifetime_s=60)
        slow = Slow(house.disk)
        house.access.standings = Standings(slow, house.clock)
        waiting = asyncio.create_task(house.access.of_token(token))
        await slow.begun.acquire()
        if what == "the key":
            await slow.revoke_key(key_id, at_ms=NOW_MS)
            house.access.moved(StandingMoved(key=key_id))
        elif what == "the signer":
            house.access.verifier.replace([Key(algorithm="HS256", material=OTHERS, kid="customer")])
        slow.gate.set()
        if what == "nothing":
            assert (await waiting).user == "user-1"
            return
        with pytest.raises(TokenRefused) as refused:
            await waiting
        assert refused.value.code == ("key_revoked" if what == "the key" else "token_invalid")

    a_house(test)


def test_standings_that_move_all_the_time_keep_nobody_waiting() -> None:
    async def test(house: House) -> None:
        _, text = await house.key("tokens")
        token, _ = await house.access.mint_for(await house.asked(text), "user-1", lifetime_s=60)
        house.access.standings.all_moved()
        read = house.accounts.standing

        async def standing(user: str) -> Standing:
            # Others move in the middle of each read.
            house.access.moved(StandingMoved(user="user-2"))
            await asyncio.sleep(0)
            return await read(user)

        house.access.standings = Standings(house.accounts, house.clock)
        house.access.standings._standings._read = standing
        async with asyncio.timeout(5):
            assert (await house.access.of_token(token)).user == "user-1"

    a_house(test)
