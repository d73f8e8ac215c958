"""One socket of the load: whose it is, and how far it is."""


class Client:
    """One socket. `live`: it has joined its group. `shaken`: what comes now are frames. `rest`: the part of a frame.

    `join`: the number of the entry that made the user a member. `muted`: nothing is read from it for now.
    `position`: where it goes on when it comes back. `stranger`: no member of its group yet.
    """

    __slots__ = (
        "asked", "fd", "group", "join", "live", "muted", "position", "reading", "rest", "seq", "shaken", "stranger",
        "user",
    )  # fmt: skip

    def __init__(self, fd: int, group: int, user: str, join: int = 1) -> None:
        self.fd = fd
        self.group = group
        self.user = user
        self.join = join
        self.rest = b""
        self.seq = -1
        self.reading = 0
        self.asked = ("", 0)
        self.shaken = False
        self.muted = False
        self.position = ""
        self.stranger = False
        self.live = False
