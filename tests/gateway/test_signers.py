"""Signers: keys are taken up as they change, the last good ones stay, and an address is asked no more than it must."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from folkmoot.gateway.identity import SECRET_FILE, Identity, SignerUnknown, TokenRefused, mint, secret_of
from folkmoot.gateway.jwks import JwksUnusable
from folkmoot.gateway.rotation import rotate
from folkmoot.gateway.signers import RETRY_S, SEEK_GAP_S, Signers, SignersSettings, SignersUnusable
from folkmoot.gateway.watched import LOOK_S

NOW_MS = 1_800_000_000_000
URL = "https://id.example/keys"


class HandClock:
    """A clock that a test moves: each sleep lasts until it is let go."""

    def __init__(self) -> None:
        self.ms = NOW_MS
        self._asleep: list[tuple[int, asyncio.Future[None]]] = []

    def wall_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1_000

    async def sleep(self, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.append((self.ms + int(seconds * 1_000), waiter))
        await waiter

    async def pass_s(self, seconds: float) -> None:
        """Let time pass, look by look, and let what was woken run."""
        end_ms = self.ms + int(seconds * 1_000)
        while True:
            for _ in range(5):
                await asyncio.sleep(0)
            due = min((at for at, _ in self._asleep), default=end_ms + 1)
            if due > end_ms:
                break
            self.ms = due
            woken = [waiter for at, waiter in self._asleep if at <= due]
            self._asleep = [(at, waiter) for at, waiter in self._asleep if at > due]
            for waiter in woken:
                waiter.set_result(None)
        self.ms = end_ms


class Provider:
    """An identity provider: signs tokens, and says which keys it has, or does not."""

    def __init__(self, *kids: str) -> None:
        self._privates: dict[str, Ed25519PrivateKey] = {}
        self.published: list[str] = []
        self.asked = 0
        self.fault: Exception | None = None
        self.held: asyncio.Event | None = None
        for kid in kids:
            self.publish(kid)

    def publish(self, kid: str) -> None:
        self._privates.setdefault(kid, Ed25519PrivateKey.generate())
        self.published.append(kid)

    def withdraw(self, kid: str) -> None:
        self.published.remove(kid)

    def token(self, kid: str) -> str:
        claims = {"sub": "user-1", "exp": NOW_MS // 1_000 + 100_000}
        return jwt.encode(claims, self._privates[kid], algorithm="EdDSA", headers={"kid": kid})

    def jwks(self) -> bytes:
        rows: list[dict[str, Any]] = []
        for kid in self.published:
            rows.append(OKPAlgorithm.to_jwk(self._privates[kid].public_key(), as_dict=True) | {"kid": kid})
        return json.dumps({"keys": [{k: v for k, v in row.items() if k != "key_ops"} for row in rows]}).encode()

    async def fetch(self, url: str) -> bytes:
        assert url == URL
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        if self.fault is not None:
            raise self.fault
        return self.jwks()


class House:
    """Signers over a directory, with time in the hand."""

    def __init__(self, folder: Path, provider: Provider | None = None, **settings: Any) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.told = 0
        chosen = SignersSettings(data_dir=folder, jwks_url=URL if provider else "", **settings)
        self.signers = Signers(chosen, self.clock, provider.fetch if provider else _nothing)
        self.signers.verifier.on_change.append(self._tell)

    def _tell(self) -> None:
        self.told += 1

    def own(self) -> str:
        return mint(secret_of(self.folder), "user-1", lifetime_s=100_000, now_ms=NOW_MS)

    async def identify(self, token: str) -> Identity:
        return await self.signers.verifier.identify(token, now_ms=self.clock.ms)

    async def is_good(self, token: str) -> bool:
        try:
            await self.identify(token)
        except TokenRefused:
            return False
        return True


async def _nothing(_: str) -> bytes:
    raise AssertionError("nobody is to be asked")


def run(house: House, work: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        await house.signers.start()
        try:
            await work()
        finally:
            await house.signers.stop()

    asyncio.run(body())


def test_a_secret_that_is_changed_is_in_force_at_the_next_look(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def work() -> None:
        old = house.own()
        signer = (await house.identify(old)).signer
        rotate(tmp_path, keep_old_ms=0, now_ms=house.clock.ms)
        assert await house.is_good(old)
        await house.clock.pass_s(LOOK_S)
        assert not await house.is_good(old)
        assert await house.is_good(house.own())
        assert not house.signers.verifier.knows(signer)
        assert house.told == 1
        assert house.signers.verifier.secret == secret_of(tmp_path)

    run(house, work)


def test_an_old_secret_that_is_kept_ends_when_its_time_is_over(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def work() -> None:
        old = house.own()
        rotate(tmp_path, keep_old_ms=60_000, now_ms=house.clock.ms)
        await house.clock.pass_s(59)
        assert await house.is_good(old)
        assert await house.is_good(house.own())
        await house.clock.pass_s(1)
        assert not await house.is_good(old)
        assert house.told == 2

    run(house, work)


@pytest.mark.parametrize("fault", ["gone", "open to others", "short"])
def test_a_secret_that_cannot_be_read_leaves_the_old_one(tmp_path: Path, fault: str) -> None:
    house = House(tmp_path)

    async def work() -> None:
        token, path = house.own(), tmp_path / SECRET_FILE
        if fault == "gone":
            path.unlink()
            path.mkdir()
        elif fault == "short":
            path.write_bytes(b"short")
        else:
            path.chmod(0o644)
        await house.clock.pass_s(2)
        assert await house.is_good(token)
        assert house.told == 0

    run(house, work)


def test_a_reload_does_not_wait_for_the_next_look(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def work() -> None:
        old = house.own()
        rotate(tmp_path, keep_old_ms=0, now_ms=house.clock.ms)
        house.signers.reload()
        assert not await house.is_good(old)

    run(house, work)


def test_keys_in_files_are_taken_up_as_they_change_and_stay_while_they_are_damaged(tmp_path: Path) -> None:
    provider, path = Provider("a"), tmp_path / "jwks.json"
    path.write_bytes(provider.jwks())
    house = House(tmp_path, jwks_file=str(path))

    async def work() -> None:
        assert await house.is_good(provider.token("a"))
        path.write_bytes(b'{"keys": [')
        await house.clock.pass_s(1)
        assert await house.is_good(provider.token("a"))
        provider.publish("b")
        provider.withdraw("a")
        path.write_bytes(provider.jwks())
        await house.clock.pass_s(1)
        assert await house.is_good(provider.token("b"))
        assert not await house.is_good(provider.token("a"))
        path.unlink()
        await house.clock.pass_s(1)
        assert await house.is_good(provider.token("b"))

    run(house, work)


def test_a_pem_file_is_one_key_and_is_read_again(tmp_path: Path) -> None:
    one, two = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    path = tmp_path / "public.pem"

    def put(private: Ed25519PrivateKey) -> None:
        path.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def token(private: Ed25519PrivateKey) -> str:
        return jwt.encode({"sub": "user-1", "exp": NOW_MS // 1_000 + 9}, private, algorithm="EdDSA")

    put(one)
    house = House(tmp_path, public_key_file=str(path))

    async def work() -> None:
        assert [await house.is_good(token(private)) for private in (one, two)] == [True, False]
        put(two)
        await house.clock.pass_s(1)
        assert [await house.is_good(token(private)) for private in (one, two)] == [False, True]

    run(house, work)


def test_an_address_is_asked_every_so_often_and_the_last_good_keys_stay(tmp_path: Path) -> None:
    provider = Provider("a")
    house = House(tmp_path, provider, jwks_refresh_s=300.0)

    async def work() -> None:
        assert await house.is_good(provider.token("a"))
        assert provider.asked == 1
        provider.fault = JwksUnusable("status 500")
        await house.clock.pass_s(301)
        assert provider.asked == 2
        assert await house.is_good(provider.token("a"))
        # It is tried again soon, and what it has then counts: a signer that is gone is one no longer.
        provider.fault = None
        provider.publish("b")
        provider.withdraw("a")
        await house.clock.pass_s(RETRY_S + LOOK_S)
        assert provider.asked == 3
        assert await house.is_good(provider.token("b"))
        assert not await house.is_good(provider.token("a"))

    run(house, work)


@pytest.mark.parametrize("fault", [JwksUnusable("no answer"), RuntimeError("of our own")])
def test_without_an_answer_at_the_start_other_tokens_are_good_and_it_is_asked_again(
    tmp_path: Path, fault: Exception
) -> None:
    provider = Provider("a")
    provider.fault = fault
    house = House(tmp_path, provider)

    async def work() -> None:
        assert await house.is_good(house.own())
        provider.fault = None
        await house.clock.pass_s(RETRY_S + LOOK_S)
        assert await house.is_good(provider.token("a"))

    run(house, work)


def test_an_unknown_kid_has_the_address_asked_once_for_all_who_wait_and_not_again_soon(tmp_path: Path) -> None:
    provider = Provider("a")
    house = House(tmp_path, provider)

    async def work() -> None:
        provider.publish("b")
        provider.held = asyncio.Event()
        waiting = [asyncio.create_task(house.is_good(provider.token("b"))) for _ in range(50)]
        for _ in range(5):
            await asyncio.sleep(0)
        # One that goes away takes the fetch from nobody.
        waiting[0].cancel()
        provider.held.set()
        assert all(await asyncio.gather(*waiting[1:]))
        assert provider.asked == 2
        forged = jwt.encode({"sub": "user-1", "exp": 9}, "x" * 48, algorithm="HS256", headers={"kid": "made up"})
        for _ in range(50):
            with pytest.raises(SignerUnknown):
                await house.identify(forged)
        assert provider.asked == 2
        await house.clock.pass_s(SEEK_GAP_S)
        assert not await house.is_good(forged)
        assert not await house.is_good(forged)
        assert provider.asked == 3

    run(house, work)


def test_what_is_wrong_at_the_start_is_said_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"?")
    (tmp_path / "long").write_bytes(b"x" * 300_000)
    for setting, name in (
        ("jwks_file", "none"),
        ("jwks_file", "bad"),
        ("jwks_file", "long"),
        ("public_key_file", "bad"),
        ("public_key_file", "."),
    ):
        settings = msgspec.structs.replace(SignersSettings(data_dir=tmp_path), **{setting: str(tmp_path / name)})
        with pytest.raises(SignersUnusable) as unusable:
            Signers(settings, HandClock())
        assert unusable.value.setting == f"token_{setting}"
    with pytest.raises(SignersUnusable, match="token_jwks_url"):
        Signers(SignersSettings(data_dir=tmp_path, jwks_url="http://id.example"), HandClock())
