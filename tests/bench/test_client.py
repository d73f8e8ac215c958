"""A socket of the load begins with nothing known of it but whose it is."""

from folkmoot.bench.client import Client


def test_a_new_one_has_not_joined() -> None:
    client = Client(7, 2, "user-9")
    assert (client.fd, client.group, client.user) == (7, 2, "user-9")
    assert (client.live, client.shaken, client.rest, client.seq) == (False, False, b"", -1)
