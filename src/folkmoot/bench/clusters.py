"""A cluster as the server that is measured: one of each role, one NATS server, one node of Cassandra."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from folkmoot.bench.process import ChildFailed
from folkmoot.bench.server import SETTINGS, counts_at
from folkmoot.bench.usage import Usage, main_thread_s, usage_of, usages_added
from folkmoot.cluster.cassandra_jars import CassandraMissing
from folkmoot.cluster.plan import LOOPBACK, Shape
from folkmoot.cluster.process import ProcessFailed
from folkmoot.cluster.running import Cluster
from folkmoot.gateway.identity import secret_of

PARTS: Final = ("gateway", "router", "driver", "delivery", "bus", "cassandra")
"""As told apart here. `router` is the router's thread with the event loop, `driver` its other threads: what speaks to
Cassandra."""


class ClusterServer:
    """Stands where a `Server` does. Started at once, on any cores: what it shares with the load is part of it."""

    def __init__(self, folder: Path, *, settings: Mapping[str, object]) -> None:
        """Raises ChildFailed where it does not come up."""
        chosen = dict(SETTINGS) | dict(settings)
        shape = Shape(
            cassandra_nodes=1,
            nats=1,
            gateways=1,
            routers=1,
            deliveries=1,
            set=tuple(f"{name}={value}" for name, value in chosen.items()),
        )
        self.host = LOOPBACK
        try:
            self._cluster = asyncio.run(Cluster.planned(folder / "cluster", shape, tied=True))
        except (CassandraMissing, ProcessFailed) as error:
            raise ChildFailed(str(error)) from error
        self.port = self._cluster.ports.ours["gateway-1"]

    def wait_ready(self) -> None:
        """Start all of it, and return once it takes sends. Raises ChildFailed."""
        try:
            asyncio.run(self._cluster.up())
        except (CassandraMissing, ProcessFailed) as error:
            raise ChildFailed(str(error)) from error

    @property
    def secret(self) -> str:
        return secret_of(self._cluster.data_dir).decode()

    def usage(self) -> Usage:
        """Of all its processes together. Raises ChildFailed where one has ended."""
        try:
            return usages_added(usage_of(pid) for pid in self._cluster.pids.values())
        except OSError as error:
            raise ChildFailed(f"a process of the cluster has ended: {error}") from None

    def counts(self) -> dict[str, float]:
        """What `/metrics` of the router says."""
        return counts_at(self.host, self._cluster.ports.ours["router-1"])

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far of each of PARTS. Raises ChildFailed where one has ended."""
        pids = self._cluster.pids
        try:
            whole = {name: usage_of(pid).cpu_s for name, pid in pids.items()}
            router_s = main_thread_s(pids["router-1"])
        except OSError as error:
            raise ChildFailed(f"a process of the cluster has ended: {error}") from None
        return {
            "gateway": whole["gateway-1"],
            "router": router_s,
            "driver": whole["router-1"] - router_s,
            "delivery": whole["delivery-1"],
            "bus": whole["nats-1"],
            "cassandra": whole["cassandra-1"],
        }

    def stop(self) -> None:
        """End all of it, by force: nobody needs its data."""

        async def kill() -> None:
            await asyncio.gather(*(self._cluster.kill(name) for name in self._cluster.parts))

        asyncio.run(kill())
