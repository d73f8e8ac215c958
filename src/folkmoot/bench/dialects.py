"""How each kind of server is spoken to: how a socket joins its group, sends, and knows a delivery with its time.

One class a server, all of them pure: bytes in, bytes out. The sockets, the load and the counts are the same for all.
"""

from collections.abc import Callable
from typing import Final

from folkmoot.bench.client import Client
from folkmoot.bench.jobs import Job
from folkmoot.bench.wire import client_frame, event_frame, number_of, ready_entry, upgrade_request
from folkmoot.gateway.identity import mint
from folkmoot.protocol import events as ev

TOKEN_LIFETIME_S: Final = 86_400


class Refused(Exception):
    """The server does not let the load in; the text says with which words."""


class Dialect:
    """What all of them share: text frames of a WebSocket, in which a delivery has the sender's stamp as it was sent."""

    entry: bytes
    """What the payload of a delivery begins with."""
    before_stamp: bytes = b'"id":"'
    path: str = "/"
    subprotocol: str = ""
    websocket: bool = True
    answers: bool = False
    """Whether each send is answered with its stamp, so that answers are counted and waited for."""
    numbered: bool = False
    """Whether deliveries say their number in the group, so that a gap or a double is told from it."""
    lines: bool = False
    """Whether a frame may hold several payloads, with line feeds between."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.text = b"x" * job.text_bytes

    def first(self, client: Client) -> bytes:
        """What is written once the socket is connected."""
        return upgrade_request(self.job.host, self.job.port, self.path, self.subprotocol)

    def shaken(self, client: Client, now_ms: int) -> bytes:
        """What is written once the upgrade is answered."""
        raise NotImplementedError

    def heard(self, client: Client, payload: bytes) -> bytes:
        """Take anything but a delivery: what is written then. Sets `client.live` once it has joined. Raises Refused."""
        raise NotImplementedError

    def sent(self, client: Client, send_id: bytes) -> bytes:
        """What is written to send a message to the client's group."""
        raise NotImplementedError


class Folkmoot(Dialect):
    """Our own protocol; each message is stored before anyone has it."""

    entry = b'{"t":"entry"'
    path = "/v1/socket"
    subprotocol = ev.SUBPROTOCOL_JSON
    answers = True
    numbered = True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._ids = [group.encode() for group in job.groups]

    def shaken(self, client: Client, now_ms: int) -> bytes:
        token = mint(self.job.secret.encode(), client.user, lifetime_s=TOKEN_LIFETIME_S, now_ms=now_ms)
        hello = event_frame(ev.Hello(token=token, versions=[ev.VERSION], client="bench", window=10_000))
        if client.stranger:
            return hello
        return hello + event_frame(ev.Resume(groups={self.job.groups[client.group]: client.position}))

    def heard(self, client: Client, payload: bytes) -> bytes:
        if not client.live:
            if payload.startswith(b'{"t":"recovered"'):
                seq = number_of(payload, 0, len(payload), b'"seq":')
                if client.position and client.seq not in (-1, seq):
                    raise Refused(f"recovered at {seq}, and what came ends at {client.seq}")
                client.seq = seq
                client.live = True
            elif client.stranger and payload.startswith(b'{"t":"welcome"'):
                client.live = True
            elif payload.startswith((b'{"t":"goodbye"', b'{"t":"reset"')):
                raise Refused(_words(payload))
        elif payload.startswith(b'{"t":"recovered"'):
            client.seq = number_of(payload, 0, len(payload), b'"seq":')
        return b""

    def sent(self, client: Client, send_id: bytes) -> bytes:
        message = b'{"t":"send","id":"%b","kind":"message","group":"%b","join":%d,"body":{"text":"%b"}}'
        return client_frame(message % (send_id, self._ids[client.group], client.join, self.text))


class Floor(Dialect):
    """The loop over `send()`: it is handed the very frame that our server would send to each member, ready made."""

    entry = Folkmoot.entry
    websocket = False
    numbered = True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._seqs = [0] * len(job.groups)
        # Of several of one group it takes whichever socket is ready first: then only the counts tell of a loss.
        self.numbered = job.under_way == 1 or job.rate_per_s > 0

    def first(self, client: Client) -> bytes:
        return b"JOIN" + client.group.to_bytes(4, "big")

    def heard(self, client: Client, payload: bytes) -> bytes:
        client.live = True
        return b""

    def sent(self, client: Client, send_id: bytes) -> bytes:
        seq = self._seqs[client.group] = self._seqs[client.group] + 1
        frame = ready_entry(self.job.groups[client.group], seq, client.user, send_id.decode(), self.text)
        return client.group.to_bytes(4, "big") + len(frame).to_bytes(4, "big") + frame


class Centrifuge(Dialect):
    """The JSON protocol of the Go module centrifuge: connect, subscribe to a channel, publish into it."""

    entry = b'{"push":'
    path = "/connection/websocket"
    lines = True

    def shaken(self, client: Client, now_ms: int) -> bytes:
        subscribe = b'{"id":2,"subscribe":{"channel":"g%d"}}' % client.group
        return client_frame(b'{"id":1,"connect":{}}\n' + subscribe)

    def heard(self, client: Client, payload: bytes) -> bytes:
        if b'"error":' in payload or b'"disconnect":' in payload:
            raise Refused(_words(payload))
        if payload == b"{}":
            return client_frame(b"{}")
        if payload.startswith(b'{"id":2,'):
            client.live = True
        return b""

    def sent(self, client: Client, send_id: bytes) -> bytes:
        message = b'{"id":3,"publish":{"channel":"g%d","data":{"id":"%b","text":"%b"}}}'
        return client_frame(message % (client.group, send_id, self.text))


class SocketIo(Dialect):
    """Engine.IO 4 and Socket.IO 5 over a WebSocket from the start: a room is joined by an event of the server's own."""

    entry = b'42["message",'
    path = "/socket.io/?EIO=4&transport=websocket"

    def shaken(self, client: Client, now_ms: int) -> bytes:
        return b""

    def heard(self, client: Client, payload: bytes) -> bytes:
        if payload == b"2":
            return client_frame(b"3")
        if payload.startswith(b"0"):
            return client_frame(b"40")
        if payload.startswith(b"40"):
            return client_frame(b'420["join","g%d"]' % client.group)
        if payload.startswith(b"430"):
            client.live = True
        elif payload.startswith((b"1", b"41", b"44")):
            raise Refused(_words(payload))
        return b""

    def sent(self, client: Client, send_id: bytes) -> bytes:
        return client_frame(b'42["send",{"id":"%b","text":"%b"}]' % (send_id, self.text))


class Starlette(Dialect):
    """What a Python team would write first: JSON objects with a type, and a room that is named in the first of them."""

    entry = b'{"type":"message"'
    path = "/socket"

    def shaken(self, client: Client, now_ms: int) -> bytes:
        return client_frame(b'{"type":"join","room":"g%d","user":"%b"}' % (client.group, client.user.encode()))

    def heard(self, client: Client, payload: bytes) -> bytes:
        if payload.startswith(b'{"type":"joined"'):
            client.live = True
        return b""

    def sent(self, client: Client, send_id: bytes) -> bytes:
        return client_frame(b'{"type":"send","id":"%b","text":"%b"}' % (send_id, self.text))


class Xmpp(Dialect):
    """XMPP over a WebSocket (RFC 7395), without accounts: rooms of XEP-0045, which send everyone a message back."""

    entry = b"<message "
    before_stamp = b" id='"
    path = "/ws"
    subprotocol = "xmpp"

    _OPEN: Final = client_frame(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>")
    _AUTH: Final = client_frame(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>")
    _BIND: Final = client_frame(
        b"<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    )

    def shaken(self, client: Client, now_ms: int) -> bytes:
        return self._OPEN

    def heard(self, client: Client, payload: bytes) -> bytes:
        if client.live:
            return b""
        if payload.startswith(b"<stream:features"):
            return self._BIND if b"xmpp-bind" in payload else self._AUTH
        if payload.startswith(b"<success"):
            return self._OPEN
        if b"type='error'" in payload or payload.startswith((b"<failure", b"<stream:error", b"<close")):
            raise Refused(_words(payload))
        if payload.startswith(b"<iq ") and b"id='bind'" in payload:
            return client_frame(
                b"<presence xmlns='jabber:client' to='g%d@conference.localhost/%b'><x xmlns="
                b"'http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
                % (client.group, client.user.encode())
            )
        if b"code='110'" in payload:
            client.live = True
        return b""

    def sent(self, client: Client, send_id: bytes) -> bytes:
        return client_frame(
            b"<message xmlns='jabber:client' type='groupchat' id='%b' to='g%d@conference.localhost'><body>%b</body>"
            b"</message>" % (send_id, client.group, self.text)
        )


DIALECTS: Final[dict[str, Callable[[Job], Dialect]]] = {
    "folkmoot": Folkmoot,
    "floor": Floor,
    "centrifuge": Centrifuge,
    "socketio": SocketIo,
    "starlette": Starlette,
    "xmpp": Xmpp,
}


def _words(payload: bytes) -> str:
    return payload[:200].decode("utf-8", "replace")
