"""Who asks, and what they may do: tokens, API keys and the standing of users, come to one `Caller`."""

import hashlib
import hmac
from http import HTTPStatus
from typing import Final

import msgspec

from folkmoot.gateway.admission import TokenBucket
from folkmoot.gateway.identity import Identity, TokenRefused, Verifier, mint
from folkmoot.gateway.problem import STATUS
from folkmoot.gateway.standings import Standings
from folkmoot.model.ids import DeviceId, UserId, is_name
from folkmoot.ports.accounts import SCOPES, ApiKey, Standing
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import StoreAway
from folkmoot.ports.subjects import StandingMoved

KEY_PREFIX: Final = "fmk_"
KEY_CHARS_MAX: Final = 256

BUCKETS_MAX: Final = 10_000
"""Keys whose rate is watched. One more, and the one that asked longest ago begins with a full burst again."""

BURST_S: Final = 2.0
"""A key may ask at once what its rate allows in this time."""

TOKEN_LIFETIME_S_MAX: Final = 30 * 86_400
"""Of a token that a key makes: it is not kept anywhere, so only its end and its key can take it back."""

RETRY_AFTER_S: Final = 1.0

USER_SCOPES: Final = frozenset(("read", "write"))
ALL_SCOPES: Final = frozenset(SCOPES)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever asks. `user` is "" for an API key or an operator that acts for nobody.

    `issued_ms` is 0 where the token does not say, `signer` "" for an API key; `key` is the API key that acts, or that
    had the token made. `is_user`: a user's own token, not a key or an operator acting for one.
    """

    user: UserId
    device: DeviceId
    expires_ms: int | None
    issued_ms: int
    signer: str
    key: str
    scopes: frozenset[str]
    is_user: bool


class AccessRefused(Exception):
    """A request is answered with this instead. No credential is ever in the text."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


def require(caller: Caller, scope: str) -> None:
    """Raise AccessRefused where `caller` has no such scope."""
    if scope not in caller.scopes:
        what = "a user's own token" if caller.is_user else "this API key"
        raise AccessRefused(HTTPStatus.FORBIDDEN, "not_allowed", f"{what} lacks the scope {scope!r}")


def require_user(caller: Caller) -> UserId:
    """The user that `caller` is, or acts for. Raises AccessRefused where it is nobody."""
    if not caller.user:
        raise AccessRefused(HTTPStatus.BAD_REQUEST, "bad_request", "say for which user: the header Folkmoot-User")
    return caller.user


def fault_of(caller: Caller, standing: Standing | None, key: ApiKey | None) -> str:
    """The code of what shuts `caller` out, or "". `standing` and `key` are those of its `user` and `key`, if any."""
    if caller.key and (key is None or key.revoked_ms is not None):
        return "key_revoked"
    if standing is None:
        return ""
    if not standing.active:
        return "deactivated"
    # A sign-out ends what users hold; a key or an operator acts for them all the same.
    if caller.is_user and not standing.admits(caller.device, caller.issued_ms):
        return "signed_out"
    return ""


def hash_of(secret: str) -> bytes:
    """What is kept of an API key's secret. It is drawn at random and long, so a plain hash tells nothing of it."""
    return hashlib.sha256(secret.encode()).digest()


class Access:
    """The one place that says whether a token or a key is good now."""

    def __init__(self, verifier: Verifier, standings: Standings, clock: Clock) -> None:
        self.verifier = verifier
        self.standings = standings
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    async def of_token(self, token: str, *, device: DeviceId = "") -> Caller:
        """The user whose token opens, or keeps open, a connection. `device`: its own word, where the token has none.

        Raises TokenRefused, and StoreAway where nobody can tell.
        """
        identity = await self.verifier.identify(token, now_ms=self._clock.wall_ms())
        if identity.operator:
            raise TokenRefused("token_invalid", "an operator's token opens no connection of a user")
        caller = _user_of(identity, device)
        await self.check(caller)
        return caller

    async def of_request(self, authorization: str | None, acting_as: str | None) -> Caller:
        """Whoever sends a request with these headers, `Authorization` and `Folkmoot-User`. Raises AccessRefused."""
        scheme, _, credential = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not credential:
            detail = "send the header Authorization: Bearer, and a token or an API key"
            raise AccessRefused(HTTPStatus.UNAUTHORIZED, "token_invalid", detail)
        if acting_as is not None and not is_name(acting_as):
            raise AccessRefused(HTTPStatus.BAD_REQUEST, "bad_request", "Folkmoot-User is not a name")
        try:
            if credential.startswith(KEY_PREFIX):
                caller = await self._of_key(credential, acting_as or "")
            else:
                identity = await self.verifier.identify(credential, now_ms=self._clock.wall_ms())
                caller = self._of_identity(identity, acting_as or "")
            await self.check(caller)
        except TokenRefused as refused:
            raise AccessRefused(STATUS[refused.code], refused.code, refused.detail) from refused
        except StoreAway as away:
            detail = "who asks cannot be looked up now"
            raise AccessRefused(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, RETRY_AFTER_S) from away
        return caller

    async def may_read_metrics(self, authorization: str | None) -> None:
        """Raise AccessRefused unless it is a key with the scope `metrics`, or an operator."""
        require(await self.of_request(authorization, None), "metrics")

    async def check(self, caller: Caller) -> None:
        """Raise TokenRefused where what let `caller` in is no longer good; StoreAway where nobody can tell."""
        while True:
            moves = self.standings.moves
            key = await self.standings.key(caller.key) if caller.key else None
            standing = await self.standings.of(caller.user) if caller.user else None
            # What moved while the other was read is read again: all has to be good at this very moment.
            if moves == self.standings.moves:
                break
        if caller.signer and not self.verifier.knows(caller.signer):
            raise TokenRefused("token_invalid", "the key that signed the token is one no longer")
        code = fault_of(caller, standing, key)
        if code:
            raise TokenRefused(code, _DETAILS[code])

    async def mint_for(
        self, caller: Caller, user: UserId, device: DeviceId = "", *, lifetime_s: int
    ) -> tuple[str, int]:
        """A token of `user`'s own that ends with the key that asks, and when it ends at the latest (wall clock, ms).

        Raises AccessRefused.
        """
        require(caller, "tokens")
        if not is_name(user) or (device and not is_name(device)):
            raise AccessRefused(HTTPStatus.BAD_REQUEST, "bad_request", "the user or the device is not a name")
        if not 1 <= lifetime_s <= TOKEN_LIFETIME_S_MAX:
            detail = f"lifetime_s is 1 to {TOKEN_LIFETIME_S_MAX}"
            raise AccessRefused(HTTPStatus.BAD_REQUEST, "bad_request", detail)
        now_ms = self._clock.wall_ms()
        token = mint(self.verifier.secret, user, device=device, lifetime_s=lifetime_s, now_ms=now_ms, key=caller.key)
        return token, (now_ms // 1_000 + lifetime_s) * 1_000

    def moved(self, moved: StandingMoved) -> None:
        """A user or a key has changed: what is known of it counts no longer."""
        self.standings.moved(moved)

    async def _of_key(self, credential: str, acting_as: UserId) -> Caller:
        key_id, _, secret = credential[:KEY_CHARS_MAX].removeprefix(KEY_PREFIX).partition("_")
        key = await self.standings.key(key_id)
        if key is None or not hmac.compare_digest(hash_of(secret), key.secret_hash):
            raise TokenRefused("token_invalid", "no API key of this server")
        self._take(key)
        return Caller(
            user=acting_as,
            device="",
            expires_ms=None,
            issued_ms=0,
            signer="",
            key=key.id,
            scopes=frozenset(key.scopes),
            is_user=False,
        )

    def _of_identity(self, identity: Identity, acting_as: UserId) -> Caller:
        if not identity.operator:
            if acting_as and acting_as != identity.user:
                detail = "a user's own token acts for that user only"
                raise AccessRefused(HTTPStatus.FORBIDDEN, "not_allowed", detail)
            return _user_of(identity, "")
        return Caller(
            user=acting_as,
            device="",
            expires_ms=identity.expires_ms,
            issued_ms=identity.issued_ms,
            signer=identity.signer,
            key="",
            scopes=ALL_SCOPES,
            is_user=False,
        )

    def _take(self, key: ApiKey) -> None:
        """Count one request of the key's. Raises AccessRefused where its rate is passed."""
        bucket = self._buckets.pop(key.id, None)
        if bucket is None:
            bucket = TokenBucket(key.requests_per_s, max(1.0, BURST_S * key.requests_per_s))
        self._buckets[key.id] = bucket
        if len(self._buckets) > BUCKETS_MAX:
            del self._buckets[next(iter(self._buckets))]
        wait_s = bucket.take(self._clock.monotonic_s())
        if wait_s > 0:
            detail = f"this API key may ask {key.requests_per_s:g} times a second"
            raise AccessRefused(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", detail, wait_s)


def _user_of(identity: Identity, device: DeviceId) -> Caller:
    return Caller(
        user=identity.user,
        device=identity.device or device,
        expires_ms=identity.expires_ms,
        issued_ms=identity.issued_ms,
        signer=identity.signer,
        key=identity.key,
        scopes=USER_SCOPES,
        is_user=True,
    )


_DETAILS: Final = {
    "key_revoked": "the API key, or the one that had this token made, was revoked",
    "deactivated": "the user is deactivated",
    "signed_out": "the user signed out after this token was made",
}
