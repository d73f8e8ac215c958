"""A whole cluster in one process from one seed: the production roles and SDK on simulated time, network, store, bus."""

import asyncio

import msgspec

from folkmoot.backends.memory.accounts import MemoryAccounts
from folkmoot.backends.memory.disk import Disk
from folkmoot.client.errors import NotConnected
from folkmoot.client.link import Link, LinkEnd
from folkmoot.gateway.access import Access
from folkmoot.gateway.identity import Key, Verifier, mint
from folkmoot.gateway.service import Gateway
from folkmoot.gateway.standings import Standings
from folkmoot.model.entry import Entry
from folkmoot.model.group import GroupState
from folkmoot.model.ids import GroupId, SendId, UserId, group_id
from folkmoot.model.membership import Span
from folkmoot.model.position import parse_position
from folkmoot.ports.store import Write
from folkmoot.ports.subjects import Push
from folkmoot.ports.subjects import Stored as StoredMessage
from folkmoot.router.service import Router
from folkmoot.testing.happenings import Happening, Noted, Pushed, Refused, Stored
from folkmoot.testing.machine import Machine
from folkmoot.testing.plan import Person, Plan, Step
from folkmoot.testing.virtual_loop import Process, VirtualLoop
from folkmoot.testing.weather import Weather
from folkmoot.testing.wire_tap import WireTap
from folkmoot.testing.world_bus import Network, WorldBus
from folkmoot.testing.world_clock import WorldClock
from folkmoot.testing.world_link import Wire
from folkmoot.testing.world_node import DELIVERY, GATEWAY, ROUTER, Node
from folkmoot.testing.world_store import Database, WorldStore

SECRET = b"only for simulated worlds, and long enough"
BUCKET_SIZE = 8
EXCUSED_S = 3.0
SETTLED_S = 1.0
"""By then each has heard the others' heartbeats, and serves its part."""


class GroupEnd(msgspec.Struct, frozen=True):
    """A group at the end of a run, as the store has it."""

    entries: list[Entry]
    state: GroupState
    pointers: dict[UserId, int]


class World:
    """Everything of one run. Faults are applied from outside (`testing/faults.py`), and healed by `heal`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seed = plan.seed
        self.loop = VirtualLoop(plan.seed)
        self.weather = Weather(plan.seed)
        self.database = Database(self.loop, self.weather, bucket_size=BUCKET_SIZE)
        self.database.on_write = self._on_write
        self.network = Network(self.loop, self.weather, self._hears)
        self.network.on_publish = self._on_publish
        self.happenings: list[Happening] = []
        self.strangeness: list[str] = []
        self.nodes = {
            name: Node(role, name)
            for role, count in ((ROUTER, plan.routers), (DELIVERY, plan.deliveries), (GATEWAY, plan.gateways))
            for name in (f"{role}-{n}" for n in range(1, count + 1))
        }
        self.machines = {person.machine: Machine(person, self) for person in plan.people}
        self.wires: list[Wire] = []
        self.breaches: list[tuple[str, str]] = []
        # To whom which entries were sent, in whatever way: by (user, group), seq and position.
        self.all_given: dict[tuple[UserId, GroupId], dict[tuple[int, str], None]] = {}
        self._expires: dict[str, int] = {}
        # By process: whom of its own role it believes to be gone, since it hears no heartbeats of it.
        self.believed_gone: dict[str, dict[str, int]] = {}
        # Users and keys are not what is on trial here: these accounts are always there.
        self._accounts = MemoryAccounts(Disk())
        self._verifier = Verifier([Key(algorithm="HS256", material=SECRET)])
        self._groups = {s.group: self._made_by(s) for s in plan.steps if s.what == "create"}

    # What machines are told.

    def now_ms(self) -> int:
        return round(self.loop.time() * 1_000)

    def record(self, happening: Happening) -> None:
        self.happenings.append(happening)

    def strange(self, what: str) -> None:
        self.strangeness.append(f"{self.loop.time():.3f} s: {what}")

    def group(self, name: str) -> GroupId:
        return self._groups.get(name, name)

    def token(self, person: Person) -> str:
        now_ms = WorldClock(self.loop).wall_ms()
        token = mint(SECRET, person.user, device=person.device, lifetime_s=int(person.token_s), now_ms=now_ms)
        self._expires[token] = (now_ms // 1_000 + int(person.token_s)) * 1_000
        return token

    # What taps are told, and ask.

    def breach(self, law: str, what: str) -> None:
        self.breaches.append((law, f"{self.loop.time():.3f} s: {what}"))

    def given(self, user: UserId, group: GroupId, seq: int, position: str) -> None:
        self.all_given.setdefault((user, group), {})[(seq, position)] = None

    def is_stored(self, group: GroupId, seq: int, send_id: SendId) -> bool:
        if self.database.life:
            # It may have been, in the life before.
            return True
        held = self.database.store._groups.get(group)
        return held is not None and 0 < seq <= len(held.entries) and held.entries[seq - 1].send_id == send_id

    def expires_ms(self, token: str) -> int:
        return self._expires[token]

    async def connect(self, machine: Machine, end: LinkEnd) -> Link:
        """Through any gateway, as a balancer in front of them would do it. Raises NotConnected."""
        assert machine.process is not None
        gateways = [node for node in self.nodes.values() if node.role == GATEWAY and node.is_open]
        await asyncio.sleep(self.weather.latency_s())
        if not gateways:
            raise NotConnected("no gateway")
        node = gateways[int(self.weather.random.random() * len(gateways))]
        if node.process is None or not isinstance(node.service, Gateway):
            raise NotConnected("no gateway")
        tap = WireTap(self, f"{machine.name} at {node.name}", node.wall_ms)
        wire = Wire(self.loop, self.weather, machine.process, node.process, node.service, end, tap)
        self.wires = [one for one in self.wires if one.client_up or one.server_up]
        self.wires.append(wire)
        link = await wire.open()
        self.record(Noted(at_ms=self.now_ms(), who=machine.name, what="connected", detail=node.name))
        return link

    # Processes.

    async def boot(self) -> None:
        """Start everything: the servers, and the clients once these know of one another."""
        for node in self.nodes.values():
            self.start(node)
        if not self.plan.all_own_all:
            await asyncio.sleep(SETTLED_S)
        for machine in self.machines.values():
            self.start_machine(machine)

    def start(self, node: Node) -> None:
        """A new life of a process: it has what is durable, and nothing else."""
        process, clock = self.loop.process(node.name), WorldClock(self.loop)
        store, bus = WorldStore(self.database, process), WorldBus(self.network, process)
        access = Access(self._verifier, Standings(self._accounts, clock), clock)
        process.context.copy().run(node.live, self.plan, process, clock, store, bus, access)
        self.record(Noted(at_ms=self.now_ms(), who=node.name, what="started"))

    def kill(self, node: Node) -> None:
        if node.process is None:
            return
        process = node.process
        node.die()
        process.kill()
        self.network.drop_process(process)
        for wire in self.wires:
            if wire.server is process:
                # A machine that lost its power says nothing any more: its clients find out by the silence.
                hears = self.weather.random.random() < 0.7
                wire.break_off(client_hears=hears, server_hears=False)
        self.record(Noted(at_ms=self.now_ms(), who=node.name, what="killed"))

    def start_machine(self, machine: Machine) -> None:
        if not machine.is_up:
            machine.start(self.loop.process(machine.name))
            self.record(Noted(at_ms=self.now_ms(), who=machine.name, what="started"))

    def crash_machine(self, machine: Machine) -> None:
        process = machine.process
        if process is None:
            return
        machine.crash()
        for wire in self.wires:
            if wire.client is process:
                wire.client_up = False
                wire.break_off(client_hears=False, server_hears=self.weather.random.random() < 0.7)
        self.record(Noted(at_ms=self.now_ms(), who=machine.name, what="killed"))

    def process_of(self, name: str) -> Process | None:
        node = self.nodes.get(name)
        return node.process if node is not None else self.machines[name].process

    def heal(self) -> None:
        """All faults are over: what was killed is started, what was paused goes on, all that was cut is joined."""
        cut_off = self.weather.without_bus()
        self.weather.clear()
        # Whoever could not reach the bus is told that it may have missed something.
        for name in list(self.nodes) if "" in cut_off else cut_off:
            self.network.gap(name)
        self.believed_gone.clear()
        for node in self.nodes.values():
            if node.process is not None:
                node.process.spare()
            if node.process is None:
                self.start(node)
            elif node.process.paused:
                self.resume(node.name)
            if node.clock is not None:
                node.clock.drift(1.0)
        for machine in self.machines.values():
            if machine.process is None:
                self.start_machine(machine)
            else:
                machine.process.spare()
                machine.process.resume()
        for wire in self.wires:
            wire.read(on=True)
            wire.flow_again()

    def pause(self, name: str) -> None:
        process = self.process_of(name)
        if process is not None:
            process.pause()
            self.record(Noted(at_ms=self.now_ms(), who=name, what="paused"))

    def resume(self, name: str) -> None:
        """It goes on, and finds by its heartbeats that it was away; without any, as if its bus had been cut."""
        process = self.process_of(name)
        if process is not None and process.paused:
            process.resume()
            node = self.nodes.get(name)
            if node is not None:
                if self.plan.all_own_all:
                    self.network.gap(name)
                self.excuse(node)
            self.record(Noted(at_ms=self.now_ms(), who=name, what="resumed"))

    def excuse(self, node: Node) -> None:
        """For some seconds it may be behind with its tokens: it stood still, or its clock was set."""
        node.excused_ms = 10_000_000
        node.excuses += 1
        number = node.excuses

        def over() -> None:
            if node.excuses == number:
                node.excused_ms = 0

        self.loop.call_later(EXCUSED_S, over, context=self.loop.main.context)

    # The end.

    def ends(self) -> dict[GroupId, GroupEnd]:
        """Every group of the store as it is now."""
        database, store = self.database, self.database.store
        ends = {}
        for group in sorted(store._groups):
            entries = database.now(store.read(group, Span(1, None), entries_max=10**6, bytes_max=10**9))
            state = database.now(store.state(group))
            views = {user: database.now(store.view(group, user)) for user in state.memberships}
            pointers = {user: view.read for user, view in views.items() if view is not None}
            ends[group] = GroupEnd(entries, state, pointers)
        return ends

    def behind(self) -> list[str]:
        """What is not as it has to be in the end; nothing once everybody has everything."""
        found = []
        for machine in self.machines.values():
            if not machine.is_connected or not self._has_whole_wire(machine):
                found.append(f"{machine.name} is not connected")
            elif machine.todo:
                found.append(f"{machine.name} has not done what it was to do")
            elif machine.outbox():
                waiting = ", ".join(send.send_id for send in machine.outbox())
                found.append(f"{machine.name} has no answer to {waiting}")
        groups = self.database.store._groups
        for machine in self.machines.values():
            user = machine.person.user
            for group, held in sorted(groups.items()):
                place, head = machine.place(group), held.state.head
                if held.state.membership(user) is None:
                    if place is not None:
                        found.append(f"{machine.name} has not been told that {group} is over for it")
                elif place is None or (place.seq, _mark(place.position)) != (head.seq, head.position.mark):
                    at = "nowhere" if place is None else f"at {place.seq}"
                    found.append(f"{machine.name} is {at} in {group}, whose head is {head.seq}")
            found += [
                f"{machine.name} is in {group}, which is gone" for group in machine.places() if group not in groups
            ]
        found += self._pointers_behind()
        for name, node in self.nodes.items():
            if isinstance(node.service, Router) and node.service.statistics()["waiting"]:
                found.append(f"{name} has sends waiting")
        return found

    # Inside.

    def _has_whole_wire(self, machine: Machine) -> bool:
        return any(wire.client is machine.process and wire.is_whole for wire in self.wires)

    def _pointers_behind(self) -> list[str]:
        """Which read pointers have not come to the store. One that was set back has lost some, and nobody knows."""
        store, found = self.database.store, list[str]()
        if self.database.life:
            return found
        for machine in self.machines.values():
            user = machine.person.user
            for group, seq in machine.read.items():
                held = store._groups.get(group)
                stored = store._pointers.get((group, user), (0, 0))[1]
                if held is not None and held.state.membership(user) is not None and stored < seq:
                    found.append(f"{machine.name} has read {group} up to {seq}, and the store has {stored}")
        return found

    def _hears(self, process: str, source: str) -> bool:
        """Whether a heartbeat of `source` gets to the process."""
        return source not in self.believed_gone.get(process, {})

    def _made_by(self, step: Step) -> GroupId:
        person = next(p for p in self.plan.people if p.machine == step.who)
        return group_id(person.user, step.send_id)

    def _on_write(self, write: Write) -> None:
        now_ms = self.now_ms()
        for e in write.entries:
            self.record(
                Stored(
                    at_ms=now_ms,
                    group=e.group,
                    epoch=e.epoch,
                    seq=e.seq,
                    kind=e.kind,
                    sender=e.sender,
                    send_id=e.send_id,
                    hash=e.hash,
                )
            )
        for (sender, send_id), code in write.refusals.items():
            self.record(Refused(at_ms=now_ms, group=write.group, sender=sender, send_id=send_id, code=code))

    def _on_publish(self, who: str, subject: str, message: bytes) -> None:
        word = subject.partition(".")[0]
        if word == "entries" or (word == "push" and message[:9] == _STORED_PUSH):
            stored = _PUSH.decode(message)
            if isinstance(stored, StoredMessage):
                for entry in stored.entries:
                    if not self.is_stored(entry.group, entry.seq, entry.send_id):
                        self.breach("durable", f"{who} publishes {entry.group} {entry.seq}, which is not stored")
                    self.record(
                        Pushed(at_ms=self.now_ms(), who=who, subject=subject, group=stored.group, seq=entry.seq)
                    )


def _mark(position: str) -> bytes:
    """By its mark, whatever the epoch: a head has the store's, an entry that of its own time."""
    return parse_position(position).mark


_PUSH = msgspec.msgpack.Decoder(Push)
_STORED_PUSH = msgspec.msgpack.encode(StoredMessage("", [], 0))[:9]
