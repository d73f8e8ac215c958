"""What is kept, and when there is nothing to keep."""

from folkmoot.client.kept import Changes, KeptPlace, KeptSend


def test_no_change_is_nothing_to_commit() -> None:
    assert not Changes()


def test_any_change_is() -> None:
    send = KeptSend(send_id="s", group="g", kind="message", join=1, body=b"{}")
    assert Changes(user="user-1")
    assert Changes(places={"g": None})
    assert Changes(places={"g": KeptPlace(position="p", seq=1)})
    assert Changes(made=[send])
    assert Changes(changed=[send])
    assert Changes(settled=["s"])


def test_changes_share_nothing() -> None:
    first, second = Changes(), Changes()
    first.settled.append("s")
    first.places["g"] = None
    assert not second
