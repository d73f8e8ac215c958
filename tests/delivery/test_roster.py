"""Which edges a group and a user are on, and that a silent edge is forgotten only after its time."""

from folkmoot.delivery.roster import Rosters


def test_edges_come_and_go_by_group_and_by_user() -> None:
    rosters = Rosters()
    rosters.announce("e1", ["g", "h"], [], 0)
    rosters.announce("e2", ["g"], [], 0)
    rosters.online("e1", ["u"], [], 0)
    assert set(rosters.edges_of_group("g")) == {"e1", "e2"}
    assert set(rosters.edges_of_user("u")) == {"e1"}
    rosters.announce("e1", [], ["g", "h", "never"], 1)
    assert set(rosters.edges_of_group("g")) == {"e2"}
    assert list(rosters.edges_of_group("h")) == []
    assert rosters.groups() == ["g"]
    assert rosters.counts() == (1, 1, 2)


def test_an_edge_leaves_only_after_its_silence() -> None:
    rosters = Rosters()
    rosters.announce("e1", ["g"], [], 0)
    rosters.online("e2", ["u"], [], 10)
    assert rosters.forget_silent(0) == []
    assert rosters.forget_silent(5) == ["e1"]
    assert rosters.counts() == (0, 1, 1)
    assert rosters.forget_silent(5) == []
