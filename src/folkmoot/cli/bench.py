"""`folkmoot bench`: what this machine does, measured with load from processes of its own, and where it stands."""

import datetime
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.bench_compare import compare
from folkmoot.cli.bench_count import count
from folkmoot.cli.connect import NOT_DONE, WRONG_USE, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from folkmoot.bench.plan import Plan
    from folkmoot.bench.report import Report

app = typer.Typer(
    help="Measure this machine: fan-out, idle connections, sends, history, a storm, a start.", no_args_is_help=True
)
app.command()(compare)
app.command()(count)

Sockets = Annotated[int | None, typer.Option(min=1, help="Connections, all in all.")]
Members = Annotated[int | None, typer.Option(min=1, max=10_000, help="Members of a group, each on one connection.")]
Rate = Annotated[float | None, typer.Option(min=0, help="Requests a second, all in all.")]
Seconds = Annotated[float | None, typer.Option(min=0.5, help="What counts.")]
Warm = Annotated[float | None, typer.Option("--warm-up", min=0, help="Seconds before that.")]
TextBytes = Annotated[int | None, typer.Option(min=1, max=8_000, help="Of the text of a message.")]
InTurn = Annotated[
    bool, typer.Option("--in-turn", help="Each group has its turn to talk; else groups are drawn at random.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, max=64, help="Serve with so many gateways, on the cores that the load leaves; all processes count."
    ),
]
Runs = Annotated[int | None, typer.Option(min=1, max=100, help="How often; then medians and the spread.")]
Folder = Annotated[
    Path | None, typer.Option("--dir", help="Where the stores are made, on the disk that is meant; removed after.")
]
ServerCore = Annotated[int, typer.Option(min=0, help="The core of the server.")]
LoadCores = Annotated[str, typer.Option(help="The cores of the load, with commas; else all others.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="A setting of the server: NAME=VALUE.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all of it there, for machines.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", help="Write a page with plots there.")]


@app.command()
def floor(
    sockets: Sockets = None, members: Members = None, rate: Rate = None, seconds: Seconds = None, warm_up: Warm = None,
    text_bytes: TextBytes = None, in_turn: InTurn = False, runs: Runs = None, folder: Folder = None,
    server_core: ServerCore = 0, load_cores: LoadCores = "", json_file: JsonFile = None, html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """What a loop over send() in C costs on the same sockets. Needs a C compiler."""
    sizes = {"sockets": sockets, "members": members, "rate_per_s": rate, "seconds": seconds, "warm_s": warm_up}
    sizes |= {"text_bytes": text_bytes, "in_turn": in_turn, "runs": runs}
    _measure([_plan("floor", sizes, server_core, load_cores, [])], folder, json_file, html_file)


@app.command()
def fanout(
    sockets: Sockets = None, members: Members = None, rate: Rate = None, seconds: Seconds = None, warm_up: Warm = None,
    text_bytes: TextBytes = None,
    acks: Annotated[float | None, typer.Option(min=0, help="Acknowledgements a second, all in all.")] = None,
    in_turn: InTurn = False, workers: Workers = None, runs: Runs = None, folder: Folder = None,
    server_core: ServerCore = 0, load_cores: LoadCores = "", setting: Setting = None, json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """Durable messages to many members each, between two runs of the floor."""
    sizes = {"sockets": sockets, "members": members, "rate_per_s": rate, "seconds": seconds, "warm_s": warm_up}
    sizes |= {"text_bytes": text_bytes, "acks_per_s": acks, "in_turn": in_turn, "workers": workers, "runs": runs}
    _measure([_plan("fanout", sizes, server_core, load_cores, setting or [])], folder, json_file, html_file)


@app.command()
def idle(
    sockets: Sockets = None, members: Members = None, seconds: Seconds = None, warm_up: Warm = None, runs: Runs = None,
    folder: Folder = None, server_core: ServerCore = 0, load_cores: LoadCores = "", setting: Setting = None,
    json_file: JsonFile = None, html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """Memory of connections that follow a group in which nothing happens."""
    sizes = {"sockets": sockets, "members": members, "seconds": seconds, "warm_s": warm_up, "runs": runs}
    _measure([_plan("idle", sizes, server_core, load_cores, setting or [])], folder, json_file, html_file)


@app.command()
def sends(
    sockets: Sockets = None, members: Members = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Sends a second; 0: as fast as answers come.")] = None,
    unanswered: Annotated[int | None, typer.Option(min=1, max=64, help="Sends of a group that may be.")] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="To one of each role, NATS and a real Cassandra node, on all cores.")
    ] = False,
    seconds: Seconds = None, warm_up: Warm = None, text_bytes: TextBytes = None, runs: Runs = None,
    folder: Folder = None, server_core: ServerCore = 0, load_cores: LoadCores = "", setting: Setting = None,
    json_file: JsonFile = None, html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """Durable messages in pairs, one unanswered a group, or as many as `--unanswered` says."""
    from folkmoot.bench.plan import ON_CLUSTER

    sizes: dict[str, object] = {"sockets": sockets, "members": members, "rate_per_s": rate, "seconds": seconds}
    sizes |= {"warm_s": warm_up, "text_bytes": text_bytes, "runs": runs}
    sizes |= {"unanswered": unanswered, "cluster": cluster}
    if cluster:
        sizes = {**ON_CLUSTER, **{name: value for name, value in sizes.items() if value is not None}}
    _measure([_plan("sends", sizes, server_core, load_cores, setting or [])], folder, json_file, html_file)


@app.command()
def history(
    sockets: Sockets = None, members: Members = None, rate: Rate = None, seconds: Seconds = None, warm_up: Warm = None,
    entries: Annotated[int | None, typer.Option(min=200, help="In each log; there is one a group.")] = None,
    page: Annotated[int | None, typer.Option(min=1, max=100, help="Entries of a page.")] = None,
    door: Annotated[str, typer.Option(help="socket, or rest: over HTTP, one call at a time on each.")] = "socket",
    runs: Runs = None, folder: Folder = None, server_core: ServerCore = 0, load_cores: LoadCores = "",
    setting: Setting = None, json_file: JsonFile = None, html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """Pages of long logs at places drawn at random, forwards and backwards."""
    sizes: dict[str, object] = {"sockets": sockets, "members": members, "rate_per_s": rate}
    sizes |= {"seconds": seconds, "warm_s": warm_up}
    sizes |= {"log_entries": entries, "page_entries": page, "runs": runs}
    if door not in ("socket", "rest"):
        fail("--door is socket or rest", WRONG_USE)
    sizes |= {"door": door}
    _measure([_plan("history", sizes, server_core, load_cores, setting or [])], folder, json_file, html_file)


@app.command()
def roles(
    sockets: Sockets = None, members: Members = None, rate: Rate = None, seconds: Seconds = None, warm_up: Warm = None,
    acks: Annotated[float | None, typer.Option(min=1, help="Acknowledgements a second, in one of the loads.")] = None,
    runs: Runs = None, folder: Folder = None, server_core: ServerCore = 0, load_cores: LoadCores = "",
    setting: Setting = None, json_file: JsonFile = None, html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """What gateway, router and NATS cost as processes apart, from four loads. Needs `folkmoot[nats]`."""
    sizes = {"sockets": sockets, "members": members, "rate_per_s": rate, "seconds": seconds, "warm_s": warm_up}
    sizes |= {"acks_per_s": acks, "runs": runs}
    _measure([_plan("roles", sizes, server_core, load_cores, setting or [])], folder, json_file, html_file)


@app.command()
def pointers(
    sockets: Sockets = None, members: Members = None, rate: Rate = None, seconds: Seconds = None, warm_up: Warm = None,
    acks: Annotated[float | None, typer.Option(min=1, help="Acknowledgements a second, in one of the loads.")] = None,
    runs: Runs = None, folder: Folder = None, load_cores: LoadCores = "", setting: Setting = None,
    json_file: JsonFile = None, html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """What a read pointer that moves costs one of each role, NATS and a real Cassandra node."""
    sizes = {"sockets": sockets, "members": members, "rate_per_s": rate, "seconds": seconds, "warm_s": warm_up}
    sizes |= {"acks_per_s": acks, "runs": runs}
    _measure([_plan("pointers", sizes, 0, load_cores, setting or [])], folder, json_file, html_file)


@app.command()
def start(
    groups: Annotated[int | None, typer.Option(min=1, help="In the store.")] = None, members: Members = None,
    runs: Runs = None, folder: Folder = None, server_core: ServerCore = 0, setting: Setting = None,
    json_file: JsonFile = None, html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """From the command to ready, with a store of many groups that nobody reads."""
    sizes = {"groups_stored": groups, "members": members, "runs": runs}
    _measure([_plan("start", sizes, server_core, "", setting or [])], folder, json_file, html_file)


@app.command()
def lists(
    groups: Annotated[int | None, typer.Option(min=1, help="That every user is in.")] = None,
    users: Annotated[int | None, typer.Option(min=1, help="Each on one connection, and all in all groups.")] = None,
    rate: Rate = None, seconds: Seconds = None, warm_up: Warm = None, runs: Runs = None, folder: Folder = None,
    server_core: ServerCore = 0, load_cores: LoadCores = "", setting: Setting = None, json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """Chats with what is unread, and groups, of users who are in a thousand, over HTTP."""
    sizes = {"groups_stored": groups, "sockets": users, "members": users, "rate_per_s": rate}
    sizes |= {"seconds": seconds, "warm_s": warm_up, "runs": runs}
    _measure([_plan("lists", sizes, server_core, load_cores, setting or [])], folder, json_file, html_file)


USUAL: dict[str, str] = {
    "blast": "As fast as one core gives it, and the floor as fast as it can.",
    "latency": "From a message to the last member of its group.",
    "ladder": "What a delivery costs in groups of 2, 10, 130, 1,000 and 10,000.",
    "hot": "One group in which everyone talks.",
    "slow": "One reader in each group that does not read, beside the same without, in turn.",
    "storm": "The server killed under all of its clients: until all are back, and have what they missed.",
    "joins": "Strangers who join groups all at once: until all of them follow.",
    "sustained": "Messages to many for ten minutes, and what becomes of the memory.",
}
"""Measures that take the usual sizes, and nothing else."""


def _usual(scenario: str) -> "Callable[..., None]":
    def measure(
        sockets: Sockets = None, members: Members = None, rate: Rate = None, seconds: Seconds = None,
        warm_up: Warm = None, text_bytes: TextBytes = None, in_turn: InTurn = False, runs: Runs = None,
        folder: Folder = None, server_core: ServerCore = 0, load_cores: LoadCores = "", setting: Setting = None,
        json_file: JsonFile = None, html_file: HtmlFile = None,
    ) -> None:  # fmt: skip
        sizes = {"sockets": sockets, "members": members, "rate_per_s": rate, "seconds": seconds, "warm_s": warm_up}
        sizes |= {"text_bytes": text_bytes, "in_turn": in_turn, "runs": runs}
        _measure([_plan(scenario, sizes, server_core, load_cores, setting or [])], folder, json_file, html_file)

    return measure


for name, what in USUAL.items():
    app.command(name, help=what)(_usual(name))


@app.command("all")
def everything(
    runs: Runs = None, folder: Folder = None, server_core: ServerCore = 0, load_cores: LoadCores = "",
    small: Annotated[bool, typer.Option("--small", help="A tenth of the sockets: for a laptop.")] = False,
    json_file: JsonFile = None, html_file: HtmlFile = None,
) -> None:  # fmt: skip
    """All of them, one after another. At full size it takes about ten minutes and 13,000 sockets."""
    plans = []
    for scenario in ("fanout", "idle", "sends", "history", "start"):
        sizes: dict[str, object] = {"runs": runs}
        if small:
            sizes |= SMALL.get(scenario, {})
        plans.append(_plan(scenario, sizes, server_core, load_cores, []))
    _measure(plans, folder, json_file, html_file)


SMALL: dict[str, dict[str, object]] = {
    "fanout": {"sockets": 1_300, "rate_per_s": 50.0, "seconds": 10.0, "warm_s": 2.0},
    "idle": {"sockets": 1_300, "seconds": 10.0, "warm_s": 2.0},
    "sends": {"sockets": 200, "rate_per_s": 500.0, "seconds": 10.0, "warm_s": 2.0},
    "history": {"sockets": 20, "rate_per_s": 100.0, "log_entries": 5_000, "seconds": 10.0},
    "start": {"groups_stored": 20_000},
}


def _plan(
    scenario: str, sizes: "Mapping[str, object]", server_core: int, load_cores: str, settings: list[str]
) -> "Plan":
    import msgspec

    from folkmoot.bench.plan import DEFAULTS, Plan

    try:
        cores = tuple(int(core) for core in load_cores.split(",") if core.strip())
        pairs = dict(setting.split("=", 1) for setting in settings)
    except ValueError:
        fail("--load-cores takes numbers with commas, --set takes NAME=VALUE", WRONG_USE)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if {server_core, *cores} - usable:
        fail(f"cores of this machine: {', '.join(map(str, sorted(usable)))}", WRONG_USE)
    given = {name: value for name, value in sizes.items() if value is not None}
    fixed = {"scenario": scenario, "core_server": server_core, "cores_load": cores, "settings": pairs}
    plan = msgspec.convert({**DEFAULTS[scenario], **given, **fixed}, Plan)
    if plan.sockets < plan.members:
        fail(f"{plan.sockets} sockets are not even one group of {plan.members}: --members", WRONG_USE)
    return plan


def _measure(plans: "list[Plan]", folder: Path | None, json_file: Path | None, html_file: Path | None) -> None:
    if not sys.platform.startswith("linux"):
        fail("bench needs Linux: it reads what processes cost from /proc, and watches sockets with epoll", WRONG_USE)
    from folkmoot.bench.page import page_of
    from folkmoot.bench.report import as_json, lines_of

    reports = []
    for plan in plans:
        report = _reported(plan, folder or Path(tempfile.gettempdir()))
        if report is None:
            continue
        reports.append(report)
        for line in lines_of(report):
            typer.echo(line)
    try:
        if json_file is not None:
            json_file.write_bytes(as_json(reports))
        if html_file is not None:
            html_file.write_text(page_of(reports), encoding="utf-8")
    except OSError as error:
        fail(str(error), WRONG_USE)
    _keep(reports)
    if len(reports) < len(plans) or any(report.refused for report in reports):
        raise typer.Exit(NOT_DONE)


def _keep(reports: "list[Report]") -> None:
    """Beside the other results of this machine, where `folkmoot plan` looks."""
    from folkmoot.bench.kept import keep, kept_folder

    if not reports:
        return
    try:
        path = keep(reports, kept_folder(os.environ), at=datetime.datetime.now(datetime.UTC))
    except OSError as error:
        typer.echo(f"not kept for folkmoot plan: {error}", err=True)
    else:
        typer.echo(f"kept for folkmoot plan: {path}", err=True)


def _reported(plan: "Plan", folder: Path) -> "Report | None":
    """The report of all runs of a plan; None where it could not be done, which has been said."""
    from folkmoot.bench.fleet import LoadFailed
    from folkmoot.bench.floor import NoCompiler
    from folkmoot.bench.groups import GroupsRefused
    from folkmoot.bench.machine import machine_facts
    from folkmoot.bench.process import ChildFailed, pinned
    from folkmoot.bench.report import report_of
    from folkmoot.bench.scenarios import Bench
    from folkmoot.bench.stage import cores_of_load

    def say(what: str) -> None:
        typer.echo(f"{plan.scenario}: {what}", err=True)

    at = datetime.datetime.now(datetime.UTC)
    try:
        machine = machine_facts(folder)
        # What watches runs beside the load, so that the server has its core to itself.
        with pinned(cores_of_load(plan)), Bench(folder, say) as bench:
            return report_of(plan, machine, [bench.run(plan) for _ in range(plan.runs)], at=at)
    except NoCompiler as error:
        say(f"SKIPPED, without the floor there is nothing to compare with: {error}")
    except (LoadFailed, ChildFailed, GroupsRefused) as error:
        say(f"FAILED: {error}")
    except OSError as error:
        fail(f"{folder}: {error}", WRONG_USE)
    return None
