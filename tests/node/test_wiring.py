"""The wiring: roles over a store and a bus, as the settings say, in a data directory only its owner can read."""

import asyncio
import stat
import sys
from pathlib import Path

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.sqlite.store import StoreInUse
from folkmoot.gateway.identity import TokenRefused, mint, secret_of
from folkmoot.model.ids import group_id
from folkmoot.model.send import Send
from folkmoot.node import wiring
from folkmoot.node.config import Settings, SettingsError
from folkmoot.node.wiring import build_roles, build_signers, open_bus, open_store, open_tracer
from folkmoot.ports import subjects
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.ports.subjects import Answer, Submit


def test_roles_are_built_from_settings_and_start_and_stop(tmp_path: Path) -> None:
    async def run() -> None:
        settings = Settings(data_dir=str(tmp_path / "new"), sends_per_s=7, ask_again_s=0.5)
        store = await open_store(settings, SystemClock())
        roles = build_roles(settings, store, await open_bus(settings), SystemClock(), SystemChance())
        assert roles.gateway.settings.sends_per_s == 7
        await roles.start()
        assert set(roles.statistics()) == {"gateway", "router", "delivery", "bus", "store"}
        with pytest.raises(StoreInUse):
            await open_store(settings, SystemClock())
        await roles.stop()
        await (await open_store(settings, SystemClock())).close()

    asyncio.run(run())
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "secret.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("role", ["gateway", "router"])
def test_a_gateway_writes_together_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool, role: str
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(wiring, "write_together", told.append)

    async def run() -> None:
        settings = Settings(data_dir=str(tmp_path), io_uring=wanted)
        store, bus = await open_store(settings, SystemClock()), await open_bus(settings)
        build_roles(msgspec.structs.replace(settings, roles=(role,)), store, bus, SystemClock(), SystemChance())
        await store.close()

    asyncio.run(run())
    assert told == ([wanted] if role == "gateway" else [])


def test_a_public_key_in_a_file_makes_eddsa_tokens_good_beside_the_secrets(tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path = tmp_path / "public.pem"
    path.write_bytes(pem)
    settings = Settings(data_dir=str(tmp_path), token_public_key_file=str(path))
    verifier = build_signers(settings, SystemClock()).verifier
    claims = {"sub": "user-1", "exp": 2_000}
    assert verifier.verify(jwt.encode(claims, private, algorithm="EdDSA"), now_ms=1_000_000).user == "user-1"
    assert verifier.verify(mint(secret_of(tmp_path), "user-2", lifetime_s=60, now_ms=0), now_ms=0).user == "user-2"
    other = jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA")
    with pytest.raises(TokenRefused):
        verifier.verify(other, now_ms=1_000_000)


def test_a_data_dir_that_is_not_there_is_made_though_no_store_is_in_it(tmp_path: Path) -> None:
    """As on a router whose store is Cassandra."""
    build_signers(Settings(data_dir=str(tmp_path / "new" / "one")), SystemClock())
    assert stat.S_IMODE((tmp_path / "new" / "one").stat().st_mode) == 0o700


@pytest.mark.parametrize("setting", ["token_public_key_file", "token_jwks_file"])
@pytest.mark.parametrize("content", [None, b"not a key"])
def test_a_public_key_that_is_none_names_the_setting(tmp_path: Path, content: bytes | None, setting: str) -> None:
    path = tmp_path / "public.pem"
    if content is not None:
        path.write_bytes(content)
    settings = msgspec.structs.replace(Settings(data_dir=str(tmp_path)), **{setting: str(path)})
    with pytest.raises(SettingsError, match=setting):
        build_signers(settings, SystemClock())


def test_an_address_of_keys_in_the_clear_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="token_jwks_url"):
        build_signers(Settings(data_dir=str(tmp_path), token_jwks_url="http://id.example/keys"), SystemClock())


def test_traces_without_their_library_name_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_tracer(Settings(), SystemChance(), "1") is None
    monkeypatch.setitem(sys.modules, "folkmoot.telemetry.traces", None)
    with pytest.raises(SettingsError, match=r"traces_endpoint: needs .*folkmoot\[traces\]"):
        open_tracer(Settings(traces_endpoint="console"), SystemChance(), "1")


def test_traces_are_drawn_by_the_process_own_chance() -> None:
    settings = Settings(traces_endpoint="http://127.0.0.1:9/v1/traces", traces_ratio=0.0)
    tracer = open_tracer(settings, SystemChance(), "1")
    assert tracer is not None
    assert tracer.root("submit") is None
    tracer.ratio = 1.0
    assert tracer.root("submit") is not None  # Never ended, so nothing is exported.
    tracer.close()


class Halted(SystemClock):
    """A clock on which no wait ends."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


def test_the_one_router_of_a_file_takes_sends_before_it_has_heard_who_else_lives(tmp_path: Path) -> None:
    # Killed, it was missed for the half second more in which it heard for others, though there can be none.
    settings = Settings(data_dir=str(tmp_path), bus="nats", roles=("router",))

    async def body() -> None:
        bus = MemoryBus()
        roles = build_roles(settings, await open_store(settings, SystemClock()), bus, Halted(), SystemChance())
        starting = asyncio.create_task(roles.start())
        await asyncio.sleep(0)
        send = Send(
            group=group_id("user-1", "make"), sender="user-1", device="d", send_id="make", join=0, after=None,
            kind="group.created", body=b'{"name":"g"}',
        )  # fmt: skip
        raw = await bus.request(subjects.submit(send.group), msgspec.msgpack.encode(Submit(send)), timeout_s=10)
        assert msgspec.msgpack.decode(raw, type=Answer).seq == 1
        assert not starting.done()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await roles.stop()

    asyncio.run(body())
