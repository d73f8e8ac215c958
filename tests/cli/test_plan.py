"""`folkmoot plan` from the command line: the seed's sum, results that are found or named, and what cannot be meant."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from folkmoot.cli.main import app

SEED = ["--users", "10e6", "--messages", "20", "--group-size", "130", "--peak-share", "0.10", "--peak-hours", "1"]
FANOUT = {
    "scenario": "fanout",
    "at": "2026-01-02T03:04:05+00:00",
    "plan": {"sockets": 13_000, "members": 130, "rate_per_s": 500.0},
    "machine": {"processor": "a processor", "cores": 2},
    "runs": [{"figures": {"deliveries_per_cpu_s": one, "frame_bytes": 400.0}} for one in (1e5, 1.25e5, 8e4)],
}


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing was measured yet."""
    home = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "250")
    return home / "folkmoot" / "bench"


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"reports": [FANOUT]}))
    return path


def test_the_seeds_sum_step_by_step() -> None:
    result = CliRunner().invoke(app, ["plan", *SEED, "--per-server", "1000"])
    assert result.exit_code == 0, result.output
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    ends = [
        "200,000,000 a day",
        "20,000,000 in the peak",
        "5,556 a second",
        "722,222 a second",
        "722.2 servers",
        "723 servers",
    ]
    assert [row for row, end in zip(rows[1:], ends, strict=True) if not row.endswith(end)] == []


def test_the_same_for_scripts() -> None:
    said = json.loads(CliRunner().invoke(app, ["plan", *SEED, "--per-server", "1000", "--json"]).stdout)
    values = {step["name"]: step["value"] for step in said["steps"]}
    assert values["messages_per_day"] == 200_000_000
    assert values["servers_whole"] == 723


def test_the_newest_of_this_machine_is_found(state_home: Path, tmp_path: Path) -> None:
    written(state_home / "20260102T030405Z-fanout.json")
    (state_home / "20260103T030405Z-broken.json").write_text("{")
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["plan", *SEED, "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert "8 cores" in result.stdout
    assert "6 to 10" in result.stdout
    assert "note: not measured, and left out, with all that builds on it: memory of a connection" in result.stdout
    assert "left out: " in result.stderr
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("folder", [True, False])
def test_results_may_be_named(tmp_path: Path, folder: bool) -> None:
    file = written(tmp_path / "results" / "one.json")
    where = file.parent if folder else file
    result = CliRunner().invoke(app, ["plan", *SEED, "--measurements", str(where), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    cores = next(step for step in said["steps"] if step["name"] == "cores_whole")
    assert (cores["low"], cores["value"], cores["high"]) == (6, 8, 10)
    assert said["measured"][0]["how"] == "bench fanout (13,000 sockets, 130 a group, 500 a second)"


def test_where_nothing_was_measured_it_says_how() -> None:
    result = CliRunner().invoke(app, ["plan", *SEED])
    assert result.exit_code == 1
    assert "folkmoot bench fanout" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--users", "0"], "--users"),
        (["--users", "nan"], "Invalid value for '--users'"),
        (["--users", "1.5"], "--users: 1.5 is not a whole number"),
        (["--users", "many"], "valid number"),
        (["--peak-share", "1.5"], "--peak-share"),
        (["--headroom", "1"], "--headroom"),
        (["--messages", "inf"], "--messages"),
        (["--per-server", "0"], "--per-server"),
        (["--per-server", "5", "--html", "x"], "--per-server is the plain sum"),
        (["--measurements", "no-such-file"], "--measurements: there is no no-such-file"),
        (["--measurements", "pyproject.toml"], "pyproject.toml: not written by folkmoot bench"),
    ],
)
def test_what_cannot_be_meant_is_said(options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["plan", *options])
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_a_page_that_cannot_be_written_is_told(state_home: Path, tmp_path: Path) -> None:
    written(state_home / "20260102T030405Z-fanout.json")
    result = CliRunner().invoke(app, ["plan", "--html", str(tmp_path / "none" / "page.html")])
    assert result.exit_code == 2
    assert "--html: " in result.stderr


ROLES = {
    "scenario": "roles",
    "at": "2026-01-02T03:04:05+00:00",
    "machine": {"processor": "a processor", "cores": 2},
    "runs": [
        {
            "figures": {
                "gateway_us_per_delivery": 8.0, "gateway_us_per_push": 50.0, "gateway_us_per_send": 100.0,
                "router_us_per_send": 300.0, "bus_us_per_send": 40.0, "bus_us_per_push": 8.0, "pointer_us": 20.0,
            }
        }
    ],
}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from folkmoot.planner import fleet

    monkeypatch.setattr(fleet, "JOBS", 500)
    latency = {"latency_ms_p50": 3.0, "latency_ms_p99": 9.0, "fdatasync_ms_p50": 0.5, "fdatasync_ms_p99": 2.0}
    run = {
        "figures": {"deliveries_per_cpu_s": 1e5, "load_cpu_share": 0.3, "last_ms_p50": 3.5, "last_ms_p99": 9.5}
        | latency
    }
    one = FANOUT | {
        "scenario": "latency",
        "plan": {"sockets": 13_000, "members": 130, "rate_per_s": 300.0, "seconds": 2.0},
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"reports": [FANOUT, ROLES, one | {"runs": [run]}]}))
    return path


def test_fleets_are_simulated_the_same_each_time(results: Path) -> None:
    command = ["plan", "--simulate", "--users", "2e6", "--measurements", str(results)]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    for text in ("1,000,000", "2,000,000", "10,000,000", "100,000,000", "one machine of each lost"):
        assert text in first.stdout
    assert "10,000,000 users: breaks at " in first.stdout
    assert "note: taken for granted: an append 2 ms (p99 10), a hop 0.2 ms" in first.stdout
    assert CliRunner().invoke(app, command).stdout == first.stdout
    said = json.loads(CliRunner().invoke(app, [*command, "--json", "--seed", "3"]).stdout)
    assert said["seed"] == 3
    assert [row["users"] for row in said["fleets"]] == [1e6, 2e6, 10e6, 100e6]


def test_real_runs_stand_beside_their_predictions(results: Path) -> None:
    command = ["plan", "--simulate", "--check", str(results), "--measurements", str(results)]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    assert "300 x 130" in told.stdout
    (run,) = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["runs"]
    assert run["measured"]["last p99"] == 9.5
    assert run["predicted"]["last p99"] > 0


@pytest.mark.parametrize(
    ("options", "said", "status"),
    [
        (["--check", "x"], "--check goes with --simulate", 2),
        (["--simulate", "--append-ms", "3"], "--append-ms: median and 99th percentile", 2),
        (["--simulate", "--append-ms", "3,2"], "--append-ms: median and 99th percentile", 2),
        (["--simulate", "--check", "no-such-file"], "there is no no-such-file", 2),
    ],
)
def test_what_cannot_be_simulated_is_said(results: Path, options: list[str], said: str, status: int) -> None:
    result = CliRunner().invoke(app, ["plan", "--measurements", str(results), *options])
    assert result.exit_code == status, result.output
    assert said in result.stderr


def test_a_simulation_says_what_it_lacks(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["plan", "--simulate", "--measurements", str(written(tmp_path / "one.json"))])
    assert result.exit_code == 1
    assert "folkmoot bench roles" in result.stderr
