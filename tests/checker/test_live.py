"""Live checks: rounds, recoveries, the verdict on a server that is well, and on one that does not come back."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from folkmoot.checker.crowd import CrowdSettings
from folkmoot.checker.history import FAULTS, Verdict
from folkmoot.checker.live import LiveCheck, LiveReport, LiveSettings, Round, Step
from folkmoot.checker.target import NETWORK, Faults, RunningServer, Strike
from folkmoot.testing.served import Served, served

CROWD = CrowdSettings(clients=4, groups=2, members=3, sends_per_s=100.0, comings_per_s=5.0)
SETTINGS = LiveSettings(seconds=1.5, seed=3, crowd=CROWD, recover_s_max=10.0)


class Wounded:
    """A target whose one fault is done to the server by the test."""

    def __init__(self, server: Served, strike: Strike) -> None:
        self.url = server.url
        self._strike = strike

    def url_of(self, user: str) -> str:
        return self.url

    @property
    def faults(self) -> Faults:
        return {"kill": self._strike}


def checked(tmp_path: Path, settings: LiveSettings = SETTINGS) -> tuple[LiveReport, list[Step]]:
    steps: list[Step] = []

    async def body() -> LiveReport:
        async with served(tmp_path / "server") as server:
            target = RunningServer(server.url)
            await target.open()
            try:
                return await LiveCheck(target, server.token, settings, steps.append).run()
            finally:
                await target.close()

    return asyncio.run(body()), steps


def test_a_bad_network_leaves_a_clean_verdict_and_says_how_long_it_took(tmp_path: Path) -> None:
    report, steps = checked(tmp_path)
    assert report.clean
    assert report.verdict.deliveries > report.verdict.acknowledged > 0
    assert sum(report.faults().values()) == len(report.rounds) > 0
    assert all(one.recovery_s is not None for one in report.rounds)
    assert sum(one.count for one in report.recoveries().values()) == len(report.rounds)
    assert (steps[0].doing, steps[-1].doing) == ("connecting", "settling")


def test_faults_that_the_target_cannot_suffer_are_refused() -> None:
    with pytest.raises(ValueError, match="kill: not among"):
        LiveCheck(RunningServer("http://127.0.0.1:1"), str, LiveSettings(faults=("kill",)))


def test_only_the_faults_asked_for_are_struck(tmp_path: Path) -> None:
    report, _ = checked(tmp_path, msgspec.structs.replace(SETTINGS, faults=("cut",)))
    assert set(report.faults()) == {"cut"}
    assert report.reconnects > 0


def test_who_does_not_come_back_is_stuck_and_the_run_ends(tmp_path: Path) -> None:
    async def body() -> LiveReport:
        async with served(tmp_path / "server") as server:
            proxied = RunningServer(server.url)
            await proxied.open()

            async def for_good(_: float) -> None:
                await proxied.close()

            target = Wounded(server, for_good)
            target.url = proxied.url
            settings = msgspec.structs.replace(SETTINGS, seconds=60.0, recover_s_max=0.3)
            return await LiveCheck(target, server.token, settings).run()

    with pytest.MonkeyPatch.context() as patch:
        # Nobody comes back: what is settled at the end is not waited for.
        patch.setattr("folkmoot.checker.live.SETTLE_S_MAX", 0.2)
        report = asyncio.run(body())
    assert not report.clean
    assert len(report.rounds) == 1
    assert report.rounds[0].recovery_s is None
    assert any("not up to date 0.3 s after kill" in line for line in report.stuck)


def test_stopped_early_it_judges_what_there_is(tmp_path: Path) -> None:
    async def body() -> LiveReport:
        async with served(tmp_path / "server") as server:
            target = RunningServer(server.url)
            await target.open()

            def show(step: Step) -> None:
                if step.rounds == 1:
                    check.stop()

            check = LiveCheck(target, server.token, msgspec.structs.replace(SETTINGS, seconds=600.0), show)
            try:
                return await check.run()
            finally:
                await target.close()

    report = asyncio.run(body())
    assert report.interrupted
    assert report.clean
    assert report.seconds < 60
    assert report.verdict.acknowledged > 0


def test_recoveries_are_by_what_struck_together() -> None:
    rounds = [
        Round(kinds=("kill",), began_s=0, lasted_s=1.0, recovery_s=0.2),
        Round(kinds=("kill",), began_s=5, lasted_s=2.0, recovery_s=0.4),
        Round(kinds=("pause", "cut"), began_s=9, lasted_s=1.0, recovery_s=0.1),
        Round(kinds=("pause", "cut"), began_s=12, lasted_s=1.0, recovery_s=None),
    ]
    verdict = Verdict(dict.fromkeys(FAULTS, 0), {}, 0, 0)
    report = LiveReport(
        seed=1, seconds=15.0, acts=1, clients=2, reconnects=0, rounds=rounds, stuck=["user-1"], verdict=verdict
    )
    assert report.faults() == {"cut": 2, "kill": 2, "pause": 2}
    kill = report.recoveries()["kill"]
    assert (kill.count, kill.max_s, kill.whole_max_s) == (2, 0.4, 2.4)
    assert (round(kill.p50_s, 9), round(kill.whole_p50_s, 9)) == (0.3, 1.8)
    assert report.recoveries()["pause + cut"].count == 1
    assert not report.clean


class Sufferer(RunningServer):
    """Can suffer what a cluster can, as far as draws go."""

    @property
    def faults(self) -> Faults:
        return dict.fromkeys(("cut", "slow", "kill_gateway", "kill_cassandra", "pause_nats", "bus_cut"), _nothing)


async def _nothing(_: float) -> None:
    return


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_of_a_process_is_struck_once_before_any_is_struck_again(seed: int) -> None:
    check = LiveCheck(Sufferer("http://127.0.0.1:1"), str, LiveSettings(seed=seed))
    drawn = [kinds[0] for kinds in (check._draw() for _ in range(60)) if kinds[0] not in NETWORK]
    assert set(drawn[:4]) == {"kill_gateway", "kill_cassandra", "pause_nats", "bus_cut"}
    assert len(drawn) > 20


def test_the_same_seed_draws_the_same_faults(tmp_path: Path) -> None:
    draws = []
    for _ in range(2):
        check = LiveCheck(RunningServer("http://127.0.0.1:1"), str, LiveSettings(seed=5))
        draws.append([check._draw() for _ in range(30)])
    assert draws[0] == draws[1]
