"""The accounts port: who users are to one another, whether they may come in, and the keys of customers' backends."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from folkmoot.model.ids import DeviceId, UserId

SCOPES: Final = ("read", "write", "users", "tokens", "metrics", "keys")
"""What an API key may do: read and write as any user, administer users, make tokens, read metrics, administer keys."""

DEVICES_OUT_MAX: Final = 100
"""Signed out one by one. One more signs out all devices of the user."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How a user is shown to others. `data` is a JSON object of the application's own."""

    user: UserId
    name: str = ""
    picture: str = ""
    data: bytes = b"{}"
    changed_ms: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a user may come in. A user of whom nothing is known has the standing that all fields default to.

    A token made before `out_before_ms`, or before the time in `devices_out` for its device, is no longer good.
    """

    user: UserId
    active: bool = True
    active_changed_ms: int = 0
    out_before_ms: int = 0
    devices_out: Mapping[DeviceId, int] = {}

    def admits(self, device: DeviceId, issued_ms: int) -> bool:
        """Whether a token made at `issued_ms` for `device` ("": none) is still good."""
        return self.active and issued_ms >= max(self.out_before_ms, self.devices_out.get(device, 0) if device else 0)

    def switched(self, active: bool, at_ms: int) -> "Standing":
        """With `active` as it was set at `at_ms`, unless it was set later."""
        if at_ms < self.active_changed_ms:
            return self
        return msgspec.structs.replace(self, active=active, active_changed_ms=at_ms)

    def signed_out(self, device: DeviceId, at_ms: int) -> "Standing":
        """With the device, or with "" all of them, signed out at `at_ms`, unless that was later."""
        out_before_ms = self.out_before_ms if device else max(self.out_before_ms, at_ms)
        devices = dict(self.devices_out)
        if device:
            devices[device] = max(at_ms, devices.get(device, 0))
        if len(devices) > DEVICES_OUT_MAX:
            out_before_ms = max(out_before_ms, at_ms)
        kept = {name: before_ms for name, before_ms in devices.items() if before_ms > out_before_ms}
        return msgspec.structs.replace(self, out_before_ms=out_before_ms, devices_out=kept)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a customer's backend. Only the SHA-256 of its secret is kept: the secret is shown once, when made."""

    id: str
    name: str
    secret_hash: bytes
    scopes: tuple[str, ...]
    requests_per_s: float
    created_ms: int
    revoked_ms: int | None = None

    def __repr__(self) -> str:
        return f"ApiKey({self.id}, {self.name!r}, {','.join(self.scopes)})"


class Accounts(Protocol):
    """Promises, which `testing.accounts_suite` checks for every backend:

    - what a call wrote is durable before it returns, and every later read sees it;
    - nothing goes back: a sign-out's time only rises, a revoked key stays revoked, and of two changes to whether a user
      is active, or to a profile, the one with the later time stays, whichever was written last;
    - reads never fail for a user or a key of whom nothing is known;
    - errors are the store's: StoreFull and StoreAway say that nothing was written, StoreUnknown that nobody knows, and
      every call is safe to repeat.
    """

    async def profiles(self, users: Sequence[UserId]) -> dict[UserId, Profile]:
        """The profiles of those of `users` (at most 1,000) that have one."""

    async def put_profile(self, profile: Profile) -> None: ...

    async def standing(self, user: UserId) -> Standing: ...

    async def set_active(self, user: UserId, active: bool, *, at_ms: int) -> None: ...

    async def sign_out(self, user: UserId, device: DeviceId, *, at_ms: int) -> None:
        """Tokens made before `at_ms` are no longer good: the device's, or with "" all of the user's."""

    async def users(self, *, after: UserId, rows_max: int) -> list[UserId]:
        """Users with a profile or a standing, by id."""

    async def put_key(self, key: ApiKey) -> None:
        """Keep a new key. One with this id stays as it is."""

    async def key(self, key_id: str) -> ApiKey | None: ...

    async def keys(self, *, after: str, rows_max: int) -> list[ApiKey]:
        """Keys by id, revoked ones too."""

    async def revoke_key(self, key_id: str, *, at_ms: int) -> None: ...
