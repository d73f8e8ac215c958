"""Whether the other side is still there: something is heard, or asked for, within two intervals."""

import enum
from typing import Final

WELCOME_S_MAX: Final = 10.0
"""A server that has not said `welcome` by then is taken for dead."""


class Beat(enum.Enum):
    """What is to be done about the silence."""

    ASK = "ask"
    DEAD = "dead"


class Heartbeat:
    """One connection's silence. Looks once an interval, not at each frame."""

    def __init__(self, now_s: float) -> None:
        self.next_at = now_s + WELCOME_S_MAX
        self._heard_s = now_s
        self._interval_s = 0.0

    def heard(self, now_s: float) -> None:
        self._heard_s = now_s

    def welcomed(self, interval_s: float, now_s: float) -> None:
        """Something comes from the server in any one and a half of `interval_s` seconds."""
        self._interval_s = interval_s
        self._heard_s = now_s
        self.next_at = now_s + interval_s

    def due(self, now_s: float) -> Beat | None:
        """What is to be done now, if anything."""
        if now_s < self.next_at:
            return None
        # The very sums that `next_at` was set to: a difference may be rounded to just less, and be asked for at once.
        ask_at, dead_at = self._heard_s + self._interval_s, self._heard_s + 2 * self._interval_s
        if not self._interval_s or now_s >= dead_at:
            return Beat.DEAD
        if now_s >= ask_at:
            self.next_at = dead_at
            return Beat.ASK
        self.next_at = ask_at
        return None
