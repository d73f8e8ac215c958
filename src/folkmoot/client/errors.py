"""What can go wrong for an application: each error says whether the thing happened."""

from folkmoot.model.ids import SendId


class ClientError(Exception):
    """Any error of the SDK."""


class _CodedError(ClientError):
    """`code` is a code of the protocol's error table, or one of those named in the subclass; `detail` is for people."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class SendRefused(_CodedError):
    """Definite: the send is not in the log and never will be. It has left the outbox.

    Refused without asking the server: `bad_body` and `too_long` where the SDK can see it, `send_id_conflict` with
    another send in the outbox, `no_such_group` where the send was made under no membership and was never transmitted.
    """

    def __init__(self, code: str, detail: str = "", *, send_id: SendId = "") -> None:
        super().__init__(code, detail)
        self.send_id = send_id


class SendUnknown(_CodedError):
    """Indefinite: the send may be in the log, or may yet come to be. Sending again with the same id cannot double it.

    It stays in the outbox and goes on being sent, but for `not_taken`: that waits for the application to `skip` it (a
    request to join, or a skip, has left the outbox). `timeout`: the time given was over. `closed`: the client was.
    """

    def __init__(self, code: str, detail: str = "", *, send_id: SendId = "") -> None:
        super().__init__(code, detail)
        self.send_id = send_id


class OutboxFull(ClientError):
    """Definite: nothing was sent. As many sends wait for an answer as the outbox may hold."""


class RequestFailed(_CodedError):
    """A request that makes no entry did not succeed: asking again is safe. `timeout`, `closed`, `too_many_waiting`."""


class NotConnected(ClientError):
    """The server could not be reached, or did not bring everything up, within the time given for it."""


class ConnectionEnded(_CodedError):
    """The server ended the connection with a code that forbids to come back unmended."""


class StoreTaken(ClientError):
    """Another client has opened this store after this one, and goes on in its place."""


class StoreOfAnother(ClientError):
    """The store is another user's: nothing of its outbox was sent under this one's name."""


class StoreUnknown(ClientError):
    """The store was made by a newer version of this SDK."""
