"""A server process of this program as a child: started, watched, started again when it dies, and stopped."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

from folkmoot.ports.clock import Clock

_log = logging.getLogger(__name__)

READY_S_MAX: Final = 30.0
STOP_S_MAX: Final = 20.0
AGAIN_S: Final = 0.2
AGAIN_S_MAX: Final = 5.0
WELL_S: Final = 10.0
"""One that has served for so long is started again at once when it dies; one that dies sooner waits longer."""

SERVE: Final = (sys.executable, "-m", "folkmoot.cli", "serve", "--json", "--stop-with-stdin")


class ChildFailed(Exception):
    """A process did not come up; what it said is in the log, above."""


class Child:
    """One process with the given settings. Its standard input is a pipe that ends with this process, and so does it."""

    def __init__(
        self,
        name: str,
        settings: Mapping[str, object],
        clock: Clock,
        *,
        environment: Mapping[str, str] | None = None,
        command: tuple[str, ...] = SERVE,
    ) -> None:
        self.name = name
        # A service manager listens to the one that it started; this process tells it of all of them.
        inherited = os.environ if environment is None else environment
        self._environment = {key: value for key, value in inherited.items() if key != "NOTIFY_SOCKET"}
        self.url = ""
        self.restarts = 0
        self._clock = clock
        self._command = [*command]
        for setting, value in settings.items():
            text = ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            self._command += ["--set", f"{setting}={text}"]
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False
        self._reload_due = False
        self._stopping = False

    @property
    def pid(self) -> int | None:
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self) -> None:
        """Start it, and return once it is ready. Raises ChildFailed; OSError where the system gives no process."""
        self._process, self._ready, self._reload_due = None, False, False
        process = self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # A Ctrl-C is for the one who keeps them: it stops them in their order.
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_S_MAX):
                line = await process.stdout.readline()
            self.url = str(json.loads(line)["ready"])
        except (TimeoutError, ValueError, KeyError, TypeError) as error:
            await self._kill()
            raise ChildFailed(f"{self.name} did not come up") from error
        except BaseException:
            await self._kill()
            raise
        _log.info("a process serves", extra={"child": self.name, "pid": process.pid})
        self._ready = True
        if self._reload_due:
            self.reload()

    async def keep(self, on_restart: Callable[[], None] = lambda: None) -> None:
        """Start it again whenever it dies, as often as that takes, until it is stopped."""
        wait_s = AGAIN_S
        while not self._stopping:
            began_s = self._clock.monotonic_s()
            if self._process is not None:
                status = await self._wait(self._process)
                if self._stopping:
                    return
                _log.error("a process has died", extra={"child": self.name, "status": status})
            if self._clock.monotonic_s() - began_s > WELL_S:
                wait_s = AGAIN_S
            else:
                wait_s = min(AGAIN_S_MAX, wait_s * 2)
                await self._clock.sleep(wait_s)
            self.restarts += 1
            try:
                await self.start()
                on_restart()
            except (ChildFailed, OSError) as error:
                # No memory or no descriptors now may be some later.
                _log.error("a process could not be started again", extra={"child": self.name, "detail": str(error)})

    def reload(self) -> None:
        """SIGHUP: read the settings again."""
        if not self._ready:
            # One that starts would end by the signal.
            self._reload_due = True
        elif self.pid is not None and self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """SIGTERM, and wait for it to drain; SIGKILL where that takes too long."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S_MAX):
                await process.wait()
        except TimeoutError:
            await self._kill()

    async def _wait(self, process: asyncio.subprocess.Process) -> int:
        if process.stdout is not None:
            # It says nothing more; but a pipe that nobody reads would stop it one day.
            while await process.stdout.read(4_096):
                pass
        return await process.wait()

    async def _kill(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
