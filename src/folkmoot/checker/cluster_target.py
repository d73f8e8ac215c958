"""What `check live --cluster` strikes: a whole cluster of its own, each process of it, and the bus between them."""

import asyncio
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from folkmoot.checker.proxy import FAIR, Proxy, Weather
from folkmoot.checker.target import Faults, Network, Strike
from folkmoot.cluster.plan import LOOPBACK, NODES_MAX, Kind, Shape
from folkmoot.cluster.running import Cluster

IN_MEMORY: Final = "/dev/shm"
SETTINGS: Final = ("drain_spread_s=0",)
"""A gateway that is stopped need not spread out the clients of one machine."""


class ClusterTarget:
    """A cluster on data that is thrown away. Clients reach each gateway, and our processes NATS, through a proxy.

    A client goes to the gateway of its name's choosing, and to another where that one accepts nobody. `seed`: of
    which process is struck.
    """

    def __init__(self, shape: Shape, seed: int, *, spare: tuple[str, ...] = ()) -> None:
        """`spare`: parts of the shape that are not started with the others."""
        in_memory = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="folkmoot-check-", dir=in_memory))
        self.notes = [] if in_memory else [f"the cluster's data is on a disk: there is no {IN_MEMORY} to write to"]
        self._shape = shape
        self.spare = spare
        self._chance = random.Random(f"{seed} strikes")
        self._cluster: Cluster | None = None
        self._gateways: list[Proxy] = []
        self._bus: list[Proxy] = []

    async def open(self) -> None:
        """Start it all. Raises what `Cluster.planned` and `Cluster.up` do."""
        cluster = self._cluster = await Cluster.planned(self.folder, self._shape, tied=True)
        for port in cluster.ports.nats:
            self._bus.append(await _opened([(LOOPBACK, port)]))
        cluster.nats_urls = tuple(proxy.url.replace("http:", "nats:") for proxy in self._bus)
        await cluster.up(without=self.spare)
        places = [(LOOPBACK, urlsplit(url).port or 0) for url in cluster.gateway_urls]
        for number in range(len(places)):
            self._gateways.append(await _opened([*places[number:], *places[:number]]))

    @property
    def cluster(self) -> Cluster:
        """What was started."""
        assert self._cluster is not None
        return self._cluster

    def draw(self, kind: Kind) -> str:
        """The name of one of that kind, but none of the spare ones."""
        return self._drawn([kind])

    @property
    def secret_folder(self) -> Path:
        return self.cluster.data_dir

    def url_of(self, user: str) -> str:
        """The same for a user each time, and as many users for each gateway."""
        return self._gateways[random.Random(user).randrange(len(self._gateways))].url

    @property
    def faults(self) -> Faults:
        kinds: list[Kind] = ["gateway", "router", "delivery", "nats"]
        if self._shape.cassandra_nodes == NODES_MAX:
            # Of one node there is no other that goes on.
            kinds.append("cassandra")
        faults: dict[str, Strike] = {}
        for kind in kinds:
            faults[f"kill_{kind}"] = self._striking(kind, "kill")
            faults[f"pause_{kind}"] = self._striking(kind, "pause")
        bus = {"bus_cut": self._cut_bus, "bus_held": self._hold_bus, "bus_away": self._end_bus}
        return faults | {"drain": self._drain} | bus | Network(*self._gateways).faults

    async def close(self) -> None:
        """End it and throw its data away, whatever state it is in."""
        for proxy in (*self._gateways, *self._bus):
            await proxy.close()
        if self._cluster is not None:
            await asyncio.gather(*(self._cluster.kill(name) for name in self._cluster.parts))
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def _striking(self, kind: Kind, how: str) -> Strike:
        async def strike(seconds: float) -> None:
            name = self._drawn([kind])
            await (self._kill(name, seconds) if how == "kill" else self._pause(name, seconds))

        return strike

    async def _kill(self, name: str, seconds: float) -> None:
        await self.cluster.kill(name)
        await asyncio.sleep(seconds)
        await self.cluster.start(name)
        await self.rejoined(name)

    async def _pause(self, name: str, seconds: float) -> None:
        self.cluster.pause(name)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.cluster.resume(name)
        await self.rejoined(name)

    async def rejoined(self, name: str) -> None:
        """Of three nodes of Cassandra one is struck at a time: the next only once the others have this one again."""
        if name in self.cluster.of_kind("cassandra"):
            await self.cluster.rejoined()

    async def _drain(self, seconds: float) -> None:
        name = self._drawn(["gateway", "router", "delivery"])
        await self.cluster.stop(name)
        await asyncio.sleep(seconds)
        await self.cluster.start(name)

    async def _cut_bus(self, _: float) -> None:
        for proxy in self._bus:
            proxy.cut()

    async def _hold_bus(self, seconds: float) -> None:
        self._weather(Weather(held_up=True, held_down=True))
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._cut_bus(0)
            self._weather(FAIR)

    async def _end_bus(self, seconds: float) -> None:
        servers = self.cluster.of_kind("nats")
        await asyncio.gather(*(self.cluster.kill(name) for name in servers))
        await asyncio.sleep(seconds)
        await asyncio.gather(*(self.cluster.start(name) for name in servers))

    def _weather(self, weather: Weather) -> None:
        for proxy in self._bus:
            proxy.set(weather)

    def _drawn(self, kinds: list[Kind]) -> str:
        names = [name for kind in kinds for name in self.cluster.of_kind(kind)]
        return self._chance.choice([name for name in names if name not in self.spare])


async def _opened(places: list[tuple[str, int]]) -> Proxy:
    """A proxy to the first of the places, and to the others where that one accepts nobody."""
    proxy = Proxy()
    (host, port), *others = places
    await proxy.open(host, port, others=tuple(others))
    return proxy
