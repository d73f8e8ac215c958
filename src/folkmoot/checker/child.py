"""A server as a child process: started, killed without warning, started again on the same data and the same port."""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

READY_S_MAX: Final = 20.0
STOP_S_MAX: Final = 20.0


class ChildFailed(Exception):
    """The server did not come up; the text is what it said last."""


class ChildServer:
    """One server over one data directory. `command` is for tests that serve with fail points."""

    def __init__(self, data_dir: Path, *, command: Sequence[str] = (), options: Sequence[str] = ()) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.starts = 0
        self.kills = 0
        self._command = list(command) or [sys.executable, "-m", "folkmoot.cli", "serve", "--json"]
        self._options = list(options)
        self._process: asyncio.subprocess.Process | None = None
        self._errors = data_dir / "server.log"

    async def start(self) -> None:
        """Start, and return once it is ready. Raises ChildFailed."""
        port = self.url.rpartition(":")[2] or "0"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, "--port", port, "--data-dir", str(self.data_dir), *self._options,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_S_MAX):
                line = await self._process.stdout.readline()
            self.url = json.loads(line)["ready"]
        except (TimeoutError, ValueError, KeyError) as error:
            await self.kill()
            raise ChildFailed(self._last_words()) from error
        self.starts += 1

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
            self.kills += 1

    async def wait(self) -> int:
        """Return once it has ended by itself: its exit status, negative where a signal ended it."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM, and wait for it to drain; its exit status."""
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_S_MAX):
                    await process.wait()
            except TimeoutError:
                await self.kill()
        return process.returncode or 0

    def _last_words(self) -> str:
        try:
            return self._errors.read_text(errors="replace")[-2_000:]
        except OSError:
            return "it said nothing"
