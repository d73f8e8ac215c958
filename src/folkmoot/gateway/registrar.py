"""Changes to who may come in: kept in the store first, then said on the bus, so that every gateway looks again."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from folkmoot.gateway.access import KEY_PREFIX, Access, AccessRefused, Caller, hash_of
from folkmoot.model.ids import DeviceId, UserId
from folkmoot.ports import subjects
from folkmoot.ports.accounts import SCOPES, Accounts, ApiKey
from folkmoot.ports.bus import Bus
from folkmoot.ports.clock import Chance, Clock
from folkmoot.ports.subjects import StandingMoved

KEY_ID_BYTES: Final = 8
KEY_SECRET_BYTES: Final = 32
KEY_NAME_CHARS_MAX: Final = 100
REQUESTS_PER_S_DEFAULT: Final = 100.0
REQUESTS_PER_S_MAX: Final = 10_000.0


class Registrar:
    """Users' standings and API keys, as an administrator changes them. Every call is safe to repeat but `create_key`.

    Whatever it raises of the store's errors, a change that may have been written is told to the gateways all the same.
    """

    def __init__(self, accounts: Accounts, access: Access, bus: Bus, clock: Clock, chance: Chance) -> None:
        self._accounts = accounts
        self._access = access
        self._bus = bus
        self._clock = clock
        self._chance = chance

    async def set_active(self, user: UserId, active: bool) -> None:
        """Raises StoreFull, StoreAway, StoreUnknown."""
        try:
            await self._accounts.set_active(user, active, at_ms=self._clock.wall_ms())
        finally:
            self._tell(StandingMoved(user=user))

    async def sign_out(self, user: UserId, device: DeviceId = "") -> None:
        """End what the device's tokens made until now are good for; with "" all of the user's. Raises as above."""
        try:
            # One more than now: a token of this very millisecond was made before, as far as anyone can tell.
            await self._accounts.sign_out(user, device, at_ms=self._clock.wall_ms() + 1)
        finally:
            self._tell(StandingMoved(user=user))

    async def create_key(
        self, caller: Caller, name: str, scopes: Sequence[str], requests_per_s: float = REQUESTS_PER_S_DEFAULT
    ) -> tuple[ApiKey, str]:
        """A new key, and its text, which is kept nowhere. Raises AccessRefused, and as above."""
        _check_terms(caller, name, scopes, requests_per_s)
        secret = self._chance.token(KEY_SECRET_BYTES).hex()
        key = ApiKey(
            id=self._chance.token(KEY_ID_BYTES).hex(),
            name=name,
            secret_hash=hash_of(secret),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            requests_per_s=requests_per_s,
            created_ms=self._clock.wall_ms(),
        )
        await self._accounts.put_key(key)
        return key, f"{KEY_PREFIX}{key.id}_{secret}"

    async def revoke_key(self, key_id: str) -> bool:
        """End a key and the tokens that it had made; whether there is such a key. Raises as above."""
        if await self._accounts.key(key_id) is None:
            return False
        try:
            await self._accounts.revoke_key(key_id, at_ms=self._clock.wall_ms())
        finally:
            self._tell(StandingMoved(key=key_id))
        return True

    def _tell(self, moved: StandingMoved) -> None:
        # This gateway's requests do not wait for the bus to believe it.
        self._access.moved(moved)
        self._bus.publish(subjects.STANDING, msgspec.msgpack.encode(moved))


def _check_terms(caller: Caller, name: str, scopes: Sequence[str], requests_per_s: float) -> None:
    if not 1 <= len(name) <= KEY_NAME_CHARS_MAX or not name.isprintable():
        _refuse(f"a key's name has 1 to {KEY_NAME_CHARS_MAX} printable characters")
    if not scopes or not set(scopes) <= set(SCOPES):
        _refuse(f"scopes are one or more of {', '.join(SCOPES)}")
    if not 0 < requests_per_s <= REQUESTS_PER_S_MAX:
        _refuse(f"requests_per_s is more than 0 and at most {REQUESTS_PER_S_MAX:g}")
    # Else a key that may only make keys could make itself one for everything.
    lacking = set(scopes) - caller.scopes
    if lacking:
        detail = f"a key cannot give what it lacks: {', '.join(sorted(lacking))}"
        raise AccessRefused(HTTPStatus.FORBIDDEN, "not_allowed", detail)


def _refuse(detail: str) -> None:
    raise AccessRefused(HTTPStatus.BAD_REQUEST, "bad_request", detail)
