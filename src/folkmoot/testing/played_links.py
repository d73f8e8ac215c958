"""Links of a whole client to a scripted server, in one event loop: a test can refuse, cut and close them."""

import asyncio
from collections.abc import Iterable

from folkmoot.client.errors import NotConnected
from folkmoot.client.link import LOST, NORMAL_CLOSE, Link, LinkEnd
from folkmoot.testing.scripted_server import ScriptedServer, ServerEnd


class PlayedLink:
    """One link. What the server says arrives at the loop's next turn, all of it as one read."""

    def __init__(self, server: ScriptedServer, end: LinkEnd) -> None:
        self.written: list[bytes] = []
        self.far = ServerEnd(server)
        self.far.on_said = self._plan
        self._end = end
        self._planned = False
        self._is_up = True

    def write(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            self.written.append(frame)
            if self._is_up:
                self.far.receive(frame)

    def close(self) -> None:
        self.cut(NORMAL_CLOSE)

    def abort(self) -> None:
        self.cut(LOST)

    def cut(self, close_code: int = LOST) -> None:
        """Break the link: what is under way to the client is lost."""
        if self._is_up:
            self._is_up = False
            self.far.gone()
            self._end.lost(close_code)

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._planned = False
        if not self._is_up or not self.far.said:
            return
        self._end.heard()
        while self.far.said:
            self._end.frame(self.far.said.popleft())
        self._end.read_done()


class PlayedLinks:
    """What a client connects through: give `connect` to it as its `link`."""

    def __init__(self, server: ScriptedServer | None = None) -> None:
        self.server = server or ScriptedServer()
        self.made: list[PlayedLink] = []
        self.refusals = 0
        """So many attempts to connect fail before one succeeds."""

    @property
    def last(self) -> PlayedLink:
        return self.made[-1]

    async def connect(self, url: str, end: LinkEnd) -> Link:
        if self.refusals:
            self.refusals -= 1
            raise NotConnected(f"{url}: refused by the test")
        self.made.append(PlayedLink(self.server, end))
        return self.last
