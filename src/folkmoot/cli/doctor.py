"""`folkmoot doctor`: what is wrong with machine, data folder, settings and, if asked, any log; how to mend it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from folkmoot.cli.chosen import ConfigFile, DataPath, Host, PortNumber, Set, chosen
from folkmoot.cli.connect import NOT_DONE, Json

if TYPE_CHECKING:
    from folkmoot.checker.doctor import Finding
    from folkmoot.checker.logs import StoreReport
    from folkmoot.node.config import Settings

DAMAGES_SHOWN_MAX = 50


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Check every log, and all that is made of it, against its first entries on.")
    ] = False,
    host: Host = None,
    port: PortNumber = None,
    data_dir: DataPath = None,
    config: ConfigFile = None,
    setting: Set = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong and how to mend it, beside a server that runs or before one does. Status 1 where it is bad.

    Give the options that `serve` gets. Nothing is changed; a file of 800 kB in the data folder times the disk for up
    to two seconds. `--deep` reads the whole store as it is at one moment: it may take minutes, and is best done at a
    quiet time, for the server's log file grows meanwhile.
    """
    from folkmoot.checker.doctor import Finding
    from folkmoot.node.config import SettingsError

    report: StoreReport | None = None
    try:
        settings = chosen(host, port, data_dir, config, setting).settings
    except SettingsError as error:
        findings = [Finding("settings", "bad", str(error), "folkmoot config show lists all there are")]
    else:
        findings = _findings(settings)
        if deep:
            report, found = _deep(Path(settings.data_dir))
            findings.append(found)
    bad = any(finding.level == "bad" for finding in findings)
    if as_json:
        typer.echo(json.dumps(_as_json(findings, report, ok=not bad)))
    else:
        _show(findings, report)
    if bad:
        raise typer.Exit(NOT_DONE)


def _findings(settings: "Settings") -> "list[Finding]":
    from folkmoot.checker import doctor as verdicts
    from folkmoot.checker import machine

    folder = Path(settings.data_dir)
    pid, store = machine.server_pid(folder), machine.store_of(folder)
    files = [(name, getattr(settings, name)) for name in ("token_public_key_file", "token_jwks_file", "tls_key_file")]
    tls = (settings.tls_cert_file, settings.tls_key_file)
    findings = [
        verdicts.on_port(machine.port_of(settings.host, settings.port, tls=bool(tls[0])), pid),
        verdicts.on_open_files(machine.open_files(pid), settings.connections_max),
        verdicts.on_data_dir(machine.mode_of(folder)),
        verdicts.on_secret(machine.mode_of(folder / machine.SECRET_FILE)),
        *(verdicts.on_key_file(name, path, machine.mode_of(Path(path))) for name, path in files if path),
        verdicts.on_store(store, settings),
        *verdicts.on_disk(machine.disk_of(folder), settings),
    ]
    if folder.exists():
        findings.append(verdicts.on_sync(machine.sync_times(folder), settings.data_dir))
    clock = machine.clocks()
    findings.append(verdicts.on_clock(clock, store))
    if any(tls):
        findings.append(verdicts.on_certificate(machine.certificate_of(*map(Path, tls)), clock.wall_ms))
    findings += verdicts.on_versions(machine.versions())
    return findings + verdicts.on_settings(settings)


def _deep(folder: Path) -> "tuple[StoreReport | None, Finding]":
    from rich.console import Console
    from rich.progress import Progress

    from folkmoot.checker.doctor import Finding
    from folkmoot.checker.logs import Unreadable, examine_store
    from folkmoot.checker.machine import DATABASE_FILE

    path = folder / DATABASE_FILE
    if not path.exists():
        return None, Finding("logs", "ok", "there is no store yet")
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("reading", total=None)
        try:
            report = examine_store(path, lambda read, of: progress.update(task, completed=read, total=of))
        except Unreadable as error:
            return None, Finding("logs", "bad", f"nothing can be read: {error}", "restore a backup")
    what = f"{report.groups} groups, {report.entries} entries, {len(report.damages) + report.more} damages"
    if not report.damages:
        return report, Finding("logs", "ok", what)
    mend = (
        "stop the server, move its data folder away, and make a new one from it: folkmoot restore MOVED --data-dir NEW"
        " cuts each log at its first fault and makes the rest anew; or restore a backup"
    )
    return report, Finding("logs", "bad", what, mend)


def _show(findings: "list[Finding]", report: "StoreReport | None") -> None:
    for finding in findings:
        typer.echo(f"{finding.level:<4}  {finding.name}: {finding.what}")
        if finding.mend:
            typer.echo(f"      mend: {finding.mend}")
    if report is None:
        return
    for damage in report.damages[:DAMAGES_SHOWN_MAX]:
        where = f"{damage.group} at {damage.seq}" if damage.group else "the store"
        typer.echo(f"      {where}: {damage.what}")
    hidden = len(report.damages[DAMAGES_SHOWN_MAX:]) + report.more
    if hidden:
        typer.echo(f"      and {hidden} more; --json has up to 1,000")


def _as_json(findings: "list[Finding]", report: "StoreReport | None", *, ok: bool) -> dict[str, Any]:
    from msgspec.structs import asdict

    said: dict[str, Any] = {"ok": ok, "findings": [asdict(finding) for finding in findings]}
    if report is not None:
        said["deep"] = asdict(report) | {"damages": [asdict(damage) for damage in report.damages]}
    return said
