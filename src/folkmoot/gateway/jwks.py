"""A JSON Web Key Set (RFC 7517): the public keys in it that tokens are taken from, and how one is fetched."""

import asyncio
import contextlib
import ipaddress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from folkmoot.gateway.identity import Algorithm, Key, KeyUnusable, Verifier

if TYPE_CHECKING:
    import httpx

KEYS_MAX: Final = 32
"""Usable ones. A set with more is refused: a token without a `kid` may have to be tried on each."""

BYTES_MAX: Final = 262_144
FETCH_SECONDS_MAX: Final = 5.0
"""Of one look at the address, whatever it does meanwhile."""

KID_CHARS_MAX: Final = 256

_ALGORITHMS: Final[dict[tuple[str, str], Algorithm]] = {
    ("RSA", ""): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "k")


class JwksUnusable(Exception):
    """No keys could be had: the text says why, in words of ours and never in those of the far side."""


def keys_of(content: bytes) -> list[Key]:
    """The keys of a set: RSA (RS256), P-256 (ES256), Ed25519 (EdDSA), those for encryption and others left out.

    Raises JwksUnusable where it is no set, none of its keys can be used, or one of ours has its private half in it.
    """
    try:
        rows = msgspec.json.decode(content, type=dict[str, Any])["keys"]
        rows = msgspec.convert(rows, list[dict[str, Any]])
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, RecursionError) as error:
        raise JwksUnusable("not a JWKS: a JSON object with a list `keys`") from error
    keys, why = [], "it has no keys"
    for row in rows:
        algorithm = _algorithm_of(row)
        if algorithm is None:
            why = "none of its keys is one for RS256, ES256 or EdDSA"
            continue
        try:
            key = _key_of(row, algorithm)
        except KeyUnusable as error:
            why = str(error)
            continue
        keys.append(key)
    if not keys:
        raise JwksUnusable(f"no key of it can be used: {why}")
    if len(keys) > KEYS_MAX:
        raise JwksUnusable(f"more than {KEYS_MAX} keys")
    return keys


def url_fault(url: str) -> str:
    """What is wrong with an address to fetch a set from, or "": in the clear it could be changed on the way."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "not an address"
    if not host or parts.username is not None:
        return "not an address, or one with a name in it"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return ""
    return "https, or http on this machine"


async def fetch(url: str) -> bytes:
    """What is at `url`, no more than BYTES_MAX of it, without following it elsewhere. Raises JwksUnusable."""
    # Loading the library, and the authorities it trusts, is long for a loop on which everybody waits.
    client = await asyncio.to_thread(_client, in_clear=url.startswith("http:"))
    import httpx

    try:
        async with (
            asyncio.timeout(FETCH_SECONDS_MAX),
            client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise JwksUnusable(f"answered with status {response.status_code}")
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > BYTES_MAX:
                    raise JwksUnusable(f"longer than {BYTES_MAX} bytes")
            return bytes(content)
    except TimeoutError as error:
        raise JwksUnusable(f"no answer within {FETCH_SECONDS_MAX:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise JwksUnusable(f"cannot be fetched ({type(error).__name__})") from error


def _client(*, in_clear: bool) -> "httpx.AsyncClient":
    """A client that follows nothing. Proxies and authorities of the environment hold for https: in the clear, a proxy
    would be elsewhere."""
    import httpx

    return httpx.AsyncClient(follow_redirects=False, trust_env=not in_clear)


def _algorithm_of(row: dict[str, Any]) -> Algorithm | None:
    """The one that goes with the kind of key; None where tokens are not signed with such a one, or by its own word."""
    kind = row.get("kty")
    curve = row.get("crv", "") if kind != "RSA" else ""
    algorithm = _ALGORITHMS.get((kind, curve)) if isinstance(kind, str) and isinstance(curve, str) else None
    if row.get("use", "sig") != "sig" or row.get("alg", algorithm) != algorithm:
        return None
    return algorithm


def _key_of(row: dict[str, Any], algorithm: Algorithm) -> Key:
    """Raises KeyUnusable; JwksUnusable where the private half is there."""
    if any(name in row for name in _PRIVATE):
        raise JwksUnusable("the private half of a key is in it: it belongs with whoever signs, and nowhere else")
    kid = row.get("kid", "")
    if not isinstance(kid, str) or len(kid) > KID_CHARS_MAX:
        raise KeyUnusable("a kid is not text, or too long")
    try:
        found = jwt.PyJWK(row, algorithm).key
        pem = found.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise KeyUnusable(f"not a key for {algorithm}") from error
    key = Key(algorithm=algorithm, material=pem, kid=kid)
    Verifier([key])
    return key


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
