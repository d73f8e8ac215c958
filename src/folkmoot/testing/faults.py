"""Every fault that a simulated world can have: how it begins, and how it ends."""

from collections.abc import Callable
from typing import Final

from folkmoot.backends.memory.disk import Disk
from folkmoot.testing.happenings import Faulted, Noted
from folkmoot.testing.machine import ClientDisk
from folkmoot.testing.plan import Fault
from folkmoot.testing.world import World
from folkmoot.testing.world_node import GATEWAY, ROUTER

BUS_RATES: Final = ("lose", "lose entries", "double", "delay", "reorder")
STORE_RATES: Final = ("refuse", "slow", "write lost", "write late", "write unheard", "time out reading")
BOTH_HEAR, CLIENT_HEARS, SERVER_HEARS = "", "client", "server"

MEANING: Final[dict[str, str]] = {
    "lose": "some messages on the bus are lost",
    "lose entries": "some messages that carry entries are lost: the heads told each second show it",
    "double": "some messages on the bus come twice",
    "delay": "some messages on the bus come seconds late",
    "reorder": "some messages on the bus overtake others",
    "cut": "nothing gets from one process to another",
    "cut both": "nothing gets from one process to another, or back",
    "bus away": "the bus cannot be reached, from one process or from any",
    "refuse": "some calls of the store are refused",
    "slow": "some calls of the store take up to seconds",
    "time out reading": "some reads of the store are not answered",
    "write lost": "some writes are not answered, and never happen",
    "write late": "some writes are not answered, and happen later",
    "write unheard": "some writes are not answered, and have happened",
    "store away": "the store cannot be reached, from one process or from any",
    "store full": "the store has no room",
    "kill": "a server process is killed in the middle of something, and started again",
    "pause": "a process stands still for seconds, and goes on as if nothing had been",
    "believe gone": "a process hears no heartbeats of another of its role, and serves its partitions too",
    "clock jump": "a wall clock is set forward or back",
    "clock drift": "a clock goes at another pace",
    "restore": "the store is set back to an earlier state, under a raised epoch or none",
    "crash": "a client is killed in the middle of something, and started again from its disk",
    "break": "a client's connection breaks; one end may not hear of it",
    "not reading": "a client reads nothing from its connection",
    "roll back": "a client is started again from an earlier copy of its disk",
}
"""By kind, what it is."""


class Trouble:
    """The faults of one plan, put on the clock of one world."""

    def __init__(self, world: World) -> None:
        self.restores: list[tuple[int, bool]] = []
        self._world = world
        self._is_over = False
        # By when they are put back.
        self._backups: dict[float, Disk] = {}
        self._disks: dict[float, ClientDisk] = {}

    def schedule(self) -> None:
        world = self._world
        for fault in world.plan.faults:
            begin, end = _FAULTS[fault.kind]
            if fault.kind in ("restore", "roll back"):
                self._at(max(0.0, fault.at_s - fault.lasts_s), self._copy(fault))
            self._at(fault.at_s, self._begun(fault, begin))
            if end is not None:
                self._at(fault.at_s + fault.lasts_s, self._ended(fault, end))

    def over(self) -> None:
        """No fault begins or ends any more: the world heals all at once."""
        self._is_over = True
        self._world.database.disk.full = False
        for fault in self._world.plan.faults:
            if fault.kind == "clock jump":
                self.end_clock_jump(fault)

    def _at(self, at_s: float, do: Callable[[], None]) -> None:
        self._world.loop.call_later(at_s, do, context=self._world.loop.main.context)

    def _begun(self, fault: Fault, begin: "Begin") -> Callable[[], None]:
        def do() -> None:
            if not self._is_over:
                world = self._world
                detail = fault.other if not fault.rate else f"{fault.other} {fault.rate:g}".strip()
                world.record(Faulted(at_ms=world.now_ms(), kind=fault.kind, target=fault.target, detail=detail))
                if fault.kind not in BUS_RATES + STORE_RATES:
                    counts = world.weather.counts
                    counts[fault.kind] = counts.get(fault.kind, 0) + 1
                begin(self, fault)

        return do

    def _ended(self, fault: Fault, end: "Begin") -> Callable[[], None]:
        def do() -> None:
            if not self._is_over:
                world = self._world
                world.record(Faulted(at_ms=world.now_ms(), kind=fault.kind, target=fault.target, on=False))
                end(self, fault)

        return do

    def _copy(self, fault: Fault) -> Callable[[], None]:
        """Keep the state that is put back later."""

        def do() -> None:
            world = self._world
            if fault.kind == "restore":
                self._backups[fault.at_s] = world.database.backup()
            else:
                self._disks[fault.at_s] = world.machines[fault.target].disk.copied()
                self._note(fault, "copied")

        return do

    # By kind.

    def rate(self, fault: Fault) -> None:
        self._world.weather.rate(fault.kind, fault.rate)

    def end_rate(self, fault: Fault) -> None:
        self._world.weather.end_rate(fault.kind, fault.rate)

    def cut(self, fault: Fault) -> None:
        self._world.weather.cut(_pairs(fault), 1)

    def end_cut(self, fault: Fault) -> None:
        self._world.weather.cut(_pairs(fault), -1)
        for wire in self._world.wires:
            wire.flow_again()

    def bus_away(self, fault: Fault) -> None:
        self._world.weather.bus_away(fault.target, 1)

    def end_bus_away(self, fault: Fault) -> None:
        world = self._world
        world.weather.bus_away(fault.target, -1)
        for name in [fault.target] if fault.target else list(world.nodes):
            world.network.gap(name)

    def store_away(self, fault: Fault) -> None:
        self._world.weather.store_away(fault.target, 1)

    def end_store_away(self, fault: Fault) -> None:
        self._world.weather.store_away(fault.target, -1)

    def store_full(self, fault: Fault) -> None:
        self._world.database.disk.full = True

    def end_store_full(self, fault: Fault) -> None:
        self._world.database.disk.full = False

    def kill(self, fault: Fault) -> None:
        world = self._world
        node = world.nodes[fault.target]
        process = node.process
        if process is not None:
            process.after_steps(fault.steps, lambda: world.kill(node))

    def end_kill(self, fault: Fault) -> None:
        node = self._world.nodes[fault.target]
        if node.process is None:
            self._world.start(node)
        else:
            node.process.spare()

    def pause(self, fault: Fault) -> None:
        process = self._world.process_of(fault.target)
        if process is not None:
            process.after_steps(fault.steps, lambda: self._pause_now(fault.target))

    def end_pause(self, fault: Fault) -> None:
        process = self._world.process_of(fault.target)
        if process is not None:
            process.spare()
        self._world.resume(fault.target)

    def believe_gone(self, fault: Fault) -> None:
        gone = self._world.believed_gone.setdefault(fault.target, {})
        gone[fault.other] = gone.get(fault.other, 0) + 1

    def end_believe_gone(self, fault: Fault) -> None:
        gone = self._world.believed_gone.get(fault.target, {})
        gone[fault.other] = gone.get(fault.other, 1) - 1
        if not gone[fault.other]:
            del gone[fault.other]

    def clock_jump(self, fault: Fault) -> None:
        node = self._world.nodes[fault.target]
        if node.clock is not None:
            node.clock.jump(int(fault.rate * 1_000))
            self._world.excuse(node)

    def end_clock_jump(self, fault: Fault) -> None:
        node = self._world.nodes[fault.target]
        if node.clock is not None:
            node.clock.set_right()
            # A clock that is put right jumps too: tokens that were over by all others are so by it only now.
            self._world.excuse(node)

    def clock_drift(self, fault: Fault) -> None:
        clock = self._world.nodes[fault.target].clock
        if clock is not None:
            clock.drift(fault.rate)

    def end_clock_drift(self, fault: Fault) -> None:
        clock = self._world.nodes[fault.target].clock
        if clock is not None:
            clock.drift(1.0)

    def restore(self, fault: Fault) -> None:
        """Routers and deliveries are started again on the earlier state; gateways and clients live on."""
        world = self._world
        backup = self._backups.get(fault.at_s)
        if backup is None:
            return
        raised = fault.other == "raised"
        world.database.restore(backup, raised=raised)
        self.restores.append((len(world.happenings), raised))
        for node in world.nodes.values():
            if node.role != GATEWAY and not (raised and node.role == ROUTER):
                world.kill(node)
                world.start(node)

    def crash(self, fault: Fault) -> None:
        world = self._world
        machine = world.machines[fault.target]
        if machine.process is not None:
            machine.process.after_steps(fault.steps, lambda: world.crash_machine(machine))

    def end_crash(self, fault: Fault) -> None:
        machine = self._world.machines[fault.target]
        if machine.process is not None:
            machine.process.spare()
        self._world.start_machine(machine)

    def break_off(self, fault: Fault) -> None:
        machine = self._world.machines[fault.target]
        for wire in self._world.wires:
            if wire.client is machine.process:
                wire.break_off(client_hears=fault.other != SERVER_HEARS, server_hears=fault.other != CLIENT_HEARS)

    def not_reading(self, fault: Fault) -> None:
        self._read(fault.target, on=False)

    def end_not_reading(self, fault: Fault) -> None:
        self._read(fault.target, on=True)

    def roll_back(self, fault: Fault) -> None:
        world = self._world
        disk = self._disks.get(fault.at_s)
        machine = world.machines[fault.target]
        if disk is None:
            return
        world.crash_machine(machine)
        machine.disk = disk
        self._note(fault, "rolled back")
        world.start_machine(machine)

    # Inside.

    def _note(self, fault: Fault, what: str) -> None:
        """Which copy it was, so that it is known what the application had then."""
        world = self._world
        world.record(Noted(at_ms=world.now_ms(), who=fault.target, what=what, detail=f"{fault.at_s}"))

    def _pause_now(self, name: str) -> None:
        if not self._is_over:
            self._world.pause(name)

    def _read(self, name: str, *, on: bool) -> None:
        machine = self._world.machines[name]
        for wire in self._world.wires:
            if wire.client is machine.process:
                wire.read(on=on)


def _pairs(fault: Fault) -> list[tuple[str, str]]:
    there = (fault.target, fault.other)
    return [there] if fault.kind == "cut" else [there, there[::-1]]


Begin = Callable[[Trouble, Fault], None]

_FAULTS: Final[dict[str, tuple[Begin, Begin | None]]] = {
    **dict.fromkeys(BUS_RATES + STORE_RATES, (Trouble.rate, Trouble.end_rate)),
    "cut": (Trouble.cut, Trouble.end_cut),
    "cut both": (Trouble.cut, Trouble.end_cut),
    "bus away": (Trouble.bus_away, Trouble.end_bus_away),
    "store away": (Trouble.store_away, Trouble.end_store_away),
    "store full": (Trouble.store_full, Trouble.end_store_full),
    "kill": (Trouble.kill, Trouble.end_kill),
    "pause": (Trouble.pause, Trouble.end_pause),
    "believe gone": (Trouble.believe_gone, Trouble.end_believe_gone),
    "clock jump": (Trouble.clock_jump, Trouble.end_clock_jump),
    "clock drift": (Trouble.clock_drift, Trouble.end_clock_drift),
    "restore": (Trouble.restore, None),
    "crash": (Trouble.crash, Trouble.end_crash),
    "break": (Trouble.break_off, None),
    "not reading": (Trouble.not_reading, Trouble.end_not_reading),
    "roll back": (Trouble.roll_back, None),
}
