"""Silence is asked about after one interval and is death after two."""

from folkmoot.client.heartbeat import WELCOME_S_MAX, Beat, Heartbeat


def test_a_server_that_does_not_welcome_is_dead() -> None:
    heart = Heartbeat(100.0)
    heart.heard(109.0)
    assert heart.due(100.0 + WELCOME_S_MAX - 0.1) is None
    assert heart.due(100.0 + WELCOME_S_MAX) is Beat.DEAD


def test_one_interval_is_asked_about_and_two_are_death() -> None:
    heart = Heartbeat(0.0)
    heart.welcomed(10.0, 1.0)
    assert heart.due(10.9) is None
    assert heart.due(11.0) is Beat.ASK
    assert heart.due(15.0) is None
    assert heart.due(21.0) is Beat.DEAD


def test_what_is_heard_puts_it_off() -> None:
    heart = Heartbeat(0.0)
    heart.welcomed(10.0, 0.0)
    heart.heard(9.0)
    assert heart.due(10.0) is None
    assert heart.next_at == 19.0
    assert heart.due(19.0) is Beat.ASK
    heart.heard(19.5)
    assert heart.due(heart.next_at) is None
    assert heart.due(heart.next_at) is Beat.ASK


def test_it_looks_once_an_interval_not_at_each_frame() -> None:
    heart = Heartbeat(0.0)
    heart.welcomed(10.0, 0.0)
    looks = 0
    now_s = 0.0
    while now_s < 100.0:
        now_s += 0.01
        heart.heard(now_s)
        if now_s >= heart.next_at:
            looks += 1
            assert heart.due(now_s) is None
    assert looks <= 10


def test_when_it_is_due_it_is_due_however_sums_are_rounded() -> None:
    # 1.001 + 10 - 1.001 is less than 10: a difference would say "not yet" again and again, for ever at one instant.
    for heard_s in (1.001, 1.0656, 0.1, 7.3):
        heartbeat = Heartbeat(heard_s)
        heartbeat.welcomed(5.0, heard_s)
        assert heartbeat.due(heartbeat.next_at) is Beat.ASK
        assert heartbeat.due(heartbeat.next_at) is Beat.DEAD
