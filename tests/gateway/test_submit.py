"""A gateway asks whoever routes, asks again while nobody answers, and tells the connection once."""

import asyncio

import msgspec

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.gateway.submit import Submitter
from folkmoot.model.send import Send
from folkmoot.ports.bus import Reply
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.subjects import Answer, Submit

SEND = Send(group="g", sender="u", device="", send_id="s", join=1, after=None, kind="message", body=b"{}")


async def answer_to(bus: MemoryBus, *, asks_max: int = 3) -> tuple[Answer, Submitter]:
    submitter = Submitter(bus, SystemClock(), ask_again_s=0.02, asks_max=asks_max)
    answers: list[Answer] = []
    submitter.submit(SEND, answers.append)
    await submitter.finish(timeout_s=5)
    (answer,) = answers
    await submitter.close()
    return answer, submitter


def test_the_answer_is_the_routers() -> None:
    async def run() -> None:
        bus = MemoryBus()

        def route(raw: bytes, reply: Reply | None) -> None:
            assert reply is not None
            reply(msgspec.msgpack.encode(Answer("g", "s", seq=7)))

        bus.subscribe("submit.*", route)
        answer, _ = await answer_to(bus)
        assert answer == Answer("g", "s", seq=7)

    asyncio.run(run())


def test_it_asks_again_and_the_second_answer_counts() -> None:
    async def run() -> None:
        bus, asked = MemoryBus(), list[bytes]()

        def route(raw: bytes, reply: Reply | None) -> None:
            asked.append(raw)
            if len(asked) == 2 and reply is not None:
                reply(msgspec.msgpack.encode(Answer("g", "s", seq=7)))

        bus.subscribe("submit.*", route)
        answer, submitter = await answer_to(bus)
        assert answer.seq == 7
        assert asked[0] == asked[1]  # The very same request: it cannot double.
        assert submitter.no_answer == 0

    asyncio.run(run())


def test_with_nobody_there_the_client_is_told_that_nothing_is_known() -> None:
    async def run() -> None:
        answer, submitter = await answer_to(MemoryBus(), asks_max=2)
        assert (answer.code, answer.definite) == ("no_answer", False)
        assert answer.retry_after_ms > 0
        assert submitter.no_answer == 1
        assert submitter.outcomes == {"accepted": 0, "refused": 0, "undecided": 1}
        closed = MemoryBus()
        await closed.close()
        answer, _ = await answer_to(closed)
        assert answer.code == "no_answer"

    asyncio.run(run())


def test_answers_are_counted_by_what_became_of_the_send_and_the_accepted_are_timed() -> None:
    async def run() -> None:
        bus = MemoryBus()
        asked: list[Submit] = []
        answers = iter([Answer("g", "s", seq=7), Answer("g", "s", code="muted", definite=True), Answer("g", "s")])

        def route(raw: bytes, reply: Reply | None) -> None:
            assert reply is not None
            asked.append(msgspec.msgpack.decode(raw, type=Submit))
            reply(msgspec.msgpack.encode(next(answers)))

        bus.subscribe("submit.*", route)
        submitter = Submitter(bus, SystemClock(), ask_again_s=1, asks_max=1)
        before_ms = SystemClock().wall_ms()
        for _ in range(3):
            submitter.submit(SEND, lambda _: None)
            await submitter.finish(timeout_s=5)
        assert submitter.sends == 3
        assert submitter.outcomes == {"accepted": 1, "refused": 1, "undecided": 1}
        assert submitter.accepted_s.count == 1
        assert 0 < submitter.accepted_s.total < 5
        assert all(before_ms <= submit.submitted_ms <= SystemClock().wall_ms() for submit in asked)
        await submitter.close()

    asyncio.run(run())
