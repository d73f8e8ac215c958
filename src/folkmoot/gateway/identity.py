"""Who a token is for: JWTs whose algorithm is fixed by the key, never by the token."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jwt
import msgspec

from folkmoot.model.ids import DeviceId, UserId, is_name
from folkmoot.protocol.limits import TOKEN_CHARS_MAX

LEEWAY_S = 5
SECRET_BYTES = 48
SECRET_FILE = "secret.key"


class Identity(msgspec.Struct, frozen=True):
    """A user, perhaps a device, and when the token's time is over (wall clock, None: never)."""

    user: UserId
    device: DeviceId
    expires_ms: int | None


class TokenRefused(Exception):
    """The token is not good: `code` is `token_invalid` or `token_expired`. The token itself is never in the text."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class SecretUnsafe(Exception):
    """The secret's file can be read by others, or holds no secret: the server does not start with it."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What signs tokens: for HS256 a secret of at least 32 bytes, for EdDSA a public key in PEM."""

    algorithm: Literal["HS256", "EdDSA"]
    material: bytes
    kid: str = ""

    def __repr__(self) -> str:
        return f"Key({self.algorithm}, kid={self.kid!r})"


class Verifier:
    """Checks tokens against keys. A token's `kid` may name one of them; its `alg` has no say."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = [(key, _usable(key)) for key in keys]

    def verify(self, token: str, *, now_ms: int) -> Identity:
        """The identity in `token`. Raises TokenRefused."""
        if not token or len(token) > TOKEN_CHARS_MAX:
            raise TokenRefused("token_invalid", "no token, or one too long")
        try:
            kid = jwt.get_unverified_header(token).get("kid", "")
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise TokenRefused("token_invalid", "not a JWT") from error
        for key, usable in self._keys:
            if kid and key.kid and kid != key.kid:
                continue
            claims = _claims(token, usable, key.algorithm)
            if claims is not None:
                return _identity(claims, now_ms)
        raise TokenRefused("token_invalid", "not signed by a key of this server")


def secret_of(data_dir: Path) -> bytes:
    """The secret of an embedded server, made at its first start and readable by its owner only. Raises SecretUnsafe."""
    path = data_dir / SECRET_FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise SecretUnsafe(f"{path.name} can be read by others: chmod 600 it, and make new tokens") from None
        secret = path.read_bytes().strip()
        if len(secret) < 32:
            raise SecretUnsafe(f"{path.name} is shorter than 32 bytes: remove it to have a new one made") from None
        return secret
    secret = os.urandom(SECRET_BYTES).hex().encode()
    with os.fdopen(handle, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return secret


def mint(secret: bytes, user: UserId, *, device: DeviceId = "", lifetime_s: int, now_ms: int) -> str:
    """A token for `user`, good for `lifetime_s` seconds."""
    now_s = now_ms // 1_000
    claims: dict[str, Any] = {"sub": user, "iat": now_s, "exp": now_s + lifetime_s}
    if device:
        claims["device"] = device
    return jwt.encode(claims, secret, algorithm="HS256")


def _usable(key: Key) -> Any:
    # Parsed once: a PEM costs more than a verification.
    algorithm = jwt.get_algorithm_by_name(key.algorithm)
    if key.algorithm == "HS256" and len(key.material) < 32:
        raise SecretUnsafe("an HS256 secret has at least 32 bytes")
    return algorithm.prepare_key(key.material)


def _claims(token: str, usable: Any, algorithm: str) -> dict[str, Any] | None:
    # Times are checked below, against the clock that came in through the door.
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    try:
        return jwt.decode(token, usable, algorithms=[algorithm], options=options)
    except (jwt.InvalidTokenError, TypeError, ValueError, RecursionError):
        return None


def _identity(claims: dict[str, Any], now_ms: int) -> Identity:
    user, device = claims.get("sub"), claims.get("device", "")
    if not isinstance(user, str) or not is_name(user):
        raise TokenRefused("token_invalid", "sub is not a name")
    if not isinstance(device, str) or (device and not is_name(device)):
        raise TokenRefused("token_invalid", "device is not a name")
    times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
    for name, value in times.items():
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40
        ):
            raise TokenRefused("token_invalid", f"{name} is not a time")
    now_s = now_ms / 1_000
    if times["exp"] is not None and times["exp"] <= now_s:
        raise TokenRefused("token_expired", "its time is over")
    if max(times["nbf"] or 0, times["iat"] or 0) > now_s + LEEWAY_S:
        raise TokenRefused("token_invalid", "its time has not come")
    return Identity(user, device, None if times["exp"] is None else int(times["exp"] * 1_000))
