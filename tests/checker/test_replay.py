"""Replaying: files of any bytes through a real server, at a rate, again until there were enough kills, and judged."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from folkmoot.checker import replay as replay_module
from folkmoot.checker.child import ChildFailed, ChildServer
from folkmoot.checker.history import History, judge
from folkmoot.checker.logs import LogsReport, verify_store
from folkmoot.checker.replay import Progress, Replay, ReplayReport, ReplaySettings
from folkmoot.client import ClientError, NotConnected
from folkmoot.gateway.identity import secret_of
from folkmoot.testing.served import Served, served

TALK = b"""[15:01] <ann> hello
=== bob has joined
[15:01]  * bob waves
[15:02] <a b> \xff\xfe\x1c\x85
no form at all

[15:03] <ann> """ + b"x" * 20_000 + b"\n[15:04] <log> the last has no newline"  # fmt: skip
LINES, MESSAGES, MEMBERS = 8, 4, 5


class Unkillable(ChildServer):
    """In the place of a child: kills that harm nobody, and perhaps a start that fails."""

    def __init__(self, folder: Path, *, starts: bool = True) -> None:
        super().__init__(folder)
        self._starts = starts

    async def kill(self) -> None:
        self.kills += 1

    async def start(self) -> None:
        if not self._starts:
            raise ChildFailed("no disk")


def run(tmp_path: Path, test: Callable[[Served], Awaitable[ReplayReport]]) -> ReplayReport:
    async def body() -> ReplayReport:
        async with served(tmp_path / "server") as server:
            return await test(server)

    return asyncio.run(body())


def talk(tmp_path: Path, name: str = "talk.txt", raw: bytes = TALK) -> Path:
    path = tmp_path / name
    path.write_bytes(raw)
    return path


def test_every_line_reaches_every_member_whatever_its_bytes(tmp_path: Path) -> None:
    steps: list[Progress] = []
    files = [talk(tmp_path), talk(tmp_path, "nothing.txt", b"")]

    async def replay(server: Served) -> ReplayReport:
        secret = secret_of(server.data_dir)
        return await Replay(files, ReplaySettings(), url=server.url, secret=secret, on_progress=steps.append).run()

    report = run(tmp_path, replay)
    assert report.verdict.lines() == []
    assert report.clean
    assert (report.files, report.lines, report.messages, report.members) == (2, LINES, MESSAGES, MEMBERS + 1)
    # The longest line is three messages; each group's first entry is its creation.
    assert report.entries == LINES + 2
    assert report.deliveries == MEMBERS * (LINES + 3) + 1
    assert (report.kills, report.reconnects, report.refused) == (0, 0, 0)
    assert 0 < report.sending_seconds < report.seconds
    assert report.sends_per_s == pytest.approx(report.entries / report.sending_seconds)
    assert [(s.done, s.total) for s in steps] == [(n, LINES) for n in range(1, LINES + 1)]
    logs = asyncio.run(verify_store(tmp_path / "server" / "folkmoot.db", [], lambda read, total: None))
    assert logs == LogsReport(2, LINES + 2 + 2, [])


@pytest.mark.parametrize(("entries", "refused", "clean"), [(3, 0, True), (2, 1, True), (0, 3, False), (0, 0, True)])
def test_a_verdict_on_refusals_alone_is_not_clean(entries: int, refused: int, clean: bool) -> None:
    report = ReplayReport(
        files=1, lines=3, messages=3, members=2, entries=entries, refused=refused, deliveries=0, kills=0,
        reconnects=0, seconds=1.0, sending_seconds=1.0, verdict=judge(History()),
    )  # fmt: skip
    assert report.clean is clean


def test_members_are_dealt_over_all_doors_of_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = talk(tmp_path)

    async def replay(server: Served) -> ReplayReport:
        secret = secret_of(server.data_dir)
        doors = [server.url, server.url.replace("127.0.0.1", "127.0.0.2")]
        with monkeypatch.context() as patch:
            patch.setattr(replay_module, "CONNECT_S_MAX", 1.0)
            with pytest.raises(NotConnected):
                await Replay([path], ReplaySettings(), url=doors, secret=secret).run()
        doors = [server.url, server.url.replace("127.0.0.1", "localhost")]
        return await Replay([path], ReplaySettings(), url=doors, secret=secret).run()

    assert run(tmp_path, replay).clean


def test_at_a_rate_lines_take_their_time(tmp_path: Path) -> None:
    path = talk(tmp_path, raw=b"[15:01] <ann> x\n" * 11)

    async def replay(server: Served) -> ReplayReport:
        settings = ReplaySettings(rate_per_s=50.0)
        return await Replay([path], settings, url=server.url, secret=secret_of(server.data_dir)).run()

    report = run(tmp_path, replay)
    assert report.clean
    assert report.sending_seconds >= 0.2


def test_files_are_repeated_until_there_were_enough_kills(tmp_path: Path) -> None:
    path = talk(tmp_path)

    async def replay(server: Served) -> ReplayReport:
        settings = ReplaySettings(kill_every_s=0.05, kills_min=5)
        child = Unkillable(tmp_path)
        return await Replay([path], settings, url=server.url, secret=secret_of(server.data_dir), child=child).run()

    report = run(tmp_path, replay)
    assert report.clean
    assert report.kills >= 5
    assert report.lines == LINES * report.files
    assert report.deliveries == MEMBERS * (LINES + 3) * report.files


def test_a_server_that_does_not_come_back_ends_the_replay(tmp_path: Path) -> None:
    path = talk(tmp_path, raw=b"[15:01] <ann> x\n" * 1_000)

    async def replay(server: Served) -> ReplayReport:
        settings = ReplaySettings(kill_every_s=0.05, rate_per_s=1.0)
        child = Unkillable(tmp_path, starts=False)
        return await Replay([path], settings, url=server.url, secret=secret_of(server.data_dir), child=child).run()

    began_s = time.monotonic()
    with pytest.raises(ChildFailed, match="no disk"):
        run(tmp_path, replay)
    assert time.monotonic() - began_s < 20


def test_a_server_that_will_not_have_us_ends_the_replay(tmp_path: Path) -> None:
    async def replay(server: Served) -> ReplayReport:
        return await Replay([talk(tmp_path)], ReplaySettings(), url=server.url, secret=b"another" * 10).run()

    with pytest.raises(ClientError, match="token_invalid"):
        run(tmp_path, replay)


def test_a_file_that_is_not_there_ends_the_replay(tmp_path: Path) -> None:
    async def replay(server: Served) -> ReplayReport:
        files = [tmp_path / "nothing.txt"]
        return await Replay(files, ReplaySettings(), url=server.url, secret=secret_of(server.data_dir)).run()

    with pytest.raises(FileNotFoundError):
        run(tmp_path, replay)


@pytest.mark.parametrize("settings", [ReplaySettings(kill_every_s=2), ReplaySettings(kills_min=1)])
def test_only_a_server_of_its_own_is_killed(settings: ReplaySettings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kill"):
        Replay([tmp_path], settings, url="http://127.0.0.1:1", secret=b"")
