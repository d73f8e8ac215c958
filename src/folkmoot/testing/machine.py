"""A client's machine: the real SDK, an application on it, and a disk that outlives both."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal, Protocol

from folkmoot.client import Client
from folkmoot.client.errors import ClientError
from folkmoot.client.kept import Changes, Kept, KeptPlace, KeptSend
from folkmoot.client.link import Link, LinkEnd
from folkmoot.client.outbox import Answered
from folkmoot.client.received import GroupEvent, Received
from folkmoot.client.store import MemoryClientStore
from folkmoot.model.ids import GroupId, SendId, group_id
from folkmoot.protocol.events import Ended, Reset
from folkmoot.testing.happenings import Asked, Happening, Heard, Told, Took
from folkmoot.testing.plan import Person, Step
from folkmoot.testing.virtual_loop import Process
from folkmoot.testing.world_clock import WorldChance

RECONNECT_S_MAX = 1.0


class ClientDisk:
    """What a machine keeps through a crash: the SDK's places and outbox, and with them what the application made."""

    def __init__(self) -> None:
        self.kept = Kept()

    def copied(self) -> "ClientDisk":
        copy = ClientDisk()
        copy.kept = Kept(user=self.kept.user, places=dict(self.kept.places), outbox=list(self.kept.outbox))
        return copy


class Surroundings(Protocol):
    """What a machine is told of the world."""

    seed: int

    def now_ms(self) -> int: ...

    def record(self, happening: Happening) -> None: ...

    def group(self, name: str) -> GroupId:
        """The id of a group of the plan."""

    def connect(self, machine: "Machine", end: LinkEnd) -> Awaitable[Link]: ...

    def token(self, person: Person) -> str: ...

    def strange(self, what: str) -> None:
        """Something that nobody should see."""


class _MachineStore(MemoryClientStore):
    """A commit puts on the disk, in one step, what the SDK keeps and what the application made of the last batch."""

    def __init__(self, machine: "Machine") -> None:
        super().__init__(machine.disk.kept)
        self._machine = machine

    def commit(self, changes: Changes) -> None:
        super().commit(changes)
        self._machine.committed(self.load(), changes)


class Machine:
    """One device of one person. `start` boots it; `crash` is the end of all but its disk."""

    def __init__(self, person: Person, world: Surroundings) -> None:
        self.person = person
        self.disk = ClientDisk()
        self.process: Process | None = None
        self.client: Client | None = None
        self.lives = 0
        self._world = world
        self._pending: list[Received | GroupEvent] = []
        self.todo: list[Step] = []
        # Up to where its application has read, in this life, each group that it is in.
        self.read: dict[GroupId, int] = {}

    @property
    def name(self) -> str:
        return self.person.machine

    @property
    def is_up(self) -> bool:
        return self.process is not None

    @property
    def is_connected(self) -> bool:
        return self.is_up and self.client is not None and self.client.is_connected

    def start(self, process: Process) -> None:
        self.process = process
        self.lives += 1
        self._pending = []
        self.read = {}
        process.spawn(self._live())

    def crash(self) -> None:
        if self.process is not None:
            self.process.kill()
        self.process = self.client = None
        self._pending = []

    def do(self, step: Step) -> None:
        """Do what the plan says; what cannot be done while the machine is off is done when it is up again."""
        self.todo.append(step)
        if self.process is not None and self.client is not None:
            self.process.spawn(self._do_all())

    def place(self, group: GroupId) -> KeptPlace | None:
        """Where the application stands, as it is on the disk."""
        return self.disk.kept.places.get(group)

    def places(self) -> list[GroupId]:
        """The groups in which it stands anywhere."""
        return list(self.disk.kept.places)

    def outbox(self) -> list[KeptSend]:
        return self.disk.kept.outbox

    # What the store calls.

    def committed(self, kept: Kept, changes: Changes) -> None:
        world, person, now_ms = self._world, self.person, self._world.now_ms()
        self.disk.kept = kept
        for send in changes.made:
            group = send.group or self._group_made(send.send_id)
            world.record(
                Asked(
                    at_ms=now_ms,
                    who=self.name,
                    user=person.user,
                    group=group,
                    send_id=send.send_id,
                    kind=send.kind,
                    body=send.body,
                )
            )
        if changes.places:
            # Places move for what was handed over, and for nothing else: the application's part is the same commit.
            pending, self._pending = self._pending, []
            for item in pending:
                world.record(self._took(item, now_ms))
                if isinstance(item, Ended | Reset):
                    self.read.pop(item.group, None)

    # Inside.

    async def _live(self) -> None:
        person, world = self.person, self._world
        chance = WorldChance(world.seed, f"{self.name}/{self.lives}")
        client = Client(
            "http://world",
            lambda: world.token(person),
            device=person.device,
            store=_MachineStore(self),
            fresh="head" if person.fresh == "head" else "join",
            window=person.window,
            connect_s_max=None,
            reconnect_s_max=RECONNECT_S_MAX,
            draw=chance.draw,
            random_bytes=chance.token,
            link=lambda _, end: world.connect(self, end),
        )
        client.on_answer = self._told
        try:
            connecting = asyncio.get_running_loop().create_task(client.connect())
            await asyncio.sleep(0)
            self.client = client
            await self._do_all()
            await connecting
            async for batch in client.batches():
                if person.slow_s:
                    await asyncio.sleep(person.slow_s * chance.draw())
                self._pending = list(batch.items)
            await client.wait_closed()
            world.strange(f"{self.name}: the client was closed")
        except ClientError as error:
            world.strange(f"{self.name}: the client ended: {type(error).__name__}: {error}")

    async def _do_all(self) -> None:
        while self.todo:
            step = self.todo.pop(0)
            with contextlib.suppress(ClientError):
                self._do_one(step)

    def _do_one(self, step: Step) -> None:
        client = self.client
        assert client is not None
        group = self._world.group(step.group)
        match step.what:
            case "say":
                client.post(group, step.text, send_id=step.send_id)
            case "read":
                place = self.place(group)
                if place is not None:
                    client.mark_read(group, place.seq)
                    self.read[group] = max(self.read.get(group, 0), place.seq)
            case "create":
                self._later(
                    lambda: client.create_group(
                        step.group,
                        members=step.users,
                        history="all" if step.history == "all" else "join",
                        entry="open" if step.entry == "open" else "invite",
                        send_id=step.send_id,
                    )
                )
            case "add":
                self._later(lambda: client.add(group, step.users, send_id=step.send_id))
            case "remove":
                self._later(lambda: client.remove(group, step.users[0], send_id=step.send_id))
            case "leave":
                self._later(lambda: client.leave(group, send_id=step.send_id))
            case "join":
                self._later(lambda: client.join(group, send_id=step.send_id))
            case "rename":
                self._later(lambda: client.rename(group, step.text, send_id=step.send_id))
            case "role":
                role: Literal["admin", "member"] = "admin" if step.text == "admin" else "member"
                self._later(lambda: client.set_role(group, step.users[0], role, send_id=step.send_id))
            case "skip":
                self._later(lambda: client.skip(group, step.send_id))
            case other:
                raise ValueError(f"no step {other!r}")

    def _later(self, begin: Callable[[], Coroutine[Any, Any, object]]) -> None:
        async def waited() -> None:
            with contextlib.suppress(ClientError):
                await begin()

        assert self.process is not None
        self.process.spawn(waited())

    def _told(self, answered: Answered) -> None:
        group = answered.group or self._group_made(answered.send_id)
        self._world.record(
            Told(
                at_ms=self._world.now_ms(),
                who=self.name,
                user=self.person.user,
                group=group,
                send_id=answered.send_id,
                seq=answered.seq,
                code=answered.code,
                definite=answered.definite,
            )
        )
        if not answered.settled and self.client is not None:
            # Turned away again and again: the application gives it up, for good or until it proves to be in the log.
            client = self.client
            self._later(lambda: client.skip(group, answered.send_id))

    def _group_made(self, send_id: SendId) -> GroupId:
        return group_id(self.person.user, send_id)

    def _took(self, item: Received | GroupEvent, now_ms: int) -> Took | Heard:
        user = self.person.user
        if isinstance(item, Received):
            return Took(
                at_ms=now_ms,
                who=self.name,
                user=user,
                group=item.group,
                seq=item.seq,
                position=item.position,
                kind=item.kind,
                sender=item.sender,
                send_id=item.send_id,
                messages=item.messages,
                body=bytes(item.raw),
            )
        names = ("position", "join", "name", "role", "members", "messages", "unread", "read")
        fields = {name: getattr(item, name) for name in names if hasattr(item, name)}
        event = str(item.__struct_config__.tag)
        seq = getattr(item, "seq", 0)
        return Heard(at_ms=now_ms, who=self.name, user=user, group=item.group, event=event, seq=seq, **fields)
