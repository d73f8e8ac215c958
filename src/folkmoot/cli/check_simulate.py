"""`folkmoot check simulate`: a whole cluster in one process from one seed, many times, with faults; failures replay."""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import NOT_DONE, WRONG_USE, Json, fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from folkmoot.checker.simulate import Case, Judged, Tally
    from folkmoot.testing.plan import Plan

SEEDS_DEFAULT = 1_000


def simulate(
    seeds: Annotated[int | None, typer.Option(min=1, help="So many runs, the workloads in turn.")] = None,
    start: Annotated[int | None, typer.Option(min=0, help="The first seed; taken from the clock if not given.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Run this seed alone, again exactly.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Run for so long instead of --seeds.")] = None,
    workload: Annotated[list[str] | None, typer.Option(help="Only this one; may be given again. None: all.")] = None,
    faults: Annotated[str, typer.Option(help="Only these kinds of fault, with commas between; `none` for none.")] = "",
    plan: Annotated[Path | None, typer.Option(help="Run a plan that a failure wrote.", dir_okay=False)] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core.")] = 0,
    report_dir: Annotated[Path, typer.Option(help="Where pages of failures go.", file_okay=False)] = Path(),
    as_json: Json = False,
) -> None:
    """Simulate clusters under faults, and judge each run by every law of the promise.

    The production code runs unchanged, on simulated time, network, store and bus. A seed gives the same run always.
    """
    from folkmoot.checker.simulate import Case, cases

    workloads = _workloads(workload or [])
    kinds = _kinds(faults)
    _check_together(seeds, start, seed, minutes, plan)
    if plan is not None:
        _replay(_read_plan(plan), f"folkmoot check simulate --plan {plan}", report_dir, as_json=as_json)
        return
    if seed is not None:
        if len(workloads) > 1:
            fail("--seed replays one run: say which with --workload", WRONG_USE)
        one = Case(workloads[0], seed)
        _replay(one.plan(kinds), _command(one, faults), report_dir, as_json=as_json)
        return
    first = time.time_ns() // 1_000_000 if start is None else start
    count = None if minutes is not None else (seeds or SEEDS_DEFAULT)
    until_s = None if minutes is None else time.monotonic() + 60 * minutes
    if not as_json:
        typer.echo(f"seeds from {first}", err=True)
    tally = _run(cases(workloads, first, count), count, jobs or os.cpu_count() or 1, kinds, until_s, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(_as_json(tally, first, faults)))
    else:
        _show(tally, first)
        for judged in tally.failed:
            _explain(judged, kinds, faults, report_dir)
    if tally.failed:
        raise typer.Exit(NOT_DONE)


def _workloads(wanted: list[str]) -> list[str]:
    from folkmoot.checker.workloads import WORKLOADS

    for name in wanted:
        if name not in WORKLOADS:
            fail(f"there is no workload {name!r}: one of {', '.join(WORKLOADS)}", WRONG_USE)
    return wanted or list(WORKLOADS)


def _kinds(faults: str) -> list[str]:
    """The kinds of fault to keep: none named, all; `none`, a kind that no plan has."""
    from folkmoot.testing.faults import MEANING

    kinds = [kind.strip() for kind in faults.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in MEANING and kinds != ["none"]:
            fail(f"there is no fault {kind!r}: some of {', '.join(MEANING)}, or none", WRONG_USE)
    return kinds


def _check_together(
    seeds: int | None, start: int | None, seed: int | None, minutes: float | None, plan: Path | None
) -> None:
    if seeds is not None and minutes is not None:
        fail("--seeds or --minutes, not both", WRONG_USE)
    alone = {"--seed": seed, "--plan": plan}
    others = {"--seeds": seeds, "--start": start, "--minutes": minutes, **alone}
    for name, value in alone.items():
        beside = [other for other, given in others.items() if given is not None and other != name]
        if value is not None and beside:
            fail(f"{name} is one run: leave {' and '.join(beside)} out", WRONG_USE)


def _read_plan(path: Path) -> "Plan":
    import msgspec

    from folkmoot.testing.plan import Plan

    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        fail(f"{path}: {error.strerror}", WRONG_USE)
    except msgspec.MsgspecError as error:
        fail(f"{path} is not a plan: {error}", WRONG_USE)


def _run(
    wanted: "Iterator[Case]", count: int | None, jobs: int, kinds: list[str], until_s: float | None, *, quiet: bool
) -> "Tally":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from folkmoot.checker.simulate import simulate as simulate_all

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("simulating", total=count)

        def show(tally: "Tally") -> None:
            what = f"{tally.virtual_s / 3_600:.1f} simulated hours, {len(tally.failed)} failed"
            bar.update(task, completed=tally.runs, description=what)

        return simulate_all(wanted, jobs=jobs, faults=kinds, until_s=until_s, on_judged=show)


def _show(tally: "Tally", first: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows: list[tuple[str, str]] = [
        ("runs", f"{tally.runs:,}"),
        ("first seed", f"{first}"),
        ("simulated hours", f"{tally.virtual_s / 3_600:,.1f}"),
        ("messages", f"{tally.messages:,}"),
        ("deliveries", f"{tally.deliveries:,}"),
        *((f"  {kind}", f"{times:,}") for kind, times in sorted(tally.faults.items())),
        ("seconds", f"{tally.seconds:,.1f}"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)
    typer.echo("clean" if not tally.failed else f"NOT CLEAN: {len(tally.failed)} of {tally.runs} runs")


def _explain(judged: "Judged", kinds: list[str], faults: str, report_dir: Path) -> None:
    """Say what was wrong, make the plan smaller, and write its page."""
    from folkmoot.checker.shrink import shrunk

    case = judged.case
    typer.echo(f"\n{case.workload}, seed {case.seed}:")
    _say(judged)
    typer.echo(f"again: {_command(case, faults)}")
    typer.echo("looking for a smaller history that fails", err=True)
    smallest = shrunk(case.plan(kinds), frozenset(violation.law for violation in judged.violations))
    _write(smallest, _command(case, faults), report_dir)


def _replay(plan: "Plan", command: str, report_dir: Path, *, as_json: bool) -> None:
    """One run, exactly as it was, and its page where it fails."""
    from folkmoot.checker.simulate import Case, judged_of
    from folkmoot.testing.simulation import run_plan

    judged = judged_of(Case(plan.workload, plan.seed), run_plan(plan))
    if as_json:
        found = [{"law": v.law, "what": v.what} for v in judged.violations]
        typer.echo(json.dumps({"seed": plan.seed, "workload": plan.workload, "violations": found}))
    else:
        typer.echo(
            f"{plan.workload}, seed {plan.seed}: {judged.messages} messages, {judged.deliveries} deliveries, "
            f"{judged.virtual_s:.1f} simulated seconds"
        )
        _say(judged)
        typer.echo("clean" if not judged.violations else "NOT CLEAN")
    if judged.violations:
        if not as_json:
            _write(plan, command, report_dir)
        raise typer.Exit(NOT_DONE)


def _say(judged: "Judged") -> None:
    from folkmoot.checker.laws import LAWS

    shown: dict[str, int] = {}
    for violation in judged.violations:
        shown[violation.law] = shown.get(violation.law, 0) + 1
        if shown[violation.law] == 1:
            typer.echo(f"  {violation.law}: {LAWS[violation.law]}")
        if shown[violation.law] <= 3:
            typer.echo(f"    {violation.what}")
    for law, count in shown.items():
        if count > 3:
            typer.echo(f"  {law}: and {count - 3} more")


def _write(plan: "Plan", command: str, report_dir: Path) -> None:
    """The page and the plan of one failing run."""
    from folkmoot.checker.laws import judge_run
    from folkmoot.checker.timeline import page, plan_json
    from folkmoot.testing.simulation import run_plan

    run = run_plan(plan)
    report_dir.mkdir(parents=True, exist_ok=True)
    stem = report_dir / f"folkmoot-{plan.workload}-{plan.seed}"
    pages, plans = stem.with_suffix(".html"), stem.with_suffix(".json")
    pages.write_text(page(run, judge_run(run), command), encoding="utf-8")
    plans.write_bytes(plan_json(run))
    typer.echo(f"{len(plan.people)} clients, {len(plan.steps)} steps, {len(plan.faults)} faults: see {pages}")
    typer.echo(f"that history: folkmoot check simulate --plan {plans}")


def _command(case: "Case", faults: str) -> str:
    kept = f' --faults "{faults}"' if faults else ""
    return f"folkmoot check simulate --workload {case.workload} --seed {case.seed}{kept}"


def _as_json(tally: "Tally", first: int, faults: str) -> dict[str, object]:
    return {
        "runs": tally.runs,
        "first_seed": first,
        "virtual_s": round(tally.virtual_s, 1),
        "messages": tally.messages,
        "deliveries": tally.deliveries,
        "faults": tally.faults,
        "seconds": round(tally.seconds, 1),
        "clean": not tally.failed,
        "failed": [
            {
                "workload": judged.case.workload,
                "seed": judged.case.seed,
                "laws": sorted({violation.law for violation in judged.violations}),
                "again": _command(judged.case, faults),
            }
            for judged in tally.failed
        ],
    }
