"""The server's own secret, changed: a new one takes its place, and the old one ends now or stays good for a while."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.gateway.identity import SECRET_BYTES, SECRET_FILE, Key, SecretUnsafe, secret_of

OLD_FILE: Final = "secret.old.json"
OLD_SECRETS_MAX: Final = 4
"""Kept beside the present one. One more, and the one that ends first ends now."""

OLD_BYTES_MAX: Final = 65_536


class Old(msgspec.Struct, frozen=True):
    """A secret that was replaced, and until when (wall clock) tokens signed with it are good."""

    secret: str
    until_ms: int

    def __repr__(self) -> str:
        return f"Old(until_ms={self.until_ms})"


def rotate(data_dir: Path, *, keep_old_ms: int, now_ms: int) -> None:
    """Put a new secret in place. Tokens of the old one are good for `keep_old_ms` more.

    With 0 all old ones end, also those that were kept by earlier changes. Whenever this is cut off, the directory has a
    whole secret, and it can be done again. Raises SecretUnsafe, OSError, and FileNotFoundError where there is none yet.
    """
    with _locked(data_dir):
        if not (data_dir / SECRET_FILE).exists():
            raise FileNotFoundError(f"{data_dir} has no {SECRET_FILE}")
        present = Old(secret_of(data_dir).decode(), now_ms + keep_old_ms)
        # One that was cut off may have kept the present one already.
        older = [old for old in _read(data_dir) if old.until_ms > now_ms and old.secret != present.secret]
        kept = [present, *older] if keep_old_ms else []
        kept.sort(key=lambda old: old.until_ms, reverse=True)
        # Before the new secret is there: cut off in between, the old one is good under both names, never under none.
        _put(data_dir / OLD_FILE, msgspec.json.encode(kept[:OLD_SECRETS_MAX]))
        _put(data_dir / SECRET_FILE, os.urandom(SECRET_BYTES).hex().encode())


def own_keys(data_dir: Path) -> list[tuple[Key, int | None]]:
    """The keys of the server's own secrets, each with when it ends (wall clock, ms): the present one first, None.

    Makes a secret where there is none. Raises SecretUnsafe and OSError.
    """
    present = secret_of(data_dir)
    kept = [(old.secret.encode(), old.until_ms) for old in _read(data_dir) if old.secret.encode() != present]
    secrets: list[tuple[bytes, int | None]] = [(present, None), *kept]
    return [(Key(algorithm="HS256", material=secret, local=True), ends_ms) for secret, ends_ms in secrets]


def _read(data_dir: Path) -> list[Old]:
    path = data_dir / OLD_FILE
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return []
    with os.fdopen(handle, "rb") as file:
        if os.fstat(handle).st_mode & 0o077:
            raise SecretUnsafe(f"{OLD_FILE} can be read by others: chmod 600 it, or remove it to end what it keeps")
        content = file.read(OLD_BYTES_MAX)
    try:
        return msgspec.json.decode(content, type=list[Old])
    except msgspec.DecodeError as error:
        raise SecretUnsafe(f"{OLD_FILE} is damaged: remove it to end what it keeps") from error


def _put(path: Path, content: bytes) -> None:
    """The file's new content, whole or not at all, durable before this returns, readable by its owner only."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        # One that was left by a run cut off keeps its mode otherwise.
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One change at a time, whoever makes it: the second would keep a secret that was never in force."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
