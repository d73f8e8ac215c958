"""Who takes part in a comparison: the floor, our server, and peers; each started the same way, under the same load."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from folkmoot import __version__
from folkmoot.bench.floor import Floor, build
from folkmoot.bench.peers import BUILT, FOLDER, Build, NotThere, Peer, missing_of, peers_in
from folkmoot.bench.server import Server
from folkmoot.bench.stage import Stage

OURS: Final = "folkmoot"
FLOOR: Final = "floor"
ALL: Final = (FLOOR, OURS, "centrifuge", "socketio", "starlette", "ejabberd")
"""In the order in which they are shown."""


class At(NamedTuple):
    """One that has been started: where it is, its groups (none: to be made through the protocol), its dialect."""

    server: Server | Floor | Peer
    ids: list[str] | None
    dialect: str


class Contender(msgspec.Struct, kw_only=True):
    """One that takes part. What it stores and promises stands beside what it costs."""

    name: str
    about: str
    stores: str
    promises: str
    version: str = ""


OWN: Final[Mapping[str, Contender]] = {
    FLOOR: Contender(
        name=FLOOR,
        about="A loop over send() in C, handed ready frames: what the operating system alone costs",
        stores="nothing",
        promises="nothing",
    ),
    OURS: Contender(
        name=OURS,
        about="This server with its default store, SQLite, synced to the disk",
        stores="every message, on the disk before anyone has it",
        promises="every acknowledged message once, in one order, to every member, whatever was killed",
        version=__version__,
    ),
}


class Missing(msgspec.Struct):
    """One that was asked for and cannot take part here; why."""

    name: str
    why: str


class Contenders:
    """Those that are asked for and can take part here. Peers are of `folder`, and built below `built`."""

    def __init__(self, names: list[str], *, folder: Path = FOLDER, built: Path = BUILT) -> None:
        self._folder = folder
        self._built = built
        self._builds: dict[str, Build] = {}
        self.names = names
        self.missing: list[Missing] = []

    def prepare(self, say: Callable[[str], None]) -> list[Contender]:
        """Build them: who is ready then; who cannot be is in `missing`. Raises NotThere for a name that is nobody's."""
        known = peers_in(self._folder) if set(self.names) - set(OWN) else {}
        ready = []
        for name in self.names:
            if name in OWN:
                ready.append(msgspec.structs.replace(OWN[name]))
                continue
            if name not in known:
                raise NotThere(f"{name}: nobody has that name. There are {', '.join([*OWN, *known])}")
            about = known[name]
            build_of = self._builds[name] = Build(name, about, self._folder, self._built)
            try:
                if not missing_of(about):
                    say(f"building {name}")
                build_of.make()
            except NotThere as error:
                say(f"MISSING {name}: {error}")
                self.missing.append(Missing(name, str(error)))
                continue
            ready.append(Contender(name=name, about=about.about, stores=about.stores, promises=about.promises))
        return ready

    def started(self, contender: Contender, stage: Stage) -> AbstractContextManager[At]:
        """It, ready. Raises ChildFailed, NoCompiler, GroupsRefused, OSError."""
        if contender.name == OURS:
            return _ours(stage)
        if contender.name == FLOOR:
            return _ran(stage, contender, Floor(build(stage.folder), cores=[stage.plan.core_server]), "floor")
        peer = Peer(self._builds[contender.name], stage.folder, cores=[stage.plan.core_server])
        return _ran(stage, contender, peer, peer.dialect)


@contextmanager
def _ours(stage: Stage) -> Iterator[At]:
    with stage.server() as server:
        yield At(server, None, "folkmoot")


@contextmanager
def _ran(stage: Stage, contender: Contender, it: Floor | Peer, dialect: str) -> Iterator[At]:
    try:
        it.wait_ready()
        if isinstance(it, Peer):
            contender.version = it.version
        yield At(it, stage.plain_ids(), dialect)
    finally:
        it.stop()
