"""The bus of several processes: core NATS, of which everything may be lost, doubled or late, and nothing is kept."""

import asyncio
import contextlib
import functools
import itertools
import logging
import re
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from nats.errors import Error
from nats.protocol.command import pub_cmd

from folkmoot.backends.nats.answers import Answers
from folkmoot.backends.nats.credentials import BusUnusable, Credentials, check_urls, read_credentials, tls_context
from folkmoot.backends.nats.link import Link, PlainText
from folkmoot.ports.bus import BusClosed, Handler, Reply
from folkmoot.ports.clock import Chance, SystemChance

_log = logging.getLogger(__name__)

PREFIX: Final = "folkmoot"
"""Before every subject: so the rights that are needed are to publish and to subscribe to `folkmoot.>`."""
PENDING_MESSAGES_MAX: Final = 65_536
"""Of one subscription, as of the bus in memory: one more is lost, and its `on_gap` is called once it has caught up."""
OUTBOX_MESSAGES_MAX: Final = 65_536
OUTBOX_BYTES_MAX: Final = 32 * 1024 * 1024
"""What waits for a server that does not take it, up to a beat's length: more is dropped, as if lost on the way."""
CUT_MESSAGES_MAX: Final = 1_024
CUT_S_MAX: Final = 1.0
"""A cut is bridged with so many messages, if it is so short. After a longer one everyone compares with the store, and a
heartbeat or a hint of minutes ago would say what is no longer so."""
CONNECT_S_MAX: Final = 10.0
SETTLE_S_MAX: Final = 10.0
DELAY_S_FIRST: Final = 0.05
DELAY_S_MAX: Final = 1.0
"""Between attempts to connect, however long nobody has answered: everyone waits for the last that comes back."""
STEADY_S_MIN: Final = 5.0
"""A connection that held for less does not begin the pauses anew: a server that always cuts us off is not stormed."""
CLOSE_S_MAX: Final = 1.0
TURN_MESSAGES_MAX: Final = 1_024
"""Written before the loop has a turn."""
REFUSALS_LOGGED_MAX: Final = 20

_UNSAFE: Final = re.compile(r"[\s\x00]")

_Publish: TypeAlias = tuple[str, bytes, str]
_Item: TypeAlias = "_Publish | NatsSubscription | Answers | asyncio.Event"
"""Of the outbox: a message, a subscription begun or ended, or something to set once all before it is written."""


class NatsSubscription:
    """One handler's place in the bus's queue."""

    __slots__ = ("_bus", "_handler", "_on_gap", "cancelled", "lost_some", "number", "subject", "waiting")

    def __init__(self, bus: "NatsBus", subject: str, handler: Handler, on_gap: Callable[[], None] | None) -> None:
        self.subject = subject
        self.cancelled = False
        self.waiting = 0
        self.lost_some = False
        self.number: int | None = None
        self._bus = bus
        self._handler = handler
        self._on_gap = on_gap

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._bus._settle(self)

    def heard(self, subject: bytes, message: bytes, reply: bytes) -> None:
        """A message has come. It waits for the loop's next turn, so that a handler runs within no other."""
        if self.waiting >= self._bus.pending_messages_max:
            self.lost_some = True
            self._bus.lost += 1
            return
        self.waiting += 1
        self._bus._queue(self, message, reply)

    def handle(self, message: bytes, reply: Reply | None) -> None:
        self.waiting -= 1
        if self.cancelled:
            return
        try:
            self._handler(message, reply)
        except Exception:
            _log.exception("bus handler failed", extra={"subject": self.subject})
        if self.lost_some and not self.waiting:
            self.lost_some = False
            self.gap()

    def gap(self) -> None:
        """Tell the subscriber that messages may have been lost."""
        if self._on_gap is None or self.cancelled:
            return
        self._bus.gaps += 1
        try:
            self._on_gap()
        except Exception:
            _log.exception("bus handler failed at a gap", extra={"subject": self.subject})


class NatsBus:
    """Subscriptions and requests outlive connections: each new one subscribes anew, and tells everyone of a gap.

    `publish` and `subscribe` put into one outbox, in order, which a task writes to the connection there is. While there
    is none, what was subscribed is remembered, and of what is published only the first moment's.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        name: str,
        credentials: Credentials,
        tls: ssl.SSLContext | None,
        prefix: str = PREFIX,
        pending_messages_max: int = PENDING_MESSAGES_MAX,
        chance: Chance | None = None,
    ) -> None:
        """For `connect`, which is how to get one."""
        self.pending_messages_max = pending_messages_max
        self.lost = self.gaps = self.dropped = self.reconnects = self.refused = 0
        self._urls = list(urls)
        self._name = name
        self._credentials = credentials
        self._tls = tls
        self._prefix = prefix
        self._chance = chance or SystemChance()
        self._loop = asyncio.get_running_loop()
        self._subscriptions: dict[NatsSubscription, None] = {}
        self._link: Link | None = None
        self._closed = False
        self._cut_at_s = self._loop.time()
        self._outbox: deque[_Item] = deque()
        self._outbox_bytes = 0
        self._filled = asyncio.Event()
        self._inbox: deque[tuple[NatsSubscription, bytes, bytes]] = deque()
        self._draining = False
        self._answers = Answers(
            f"{prefix}.inbox.{self._chance.token(12).hex()}", send=self._send, sends=lambda: self._link is not None
        )
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        urls: Sequence[str],
        *,
        credentials_file: str = "",
        ca_file: str = "",
        name: str = "folkmoot",
        prefix: str = PREFIX,
        connect_s_max: float = CONNECT_S_MAX,
        pending_messages_max: int = PENDING_MESSAGES_MAX,
        chance: Chance | None = None,
    ) -> "NatsBus":
        """A bus on one of the servers at `urls`, which are one cluster. `name` is what operators see in NATS.

        Raises BusUnusable, naming the setting: nobody answers in `connect_s_max`, the password is wrong, TLS fails, or
        the rights do not suffice.
        """
        check_urls(tuple(urls))
        bus = cls(
            urls,
            name=name,
            credentials=await asyncio.to_thread(read_credentials, credentials_file),
            tls=await asyncio.to_thread(tls_context, tuple(urls), ca_file),
            prefix=prefix,
            pending_messages_max=pending_messages_max,
            chance=chance,
        )
        await bus._begin(connect_s_max)
        return bus

    def publish(self, subject: str, message: bytes) -> None:
        self._send(f"{self._prefix}.{subject}", message, "")

    def subscribe(
        self, subject: str, handler: Handler, *, on_gap: Callable[[], None] | None = None
    ) -> NatsSubscription:
        if _UNSAFE.search(subject):
            raise ValueError("a subject has no spaces or line ends")
        subscription = NatsSubscription(self, f"{self._prefix}.{subject}", handler, on_gap)
        self._settle(subscription)
        return subscription

    def request(self, subject: str, message: bytes, *, timeout_s: float) -> asyncio.Future[bytes]:
        if self._closed:
            answer: asyncio.Future[bytes] = self._loop.create_future()
            answer.set_exception(BusClosed())
            return answer
        return self._answers.ask(f"{self._prefix}.{subject}", message, timeout_s)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._answers.end()
        self._subscriptions.clear()
        self._inbox.clear()
        with contextlib.suppress(OSError, TimeoutError):
            # What was published before is worth a moment: it says who goes.
            async with asyncio.timeout(CLOSE_S_MAX):
                if self._link is not None:
                    await self._written()
                    await self._link.settle(CLOSE_S_MAX)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def away_s(self) -> float:
        """For how many seconds there has been no connection, 0 while there is one."""
        return 0.0 if self._link is not None else self._loop.time() - self._cut_at_s

    def statistics(self) -> dict[str, int]:
        return {
            "waiting_largest": max((one.waiting for one in self._subscriptions), default=0),
            "waiting_max": self.pending_messages_max,
            "lost": self.lost,
            "gaps": self.gaps,
            "reconnects": self.reconnects,
            "connected": int(self._link is not None),
            "outbox": len(self._outbox),
            "dropped": self.dropped,
            "refused": self.refused,
        }

    # --- what subscriptions and answers ask of the bus

    def _send(self, subject: str, message: bytes, reply: str) -> None:
        """Put into the outbox, or drop: this never waits and never fails."""
        if self._closed:
            return
        if _UNSAFE.search(subject):
            raise ValueError("a subject has no spaces or line ends")
        if self._link is None:
            full = len(self._outbox) >= CUT_MESSAGES_MAX or self._loop.time() - self._cut_at_s > CUT_S_MAX
        else:
            full = len(self._outbox) >= OUTBOX_MESSAGES_MAX or self._outbox_bytes > OUTBOX_BYTES_MAX
        if full:
            self.dropped += 1
            return
        self._outbox.append((subject, message, reply))
        self._outbox_bytes += len(message)
        self._filled.set()

    def _settle(self, subscription: NatsSubscription) -> None:
        """Tell the server, in its turn, what has become of a subscription; without one the next link will."""
        if self._closed:
            return
        if subscription.cancelled:
            self._subscriptions.pop(subscription, None)
        else:
            self._subscriptions[subscription] = None
        if self._link is not None:
            self._outbox.append(subscription)
            self._filled.set()

    def _queue(self, subscription: NatsSubscription, message: bytes, reply: bytes) -> None:
        self._inbox.append((subscription, message, reply))
        if not self._draining:
            self._draining = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        # What comes while handlers run waits for the next turn: nobody starves the sockets.
        for _ in range(len(self._inbox)):
            if not self._inbox:
                break
            subscription, message, reply = self._inbox.popleft()
            subscription.handle(message, functools.partial(self._reply, reply) if reply else None)
        if self._inbox:
            self._loop.call_soon(self._drain)
        else:
            self._draining = False

    def _reply(self, to: bytes, message: bytes) -> None:
        self._send(to.decode(), message, "")

    # --- connections

    async def _begin(self, connect_s_max: float) -> None:
        """The first connection. Raises BusUnusable."""
        give_up_s = self._loop.time() + connect_s_max
        for attempt in itertools.count():
            try:
                link = await self._open(attempt)
                break
            except (Error, OSError, TimeoutError) as fault:
                await self._refuse_or_wait(fault, attempt, give_up_s)
        try:
            await self._prove_rights(link)
        except BaseException:
            await link.end()
            raise
        self._take(link)
        self._keeper = asyncio.create_task(self._keep(link))

    async def _refuse_or_wait(self, fault: Exception, attempt: int, give_up_s: float) -> None:
        """Raise BusUnusable where waiting is in vain, else wait a little."""
        text = str(fault) or type(fault).__name__
        if "authorization" in text.lower() or "authentication" in text.lower():
            raise BusUnusable(
                "nats_credentials_file: NATS refuses the user or password in it"
                if self._credentials.options
                else "nats_credentials_file: NATS asks for credentials, and none are set"
            ) from None
        if isinstance(fault, ssl.SSLError):
            raise BusUnusable(f"nats_ca_file: the server's certificate is not trusted: {text}") from None
        if isinstance(fault, PlainText):
            raise BusUnusable(
                "nats_urls: TLS is asked for, by tls:// or nats_ca_file, and the server has none"
            ) from None
        delay_s = self._delay_s(attempt)
        if self._loop.time() + delay_s > give_up_s:
            raise BusUnusable(f"nats_urls: no NATS server answers at {', '.join(self._urls)}: {text}") from None
        await asyncio.sleep(delay_s)

    async def _open(self, attempt: int) -> Link:
        """A connection to the next server in turn. Raises Error, OSError, TimeoutError."""
        if attempt % len(self._urls) == 0:
            # Another order for each process: else all of them crowd onto the first.
            self._urls.sort(key=lambda _: self._chance.draw())
        link = Link(on_refused=self._note_refusal)
        try:
            await link.open(
                self._urls[attempt % len(self._urls)], name=self._name, credentials=self._credentials, tls=self._tls
            )
        except (Error, OSError, TimeoutError) as fault:
            await link.end()
            raise link.last_fault or fault from None
        except BaseException:
            await link.end()
            raise
        return link

    async def _prove_rights(self, link: Link) -> None:
        """Hear oneself. Raises BusUnusable where the server does not allow that under the prefix."""
        heard = asyncio.Event()
        number, command = link.listen(f"{self._prefix}.rights.*", lambda *_: heard.set())
        with contextlib.suppress(OSError, TimeoutError):
            await link.write([command, pub_cmd(f"{self._prefix}.rights.{self._chance.token(12).hex()}", "", b"")])
            await link.settle(SETTLE_S_MAX)
        if self.refused:
            raise BusUnusable(
                f"nats_credentials_file: that user may not both publish and subscribe to `{self._prefix}.>`: "
                "give it these rights in NATS"
            )
        if not heard.is_set():
            raise BusUnusable("nats_urls: the server answers, and does not deliver what is published")
        await link.write([link.forget(number)])

    async def _keep(self, link: Link) -> None:
        """Hold a connection for as long as there is a bus: a lost one is cut off, and another made."""
        attempts = 0
        while True:
            since_s = self._loop.time()
            try:
                await self._serve(link)
            finally:
                self._cut()
                await link.end()
            _log.warning("bus cut", extra={"fault": str(link.last_fault or "no answer")})
            if self._loop.time() - since_s > STEADY_S_MIN:
                attempts = 0
            link, attempts = await self._reopen(attempts)
            self.reconnects += 1
            self._take(link)

    def _take(self, link: Link) -> None:
        """From now on things go by this connection: first what is subscribed, then what waits and is not too old."""
        kept = [item for item in self._outbox if isinstance(item, tuple)]
        if self._loop.time() - self._cut_at_s > CUT_S_MAX:
            self.dropped += len(kept)
            kept = []
        listeners: list[NatsSubscription | Answers] = [self._answers, *self._subscriptions]
        for listener in listeners:
            listener.number = None
        self._outbox = deque([*listeners, *kept])
        self._outbox_bytes = sum(len(message) for _, message, _ in kept)
        self._filled.set()
        self._link = link

    async def _serve(self, link: Link) -> None:
        """Return once the connection is lost."""
        tasks = [asyncio.create_task(self._write(link))]
        if self.reconnects:
            tasks.append(asyncio.create_task(self._tell_of_gaps(link)))
        try:
            await link.watch()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _cut(self) -> None:
        self._link = None
        self._cut_at_s = self._loop.time()
        kept = [item for item in self._outbox if isinstance(item, tuple)]
        self.dropped += max(0, len(kept) - CUT_MESSAGES_MAX)
        kept = kept[:CUT_MESSAGES_MAX]
        self._outbox = deque(kept)
        self._outbox_bytes = sum(len(message) for _, message, _ in kept)

    async def _reopen(self, attempts: int) -> tuple[Link, int]:
        """A new connection, and the attempts with this one: the pause before each grows with them."""
        while True:
            await asyncio.sleep(self._delay_s(attempts))
            attempts += 1
            try:
                link = await self._open(attempts)
            except Exception as fault:
                # Whatever it is: a file of credentials may be half written at this moment.
                _log.warning("no bus yet", extra={"attempt": attempts, "fault": str(fault) or type(fault).__name__})
                continue
            _log.info("bus back", extra={"attempt": attempts})
            return link, attempts

    def _delay_s(self, attempt: int) -> float:
        """Uniform between nothing and a ceiling that doubles each time around the servers, up to a bound."""
        rounds = min(16, attempt // len(self._urls))
        return self._chance.draw() * min(DELAY_S_MAX, DELAY_S_FIRST * 2.0**rounds)

    async def _write(self, link: Link) -> None:
        """Empty the outbox, in order, for as long as the connection is there."""
        try:
            while True:
                await self._filled.wait()
                taken = [self._outbox.popleft() for _ in range(min(len(self._outbox), TURN_MESSAGES_MAX))]
                if not self._outbox:
                    self._filled.clear()
                await link.write([command for item in taken if (command := self._command(link, item))])
                for item in taken:
                    if isinstance(item, asyncio.Event):
                        item.set()
        except Exception as fault:
            link.last_fault = fault
            link.lost.set()

    def _command(self, link: Link, item: _Item) -> bytes:
        """What to write for it; b"" for nothing."""
        if isinstance(item, tuple):
            return self._publish_command(link, *item)
        if isinstance(item, asyncio.Event):
            return b""
        if item.cancelled:
            return link.forget(item.number) if item.number is not None else b""
        if item.number is not None:
            return b""
        item.number, command = link.listen(item.subject, item.heard)
        return command

    def _publish_command(self, link: Link, subject: str, message: bytes, reply: str) -> bytes:
        self._outbox_bytes -= len(message)
        if len(message) > link.max_payload:
            self.dropped += 1
            _log.error(
                "message larger than NATS takes: raise max_payload there",
                extra={"subject": subject, "size_bytes": len(message), "size_bytes_max": link.max_payload},
            )
            return b""
        return pub_cmd(subject, reply, message)

    async def _written(self) -> None:
        """Return once all that is in the outbox now is with the connection."""
        written = asyncio.Event()
        self._outbox.append(written)
        self._filled.set()
        await written.wait()

    async def _tell_of_gaps(self, link: Link) -> None:
        """Once the server has all subscriptions again, so that nothing after this is missed for want of one."""
        await self._written()
        try:
            await link.settle(SETTLE_S_MAX)
        except (OSError, TimeoutError):
            link.lost.set()
            return
        self._answers.again()
        for number, subscription in enumerate(list(self._subscriptions), 1):
            subscription.gap()
            if number % TURN_MESSAGES_MAX == 0:
                await asyncio.sleep(0)

    def _note_refusal(self, text: str) -> None:
        self.refused += 1
        if self.refused <= REFUSALS_LOGGED_MAX:
            _log.error("NATS refuses a subject: give the user of nats_credentials_file the right", extra={"text": text})
