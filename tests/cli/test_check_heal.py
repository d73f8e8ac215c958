"""`folkmoot check heal`: what it refuses to do, and how its figures are shown."""

import json

import pytest
from typer.testing import CliRunner

from folkmoot.checker.healing import FAULTS, HealReport, Struck
from folkmoot.checker.history import Verdict
from folkmoot.cli import check_heal
from folkmoot.cli.main import app


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--faults", "kill_all"], "there is no kill_all; there are kill_router"),
        (["--faults", "kill_cassandra"], "of one node of Cassandra there is no other"),
        (["--faults", "kill_nats", "--cassandra-nodes", "2"], "--cassandra-nodes 2: 0"),
    ],
)
def test_what_no_cluster_can_suffer_is_refused_by_name(words: list[str], why: str) -> None:
    done = CliRunner().invoke(app, ["check", "heal", *words])
    assert done.exit_code == 2
    assert why in " ".join(done.stderr.split())


def test_all_that_a_cluster_can_suffer_is_struck_where_none_is_named() -> None:
    assert check_heal._chosen("", 3) == FAULTS
    assert set(FAULTS) - set(check_heal._chosen("", 1)) == {"kill_cassandra"}
    assert set(FAULTS) - set(check_heal._chosen("", 0)) == {"kill_cassandra"}


def test_figures_are_a_row_a_fault_and_what_nobody_logged_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    strikes = [
        Struck(fault="kill_router", name="router-1", noticed_s=1.5, healed_s=2.25, longest_s=2.0, reconnects=0),
        Struck(fault="kill_cassandra", name="cassandra-2", noticed_s=None, healed_s=4.5, longest_s=4.75, reconnects=3),
    ]
    report = HealReport(
        seed=1, clients=220, sends_per_s=50.0, cores=2, load=(1.0, 2.5), strikes=strikes, stuck=[],
        verdict=Verdict({"missing": 0}, {}, 10, 100),
    )  # fmt: skip
    check_heal._tell(report, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "220 clients, 50 sends a second; 2 cores, load 1.0 to 2.5"
    assert lines[2].split() == ["kill", "router", "1", "1.50", "1.50", "2.25", "2.25", "3.00", "2.00", "0"]
    assert lines[3].split() == ["kill", "cassandra", "1", "-", "-", "4.50", "4.50", "10.00", "4.75", "3"]
    assert lines[4:] == ["10 acknowledged, 100 delivered: 0 missing", "clean"]
    check_heal._tell(report, as_json=True)
    fields = json.loads(capsys.readouterr().out)
    assert (fields["clean"], fields["summaries"]["kill_router"]["noticed_max_s"]) == (True, 1.5)
