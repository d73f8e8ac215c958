"""`folkmoot bench compare`: our server and others under the same load, on the same sockets and cores, in turn."""

import datetime
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import NOT_DONE, WRONG_USE, fail

if TYPE_CHECKING:
    from folkmoot.bench.comparison import Comparison
    from folkmoot.bench.plan import Plan

SCENARIOS = ("fanout", "blast", "idle")

SMALL: dict[str, object] = {"sockets": 1_300, "rate_per_s": 50.0, "seconds": 5.0, "warm_s": 1.0}


def compare(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="fanout, blast, idle; else all of them, one after another.")
    ] = None,
    peers: Annotated[str, typer.Option(help="Who takes part, with commas; else all.")] = "",
    peers_dir: Annotated[
        Path | None, typer.Option(help="The folder of peers; else bench/peers of the source tree here.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, max=100, help="How often, in turn: A B A B.")] = 5,
    sockets: Annotated[int | None, typer.Option(min=1, help="Connections, all in all.")] = None,
    members: Annotated[int | None, typer.Option(min=1, max=1_000, help="Members of a group.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Messages a second, all in all, in fanout.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.5, help="What counts of each turn.")] = None,
    warm_up: Annotated[float | None, typer.Option(min=0, help="Seconds before that.")] = None,
    small: Annotated[bool, typer.Option("--small", help="A tenth of the sockets, short: for a laptop.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where stores are made, on the disk that is meant; removed after.")
    ] = None,
    server_core: Annotated[int, typer.Option(min=0, help="The core of each server.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all of it there, for machines.")] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add to the rounds that are in the file of --json, of the same machine.")
    ] = False,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a page there.")] = None,
) -> None:
    """Our server and others under the same load in turn: the floor, centrifuge, Socket.IO, Starlette, ejabberd.

    Each is built from its folder in bench/peers, where its tools are here; who is missing is said, and the exit status
    is 1 then. Each has one core, and the load the others.
    """
    if not sys.platform.startswith("linux"):
        fail("bench needs Linux: it reads what processes cost from /proc, and watches sockets with epoll", WRONG_USE)
    chosen = scenarios or list(SCENARIOS)
    if set(chosen) - set(SCENARIOS):
        fail(f"scenarios are {', '.join(SCENARIOS)}", WRONG_USE)
    sizes: dict[str, object] = {"sockets": sockets, "members": members, "rate_per_s": rate, "seconds": seconds}
    sizes |= {"warm_s": warm_up}
    given = (SMALL if small else {}) | {name: value for name, value in sizes.items() if value is not None}
    plans = [_plan(scenario, given, runs, server_core) for scenario in chosen]
    found = _compared(plans, [name for name in peers.split(",") if name], peers_dir, folder)
    _written(found, json_file, html_file, add)
    if found.refused:
        raise typer.Exit(NOT_DONE)


def _plan(scenario: str, given: dict[str, object], runs: int, server_core: int) -> "Plan":
    import msgspec

    from folkmoot.bench.plan import Plan

    own: dict[str, object] = {"seconds": 10.0, "warm_s": 5.0} | given
    if scenario != "fanout":
        # At full blast the server says how much, and idle connections are asked for nothing.
        own["rate_per_s"] = 0.0
    plan = msgspec.convert({**own, "scenario": scenario, "runs": runs, "core_server": server_core}, Plan)
    if plan.sockets < plan.members:
        fail(f"{plan.sockets} sockets are not even one group of {plan.members}: --members", WRONG_USE)
    return plan


def _compared(plans: "list[Plan]", names: list[str], peers_dir: Path | None, folder: Path | None) -> "Comparison":
    from folkmoot.bench.compare import Compare
    from folkmoot.bench.comparison import comparison_of
    from folkmoot.bench.contenders import ALL, Contenders
    from folkmoot.bench.floor import NoCompiler
    from folkmoot.bench.groups import GroupsRefused
    from folkmoot.bench.machine import machine_facts
    from folkmoot.bench.peers import FOLDER, NotThere
    from folkmoot.bench.process import pinned
    from folkmoot.bench.stage import cores_of_load

    at, parent = datetime.datetime.now(datetime.UTC), folder or Path(tempfile.gettempdir())
    contenders: Contenders = Contenders(names or list(ALL), folder=peers_dir or FOLDER)
    try:
        machine = machine_facts(parent)
        ready = contenders.prepare(_say)
        rounds = []
        with pinned(cores_of_load(plans[0])), Compare(contenders, parent, _say) as comparing:
            for plan in plans:
                rounds += comparing.rounds(plan, ready)
        return comparison_of(plans, machine, ready, contenders.missing, rounds, at=at)
    except (NotThere, NoCompiler, GroupsRefused) as error:
        fail(str(error), NOT_DONE)
    except OSError as error:
        fail(f"{parent}: {error}", WRONG_USE)


def _written(found: "Comparison", json_file: Path | None, html_file: Path | None, add: bool) -> None:
    import msgspec

    from folkmoot.bench.comparison import Comparison, added, as_json, lines_of
    from folkmoot.bench.comparison_page import page_of

    try:
        if add and json_file is not None and json_file.exists():
            found = added(msgspec.json.decode(json_file.read_bytes(), type=Comparison), found)
        if json_file is not None:
            json_file.write_bytes(as_json(found))
        if html_file is not None:
            html_file.write_text(page_of(found), encoding="utf-8")
    except (OSError, msgspec.DecodeError) as error:
        fail(f"{json_file or html_file}: {error}", WRONG_USE)
    for line in lines_of(found):
        typer.echo(line)


def _say(what: str) -> None:
    typer.echo(what, err=True)
