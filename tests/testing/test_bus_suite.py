"""The bus suite itself: a bus that breaks any one promise does not pass it."""

import asyncio
from collections.abc import Callable

import pytest

from folkmoot.backends.memory.bus import MemoryBus, MemorySubscription
from folkmoot.ports.bus import Bus, Handler, NoAnswer, Reply
from folkmoot.testing import bus_suite
from folkmoot.testing.bus_suite import CHECKS, Check, name_of


class CallsHandlersAtOnce(MemoryBus):
    def _offer(self, subject: str, message: bytes, reply: Reply | None) -> None:
        super()._offer(subject, message, reply)
        self._drain()


class HearsAfterCancel(MemoryBus):
    def _forget(self, subscription: MemorySubscription) -> None:
        subscription._cancelled = False


class LosesInSilence(MemoryBus):
    def subscribe(
        self, subject: str, handler: Handler, *, on_gap: Callable[[], None] | None = None
    ) -> MemorySubscription:
        return super().subscribe(subject, handler)


class HoldsWithoutBound(MemoryBus):
    def __init__(self, *, pending_messages_max: int) -> None:
        super().__init__(pending_messages_max=1_000_000)


class HearsTheNewestFirst(MemoryBus):
    def _offer(self, subject: str, message: bytes, reply: Reply | None) -> None:
        super()._offer(subject, message, reply)
        self._inbox.rotate(1)


class HearsTwice(MemoryBus):
    def publish(self, subject: str, message: bytes) -> None:
        super().publish(subject, message)
        super().publish(subject, message)


class TellsOneListenerOnly(MemoryBus):
    def _look_up(self, subject: str) -> list[MemorySubscription]:
        return super()._look_up(subject)[:1]


class TakesAStarForAnyPrefix(MemoryBus):
    def _look_up(self, subject: str) -> list[MemorySubscription]:
        head = subject.rpartition(".")[0]
        others = [prefix for prefix in self._wild if prefix != head and head.startswith(prefix)]
        return super()._look_up(subject) + [one for prefix in others for one in self._wild[prefix]]


class FailsWithoutListeners(MemoryBus):
    def publish(self, subject: str, message: bytes) -> None:
        if subject not in self._exact:
            raise LookupError(subject)
        super().publish(subject, message)


class AnswersWhenNobodyDid(MemoryBus):
    def request(self, subject: str, message: bytes, *, timeout_s: float) -> asyncio.Future[bytes]:
        return asyncio.ensure_future(self._anything(super().request(subject, message, timeout_s=timeout_s)))

    async def _anything(self, answer: asyncio.Future[bytes]) -> bytes:
        try:
            return await answer
        except Exception:
            return b""


class StopsAtAHandlersFault(MemoryBus):
    def subscribe(
        self, subject: str, handler: Handler, *, on_gap: Callable[[], None] | None = None
    ) -> MemorySubscription:
        def guarded(message: bytes, reply: Reply | None) -> None:
            try:
                handler(message, reply)
            except Exception:
                self._inbox.clear()
                raise

        return super().subscribe(subject, guarded, on_gap=on_gap)


class LeavesRequestsWaiting(MemoryBus):
    async def close(self) -> None:
        self._closed = True


BROKEN: list[tuple[type[MemoryBus], Check]] = [
    (CallsHandlersAtOnce, bus_suite.nothing_is_heard_before_publish_has_returned),
    (CallsHandlersAtOnce, bus_suite.a_handler_that_publishes_is_not_called_within_itself),
    (HearsAfterCancel, bus_suite.after_cancel_nothing_is_heard),
    (LosesInSilence, bus_suite.past_its_bound_a_subscription_loses_and_is_told),
    (HoldsWithoutBound, bus_suite.past_its_bound_a_subscription_loses_and_is_told),
    (HearsTheNewestFirst, bus_suite.every_subscription_hears_in_the_order_of_publishing),
    (HearsTwice, bus_suite.nobody_listening_is_no_error),
    (TellsOneListenerOnly, bus_suite.every_subscription_hears_in_the_order_of_publishing),
    (TellsOneListenerOnly, bus_suite.a_request_gets_the_first_answer_and_drops_the_others),
    (TakesAStarForAnyPrefix, bus_suite.a_star_stands_for_any_last_word_and_for_no_other),
    (FailsWithoutListeners, bus_suite.nobody_listening_is_no_error),
    (AnswersWhenNobodyDid, bus_suite.a_request_that_nobody_answers_says_so),
    (StopsAtAHandlersFault, bus_suite.a_handler_that_raises_harms_nobody_else),
    (LeavesRequestsWaiting, bus_suite.closing_ends_the_requests_under_way),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=lambda one: getattr(one, "__name__", ""))
def test_a_bus_that_breaks_a_promise_is_found(
    broken: type[MemoryBus], check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_suite, "WAIT_S_MAX", 0.05)

    async def make(pending_messages_max: int) -> Bus:
        return broken(pending_messages_max=pending_messages_max)

    async def run() -> None:
        await check(make)

    with pytest.raises((AssertionError, TimeoutError, LookupError, NoAnswer)):
        asyncio.run(run())


def test_every_check_finds_something() -> None:
    assert {name_of(check) for _, check in BROKEN} == {name_of(check) for check in CHECKS}
