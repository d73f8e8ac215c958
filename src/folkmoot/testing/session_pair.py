"""A client core and a server joined by a link that a test can hold, cut, thin out and double. No socket, no clock."""

from collections import deque
from collections.abc import Callable

from folkmoot.client.core import Core, CoreSettings
from folkmoot.client.outbox import Answered
from folkmoot.client.received import Item, Received
from folkmoot.client.requests import Replied
from folkmoot.client.store import MemoryClientStore
from folkmoot.model.ids import GroupId, UserId
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.testing.scripted_server import ScriptedServer, ServerEnd


class PlayedClient:
    """A client core with the store and the application it serves; what is applied is kept with the places."""

    def __init__(self, *, settings: CoreSettings | None = None, draw: Callable[[], float] = lambda: 0.5) -> None:
        self.store = MemoryClientStore()
        self.applied: list[Item] = []
        self.answers: list[Answered] = []
        self.replies: list[Replied] = []
        self._settings = settings or CoreSettings()
        self._draw = draw
        self.core = self._core()

    def crash(self) -> None:
        """Killed and started again: what was not committed is gone, of the application too."""
        self.core = self._core()

    def cloned(self) -> "PlayedClient":
        """The same store on another device."""
        other = PlayedClient(settings=self._settings, draw=self._draw)
        other.store = MemoryClientStore(kept=self.store.load())
        other.applied = list(self.applied)
        other.crash()
        return other

    def flush(self, now_s: float) -> list[bytes]:
        """Commit what came in, with what changed; then the frames that may be written."""
        items = self.core.take_items(now_s)
        changes = self.core.take_changes()
        changes.places = self.core.places.kept_after(items)
        self.store.commit(changes)
        self.applied.extend(items)
        self.core.committed(items, now_s)
        answers, replies = self.core.take_answers()
        self.answers.extend(answers)
        self.replies.extend(replies)
        return self.core.take_frames(now_s)

    def entries(self, group: GroupId) -> list[Received]:
        """The entries of the group that were applied, in the order in which they were."""
        return [item for item in self.applied if isinstance(item, Received) and item.group == group]

    def _core(self) -> Core:
        return Core(self.store.load(), self._settings, draw=self._draw)


class SessionPair:
    """One client, one server, and the link between them with all that is under way in it."""

    def __init__(self, client: PlayedClient, server: ScriptedServer, user: UserId) -> None:
        self.client = client
        self.server = server
        self.user = user
        self.now_s = 0.0
        self.end: ServerEnd | None = None
        self.to_server: deque[bytes] = deque()

    @property
    def to_client(self) -> deque[bytes]:
        """Frames on their way to the client."""
        return deque() if self.end is None else self.end.said

    def connect(self) -> None:
        """A link, where there is none."""
        if self.end is None:
            self.end = ServerEnd(self.server)
            self.client.core.opened(self.user, self.now_s)
            self.flush()

    def flush(self) -> None:
        """Let the client commit, and put what it writes on its way."""
        frames = self.client.flush(self.now_s)
        if self.end is not None:
            self.to_server.extend(frames)

    def deliver_to_server(self, frames_max: int = 1_000_000) -> int:
        """Let some frames arrive at the server; how many did."""
        end = self.end
        done = 0
        while end is not None and self.to_server and done < frames_max:
            end.receive(self.to_server.popleft())
            done += 1
        return done

    def deliver_to_client(self, frames_max: int = 1_000_000) -> int:
        """Let some frames arrive at the client, as one read; how many did. It commits only at `flush`."""
        end = self.end
        done = 0
        if end is not None and end.said:
            self.client.core.heard(self.now_s)
        while end is not None and end.said and done < frames_max:
            self.client.core.receive(end.said.popleft())
            done += 1
        return done

    def cut(self, close_code: int = 1006) -> None:
        """Break the link: what is under way in it is lost."""
        end, self.end = self.end, None
        if end is not None:
            end.gone()
            self.to_server.clear()
            self.client.core.lost(close_code, self.now_s)

    def crash(self) -> None:
        """Kill the client, and with it the link."""
        self.cut()
        self.client.crash()

    def drop_entry(self, which: int = 0) -> bool:
        """Lose one entry on its way to the client, as no link but a faulty server does; whether there was one."""
        at = [i for i, frame in enumerate(self.to_client) if isinstance(JSON.decode_server(frame), ev.EntryEvent)]
        if not at:
            return False
        del self.to_client[at[which % len(at)]]
        return True

    def double(self, which: int = 0) -> bool:
        """Let one frame arrive twice, the second time behind all others; whether there was one to double."""
        if not self.to_client:
            return False
        frame = self.to_client[which % len(self.to_client)]
        if not isinstance(JSON.decode_server(frame), ev.EntryEvent | ev.Accepted | ev.RefusedEvent):
            return False
        self.to_client.append(frame)
        return True

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.client.core.tick(self.now_s)

    def settle(self, *, rounds_max: int = 1_000) -> None:
        """Connect, and let everything arrive until both sides are quiet and nothing is due any more."""
        for _ in range(rounds_max):
            self.connect()
            self.flush()
            moved = self.deliver_to_server() + self.deliver_to_client()
            self.flush()
            if self.client.core.drop:
                self.cut()
            elif not moved and not self.to_server:
                if not len(self.client.core.outbox) or not self._waits():
                    return
                self.pass_time(1.0)
        raise AssertionError("it does not settle")

    def _waits(self) -> bool:
        """Whether a send of the outbox is to be tried again at some time."""
        return self.client.core.outbox.next_at is not None
