"""Whose tokens are good now: the server's secrets, keys in files, keys at an address, each taken up as it changes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from folkmoot.gateway import jwks
from folkmoot.gateway.identity import SECRET_FILE, Key, KeyUnusable, SecretUnsafe, Verifier, public_key
from folkmoot.gateway.jwks import JwksUnusable
from folkmoot.gateway.rotation import OLD_FILE, own_keys
from folkmoot.gateway.watched import LOOK_S, Watched
from folkmoot.ports.clock import Clock

SEEK_GAP_S: Final = 10.0
"""Between two fetches that unknown kids caused: anybody can make one up."""

RETRY_S: Final = 10.0
"""How soon an address is tried again that has given no keys."""

FILE_BYTES_MAX: Final = jwks.BYTES_MAX

Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]

_log = logging.getLogger(__name__)


class SignersSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where keys are. "": not there. `node/config.py` says what each is for."""

    data_dir: Path
    public_key_file: str = ""
    jwks_file: str = ""
    jwks_url: str = ""
    jwks_refresh_s: float = 300.0
    issuer: str = ""
    audience: str = ""


class SignersUnusable(Exception):
    """A setting that names keys is wrong. `setting` is its name."""

    def __init__(self, setting: str, value: str, why: str) -> None:
        super().__init__(f"{setting} {value}: {why}")
        self.setting = setting


class Signers:
    """Keeps `verifier` with the keys of now. What cannot be read any more leaves what was read last in force."""

    def __init__(self, settings: SignersSettings, clock: Clock, fetch: Fetch = jwks.fetch) -> None:
        """Reads the files; an address is first asked in `start`. Raises SignersUnusable, SecretUnsafe and OSError."""
        self._settings = settings
        self._clock = clock
        self._fetch = fetch
        self._own = own_keys(settings.data_dir)
        self._of_files: dict[str, list[Key]] = {}
        self._of_url: list[Key] = []
        self._fetching: asyncio.Task[None] | None = None
        self._fetch_due_s = 0.0
        self._seek_due_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        readers = {"token_public_key_file": settings.public_key_file, "token_jwks_file": settings.jwks_file}
        self._files = {setting: (path, Watched([Path(path)])) for setting, path in readers.items() if path}
        self._secrets = Watched([settings.data_dir / SECRET_FILE, settings.data_dir / OLD_FILE])
        self._secrets.changed()
        for setting, (path, watched) in self._files.items():
            watched.changed()
            self._of_files[setting] = _read(setting, path)
        self._in_force = self._keys()
        self.verifier = Verifier(self._in_force, issuer=settings.issuer, audience=settings.audience)
        if settings.jwks_url:
            if why := jwks.url_fault(settings.jwks_url):
                raise SignersUnusable("token_jwks_url", settings.jwks_url, why)
            if not settings.audience:
                _log.warning("token_jwks_url without token_audience: tokens that are for other services are taken too")
            self.verifier.seek = self._seek

    async def start(self) -> None:
        """Ask the address, for a few seconds at most: without an answer its keys are missing until there is one."""
        if self._settings.jwks_url:
            await self._refresh()
        self._tasks = [asyncio.create_task(self._run())]

    async def stop(self) -> None:
        tasks = [*self._tasks, *([self._fetching] if self._fetching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def reload(self) -> None:
        """Take up what has changed, now."""
        self._take_files()
        self._fetch_due_s = 0.0

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            try:
                self._take_files()
                if self._settings.jwks_url and self._clock.monotonic_s() >= self._fetch_due_s:
                    self._begin_refresh()
            except Exception:
                _log.exception("the keys could not be looked at")

    def _take_files(self) -> None:
        if self._secrets.changed():
            try:
                self._own = own_keys(self._settings.data_dir)
            except (SecretUnsafe, OSError) as error:
                _log.error("the secret cannot be read, what was read last stays", extra={"detail": str(error)})
        for setting, (path, watched) in self._files.items():
            if watched.changed():
                try:
                    self._of_files[setting] = _read(setting, path)
                except SignersUnusable as error:
                    _log.error("keys cannot be read, what was read last stays", extra={"detail": str(error)})
        self._put()

    def _put(self) -> None:
        keys = self._keys()
        if keys != self._in_force:
            self._in_force = keys
            self.verifier.replace(keys)
            _log.info("the keys of tokens have changed", extra={"keys": [key.name for key in keys]})

    def _keys(self) -> list[Key]:
        now_ms = self._clock.wall_ms()
        own = [key for key, ends_ms in self._own if ends_ms is None or now_ms < ends_ms]
        return [*own, *(key for keys in self._of_files.values() for key in keys), *self._of_url]

    async def _seek(self) -> None:
        """A token names a key that is unknown: ask the address, together with whoever else asks now."""
        now_s = self._clock.monotonic_s()
        if self._fetching is None:
            if now_s < self._seek_due_s:
                return
            self._seek_due_s = now_s + SEEK_GAP_S
        await self._refresh()

    async def _refresh(self) -> None:
        # Shielded: whoever waits for it may go away, and others wait too.
        await asyncio.shield(self._begin_refresh())

    def _begin_refresh(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_once())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch_once(self) -> None:
        """One fetch. Never raises: the keys of the last good one stay."""
        wait_s = self._settings.jwks_refresh_s
        try:
            self._of_url = jwks.keys_of(await self._fetch(self._settings.jwks_url))
            self._put()
        except JwksUnusable as error:
            wait_s = min(wait_s, RETRY_S)
            _log.warning("token_jwks_url gave no keys, the last ones stay", extra={"detail": str(error)})
        except Exception:
            wait_s = min(wait_s, RETRY_S)
            _log.exception("token_jwks_url could not be asked")
        self._fetch_due_s = self._clock.monotonic_s() + wait_s


def _read(setting: str, path: str) -> list[Key]:
    """Raises SignersUnusable."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise SignersUnusable(setting, path, f"longer than {FILE_BYTES_MAX} bytes")
        keys = jwks.keys_of(content) if setting == "token_jwks_file" else [public_key(content)]
        Verifier(keys)
    except OSError as error:
        raise SignersUnusable(setting, path, error.strerror or "cannot be read") from error
    except (KeyUnusable, JwksUnusable) as error:
        raise SignersUnusable(setting, path, str(error)) from error
    return keys
