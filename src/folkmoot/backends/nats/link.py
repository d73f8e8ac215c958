"""One connection to one NATS server: nats-py's client, made to end at its first fault instead of mending itself.

The bus makes a new link in its place. nats-py's own reconnecting keeps what was published meanwhile for as long as it
takes, ends for good where the server says anything but a few known errors, and waits for ever to close a connection
whose other end is paused.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from nats.aio.client import PING_PROTO, Client
from nats.errors import Error
from nats.protocol.command import sub_cmd, unsub_cmd

from folkmoot.backends.nats.credentials import Credentials

Sink: TypeAlias = Callable[[bytes, bytes, bytes], None]
"""Gets a message's subject, the message, and the subject for its answer: b"" where none is waited for."""

CONNECT_S_MAX: Final = 2
CLOSE_S_MAX: Final = 1.0
BEAT_S: Final = 1.0
BEAT_ANSWER_S_MAX: Final = 2.0
"""A server that is paused, or a network that swallows, is noticed after at most these two together."""
NOBODY: Final = b"\0"
"""Instead of a subject for the answer: the server says that nobody listens."""
_NOBODY_HEADER: Final = b"NATS/1.0 503"
_NEVER_S: Final = 10**8


class PlainText(Error):
    """The server offers no TLS, though it was asked for: nothing secret has been sent."""

    def __str__(self) -> str:
        return "the server offers no TLS"


class Link(Client):
    """Inner steps of the library that are overridden are listed here; a test holds each, and the version is pinned.

    - `_process_op_err` and `_process_err`: a fault of the connection, or the server's word that it will not go on,
      sets `lost`, where the library would reconnect in the one case and end for good in the other;
    - `_process_info`: where TLS is asked for, a server without it is left before the password is sent;
    - `_process_msg`: a message goes straight to its subscription. The library has a queue, a task and an object a
      message for each: for the 7,000 subscriptions of an owner of all partitions that is 33 MB, and half the time.
    """

    def __init__(self, *, on_refused: Callable[[str], None]) -> None:
        super().__init__()
        self.lost = asyncio.Event()
        self.last_fault: Exception | None = None
        self._on_refused = on_refused
        self._sinks: dict[int, Sink] = {}
        self._tls_wanted = False

    async def open(self, url: str, *, name: str, credentials: Credentials, tls: ssl.SSLContext | None) -> None:
        """Connect, once. Raises nats' Error, OSError, TimeoutError: `last_fault` says more."""
        self._tls_wanted = tls is not None
        async with asyncio.timeout(3 * CONNECT_S_MAX):
            await self.connect(
                [url],
                name=name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_S_MAX,
                ping_interval=_NEVER_S,  # `watch` does it, with an answer in bounded time.
                pending_size=0,  # Nothing of ours goes by the library's buffer.
                error_cb=self._heard_error,
                closed_cb=self._heard_closed,
                tls=tls,
                **credentials.options,
            )

    async def watch(self) -> None:
        """Return once the connection is lost."""
        while not self.lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self.lost.wait()
                    return
            try:
                await self.settle(BEAT_ANSWER_S_MAX)
            except (OSError, TimeoutError):
                return

    def listen(self, subject: str, sink: Sink) -> tuple[int, bytes]:
        """The number of a new subscription, and the command that begins it: to be written."""
        self._sid += 1
        self._sinks[self._sid] = sink
        return self._sid, sub_cmd(subject, "", self._sid)

    def forget(self, number: int) -> bytes:
        """Nothing more goes to the subscription; the command that ends it: to be written."""
        self._sinks.pop(number, None)
        return unsub_cmd(number, 0)

    async def write(self, commands: list[bytes]) -> None:
        """Return once there is room for more. Raises OSError.

        Past the library's own buffer: waiting for that swallows cancellation, so nobody gets away from a paused server.
        """
        assert self._transport is not None
        try:
            self._transport.writelines(commands)
        except RuntimeError as fault:
            # What uvloop says of a connection that is closed.
            raise ConnectionResetError(str(fault)) from None
        await self._transport.drain()  # type: ignore[no-untyped-call]

    async def settle(self, timeout_s: float) -> None:
        """Return once the server has taken all that was written before. Raises TimeoutError, OSError: leave it then."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pongs.append(answer)
        async with asyncio.timeout(timeout_s):
            await self.write([PING_PROTO])
            await answer

    async def end(self) -> None:
        """Leave, at once, whatever the other end does."""
        self._sinks.clear()
        # A closing transport would wait until the other end has taken all; that may be paused for hours.
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        with contextlib.suppress(Error, OSError, TimeoutError, RuntimeError):
            async with asyncio.timeout(CLOSE_S_MAX):
                await self.close()

    async def _heard_error(self, fault: Exception) -> None:
        self.last_fault = fault

    async def _heard_closed(self) -> None:
        self.lost.set()

    async def _process_op_err(self, e: Exception) -> None:
        self.last_fault = e
        self.lost.set()

    async def _process_err(self, err_msg: str) -> None:
        if "permissions violation" in err_msg:
            self._on_refused(err_msg)
            return
        await self._process_op_err(Error(f"nats: {err_msg}"))

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self._tls_wanted and initial_connection and not info.get("tls_required"):
            raise PlainText
        await super()._process_info(info, initial_connection)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        sink = self._sinks.get(sid)
        if sink is not None:
            sink(subject, data, NOBODY if headers and headers.startswith(_NOBODY_HEADER) else reply)
