"""Who else lives: heartbeats of each role as plain messages, and this process's own view, which may be wrong."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from folkmoot.node.config import ROLES, SettingsError
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus, Reply, Subscription
from folkmoot.ports.clock import Clock
from folkmoot.ports.subjects import Alive

_log = logging.getLogger(__name__)

BEAT_S: Final = 0.5
SILENT_S_MAX: Final = 1.6
"""Three beats missed, and a little: whoever is silent for longer is taken for dead. If wrongly, two own a partition."""

PAUSED_S: Final = 1.2
"""A beat so late means that this process was stopped, and believes what is no longer so."""

STRANGERS_MAX: Final = 8
"""Other stores that are named: more would only say the same."""


class Peers:
    """By role, the instances that live, this process's own among them. `on_view(role, instances)` when that changes.

    `own`: this process's instance of each of its roles. `on_paused` is told when this process finds that it was.
    `home`: the store that it serves. Whoever serves another has no part in what is dealt here.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        own: dict[str, str],
        *,
        home: str,
        on_view: Callable[[str, tuple[str, ...]], None],
        on_paused: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._own = own
        self._home = home
        self._on_view = on_view
        self._on_paused = on_paused
        self._heard_s: dict[str, dict[str, float]] = {role: {} for role in ROLES}
        self._views: dict[str, tuple[str, ...]] = dict.fromkeys(ROLES, ())
        self._subscriptions: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None
        self._is_settled = False
        self._strangers: set[str] = set()
        self.pauses = 0

    async def start(self) -> None:
        """Say that this process lives, hear who else does for longer than a beat, and form the first views.

        Raises SettingsError where others here serve another store: a router of theirs would answer for this one's.
        """
        for role in ROLES:
            self._subscriptions.append(self._bus.subscribe(subjects.alive(role), self._hearer(role)))
        self._beat()
        await self._clock.sleep(1.2 * BEAT_S)
        if self._strangers:
            raise SettingsError(self._strangers_said())
        self._is_settled = True
        self._look()
        self._task = asyncio.create_task(self._run())

    def leave(self) -> None:
        """Say that this process gives up what it owns: others take it over at once."""
        own, self._own = self._own, {}
        for role, instance in own.items():
            self._bus.publish(subjects.alive(role), _ENCODER.encode(Alive(instance, leaving=True, home=self._home)))

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            subscription.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def view(self, role: str) -> tuple[str, ...]:
        """The instances of a role that live, in the order of their names."""
        return self._views[role]

    def statistics(self) -> dict[str, int]:
        return {**{f"alive_{role}": len(self._views[role]) for role in ROLES}, "pauses": self.pauses}

    def _hearer(self, role: str) -> Callable[[bytes, Reply | None], None]:
        def hear(message: bytes, _: Reply | None) -> None:
            alive = _ALIVE.decode(message)
            if alive.home != self._home:
                self._hear_stranger(alive.home)
                return
            heard_s = self._heard_s[role]
            if alive.leaving:
                heard_s.pop(alive.instance, None)
                self._look()
            else:
                is_new = alive.instance not in heard_s
                heard_s[alive.instance] = self._clock.monotonic_s()
                if is_new:
                    self._look()

        return hear

    def _hear_stranger(self, home: str) -> None:
        if home in self._strangers or len(self._strangers) >= STRANGERS_MAX:
            return
        self._strangers.add(home)
        if self._is_settled:
            # It refuses to start, as far as it hears us.
            _log.error(self._strangers_said())

    def _strangers_said(self) -> str:
        return (
            f"nats_urls: processes of another store are on this NATS: theirs is {'; '.join(sorted(self._strangers))},"
            f" this one's is {self._home}. Give all of them the same store, cassandra_hosts, cassandra_datacenter and"
            " cassandra_keyspace, or each store a NATS of its own"
        )

    async def _run(self) -> None:
        last_s = self._clock.monotonic_s()
        while True:
            await self._clock.sleep(BEAT_S)
            now_s = self._clock.monotonic_s()
            if now_s - last_s > BEAT_S + PAUSED_S:
                # What others said meanwhile waits to be heard: nobody is taken for dead on what this process missed.
                self.pauses += 1
                for heard_s in self._heard_s.values():
                    heard_s.update(dict.fromkeys(heard_s, now_s))
                self._tell(self._on_paused)
            last_s = now_s
            self._beat()
            for heard_s in self._heard_s.values():
                for silent in [instance for instance, at_s in heard_s.items() if now_s - at_s > SILENT_S_MAX]:
                    del heard_s[silent]
            self._look()

    def _beat(self) -> None:
        for role, instance in self._own.items():
            self._bus.publish(subjects.alive(role), _ENCODER.encode(Alive(instance, home=self._home)))

    def _look(self) -> None:
        """Form the views anew, and tell of those that changed."""
        if not self._is_settled:
            return
        for role in ROLES:
            own: Iterable[str] = (self._own[role],) if role in self._own else ()
            view = tuple(sorted({*self._heard_s[role], *own}))
            if view != self._views[role]:
                before, self._views[role] = self._views[role], view
                _log.info("who lives has changed", extra={"role": role, "before": len(before), "now": len(view)})
                self._tell(lambda role=role, view=view: self._on_view(role, view))  # type: ignore[misc]

    def _tell(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception:
            # The next beat must come, or others would take this process for dead.
            _log.exception("a change of who lives was not taken in")


_ALIVE = msgspec.msgpack.Decoder(Alive)
_ENCODER = msgspec.msgpack.Encoder()
