"""The floor sends what it is handed to every member, and is left out where it cannot be built."""

import shutil
import socket
from pathlib import Path

import pytest

from folkmoot.bench.floor import Floor, NoCompiler, build

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


def joined(floor: Floor, group: int) -> socket.socket:
    one = socket.create_connection((floor.host, floor.port), timeout=20)
    one.sendall(b"JOIN" + group.to_bytes(4, "big"))
    assert one.recv(1) == b"k"
    return one


def message(group: int, payload: bytes) -> bytes:
    return group.to_bytes(4, "big") + len(payload).to_bytes(4, "big") + payload


def received(one: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += one.recv(size - len(data))
    return data


@needs_compiler
def test_each_member_of_a_group_gets_the_very_bytes(tmp_path: Path) -> None:
    floor = Floor(build(tmp_path), cores=())
    floor.wait_ready()
    here, there, elsewhere = joined(floor, 3), joined(floor, 3), joined(floor, 4)
    with here, there, elsewhere:
        whole = message(3, b"one") + message(4, b"other") + message(3, b"x" * 60_000)
        # In pieces, so that requests are cut anywhere.
        here.sendall(whole[:5])
        assert here.getsockname()
        here.sendall(whole[5:17])
        here.sendall(whole[17:])
        for member in (here, there):
            assert received(member, 60_003) == b"one" + b"x" * 60_000
        assert received(elsewhere, 5) == b"other"
    assert floor.stalls() == 0


@needs_compiler
def test_who_has_left_gets_nothing_and_stops_nothing(tmp_path: Path) -> None:
    floor = Floor(build(tmp_path), cores=())
    floor.wait_ready()
    stays, goes = joined(floor, 0), joined(floor, 0)
    goes.close()
    with stays:
        for _ in range(3):
            stays.sendall(message(0, b"still here"))
            assert received(stays, 10) == b"still here"
    floor.stop()


def test_without_a_compiler_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(NoCompiler, match="apt-get install gcc"):
        build(tmp_path)


def test_a_compiler_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(NoCompiler, match="does not build"):
        build(tmp_path)
