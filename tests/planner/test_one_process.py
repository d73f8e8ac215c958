"""A simulated process obeys what can be worked out by hand, and is the same again."""

import msgspec
import pytest

from folkmoot.planner.one_process import NAP_S, Load, simulated

QUIET = Load(
    rate_per_s=10, members=100, seconds=10, send_s=0.001, delivery_s=0.00001, read_s=0.0,
    sync_s_p50=0.002, sync_s_p99=0.002,
)  # fmt: skip


def test_alone_a_message_takes_the_sum_of_its_steps() -> None:
    times = simulated(QUIET, 1)
    # 1 ms to take and answer, 2 ms for the disk, 1 ms for a hundred deliveries; the load looks each half millisecond.
    assert times.last_ms_p50 == pytest.approx(4.0, abs=NAP_S * 1_000)
    assert times.delivery_ms_p50 == pytest.approx(3.5, abs=NAP_S * 1_000)
    assert times.busy_share == pytest.approx(0.02)
    assert times.entries_per_commit == 1.0


def test_it_is_the_same_again() -> None:
    skewed = msgspec.structs.replace(QUIET, sync_s_p99=0.02)
    assert simulated(skewed, 5) == simulated(skewed, 5)
    assert simulated(skewed, 5) != simulated(skewed, 6)


def test_more_load_waits_longer_and_shares_commits() -> None:
    skewed = msgspec.structs.replace(QUIET, sync_s_p99=0.01)
    at = [simulated(msgspec.structs.replace(skewed, rate_per_s=rate), 1) for rate in (10, 300, 490)]
    assert at[0].last_ms_p50 < at[1].last_ms_p50 < at[2].last_ms_p50
    assert at[0].busy_share < at[1].busy_share < at[2].busy_share < 1
    slow_disk = msgspec.structs.replace(QUIET, rate_per_s=300, sync_s_p50=0.01, sync_s_p99=0.01)
    assert simulated(slow_disk, 1).entries_per_commit == pytest.approx(3, abs=0.5)


def test_more_than_a_core_can_do_only_grows() -> None:
    over = [simulated(msgspec.structs.replace(QUIET, rate_per_s=1_000, seconds=s), 1) for s in (2, 4)]
    assert over[1].last_ms_p99 > 1.5 * over[0].last_ms_p99


def test_what_others_take_of_the_core_comes_in_stretches() -> None:
    stolen = simulated(msgspec.structs.replace(QUIET, rate_per_s=200, stolen_share=0.2, stall_s=0.01), 1)
    alone = simulated(msgspec.structs.replace(QUIET, rate_per_s=200), 1)
    assert stolen.last_ms_p99 > alone.last_ms_p99 + 10
    # 0.4 of a core is its own, and 0.2 is stolen.
    assert stolen.busy_share == pytest.approx(0.6, abs=0.05)
    assert alone.busy_share == pytest.approx(0.4, abs=0.01)


def test_no_more_is_stolen_than_leaves_it_its_work() -> None:
    times = simulated(msgspec.structs.replace(QUIET, rate_per_s=450, stolen_share=3.0), 1)
    assert times.busy_share == pytest.approx(0.95, abs=0.04)
