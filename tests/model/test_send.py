"""A send and its outcome survive the journey over the bus."""

import msgspec

from folkmoot.model.send import Appended, Outcome, Refused, Send


def test_a_send_reads_back() -> None:
    send = Send(
        group="g", sender="u", device="d", send_id="s", join=3, after=None, kind="message", body=b'{"text":"x"}'
    )  # fmt: skip
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(send), type=Send) == send


def test_an_outcome_says_which_it_is() -> None:
    outcomes: list[Outcome] = [Appended(3, "message", b"d", None), Refused("too_long")]
    for outcome in outcomes:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(outcome), type=Appended | Refused) == outcome
