"""A server on one file with two routers that both own every partition: each has a memory of its own of every group."""

import asyncio
import json
import random
import sys
from collections.abc import Callable
from typing import Any, cast

import msgspec

from folkmoot.model.partitions import ALL
from folkmoot.node import lifecycle, wiring
from folkmoot.node.config import load_settings
from folkmoot.ports.bus import Bus, Handler, Reply, Subscription
from folkmoot.router.service import Router
from folkmoot.telemetry.logs import configure


class Late:
    """A bus whose messages reach one of the routers up to 3 ms late: now this one is first, now the other."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._chance = random.Random(1)

    def subscribe(self, subject: str, handler: Handler, *, on_gap: Callable[[], None] | None = None) -> Subscription:
        def later(message: bytes, reply: Reply | None) -> None:
            asyncio.get_running_loop().call_later(self._chance.random() * 0.003, handler, message, reply)

        return self._bus.subscribe(subject, later, on_gap=on_gap)

    def publish(self, subject: str, message: bytes) -> None:
        self._bus.publish(subject, message)


class Pair:
    """Two routers where one is meant."""

    def __init__(self, *routers: Router) -> None:
        self._routers = routers

    async def start(self, partitions: frozenset[int] = ALL) -> None:
        for router in self._routers:
            await router.start(partitions)

    async def stop(self) -> None:
        for router in self._routers:
            await router.stop()

    def statistics(self) -> dict[str, int]:
        one, other = (router.statistics() for router in self._routers)
        return {name: count + other[name] for name, count in one.items()} | {
            # Under a name that is there: what the one that appended less has appended.
            "audited": min(one["appended"], other["appended"])
        }

    def histograms(self) -> dict[str, Any]:
        return {**self._routers[0].histograms()}


def build_roles(*given: Any, **more: Any) -> wiring.Roles:
    """As `wiring.build_roles`, with two routers instead of one."""
    settings, store, bus, clock, chance, *_ = given
    late = cast("Bus", Late(bus))
    first, second = (Router(store, late, clock, chance, wiring.router_settings(settings)) for _ in range(2))
    return msgspec.structs.replace(wiring.build_roles(*given, **more), router=cast("Router", Pair(first, second)))


def main() -> None:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    configure(level="warning", as_json=True)
    chosen = {"port": int(options["--port"]), "data_dir": options["--data-dir"], "metrics_open": True}
    settings = load_settings(chosen | {"drain_spread_s": 0.0}, {}, None)
    vars(lifecycle)["build_roles"] = build_roles
    asyncio.run(lifecycle.serve(settings, on_ready=lambda url: print(json.dumps({"ready": url}), flush=True)))


if __name__ == "__main__":
    main()
