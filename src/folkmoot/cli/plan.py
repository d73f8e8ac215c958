"""`folkmoot plan`: how many machines some users need, by what was measured on this one."""

import inspect
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from folkmoot.cli.connect import NOT_DONE, WRONG_USE, Json, fail
from folkmoot.cli.options import given
from folkmoot.planner.capacity import MACHINES
from folkmoot.planner.demand import USERS, Given

if TYPE_CHECKING:
    from folkmoot.planner.answer import Answer
    from folkmoot.planner.formula import Step
    from folkmoot.planner.measurements import Measured, Result


class Numbers(dict[str, float]):
    """What the options of the sum came to, by name: one for each number of the planner's tables."""

    def __init__(self, **values: float) -> None:
        for one in (*USERS, *MACHINES):
            value = values[one.name]
            if one.whole and not value.is_integer():
                fail(f"--{one.name.replace('_', '-')}: {value} is not a whole number", WRONG_USE)
        super().__init__(values)


def _option(one: Given) -> inspect.Parameter:
    text = f"{one.what}{f' ({one.unit})' if one.unit else ''}"
    option = typer.Option(f"--{one.name.replace('_', '-')}", min=one.least, max=one.most, help=text)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(one.name, keyword, default=float(one.default), annotation=Annotated[float, option])


Numbers.__signature__ = inspect.Signature([_option(one) for one in (*USERS, *MACHINES)])  # type: ignore[attr-defined]


@given(Numbers)
def plan(
    numbers: Numbers,
    per_server: Annotated[
        float | None, typer.Option(min=0.001, help="Deliveries a second of one server: the plain sum by that.")
    ] = None,
    measurements: Annotated[
        list[Path] | None,
        typer.Option(help="Results of folkmoot bench, files or folders; else the newest of this machine."),
    ] = None,
    as_json: Json = False,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write a page there that reckons again as one moves its sliders.")
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Simulate the fleets of 1, 10 and 100 million users, and of --users: times."),
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            help="With --simulate: results of folkmoot bench latency, file or folder, beside what it predicts."
        ),
    ] = None,
    append_ms: Annotated[
        str, typer.Option(help="With --simulate: an append's time at the store, median and 99th percentile.")
    ] = "2,10",
    hop_ms: Annotated[
        float, typer.Option(min=0, max=1_000, help="With --simulate: one way over network and bus.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="With --simulate: the same seed, the same times.")] = 1,
) -> None:
    """How many machines some users need: the sum step by step, and what each kind of machine runs out of first.

    What one core does is taken from results of `folkmoot bench`: fanout, idle, sends, history, roles.
    """
    if check is not None and not simulate:
        fail("--check goes with --simulate", WRONG_USE)
    if per_server is not None:
        if html_file is not None or measurements or simulate:
            fail("--per-server is the plain sum: without --html, --measurements and --simulate", WRONG_USE)
        _plain({**numbers, "per_server": per_server}, as_json=as_json)
        return
    from folkmoot.planner.answer import answer_of
    from folkmoot.planner.answer import as_json as of_answer

    measured = _measured(measurements or [])
    if simulate:
        waits = _append_ms(append_ms)
        if check is not None:
            _check(check, measured, seed, as_json=as_json)
        else:
            _simulate(numbers, measured, waits, hop_ms, seed, as_json=as_json)
        return
    answer = answer_of(numbers, measured)
    if html_file is not None:
        _write_page(answer, html_file)
    if as_json:
        typer.echo(json.dumps(of_answer(answer), indent=2))
    else:
        _show(answer)


def _append_ms(text: str) -> tuple[float, float]:
    try:
        p50, p99 = (float(part) for part in text.split(","))
    except ValueError:
        p50, p99 = 0.0, 0.0
    if not 0 < p50 <= p99 < 60_000:
        fail("--append-ms: median and 99th percentile in milliseconds, as 2,10", WRONG_USE)
    return p50, p99


def _simulate(
    numbers: Numbers, measured: "dict[str, Measured]", append_ms: tuple[float, float], hop_ms: float, seed: int,
    *, as_json: bool,
) -> None:  # fmt: skip
    from msgspec import to_builtins

    from folkmoot.cli.table import show_table
    from folkmoot.planner.answer import notes_of, shown
    from folkmoot.planner.simulated import NOTES, USERS, NotMeasured, rows_of

    users = sorted({*USERS, numbers["users"]})
    try:
        rows = rows_of(numbers, measured, users=users, append_ms=append_ms, hop_ms=hop_ms, seed=seed)
    except NotMeasured as error:
        fail(str(error), NOT_DONE)
    taken = f"taken for granted: an append {append_ms[0]:g} ms (p99 {append_ms[1]:g}), a hop {hop_ms:g} ms"
    notes = [taken, *NOTES, *notes_of(measured)]
    if as_json:
        typer.echo(json.dumps({"seed": seed, "fleets": to_builtins(rows), "notes": notes}, indent=2))
        return
    head = (
        "users",
        "gateway processes",
        "routers",
        "ms to the last member",
        "p50",
        "p99",
        "p99.9",
        "gateways busy",
        "routers",
    )
    lines = []
    for row in rows:
        for name, times in (("in the peak", row.peak), ("over a day", row.day), ("one machine of each lost", row.lost)):
            first = (shown(row.users), f"{row.gateway_processes:.0f}", f"{row.routers:.0f}")
            quantiles = tuple(f"{value:,.1f}" for value in (times.p50, times.p99, times.p999))
            busy = (f"{times.gateway_busy:.0%}", f"{times.router_busy:.0%}") if name != "over a day" else ("", "")
            lines.append((*(first if name == "in the peak" else ("", "", "")), name, *quantiles, *busy))
    show_table(head, lines)
    typer.echo()
    for row in rows:
        back = "" if row.back_s is None else f"; {row.back_s:,.0f} s until a lost machine's clients are back"
        typer.echo(
            f"{shown(row.users)} users: breaks at {row.breaks_at:.2f} times the peak, by its {row.breaks_by}{back}"
        )
    for note in notes:
        typer.echo(f"note: {note}")


def _check(path: Path, measured: "dict[str, Measured]", seed: int, *, as_json: bool) -> None:
    from msgspec import to_builtins

    from folkmoot.cli.table import show_table
    from folkmoot.planner.simulated import checked

    found = checked(_results([path], given=True), measured, seed)
    if not found:
        fail(f"--check: no run of folkmoot bench latency or fanout in {path}", WRONG_USE)
    if as_json:
        typer.echo(json.dumps({"seed": seed, "runs": to_builtins(found)}, indent=2))
        return
    names = list(dict.fromkeys(name for one in found for name in one.measured))
    rows = []
    for one in found:
        cells = [
            f"{one.measured[name]:.1f} / {one.predicted[name]:.1f}" if name in one.measured else "" for name in names
        ]
        disk = f"{one.fdatasync_ms_p50:.2f} / {one.fdatasync_ms_p99:.2f}"
        rows.append((f"{one.rate_per_s:g} x {one.members}", one.run, *cells, disk, f"{one.load_average:.1f}"))
    show_table(("sends a second", "run", *(f"{name}, ms" for name in names), "fdatasync p50 / p99", "load"), rows)
    typer.echo("each: measured / predicted")


def _plain(numbers: dict[str, float], *, as_json: bool) -> None:
    from folkmoot.planner.answer import plain

    steps, values = plain(numbers)
    if as_json:
        said: dict[str, Any] = {"given": numbers, "steps": [{**_step(one), "value": values[one.name]} for one in steps]}
        typer.echo(json.dumps(said, indent=2))
        return
    _show_steps(steps, values)


def _step(step: "Step") -> dict[str, str]:
    return {"name": step.name, "formula": step.formula, "unit": step.unit, "what": step.what}


def _measured(paths: list[Path]) -> "dict[str, Measured]":
    from folkmoot.bench.kept import kept_folder
    from folkmoot.planner.measurements import measured_of

    results = _results(paths or [kept_folder(os.environ)], given=bool(paths))
    measured = measured_of(results)
    if "deliveries_per_cpu_s" not in measured:
        fail(
            "nothing tells what a core delivers: `folkmoot bench fanout`, with 1,000 sockets or more in groups of 50"
            " or more; --measurements with its results, or --per-server",
            NOT_DONE,
        )
    return measured


def _results(paths: list[Path], *, given: bool) -> "list[Result]":
    from folkmoot.bench.kept import kept_files
    from folkmoot.planner.measurements import Unreadable, results_in

    results = []
    for path in paths:
        if given and not path.exists():
            fail(f"--measurements: there is no {path}", WRONG_USE)
        for file in kept_files(path) if path.is_dir() or not given else [path]:
            try:
                results += results_in(file.read_bytes(), str(file))
            except (OSError, Unreadable) as error:
                if given:
                    fail(f"--measurements: {error}", WRONG_USE)
                typer.echo(f"left out: {error}", err=True)
    return results


def _write_page(answer: "Answer", file: Path) -> None:
    from folkmoot.planner.page import page_of

    try:
        file.write_text(page_of(answer), encoding="utf-8")
    except OSError as error:
        fail(f"--html: {error}", WRONG_USE)


def _show_steps(steps: "list[Step]", values: dict[str, float], low: dict[str, float] | None = None,
                high: dict[str, float] | None = None) -> None:  # fmt: skip
    from folkmoot.cli.table import show_table
    from folkmoot.planner.answer import shown, with_numbers

    rows = []
    for step in steps:
        bars = ""
        if low is not None and high is not None and low[step.name] != high[step.name]:
            least, most = sorted((low[step.name], high[step.name]))
            bars = f"{shown(least)} to {shown(most)}"
        row = (
            step.what,
            step.formula.replace("*", "x"),
            with_numbers(step, values),
            shown(values[step.name], step.unit),
        )
        rows.append((*row, bars) if low is not None else row)
    head = ("", "formula", "with its numbers", "comes to")
    show_table((*head, "runs") if low is not None else head, rows)


def _show(answer: "Answer") -> None:
    from folkmoot.cli.table import show_table
    from folkmoot.planner.answer import shown

    _show_steps(answer.told, answer.values, answer.low, answer.high)
    typer.echo()
    rows = []
    for one, low, high in zip(answer.machines, answer.machines_low, answer.machines_high, strict=True):
        needs = ", ".join(f"{by} {shown(value)}" for by, value in one.of.items())
        rows.append((one.kind, one.count, f"{low.count} to {high.count}", shown(one.cores), one.by, needs))
    show_table(("machines", "", "runs", "cores", "bound by", "each alone"), rows)
    typer.echo()
    costs = [
        (
            one.what,
            f"{shown(one.median)} {one.unit}",
            f"{shown(one.least)} to {shown(one.most)}",
            one.runs,
            one.how,
            one.at,
        )
        for one in answer.measured.values()
    ]
    show_table(("measured", "", "runs", "", "by", "at"), costs)
    typer.echo()
    for note in answer.notes:
        typer.echo(f"note: {note}")
