"""Keys are kept until enough others have come."""

from folkmoot.router.recent import RecentKeys


def test_a_key_is_known_in_its_group_only() -> None:
    recent = RecentKeys()
    recent.add("g", [("user-1", "a"), ("user-2", "b")])
    assert recent.has_any("g", [("user-9", "z"), ("user-2", "b")])
    assert not recent.has_any("g", [("user-1", "b"), ("user-2", "a")])
    assert not recent.has_any("h", [("user-1", "a")])
    assert not recent.has_any("g", [])


def test_the_oldest_go_first_and_at_least_half_stay() -> None:
    recent = RecentKeys(keys_max=4)
    for n in range(9):
        recent.add("g", [("user-1", f"{n}")])
        known = [k for k in range(9) if recent.has_any("g", [("user-1", f"{k}")])]
        assert 2 <= len(known) <= 4 or known == [0]
        assert known == list(range(n + 1))[-len(known) :]
