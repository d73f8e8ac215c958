"""Each peer is built from its folder, comes up, and delivers every message to all of a room. `make test-peers`."""

import time
from pathlib import Path

import msgspec
import pytest

from folkmoot.bench.jobs import Begin, Job
from folkmoot.bench.load import Load
from folkmoot.bench.peers import Build, Peer, missing_of, peers_in

PEERS = Path(__file__).parents[2] / "bench" / "peers"
BUILT = Path(__file__).parents[2] / "build" / "peers"


@pytest.mark.peers
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["centrifuge", "socketio", "starlette", "ejabberd"])
def test_it_delivers_every_message_to_everyone(name: str, tmp_path: Path) -> None:
    about = peers_in(PEERS)[name]
    missing = missing_of(about)
    if missing:
        pytest.skip(f"NOT TESTED: {name} needs {', '.join(missing)}")
    build = Build(name, about, PEERS, BUILT)
    build.make()
    peer = Peer(build, tmp_path, cores=())
    try:
        peer.wait_ready()
        given: dict[str, object] = {"host": peer.host, "port": peer.port, "secret": "", "sources": ["127.0.0.1"]}
        given |= {"groups": ["a", "b"], "members": 5, "dialect": peer.dialect, "traffic": "sends", "rate_per_s": 20.0}
        load = Load(msgspec.convert(given, Job))
        try:
            assert load.connect() == 10
            tally = load.run(Begin(time.monotonic_ns() + 50_000_000, 0.0, 1.0))
        finally:
            load.close()
        assert (tally.sent, tally.expected, tally.delivered) == (20, 100, 100)
        assert (tally.lost, tally.deliveries.count) == (0, 100)
        assert name in peer.version or name == "socketio"
    finally:
        peer.stop()
    assert peer.stop() == b""
