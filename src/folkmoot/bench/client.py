"""One socket of the load: whose it is, and how far it is."""


class Client:
    """One socket. `live`: it has joined its group. `shaken`: what comes now are frames. `rest`: the part of a frame."""

    __slots__ = ("asked", "fd", "group", "live", "reading", "rest", "seq", "shaken", "user")

    def __init__(self, fd: int, group: int, user: str) -> None:
        self.fd = fd
        self.group = group
        self.user = user
        self.rest = b""
        self.seq = -1
        self.reading = 0
        self.asked = ("", 0)
        self.shaken = False
        self.live = False
