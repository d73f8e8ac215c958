"""Requests that make no entry: paced, asked again after a reconnect, bounded in number."""

from collections import OrderedDict
from typing import Final, TypeAlias

import msgspec

from folkmoot.client.errors import RequestFailed
from folkmoot.protocol import events as ev

AT_ONCE_MAX: Final = 8
WAITING_MAX: Final = 1_000
PER_S: Final = 100.0
BURST: Final = 200.0
"""Half of the rate of events above which a server ends the connection by default."""

RETRY_S_MIN: Final = 0.1

Request: TypeAlias = ev.Read | ev.ListGroups | ev.ListMembers
Reply: TypeAlias = ev.Page | ev.GroupList | ev.MemberList


class Replied(msgspec.Struct, frozen=True):
    """The answer to the request `ref`, or why there is none."""

    ref: str
    reply: Reply | None
    code: str = ""
    detail: str = ""


class _Asked:
    __slots__ = ("flying", "request", "retry_at")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.flying = False
        self.retry_at = 0.0


class Requests:
    """Those without an answer, by their reference."""

    def __init__(self) -> None:
        self.next_at: float | None = None
        self.replies: list[Replied] = []
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._flying = 0
        self._tokens = BURST
        self._tokens_at_s = 0.0
        self._refs = 0

    def __len__(self) -> int:
        return len(self._asked)

    def next_ref(self) -> str:
        self._refs += 1
        return str(self._refs)

    def add(self, request: Request) -> None:
        """Raises RequestFailed (`too_many_waiting`)."""
        if len(self._asked) >= WAITING_MAX:
            raise RequestFailed("too_many_waiting", f"{WAITING_MAX} requests wait for an answer")
        self._asked[request.ref] = _Asked(request)

    def forget(self, ref: str) -> None:
        """Nobody waits for it any more."""
        asked = self._asked.pop(ref, None)
        if asked is not None and asked.flying:
            self._flying -= 1

    def connected(self, now_s: float) -> None:
        """A new connection: all are asked again."""
        self._flying = 0
        self._tokens, self._tokens_at_s = BURST, now_s
        for asked in self._asked.values():
            asked.flying, asked.retry_at = False, 0.0

    def answered(self, reply: Reply) -> None:
        if reply.ref in self._asked:
            self.forget(reply.ref)
            self.replies.append(Replied(reply.ref, reply))

    def failed(self, event: ev.Failed, now_s: float) -> bool:
        """Whether the error is about one of these."""
        asked = self._asked.get(event.ref)
        if asked is None:
            return False
        if event.code != "unavailable":
            self.forget(event.ref)
            self.replies.append(Replied(event.ref, None, event.code, event.detail))
        elif asked.flying:
            asked.flying = False
            self._flying -= 1
            asked.retry_at = now_s + max(RETRY_S_MIN, event.retry_after_ms / 1_000)
        return True

    def due(self, now_s: float) -> list[Request]:
        """The requests to send now; `next_at` is when to look again without an event before."""
        self.next_at = None
        if not self._asked:
            return []
        self._tokens = min(BURST, self._tokens + (now_s - self._tokens_at_s) * PER_S)
        self._tokens_at_s = now_s
        requests: list[Request] = []
        for asked in self._asked.values():
            if self._flying >= AT_ONCE_MAX:
                break
            if asked.flying:
                continue
            if now_s < asked.retry_at:
                self._look_again(asked.retry_at)
                continue
            if self._tokens < 1:
                self._look_again(now_s + 1 / PER_S)
                break
            self._tokens -= 1
            self._flying += 1
            asked.flying = True
            requests.append(asked.request)
        return requests

    def _look_again(self, at_s: float) -> None:
        if self.next_at is None or at_s < self.next_at:
            self.next_at = at_s
