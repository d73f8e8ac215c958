"""A peer is built once for as long as its files are the same, says where it listens, and ends with its input."""

import sys
from pathlib import Path

import pytest

from folkmoot.bench.dialects import DIALECTS
from folkmoot.bench.peers import About, Build, NotThere, Peer, missing_of, peers_in
from folkmoot.bench.process import ChildFailed

ROOT = Path(__file__).parents[2]
SERVER = (
    "import json, sys; print('hello'); print(json.dumps({'port': 7, 'version': 'v 1'}), flush=True); sys.stdin.read()"
)


def about_of(**what: object) -> About:
    given: dict[str, object] = {"about": "a", "stores": "s", "promises": "p", "dialect": "starlette", "needs": []}
    given |= {"build": [], "run": [sys.executable, "{peer}/server.py"]}
    return About(**(given | what))  # type: ignore[arg-type]


def build_of(folder: Path, **what: object) -> Build:
    peer = folder / "peers" / "one"
    peer.mkdir(parents=True, exist_ok=True)
    (peer / "server.py").write_text(SERVER)
    return Build("one", about_of(**what), folder / "peers", folder / "built")


def test_it_is_built_again_only_when_its_files_change(tmp_path: Path) -> None:
    append = [sys.executable, "-c", "open(r'{out}/../times', 'a').write('x')"]
    times = tmp_path / "built" / "times"
    for _ in range(2):
        build_of(tmp_path, build=[append]).make()
        assert times.read_text() == "x"
    (tmp_path / "peers" / "one" / "more.py").write_text("")
    build_of(tmp_path, build=[append]).make()
    assert times.read_text() == "xx"


def test_a_build_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(NotThere, match="no such luck"):
            build_of(tmp_path, build=[[sys.executable, "-c", "raise SystemExit('no such luck')"]]).make()


def test_what_is_not_on_this_machine_is_named(tmp_path: Path) -> None:
    assert missing_of(about_of(needs=[Path(sys.executable).as_posix(), "no-such-program"])) == ["no-such-program"]
    with pytest.raises(NotThere, match="no-such-program"):
        build_of(tmp_path, needs=["no-such-program"]).make()


def test_it_says_where_it_listens_and_ends(tmp_path: Path) -> None:
    build = build_of(tmp_path)
    build.make()
    peer = Peer(build, tmp_path, cores=())
    peer.wait_ready()
    assert (peer.host, peer.port, peer.version) == ("127.0.0.1", 7, "v 1")
    peer.stop()


def test_one_that_does_not_come_up_is_told(tmp_path: Path) -> None:
    build = build_of(tmp_path, run=[sys.executable, "-c", "raise SystemExit('it is broken')"])
    build.make()
    peer = Peer(build, tmp_path, cores=())
    with pytest.raises(ChildFailed, match="it is broken"):
        peer.wait_ready()
    peer.stop()


def test_a_folder_without_peers_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="--peers-dir"):
        peers_in(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "peer.toml").write_text("about = 1")
    with pytest.raises(NotThere, match=r"peer\.toml"):
        peers_in(tmp_path)


def test_our_peers_are_as_they_have_to_be() -> None:
    folder = ROOT / "bench" / "peers"
    peers = peers_in(folder)
    assert set(peers) == {"centrifuge", "socketio", "starlette", "ejabberd"}
    for about in peers.values():
        assert about.dialect in DIALECTS
        assert about.stores
        assert about.promises
    # Exact versions, and no address of a registry.
    assert len((folder / "centrifuge" / "main.go").read_text().splitlines()) < 100
    assert "github.com/centrifugal/centrifuge v" in (folder / "centrifuge" / "go.mod").read_text()
    assert '"resolved"' not in (folder / "socketio" / "package-lock.json").read_text()
    lines = (folder / "starlette" / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if "==" not in line] == []
