"""One process's roles without a socket, and clients that speak the protocol to it: for tests of what is told."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.delivery.service import Delivery, DeliverySettings
from folkmoot.gateway.access import Access
from folkmoot.gateway.connection import Connection
from folkmoot.gateway.identity import Key, Verifier, mint
from folkmoot.gateway.registrar import Registrar
from folkmoot.gateway.service import Gateway, GatewaySettings
from folkmoot.gateway.standings import Standings
from folkmoot.gateway.wheel import Wheel
from folkmoot.model.ids import GroupId, SendId, UserId
from folkmoot.ports.accounts import Accounts
from folkmoot.ports.bus import Bus
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.ports.store import Store
from folkmoot.ports.traces import Tracer
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.protocol.session import ClientSession
from folkmoot.router.service import FailPoint, Router, RouterSettings

E = TypeVar("E", bound=ev.Event)
SECRET = b"only for tests, and long enough for HS256"
WAIT_S_MAX = 10.0


class HeldOutlet:
    """A socket that is not there: frames are kept, and can be left unread to play a slow reader."""

    wire = "held"
    slot = -1
    codec = JSON
    peer = "test"

    def __init__(self, on_frame: Callable[[bytes], None]) -> None:
        self._on_frame = on_frame
        self._held: list[bytes] | None = None
        self.connection: Connection | None = None
        self.closed: tuple[int, str] | None = None
        self.high_water_bytes: int | None = None

    def frame(self, payload: bytes) -> bytes:
        return payload + b"\n"

    def write(self, frames: bytes) -> None:
        if self.closed is not None:
            return
        if self._held is None:
            self._deliver(frames)
            return
        self._held.append(frames)
        over = self.high_water_bytes is not None and self.buffered() > self.high_water_bytes
        if over and self.connection is not None and not self.connection.is_paused:
            self.connection.paused()

    def buffered(self) -> int:
        return sum(map(len, self._held or ()))

    def ping(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def stop_reading(self, *, high_water_bytes: int | None = None) -> None:
        """From now on the client reads nothing; past the mark the connection is told to pause."""
        self._held = self._held or []
        self.high_water_bytes = high_water_bytes

    def read_on(self) -> None:
        """The client reads what was held, and reads on."""
        held, self._held = self._held or [], None
        for frames in held:
            self._deliver(frames)
        if self.connection is not None and self.connection.is_paused:
            self.connection.resumed()

    def _deliver(self, frames: bytes) -> None:
        for frame in frames.splitlines():
            self._on_frame(frame)


class Talker:
    """A client with no wits of its own: it sends what it is told to and keeps what it hears, in order."""

    def __init__(self, edge: "Edge", user: UserId, device: str) -> None:
        self.user = user
        self.events: list[Any] = []
        self.outlet = HeldOutlet(self._heard)
        self._session = ClientSession(JSON)
        self._edge = edge
        self._device = device
        self._changed = asyncio.Event()
        self.connection = edge.gateway.open(self.outlet)
        self.outlet.connection = self.connection

    def say(self, event: ev.Event) -> None:
        for frame in self._session.send(event):
            self.connection.receive(frame)

    async def hello(self, *, window: int = 1_000) -> None:
        token = mint(SECRET, self.user, lifetime_s=3_600, now_ms=SystemClock().wall_ms())
        self.say(ev.Hello(token=token, versions=[1], device=self._device, window=window))
        await self.wait(ev.Welcome)

    async def resume(self, groups: Mapping[GroupId, str] | None = None, *, fresh: str = "head") -> None:
        """Give positions, ask for everything else, and wait until all of it is live."""
        done = self.count(ev.ResumeDone)
        self.say(ev.Resume(groups=dict(groups or {}), others=True, fresh=fresh))
        await self.until(lambda: self.count(ev.ResumeDone) > done)

    def ask(
        self,
        group: GroupId,
        kind: str,
        body: object,
        send_id: SendId,
        *,
        join: int = 1,
        after: SendId | None = None,
    ) -> None:
        raw = msgspec.Raw(msgspec.json.encode(body))
        self.say(ev.Send(id=send_id, group=group, kind=kind, join=join, after=after, body=raw))

    async def asked(self, group: GroupId, kind: str, body: object, send_id: SendId, **fields: Any) -> Any:
        """Ask for an entry, and return the answer to it."""
        before = len(self.events)
        self.ask(group, kind, body, send_id, **fields)
        answers = (ev.Accepted, ev.RefusedEvent, ev.Undecided)

        def answer() -> Any:
            found = (e for e in self.events[before:] if isinstance(e, answers) and e.id == send_id)
            return next(found, None)

        await self.until(lambda: answer() is not None)
        return answer()

    async def wait(self, kind: type[E], count: int = 1) -> E:
        """The `count`-th event of a kind, once it is there."""
        await self.until(lambda: self.count(kind) >= count)
        return self.all(kind)[count - 1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds after some event. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def count(self, kind: type[ev.Event]) -> int:
        return len(self.all(kind))

    def seqs(self, group: GroupId) -> list[int]:
        """The numbers of the group's entries as they were heard."""
        return [event.seq for event in self.all(ev.EntryEvent) if event.group == group]

    def story(self, group: GroupId) -> list[str]:
        """What was heard of the group, in order: entries by number, other events by name."""
        words = []
        for event in self.events:
            if getattr(event, "group", None) == group and not isinstance(event, ev.Accepted):
                name = event.__struct_config__.tag
                words.append(str(event.seq) if isinstance(event, ev.EntryEvent) else str(name))
        return words

    def drop(self) -> None:
        """The socket breaks."""
        self.outlet.close(1006, "broken")
        self.connection.lost()

    def _heard(self, frame: bytes) -> None:
        event, frames = self._session.receive(frame)
        self.events.append(event)
        self._changed.set()
        for waiting in frames:
            self.connection.receive(waiting)


class Edge:
    """Router, delivery and gateway over one store and one bus, with the real clock and no port."""

    def __init__(
        self,
        store: Store,
        *,
        bus: Bus | None = None,
        gateway: GatewaySettings | None = None,
        router: RouterSettings | None = None,
        fail_point: FailPoint | None = None,
        accounts: Accounts | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.store = store
        self.accounts = accounts or MemoryAccounts(Disk())
        self.bus = bus or MemoryBus()
        clock, chance = SystemClock(), SystemChance()
        verifier = Verifier([Key(algorithm="HS256", material=SECRET, local=True)])
        self.access = Access(verifier, Standings(self.accounts, clock), clock)
        self.registrar = Registrar(self.accounts, self.access, self.bus, clock, chance)
        settings = router or RouterSettings()
        self.router = Router(store, self.bus, clock, chance, settings, fail_point=fail_point, tracer=tracer)
        self.delivery = Delivery(store, self.bus, clock, chance, DeliverySettings(), tracer=tracer)
        self.gateway = Gateway(store, self.bus, clock, chance, self.access, Wheel(clock), gateway, tracer=tracer)

    async def __aenter__(self) -> "Edge":
        await self.router.start()
        await self.delivery.start()
        await self.gateway.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.stop()
        await self.delivery.stop()
        await self.router.stop()
        await self.bus.close()

    async def talker(self, user: UserId, *, device: str = "", window: int = 1_000) -> Talker:
        """A client that has said hello."""
        talker = Talker(self, user, device)
        await talker.hello(window=window)
        return talker

    async def member(self, user: UserId, *, fresh: str = "head", window: int = 1_000) -> Talker:
        """A client to which all of the user's groups are live."""
        talker = await self.talker(user, window=window)
        await talker.resume(fresh=fresh)
        return talker
