"""Who a token is for: JWTs whose algorithm is fixed by the key, never by the token."""

import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import jwt
import msgspec

from folkmoot.model.ids import DeviceId, UserId, is_name
from folkmoot.protocol.limits import TOKEN_CHARS_MAX

LEEWAY_S: Final = 5
"""How far a token's maker may be ahead of us. Its end is kept to the second: a late one is only asked for again."""

SECRET_BYTES: Final = 48
SECRET_BYTES_MIN: Final = 32
SECRET_FILE: Final = "secret.key"

OPERATOR_SCOPE: Final = "operator"


class Identity(msgspec.Struct, frozen=True):
    """A user, perhaps a device, and when the token's time is over (wall clock, None: never).

    `issued_ms` is 0 where the token does not say. `operator`, and `key`, the API key that had the token made, are the
    word of the server's own secret only.
    """

    user: UserId
    device: DeviceId
    expires_ms: int | None
    issued_ms: int = 0
    signer: str = ""
    operator: bool = False
    key: str = ""


class TokenRefused(Exception):
    """The token is not good: `code` is `token_invalid` or `token_expired`. The token itself is never in the text."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class SecretUnsafe(Exception):
    """The secret's file can be read by others, or holds no secret: the server does not start with it."""


class KeyUnusable(ValueError):
    """The key is not one of its algorithm, or is too short. The key itself is never in the text."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What signs tokens: for HS256 a secret of at least 32 bytes, for EdDSA a public key in PEM."""

    algorithm: Literal["HS256", "EdDSA"]
    material: bytes
    kid: str = ""
    local: bool = False
    """The server's own: what it says of operators and of API keys counts."""

    @property
    def name(self) -> str:
        """What tokens that it signed are remembered by."""
        return self.kid or ("local" if self.local else self.algorithm)

    def __repr__(self) -> str:
        return f"Key({self.algorithm}, kid={self.kid!r})"


class Verifier:
    """Checks tokens against keys. A token's `kid` may name one of them; its `alg` has no say.

    A token without `exp` would be good for ever, and nothing could take it back: it is refused unless asked for.
    """

    def __init__(self, keys: Sequence[Key], *, expiry_required: bool = True) -> None:
        """Raises KeyUnusable."""
        self._keys = [(key, _usable(key)) for key in keys]
        self._expiry_required = expiry_required

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
                if self._expiry_required and claims.get("exp") is None:
                    raise TokenRefused("token_invalid", "it has no exp")
                return _identity(claims, now_ms, key)
        raise TokenRefused("token_invalid", "not signed by a key of this server")

    def knows(self, signer: str) -> bool:
        """Whether tokens of this signer are still good."""
        return any(key.name == signer for key, _ in self._keys)


def secret_of(data_dir: Path) -> bytes:
    """The secret of an embedded server, made at its first start and readable by its owner only. Raises SecretUnsafe."""
    path = data_dir / SECRET_FILE
    try:
        return _read_secret(path, os.O_RDONLY) or _read_secret(path, os.O_RDWR)
    except FileNotFoundError:
        return _read_secret(path, os.O_RDWR | os.O_CREAT)


def mint(
    secret: bytes,
    user: UserId,
    *,
    device: DeviceId = "",
    lifetime_s: int,
    now_ms: int,
    key: str = "",
    operator: bool = False,
) -> str:
    """A token for `user`, good for `lifetime_s` seconds, that ends with the API key `key`; or an operator's."""
    # To the millisecond: one that is made right after a sign-out has to be good.
    claims: dict[str, Any] = {"sub": user, "iat": now_ms / 1_000, "exp": now_ms // 1_000 + lifetime_s}
    if device:
        claims["device"] = device
    if key:
        claims["key"] = key
    if operator:
        claims["scope"] = OPERATOR_SCOPE
    return jwt.encode(claims, secret, algorithm="HS256")


def _read_secret(path: Path, flags: int) -> bytes:
    """The secret; made where the file is empty, as one is whose maker was killed. `b""` if it may only be read."""
    handle = os.open(path, flags, 0o600)
    # Whoever comes while it is being made waits for it, be it another process.
    with os.fdopen(handle, "rb" if flags == os.O_RDONLY else "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH if flags == os.O_RDONLY else fcntl.LOCK_EX)
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise SecretUnsafe(f"{path.name} can be read by others: chmod 600 it, and make new tokens")
        secret = file.read().strip()
        if secret and len(secret) < SECRET_BYTES_MIN:
            raise SecretUnsafe(
                f"{path.name} is shorter than {SECRET_BYTES_MIN} bytes: remove it to have a new one made"
            )
        if not secret and flags != os.O_RDONLY:
            secret = os.urandom(SECRET_BYTES).hex().encode()
            file.seek(0)
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
    return secret


def _usable(key: Key) -> Any:
    # Parsed once: a PEM costs more than a verification.
    if key.algorithm == "HS256" and len(key.material) < SECRET_BYTES_MIN:
        raise KeyUnusable(f"an HS256 secret has at least {SECRET_BYTES_MIN} bytes")
    try:
        return jwt.get_algorithm_by_name(key.algorithm).prepare_key(key.material)
    except (jwt.InvalidKeyError, ValueError, TypeError) as error:
        raise KeyUnusable(f"not a key for {key.algorithm}") from error


def _claims(token: str, usable: Any, algorithm: str) -> dict[str, Any] | None:
    # Times are checked below, against the clock that came in through the door.
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    try:
        return jwt.decode(token, usable, algorithms=[algorithm], options=options)
    except (jwt.InvalidTokenError, TypeError, ValueError, RecursionError):
        return None


def _identity(claims: dict[str, Any], now_ms: int, signer: Key) -> Identity:
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
    return Identity(
        user,
        device,
        None if times["exp"] is None else int(times["exp"] * 1_000),
        issued_ms=round((times["iat"] or 0) * 1_000),
        signer=signer.name,
        operator=signer.local and claims.get("scope") == OPERATOR_SCOPE,
        key=str(claims.get("key", "")) if signer.local else "",
    )
