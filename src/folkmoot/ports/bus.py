"""The bus port: copies and hints between processes, any of which may be lost, doubled or late."""

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeAlias

Reply: TypeAlias = Callable[[bytes], None]
Handler: TypeAlias = Callable[[bytes, Reply | None], None]
"""Gets a message and, where an answer is waited for, how to give one. Must not block; is never called re-entrantly."""


class NoAnswer(Exception):
    """Nobody answered in time. Indefinite: someone may have heard."""


class BusClosed(Exception):
    """The bus was closed by this process."""


class Asked(Protocol):
    """A request under way: a future, so that whoever asks thousands of times a second needs no task for each."""

    def __await__(self) -> Generator[Any, None, bytes]: ...

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None: ...

    def result(self) -> bytes: ...


class Subscription(Protocol):
    def cancel(self) -> None:
        """No call of the handler after this returns."""


class Bus(Protocol):
    """Subjects are words with dots between them. `ports/subjects.py` lists every one.

    Promises, which `testing.bus_suite` checks for every backend:

    - `publish` never waits and never fails for want of a listener; a message reaches each matching subscription at most
      once while nothing fails, never after `cancel`, and never before `publish` has returned;
    - messages of one publisher on one subject are heard in the order they were published;
    - a last word `*` in a subscription matches any one word there;
    - where a subscription's bound is passed messages are lost, and its `on_gap` is called afterwards: the same when the
      bus was cut and is back. Nothing else is said of what was lost;
    - `request` returns the first answer; any number of subscriptions may hear it, and an answer after the first, or
      after the time, is dropped;
    - a handler's exception reaches nobody else's handler, and is logged.

    Nothing on the bus is the sole copy of anything.
    """

    def publish(self, subject: str, message: bytes) -> None: ...

    def subscribe(
        self, subject: str, handler: Handler, *, on_gap: Callable[[], None] | None = None
    ) -> Subscription: ...

    def request(self, subject: str, message: bytes, *, timeout_s: float) -> Asked:
        """What becomes the first answer to `message`, or NoAnswer after `timeout_s`, or BusClosed."""

    async def close(self) -> None: ...
