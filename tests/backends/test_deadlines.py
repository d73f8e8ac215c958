"""Requests are given up at their time, in their order, and never before; one timer serves all of them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest
import uvloop

from folkmoot.backends.deadlines import Deadlines
from folkmoot.ports.bus import BusClosed, NoAnswer

Test: TypeAlias = Callable[[asyncio.AbstractEventLoop, Deadlines], Coroutine[Any, Any, None]]
Run: TypeAlias = Callable[[Test], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test with deadlines on either loop."""

    def run_on(test: Test) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test(runner.get_loop(), Deadlines()))

    return run_on


def test_each_is_given_up_at_its_time_and_told_by_its_subject(run: Run) -> None:
    async def test(loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        late, early = loop.create_future(), loop.create_future()
        begun_s = loop.time()
        deadlines.add(loop, "late", late, 60)
        deadlines.add(loop, "early", early, 0.01)
        with pytest.raises(NoAnswer, match="early"):
            await early
        assert loop.time() >= begun_s + 0.01
        assert not late.done()
        deadlines.close()
        await asyncio.wait([late])
        assert isinstance(late.exception(), BusClosed)

    run(test)


def test_those_whose_time_has_come_are_told_in_the_order_of_their_times(run: Run) -> None:
    async def test(loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        told: list[str] = []
        waiting = {"late": 0.02, "early": 0.01, "between": 0.015}
        answers = {subject: loop.create_future() for subject in waiting}
        for subject, seconds in waiting.items():
            answers[subject].add_done_callback(lambda answer: told.append(str(answer.exception())))
            deadlines.add(loop, subject, answers[subject], seconds)
        await asyncio.wait(answers.values())
        assert [next(name for name in waiting if name in words) for words in told] == ["early", "between", "late"]

    run(test)


def test_an_answer_in_time_stays(run: Run) -> None:
    async def test(loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        answered, after = loop.create_future(), loop.create_future()
        deadlines.add(loop, "a", answered, 0.005)
        deadlines.add(loop, "b", after, 0.01)
        answered.set_result(b"in time")
        with pytest.raises(NoAnswer, match="b"):
            await after
        assert answered.result() == b"in time"

    run(test)


def test_whoever_asks_in_the_step_of_a_time_out_is_given_up_too(run: Run) -> None:
    async def test(loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        again: list[asyncio.Future[bytes]] = []

        def ask(_: asyncio.Future[bytes]) -> None:
            again.append(loop.create_future())
            deadlines.add(loop, "again", again[0], 0.0)

        first, second = loop.create_future(), loop.create_future()
        first.add_done_callback(ask)
        deadlines.add(loop, "first", first, 0.005)
        deadlines.add(loop, "second", second, 0.005)
        for answer in (first, second):
            with pytest.raises(NoAnswer):
                await answer
        with pytest.raises(NoAnswer, match="again"):
            await again[0]

    run(test)


def test_closed_all_that_wait_are_told_so(run: Run) -> None:
    async def test(loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        waiting, done = loop.create_future(), loop.create_future()
        deadlines.add(loop, "a", waiting, 60)
        deadlines.add(loop, "b", done, 60)
        done.set_result(b"x")
        deadlines.close()
        with pytest.raises(BusClosed):
            await waiting
        assert done.result() == b"x"

    run(test)
