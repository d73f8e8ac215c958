"""A server as a child process: started, killed without warning, started again on the same data and the same port."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

READY_S_MAX: Final = 20.0
STOP_S_MAX: Final = 20.0
SERVE: Final = (sys.executable, "-m", "folkmoot.cli", "serve", "--json", "--stop-with-stdin")
STARTS_MAX: Final = 5
STARTS_PAUSE_S: Final = 0.3
LAST_WORDS_BYTES: Final = 2_000


class ChildFailed(Exception):
    """The server did not come up; the text is what it said last."""


class ChildServer:
    """One server over one data directory. `command` is for tests that serve with fail points.

    Its standard input is a pipe that says nothing, and ends when this process does, however it ends.
    """

    def __init__(self, data_dir: Path, *, command: Sequence[str] = (), options: Sequence[str] = ()) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.starts = 0
        self.kills = 0
        self._command = list(command or SERVE)
        self._options = list(options)
        self._process: asyncio.subprocess.Process | None = None
        self._errors = data_dir / "server.log"

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start, and return once it is ready. Raises ChildFailed."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        for attempt in range(STARTS_MAX):
            ready = await self._spawn()
            if ready is not None:
                self.url = ready
                self.starts += 1
                return
            if not self.url:
                break
            # The port was its own until a moment ago: someone may have got it for an outgoing connection.
            await asyncio.sleep(STARTS_PAUSE_S * (attempt + 1))
        raise ChildFailed(self._last_words())

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if await self._end():
            self.kills += 1

    def pause(self) -> None:
        """SIGSTOP: it still believes that it serves."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def wait(self) -> int:
        """Return once it has ended by itself: its exit status, negative where a signal ended it."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM, and wait for it to drain; its exit status, -9 where it had to be killed."""
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_S_MAX):
                    await process.wait()
            except TimeoutError:
                await self._end()
        return process.returncode or 0

    async def _spawn(self) -> str | None:
        """The address of a new process once it is ready, None where it ended, or took too long and was ended."""
        port = self.url.rpartition(":")[2] or "0"
        with self._errors.open("ab") as errors:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command, "--port", port, "--data-dir", str(self.data_dir), *self._options,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_S_MAX):
                line = await process.stdout.readline()
            ready = json.loads(line)["ready"]
        except (TimeoutError, ValueError, KeyError, TypeError):
            await self._end()
            return None
        except BaseException:
            await self._end()
            raise
        return str(ready)

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _end(self) -> bool:
        """SIGKILL, and wait until it is gone; whether it still ran."""
        process = self._process
        if process is None or process.returncode is not None:
            return False
        try:
            process.send_signal(signal.SIGKILL)
        except ProcessLookupError:
            return False
        await process.wait()
        return process.returncode == -signal.SIGKILL

    def _last_words(self) -> str:
        try:
            return self._errors.read_bytes()[-LAST_WORDS_BYTES:].decode("utf-8", "replace")
        except OSError:
            return "it said nothing"
