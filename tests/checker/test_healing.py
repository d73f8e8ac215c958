"""How long healing takes: figures of strikes, what a cluster can suffer, and a small run against a real one."""

import asyncio
import time

import pytest

from folkmoot.checker.cluster_target import SETTINGS, ClusterTarget
from folkmoot.checker.crowd import CrowdSettings
from folkmoot.checker.healing import (
    AIMS_S,
    FAULTS,
    Fault,
    HealCheck,
    HealReport,
    HealSettings,
    Struck,
    shape_of,
    spare_of,
)
from folkmoot.checker.history import Verdict
from folkmoot.gateway.identity import mint, secret_of

CROWD = CrowdSettings(clients=8, groups=4, members=4, sends_per_s=40.0)


def struck(fault: Fault, healed_s: float | None, noticed_s: float | None = 1.0) -> Struck:
    return Struck(fault=fault, name="x", noticed_s=noticed_s, healed_s=healed_s, longest_s=2.0, reconnects=1)


def test_figures_are_by_fault_and_what_never_healed_counts_as_the_bound() -> None:
    strikes = [struck("kill_nats", 1.0), struck("kill_nats", 3.0, None), struck("kill_router", None)]
    report = HealReport(
        seed=1, clients=2, sends_per_s=1.0, cores=1, load=(0.0, 0.0), strikes=strikes, stuck=[],
        verdict=Verdict({}, {}, 0, 0),
    )  # fmt: skip
    nats, router = report.summaries()["kill_nats"], report.summaries()["kill_router"]
    assert (nats.count, nats.healed_p50_s, nats.healed_max_s, nats.reconnects) == (2, 2.0, 3.0, 2)
    assert (nats.noticed_p50_s, router.healed_max_s) == (1.0, 60.0)


def test_every_fault_has_an_aim_and_a_cluster_that_can_suffer_it() -> None:
    assert AIMS_S.keys() == set(FAULTS)
    assert shape_of(3, 3, FAULTS, SETTINGS).routers == 3
    assert spare_of(shape_of(3, 3, FAULTS, SETTINGS), FAULTS) == ("router-3", "delivery-3")
    assert spare_of(shape_of(0, 1, FAULTS[:-3], SETTINGS), ("join",)) == ()
    assert spare_of(shape_of(0, 1, ("join",), SETTINGS), ("join",)) == ("delivery-3",)
    with pytest.raises(ValueError, match="kill_cassandra"):
        shape_of(1, 1, ("kill_cassandra",), SETTINGS)


@pytest.mark.timeout(180)
def test_a_cluster_heals_and_its_figures_are_there() -> None:
    faults: tuple[Fault, ...] = ("kill_router", "bus_away", "join")

    async def body() -> HealReport:
        shape = shape_of(0, 1, faults, SETTINGS)
        target = ClusterTarget(shape, 1, spare=spare_of(shape, faults))
        try:
            await target.open()
            key, now_ms = secret_of(target.secret_folder), time.time_ns() // 1_000_000
            settings = HealSettings(faults=faults, strikes=1, away_s=3.0, calm_s=0.6, crowd=CROWD)
            return await HealCheck(target, lambda user: mint(key, user, lifetime_s=600, now_ms=now_ms), settings).run()
        finally:
            await target.close()

    report = asyncio.run(body())
    assert report.clean, report
    killed, away, joined = report.strikes
    # On SQLite nobody takes a killed router's place: what heals is its return.
    assert killed.healed_s is not None
    # All of it was delivered though nobody sent any more, and no client lost its connection by it.
    assert away.healed_s is not None
    assert (away.reconnects, joined.reconnects) == (0, 0)
    assert (joined.name, joined.healed_s is not None) == ("delivery-3", True)
    assert joined.noticed_s is not None
