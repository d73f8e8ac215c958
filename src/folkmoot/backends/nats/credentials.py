"""What a connection to NATS needs that is secret or checks the other side: read from files, and shown nowhere."""

import os
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import nkeys  # type: ignore[import-untyped]

FILE_BYTES_MAX: Final = 64 * 1024
_JWT: Final = "-----BEGIN NATS USER JWT-----"
_SEED: Final = "-----BEGIN USER NKEY SEED-----"


class BusUnusable(Exception):
    """No bus can be had as the settings say; the text names the setting, and holds nothing secret."""


@dataclass(frozen=True)
class Credentials:
    """What the library is given to say who we are; nothing of it is in `repr`."""

    options: dict[str, Any] = field(default_factory=dict, repr=False)


def read_credentials(path: str) -> Credentials:
    """From `nats_credentials_file`; "" for none. Raises BusUnusable, which never quotes it.

    It holds one line `user:password`, or the seed of a user's nkey (`SU…`), or what `nsc` writes as a `.creds` file.
    """
    if not path:
        return Credentials()
    text = _private_text(path)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if _JWT in lines:
        _check_seed(path, lines[lines.index(_SEED) + 1] if _SEED in lines[:-1] else "")
        return Credentials({"user_credentials": path})
    if len(lines) == 1 and lines[0].startswith("SU") and ":" not in lines[0]:
        _check_seed(path, lines[0])
        return Credentials({"nkeys_seed": path})
    user, colon, password = lines[0].partition(":") if len(lines) == 1 else ("", "", "")
    if not (user and colon and password):
        raise BusUnusable(
            f"nats_credentials_file: {path} must hold one line `user:password`, a user's nkey seed, or a .creds file"
        )
    return Credentials({"user": user, "password": password})


def tls_context(urls: tuple[str, ...], ca_file: str) -> ssl.SSLContext | None:
    """How servers are checked: None where neither a URL nor `nats_ca_file` asks for TLS. Raises BusUnusable."""
    if not ca_file and not any(url.startswith("tls://") for url in urls):
        return None
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as fault:
        raise BusUnusable(f"nats_ca_file: {ca_file} cannot be read as certificates in PEM: {fault}") from None


def check_urls(urls: tuple[str, ...]) -> None:
    """Raises BusUnusable where one is not the address of a server, or holds a password."""
    if not urls:
        raise BusUnusable("nats_urls: at least one is needed, as nats://host:4222")
    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme in {"nats", "tls"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            good, parts = False, urlsplit("")
        if "@" in parts.netloc:
            # Not quoted: it would end in a log.
            raise BusUnusable("nats_urls: a user or password does not belong there; put it in nats_credentials_file")
        if not good or parts.path.strip("/") or parts.query:
            raise BusUnusable("nats_urls: each must be as nats://host:4222 or tls://host:4222")


def _check_seed(path: str, seed: str) -> None:
    """The library reads it at each connection, where a fault in it would be one of many and no setting's."""
    try:
        nkeys.from_seed(bytearray(seed.encode()))
    except (nkeys.NkeysError, ValueError):
        raise BusUnusable(f"nats_credentials_file: {path} holds no good seed of a user's nkey") from None


def _private_text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise BusUnusable(f"nats_credentials_file: others can read {path}; chmod 600 it")
            return file.read(FILE_BYTES_MAX).decode()
    except OSError as fault:
        raise BusUnusable(f"nats_credentials_file: {path} cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise BusUnusable(f"nats_credentials_file: {path} is not text") from None
