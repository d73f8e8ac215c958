"""Requests that wait, without a bus: each ends once, in its own time."""

import asyncio

import pytest
import uvloop

from folkmoot.backends.nats.answers import Answers
from folkmoot.backends.nats.link import NOBODY
from folkmoot.ports.bus import BusClosed, NoAnswer


class _Outbox:
    """What was published; `open` says whether there is a connection."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, str]] = []
        self.open = True

    def send(self, subject: str, message: bytes, reply: str) -> None:
        self.sent.append((subject, message, reply))

    def answers(self) -> Answers:
        return Answers("inbox", send=self.send, sends=lambda: self.open)


def test_the_first_answer_wins_and_those_after_it_are_dropped() -> None:
    async def run() -> None:
        outbox = _Outbox()
        answers = outbox.answers()
        request = answers.ask("a.1", b"x", 10)
        await asyncio.sleep(0)
        assert outbox.sent == [("a.1", b"x", "inbox.1")]
        for answer in (b"one", b"two"):
            answers.heard(b"inbox.1", answer, b"")
        assert await request == b"one"
        answers.heard(b"inbox.1", b"three", b"")
        answers.heard(b"inbox.nonsense", b"four", b"")
        await asyncio.sleep(0)
        assert len(answers) == 0

    asyncio.run(run())


def test_requests_of_any_patience_end_each_in_its_time() -> None:
    async def run() -> None:
        answers = _Outbox().answers()
        ended: list[str] = []

        async def ask(name: str, timeout_s: float) -> None:
            with pytest.raises(NoAnswer):
                await answers.ask(name, b"", timeout_s)
            ended.append(name)

        long = asyncio.create_task(ask("long", 0.2))
        middle = asyncio.create_task(ask("middle", 0.1))
        given_up = asyncio.create_task(ask("given_up", 0.01))
        await asyncio.sleep(0)
        given_up.cancel()
        short = asyncio.create_task(ask("short", 0.02))
        await asyncio.gather(long, middle, short)
        assert ended == ["short", "middle", "long"]
        assert given_up.cancelled()

    asyncio.run(run())


def test_where_nobody_listens_it_is_asked_again_once_in_a_while() -> None:
    async def run() -> None:
        outbox = _Outbox()
        answers = outbox.answers()
        request = answers.ask("a.1", b"x", 0.6)
        await asyncio.sleep(0)
        for _ in range(3):
            answers.heard(b"inbox.1", b"", NOBODY)
        with pytest.raises(NoAnswer):
            await request
        assert len(outbox.sent) == 2

    asyncio.run(run())


def test_what_is_asked_without_a_connection_is_sent_with_the_next() -> None:
    async def run() -> None:
        outbox = _Outbox()
        outbox.open = False
        answers = outbox.answers()
        request = answers.ask("a.1", b"x", 10)
        await asyncio.sleep(0)
        assert outbox.sent == []
        outbox.open = True
        answers.again()
        assert outbox.sent == [("a.1", b"x", "inbox.1")]
        answers.end()
        with pytest.raises(BusClosed):
            await request

    asyncio.run(run())


def test_who_asks_again_in_the_step_of_a_time_out_is_heard_though_the_next_is_due_already() -> None:
    # uvloop's timer for what is due now cannot say when it is. After an owner had died, whoever asked again was left
    # without any answer: the client sent it once more 20 seconds later.
    async def run() -> None:
        answers = _Outbox().answers()
        ended = await asyncio.gather(*(answers.ask("a", b"", 0.0) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(one, NoAnswer) for one in ended)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
