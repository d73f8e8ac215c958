"""A process of the cluster: its words in a file, found again by pid and start time, so that no other is ever struck."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

LAST_WORDS_BYTES: Final = 2_000
LOOK_AGAIN_S: Final = 0.02
KILLED_S_MAX: Final = 10.0


class Identity(msgspec.Struct, frozen=True):
    """Which process: a pid alone may be another's by now. `started`: clock ticks from the boot of the machine."""

    pid: int
    started: int


def identity_of(pid: int) -> Identity | None:
    """Of a process that runs now; None where there is none, or only its exit status is left."""
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZX" else Identity(pid, int(fields[19]))


def is_running(identity: Identity) -> bool:
    """Whether that very process still runs (stopped by SIGSTOP counts)."""
    return identity_of(identity.pid) == identity


def send(identity: Identity, number: signal.Signals) -> bool:
    """Signal that very process; False, and nobody is signalled, where it is gone."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        # The handle is opened first: whoever has the pid now keeps it, as far as the handle goes.
        if not is_running(identity):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _stat(pid: int) -> list[str]:
    """What the kernel says of it, from its state on; empty where it is gone."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The name, in brackets, may hold spaces and brackets itself.
    return line.rpartition(")")[2].split()


class ProcessFailed(Exception):
    """It did not come up; the text is what it said last."""


class Process:
    """One process and the file of its words. Either child of ours, or taken up from an identity written down."""

    def __init__(self, log: Path, identity: Identity) -> None:
        self.log = log
        self.identity = identity

    @classmethod
    def spawn(
        cls, command: Sequence[str], log: Path, *, tied: bool, environment: Mapping[str, str] | None = None
    ) -> "Process":
        """Start it. `tied`: the kernel kills it when this process ends, however that ends, where `setpriv` is there.

        Raises ProcessFailed where there is no such program.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        setpriv = shutil.which("setpriv") if tied else None
        words = [*([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []), *command]
        if shutil.which(command[0]) is None:
            raise ProcessFailed(f"{command[0]}: there is no such program")
        appends = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            pid = os.posix_spawnp(
                words[0], words, os.environ if environment is None else environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(log), appends, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                # A session of its own: the Ctrl-C of a terminal is for us alone. Python's own ignoring is not its.
                setsid=True, setsigdef=[signal.SIGPIPE],
            )  # fmt: skip
        except OSError as error:
            raise ProcessFailed(f"{command[0]}: {error.strerror}") from error
        return cls(log, identity_of(pid) or Identity(pid, 0))

    @property
    def is_running(self) -> bool:
        # What is left of a child of ours that ended is taken away; of others it is not ours to.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.identity.pid, os.WNOHANG)
        return is_running(self.identity)

    @property
    def is_paused(self) -> bool:
        """Whether SIGSTOP holds it."""
        return self.is_running and _stat(self.identity.pid)[:1] == ["T"]

    def send(self, number: signal.Signals) -> bool:
        return self.is_running and send(self.identity, number)

    async def kill(self) -> bool:
        """SIGKILL, and wait until it is gone; whether it still ran."""
        ran = self.send(signal.SIGKILL)
        await self.gone(KILLED_S_MAX)
        return ran

    async def stop(self, seconds_max: float) -> bool:
        """SIGTERM, then SIGKILL after that time; whether it ended by itself."""
        self.send(signal.SIGTERM)
        # One that was paused would never hear of it.
        self.send(signal.SIGCONT)
        if await self.gone(seconds_max):
            return True
        await self.kill()
        return False

    async def gone(self, seconds_max: float) -> bool:
        """Wait until it has ended; False where it runs on after that time."""
        ends_s = time.monotonic() + seconds_max
        while self.is_running:
            if time.monotonic() > ends_s:
                return False
            await asyncio.sleep(LOOK_AGAIN_S)
        return True

    def last_words(self) -> str:
        try:
            return self.log.read_bytes()[-LAST_WORDS_BYTES:].decode("utf-8", "replace").strip() or "it said nothing"
        except OSError:
            return "it said nothing"


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nothing listens on at `address` now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
