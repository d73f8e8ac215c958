"""Contenders meet the same load in turn; one that does not keep up is said to be saturated, and offered less."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folkmoot.bench import compare
from folkmoot.bench.compare import HALVINGS_MAX, Compare, saturated_of
from folkmoot.bench.comparison import Round
from folkmoot.bench.contenders import FLOOR, OURS, Contender, Contenders
from folkmoot.bench.disk import DiskTimes
from folkmoot.bench.jobs import Tally
from folkmoot.bench.plan import Plan
from folkmoot.bench.stage import Stage
from folkmoot.bench.usage import Usage
from folkmoot.bench.window import Window

TINY = """
about = "a tiny one"
stores = "nothing"
promises = "little"
dialect = "starlette"
needs = []
build = []
run = ["{{python}}", "{server}"]
"""


def contenders_of(tmp_path: Path, names: list[str]) -> Contenders:
    (tmp_path / "peers" / "tiny").mkdir(parents=True)
    server = Path(__file__).with_name("tiny_peer.py")
    (tmp_path / "peers" / "tiny" / "peer.toml").write_text(TINY.format(server=server))
    return Contenders(names, folder=tmp_path / "peers", built=tmp_path / "built")


@pytest.fixture
def in_any_time(monkeypatch: pytest.MonkeyPatch, however_busy: None) -> None:
    """What arrives late is not judged either."""
    monkeypatch.setattr(compare, "REACHED_SHARE_MIN", 0.0)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.usefixtures("in_any_time")
def test_all_of_them_deliver_the_same_messages(tmp_path: Path) -> None:
    contenders = contenders_of(tmp_path, [FLOOR, OURS, "tiny"])
    plan = Plan(scenario="fanout", sockets=20, members=10, rate_per_s=20, seconds=1.0, warm_s=0.5, runs=2)
    said: list[str] = []
    ready = contenders.prepare(said.append)
    with Compare(contenders, tmp_path, said.append) as comparing:
        rounds = comparing.rounds(plan, ready)
    assert [(one.number, one.contender) for one in rounds] == [
        (number, name) for number in range(2) for name in (FLOOR, OURS, "tiny")
    ]
    for one in rounds:
        assert (one.refusals, one.saturated) == ([], "")
        assert (one.figures["messages"], one.figures["deliveries"]) == (30, 300)
        assert one.figures["deliveries_per_cpu_s"] > 0
        assert one.figures["latency_ms_p50"] <= one.figures["last_ms_p99"]
    assert "answer_ms_p50" in rounds[1].figures
    assert ready[2].version == "tiny 1"
    assert {path.name for path in tmp_path.iterdir()} == {"peers", "built"}


@pytest.mark.usefixtures("in_any_time")
@pytest.mark.parametrize("scenario", ["blast", "idle"])
def test_full_blast_and_idle_connections(tmp_path: Path, scenario: str) -> None:
    contenders = contenders_of(tmp_path, ["tiny"])
    plan = Plan(scenario=scenario, sockets=20, members=10, rate_per_s=0.0, seconds=0.6, warm_s=0.2)
    ready = contenders.prepare(lambda _: None)
    with Compare(contenders, tmp_path, lambda _: None) as comparing:
        (one,) = comparing.rounds(plan, ready)
    assert (one.refusals, one.saturated) == ([], "")
    assert one.figures["rss_bytes_per_socket" if scenario == "idle" else "deliveries"] > 0


class Scripted(Compare):
    """Takes at most so many messages a second, and starts nothing."""

    takes_per_s = 30.0

    def measured(self, stage: Stage, contender: Contender, number: int) -> Round:
        rate_per_s = stage.plan.rate_per_s
        one = Round(scenario="fanout", contender=contender.name, number=number, rate_per_s=rate_per_s)
        if rate_per_s > self.takes_per_s:
            one.saturated = "it did not keep up"
        return one


def test_the_rate_is_halved_until_it_is_taken_and_kept_for_the_next_round(tmp_path: Path) -> None:
    contenders = contenders_of(tmp_path, ["tiny"])
    ready = contenders.prepare(lambda _: None)
    plan = Plan(scenario="fanout", sockets=20, members=10, rate_per_s=100.0, runs=2)
    with Scripted(contenders, tmp_path, lambda _: None) as comparing:
        rounds = comparing.rounds(plan, ready)
    assert [(one.number, one.rate_per_s, one.good) for one in rounds] == [
        (0, 100.0, False),
        (0, 50.0, False),
        (0, 25.0, True),
        (1, 25.0, True),
    ]


def test_one_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    contenders = contenders_of(tmp_path, ["tiny"])
    ready = contenders.prepare(lambda _: None)
    comparing = Scripted(contenders, tmp_path, lambda _: None)
    comparing.takes_per_s = 0.0
    with comparing:
        rounds = comparing.rounds(Plan(scenario="fanout", rate_per_s=100.0), ready)
    assert len(rounds) == HALVINGS_MAX + 1
    assert not any(one.good for one in rounds)


def test_one_that_cannot_be_started_has_no_result(tmp_path: Path) -> None:
    contenders = contenders_of(tmp_path, ["tiny"])
    (tmp_path / "peers" / "tiny" / "peer.toml").write_text(TINY.format(server=tmp_path / "no-such-file.py"))
    ready = contenders.prepare(lambda _: None)
    plan = Plan(scenario="idle", sockets=2, members=2, seconds=0.5)
    with Compare(contenders, tmp_path, lambda _: None) as comparing:
        (one,) = comparing.rounds(plan, ready)
    assert "no-such-file.py" in one.refusals[0]


def window(**what: Any) -> Window:
    whole = Window(
        seconds=10.0,
        before=Usage(1.0, 2.0, 100, 2.9, 0.5),
        after=Usage(4.0, 8.0, 200, 11.9, 1.5),
        load_cpu_share=0.4,
        load_wait_share=0.1,
        tally=Tally(delivered=1_000, expected=1_000, in_window=1_000),
        disk=DiskTimes(0.2, 0.4, 100),
        load_average=0.5,
        counted={},
    )
    return msgspec.structs.replace(whole, **what)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({}, ""),
        ({"tally": Tally(delivered=900, expected=1_000, in_window=990)}, "99 of 100 deliveries"),
        ({"tally": Tally(delivered=1_000, expected=1_000, in_window=900)}, "90 of 100 deliveries"),
        ({"tally": Tally(delivered=1_000, expected=1_000, in_window=1_000, lost=2)}, "closed 2 sockets"),
        # Then it is the load that could not, or others that had the server's core.
        ({"tally": Tally(delivered=900, expected=1_000, in_window=900), "after": Usage(4.0, 3.0, 200)}, ""),
        ({"tally": Tally(delivered=1_000, expected=1_000, in_window=900), "load_cpu_share": 0.95}, ""),
    ],
)
def test_keeping_up_is_that_what_was_offered_arrives_in_time(what: dict[str, Any], said: str) -> None:
    why = saturated_of(window(**what), Plan(scenario="fanout", members=10, rate_per_s=10.0))
    assert said in why
    assert bool(why) == bool(said)
