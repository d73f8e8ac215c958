"""What the client has taken and what the user has read, told to the server at most once a second a group."""

from typing import Final

from folkmoot.model.ids import GroupId
from folkmoot.protocol import events as ev
from folkmoot.protocol.limits import ACKS_PER_FRAME_MAX

TELL_S: Final = 1.0
MARKS_PER_TELL_MAX: Final = 50
"""More read pointers wait for the next second, so that a client with many groups stays under the rate of events."""


class Acks:
    """Acknowledgements: cumulative, after the commit, at once where half of the window is without one."""

    def __init__(self, window: int) -> None:
        self.next_at: float | None = None
        self._half = max(1, window // 2)
        self._told: dict[GroupId, int] = {}
        self._waiting: dict[GroupId, int] = {}
        self._urgent: dict[GroupId, None] = {}

    def committed(self, group: GroupId, seq: int, now_s: float) -> None:
        """Everything of the group up to and with `seq` is committed."""
        self._waiting[group] = seq
        if seq - self._told.get(group, 0) >= self._half:
            self._urgent[group] = None
            self.next_at = now_s
        elif self.next_at is None:
            self.next_at = now_s + TELL_S

    def repeat(self, group: GroupId, now_s: float) -> None:
        """The server sends what was acknowledged: say within a second that it was, or it waits once a window is out."""
        told = self._told.get(group)
        if told is not None and group not in self._waiting:
            self._waiting[group] = told
            if self.next_at is None:
                self.next_at = now_s + TELL_S

    def forget(self, group: GroupId) -> None:
        """The group is over, or its numbers are of another log now."""
        self._told.pop(group, None)
        self._waiting.pop(group, None)
        self._urgent.pop(group, None)

    def due(self, now_s: float) -> list[ev.Ack]:
        """The acknowledgements to send now."""
        if self.next_at is None or now_s < self.next_at:
            return []
        if self._urgent:
            tell = {group: self._waiting.pop(group) for group in self._urgent}
            self._urgent.clear()
        else:
            tell, self._waiting = self._waiting, {}
        self._told.update(tell)
        self.next_at = now_s + TELL_S if self._waiting else None
        groups = list(tell.items())
        return [
            ev.Ack(groups=dict(groups[start : start + ACKS_PER_FRAME_MAX]))
            for start in range(0, len(groups), ACKS_PER_FRAME_MAX)
        ]


class Marks:
    """Read pointers to be moved: the last of each group, kept until the server says that it stands there."""

    def __init__(self) -> None:
        self.next_at: float | None = None
        self._waiting: dict[GroupId, int] = {}
        self._sent: dict[GroupId, int] = {}

    def move(self, group: GroupId, seq: int, now_s: float) -> None:
        """The user has read the group up to and with `seq`."""
        if seq > max(self._waiting.get(group, 0), self._sent.get(group, 0)):
            self._waiting[group] = seq
            if self.next_at is None:
                self.next_at = now_s

    def moved(self, event: ev.Pointer) -> None:
        """The server's pointer stands at least where it was to be moved."""
        if event.read >= self._sent.get(event.group, 0):
            self._sent.pop(event.group, None)
        if event.read >= self._waiting.get(event.group, 0):
            self._waiting.pop(event.group, None)

    def live(self, group: GroupId, now_s: float) -> None:
        """The server takes pointers of the group (again): what was not confirmed is told once more."""
        seq = self._sent.pop(group, 0)
        if seq:
            self._waiting[group] = max(seq, self._waiting.get(group, 0))
        if group in self._waiting and self.next_at is None:
            self.next_at = now_s

    def forget(self, group: GroupId) -> None:
        self._waiting.pop(group, None)
        self._sent.pop(group, None)

    def due(self, now_s: float, live: set[GroupId]) -> list[ev.MarkRead]:
        """The pointers to move now, of groups that are `live`; the others wait until they are."""
        if self.next_at is None or now_s < self.next_at:
            return []
        groups = [group for group in self._waiting if group in live]
        told = groups[:MARKS_PER_TELL_MAX]
        marks = []
        for group in told:
            seq = self._sent[group] = self._waiting.pop(group)
            marks.append(ev.MarkRead(group=group, seq=seq))
        # Without another look at once: a pointer moved within the second goes with the next.
        self.next_at = now_s + TELL_S if marks else None
        return marks
