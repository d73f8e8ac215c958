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
) -> None:
    """How many machines some users need: the sum step by step, and what each kind of machine runs out of first.

    What one core does is taken from results of `folkmoot bench`: fanout, idle, sends, history, roles.
    """
    if per_server is not None:
        if html_file is not None or measurements:
            fail("--per-server is the plain sum: without --html and --measurements", WRONG_USE)
        _plain({**numbers, "per_server": per_server}, as_json=as_json)
        return
    from folkmoot.planner.answer import answer_of
    from folkmoot.planner.answer import as_json as of_answer

    measured = _measured(measurements or [])
    answer = answer_of(numbers, measured)
    if html_file is not None:
        _write_page(answer, html_file)
    if as_json:
        typer.echo(json.dumps(of_answer(answer), indent=2))
    else:
        _show(answer)


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

    shown_steps = [step for step in answer.steps if step.unit != "machines"]
    _show_steps(shown_steps, answer.values, answer.low, answer.high)
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
