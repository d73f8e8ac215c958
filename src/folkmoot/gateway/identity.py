"""Who a token is for: JWTs whose algorithm is fixed by the key, never by the token."""

import fcntl
import hashlib
import hmac
import os
import stat
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from folkmoot.model.ids import DeviceId, UserId, is_name
from folkmoot.protocol.limits import TOKEN_CHARS_MAX

VERIFIED_MAX: Final = 10_000
"""Tokens, by their hash, that need not be verified again while their keys stay: past it, the first of them do."""

LEEWAY_S: Final = 5
"""How far a token's maker may be ahead of us. Its end is kept to the second: a late one is only asked for again."""

SECRET_BYTES: Final = 48
SECRET_BYTES_MIN: Final = 32
SECRET_FILE: Final = "secret.key"

RSA_BITS_MIN: Final = 2_048
RSA_BITS_MAX: Final = 8_192
"""Of a longer one, each check would hold up everybody else."""

Algorithm: TypeAlias = Literal["HS256", "EdDSA", "RS256", "ES256"]

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


class SignerUnknown(TokenRefused):
    """The token names a key (`kid`) that is not among ours: whoever keeps the keys may look for new ones."""

    def __init__(self) -> None:
        super().__init__("token_invalid", "not signed by a key of this server")


class KeyUnusable(ValueError):
    """The key is not one of its algorithm, is too short, or is not the public half. The key is never in the text."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What signs tokens: for HS256 a secret of at least 32 bytes, otherwise a public key in PEM."""

    algorithm: Algorithm
    material: bytes
    kid: str = ""
    local: bool = False
    """The server's own: what it says of operators and of API keys counts, and it needs no issuer and no audience."""

    @property
    def name(self) -> str:
        """What tokens that it signed are remembered by. Another key has another name, though its `kid` be the same."""
        digest = hmac.digest(self.material, b"folkmoot signer " + self.algorithm.encode(), "sha256")
        return f"{self.kid or ('local' if self.local else self.algorithm)}:{digest[:8].hex()}"

    def __repr__(self) -> str:
        return f"Key({self.algorithm}, kid={self.kid!r})"


class Verifier:
    """Checks tokens against keys. A token's `kid` may name one of them; its `alg` only saves trying the others.

    A token without `exp` would be good for ever, and nothing could take it back: it is refused unless asked for.
    `issuer` and `audience` are checked where they are given, and only of keys that are not the server's own.
    """

    def __init__(
        self, keys: Sequence[Key], *, expiry_required: bool = True, issuer: str = "", audience: str = ""
    ) -> None:
        """Raises KeyUnusable."""
        self.on_change: list[Callable[[], None]] = []
        self.seek: Callable[[], Awaitable[None]] | None = None
        """Looks for new keys, and replaces these where there are: asked when a token names a key that is unknown."""
        self._expiry_required = expiry_required
        self._issuer = issuer
        self._audience = audience
        self._signers = _signers(keys)
        self._verified: dict[bytes, Identity] = {}

    @property
    def secret(self) -> bytes:
        """The server's own secret, that tokens are made with. Raises KeyUnusable where it has none."""
        for signer in self._signers.values():
            if signer.key.local:
                return signer.key.material
        raise KeyUnusable("this server has no secret of its own")

    def verify(self, token: str, *, now_ms: int) -> Identity:
        """The identity in `token`. Raises TokenRefused; SignerUnknown where another key might be the one."""
        if not token or len(token) > TOKEN_CHARS_MAX:
            raise TokenRefused("token_invalid", "no token, or one too long")
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        identity = self._verified.get(digest)
        if identity is None or (identity.expires_ms is not None and identity.expires_ms <= now_ms):
            identity = self._verify(token, now_ms)
            self._verified[digest] = identity
            if len(self._verified) > VERIFIED_MAX:
                del self._verified[next(iter(self._verified))]
        return identity

    def _verify(self, token: str, now_ms: int) -> Identity:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise TokenRefused("token_invalid", "not a JWT") from error
        kid = header.get("kid", "")
        for name, signer in self._signers.items():
            key = signer.key
            if header.get("alg") != key.algorithm or (kid and key.kid and kid != key.kid):
                continue
            claims = _claims(token, signer.usable, key.algorithm)
            if claims is not None:
                if not key.local:
                    self._check_meant(claims)
                if self._expiry_required and claims.get("exp") is None:
                    raise TokenRefused("token_invalid", "it has no exp")
                return _identity(claims, now_ms, key, name)
        if kid and all(signer.key.kid != kid for signer in self._signers.values()):
            raise SignerUnknown
        raise TokenRefused("token_invalid", "not signed by a key of this server")

    async def identify(self, token: str, *, now_ms: int) -> Identity:
        """The same, looking for new keys first where the token names one that is unknown. Raises TokenRefused."""
        try:
            return self.verify(token, now_ms=now_ms)
        except SignerUnknown:
            if self.seek is None:
                raise
        await self.seek()
        return self.verify(token, now_ms=now_ms)

    def knows(self, signer: str) -> bool:
        """Whether tokens of this signer are still good."""
        return signer in self._signers

    def replace(self, keys: Sequence[Key]) -> bool:
        """Check tokens against `keys` from now on; whether that is a change, of which `on_change` was told.

        Raises KeyUnusable, and then nothing is changed.
        """
        signers = _signers(keys)
        if [signer.key for signer in signers.values()] == [signer.key for signer in self._signers.values()]:
            return False
        self._signers = signers
        self._verified.clear()
        for told in self.on_change:
            told()
        return True

    def _check_meant(self, claims: dict[str, Any]) -> None:
        """Raise TokenRefused where the token is of another issuer, or for another service."""
        if self._issuer and claims.get("iss") != self._issuer:
            raise TokenRefused("token_invalid", "its issuer (iss) is not the one this server takes")
        audience = claims.get("aud")
        if self._audience and self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise TokenRefused("token_invalid", "its audience (aud) is not this server")


def public_key(pem: bytes, *, kid: str = "") -> Key:
    """The key in a PEM file, with the one algorithm that goes with its kind. Raises KeyUnusable."""
    try:
        found = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable("not a public key in PEM (BEGIN PUBLIC KEY)") from error
    algorithm: Algorithm
    match found:
        case Ed25519PublicKey():
            algorithm = "EdDSA"
        case RSAPublicKey():
            algorithm = "RS256"
        case EllipticCurvePublicKey():
            algorithm = "ES256"
        case _:
            raise KeyUnusable("of a kind that no token is taken from: RSA, P-256 or Ed25519")
    return Key(algorithm=algorithm, material=pem, kid=kid)


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


class _Signer(NamedTuple):
    """A key, and the same parsed: a PEM costs more than a verification."""

    key: Key
    usable: Any


def _signers(keys: Sequence[Key]) -> dict[str, _Signer]:
    return {key.name: _Signer(key, _usable(key)) for key in keys}


def _usable(key: Key) -> Any:
    """The key as PyJWT takes it. Raises KeyUnusable."""
    if key.algorithm == "HS256":
        if len(key.material) < SECRET_BYTES_MIN:
            raise KeyUnusable(f"an HS256 secret has at least {SECRET_BYTES_MIN} bytes")
        try:
            return jwt.get_algorithm_by_name("HS256").prepare_key(key.material)
        except jwt.InvalidKeyError as error:
            raise KeyUnusable("a public key is no secret for HS256") from error
    try:
        found = load_pem_public_key(key.material)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"not a public key for {key.algorithm}") from error
    if not isinstance(found, _KINDS[key.algorithm]):
        raise KeyUnusable(f"not a key for {key.algorithm}")
    if isinstance(found, RSAPublicKey) and not RSA_BITS_MIN <= found.key_size <= RSA_BITS_MAX:
        raise KeyUnusable(f"an RSA key has {RSA_BITS_MIN} to {RSA_BITS_MAX} bits")
    if isinstance(found, EllipticCurvePublicKey) and not isinstance(found.curve, SECP256R1):
        raise KeyUnusable("an ES256 key is on the curve P-256")
    return found


_KINDS: Final[dict[str, type]] = {
    "EdDSA": Ed25519PublicKey,
    "RS256": RSAPublicKey,
    "ES256": EllipticCurvePublicKey,
}


def _claims(token: str, usable: Any, algorithm: str) -> dict[str, Any] | None:
    # Times are checked below, against the clock that came in through the door.
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    try:
        return jwt.decode(token, usable, algorithms=[algorithm], options=options)
    except (jwt.InvalidTokenError, TypeError, ValueError, RecursionError):
        return None


def _identity(claims: dict[str, Any], now_ms: int, key: Key, signer: str) -> Identity:
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
        signer=signer,
        operator=key.local and claims.get("scope") == OPERATOR_SCOPE,
        key=str(claims.get("key", "")) if key.local else "",
    )
