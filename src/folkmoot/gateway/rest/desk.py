"""The desk at which every call is served: who asks, what they may, sends on their way, answers and problems."""

from collections import OrderedDict
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request, Response
from litestar.types import HTTPResponseStartEvent, Receive, Scope
from litestar.types import Send as SendMessage

from folkmoot.gateway.access import AccessRefused, Caller, require, require_user
from folkmoot.gateway.admission import TokenBucket
from folkmoot.gateway.app import HEADERS, problem_response
from folkmoot.gateway.chats import Chats
from folkmoot.gateway.problem import STATUS
from folkmoot.gateway.queries import UNAVAILABLE_MS, QueryRefused
from folkmoot.gateway.registrar import Registrar
from folkmoot.gateway.service import Gateway
from folkmoot.model import body as bodies
from folkmoot.model.ids import GroupId, is_name
from folkmoot.model.membership import current
from folkmoot.model.send import Send
from folkmoot.ports.accounts import Accounts
from folkmoot.ports.subjects import Answer

JSON: Final = "application/json"
SEND_ID_BYTES: Final = 16

CHARGED: Final = "folkmoot.charged"
"""In a scope: the request has been counted."""

CALLERS_MAX: Final = 100_000
"""Callers whose rate is remembered; beyond it the one that asked longest ago begins anew, with a full bucket."""

T = TypeVar("T")

_ENCODER: Final = msgspec.json.Encoder()
_HEADERS: Final = [
    (b"content-type", JSON.encode()),
    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
]


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The request is the entry `seq` of the group, for good: the same key again has the same answer."""

    id: str
    group: str
    seq: int


class Refusal(Exception):
    """The call is answered with a problem whose `code` is one of the error table."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        definite: bool | msgspec.UnsetType = msgspec.UNSET,
        retry_after_ms: int = 0,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.definite = definite
        self.retry_after_ms = retry_after_ms


class Desk:
    """What handlers need. All methods that take a request raise Refusal or AccessRefused."""

    def __init__(self, gateway: Gateway, accounts: Accounts, registrar: Registrar, *, version: str) -> None:
        self.gateway = gateway
        self.access = gateway.access
        self.accounts = accounts
        self.registrar = registrar
        self.version = version
        self.queries = gateway.queries
        self.chats = Chats(gateway.store, gateway.queries)
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    async def caller(self, request: Request[Any, Any, Any], scope: str = "") -> Caller:
        """Who asks, if they may do what `scope` says (where it says anything) and have not asked too often."""
        headers = request.headers
        caller = await self.access.of_request(headers.get("authorization"), headers.get("folkmoot-user"))
        self.charge(request.scope, caller)
        if scope:
            require(caller, scope)
        return caller

    async def user(self, request: Request[Any, Any, Any], scope: str) -> Caller:
        """The same, for what only a user can do: a key has to say for whom it acts."""
        caller = await self.caller(request, scope)
        require_user(caller)
        return caller

    async def ask(
        self,
        caller: Caller,
        group: GroupId,
        kind: str,
        body: bodies.Body,
        *,
        send_id: str | None,
        join: int | None = None,
        after: str | None = None,
    ) -> Accepted:
        """Have one entry appended, or found: where `send_id` is None nobody can ask again, and one is made.

        Where `join` is None it is the one of the caller's last membership.
        """
        if self.gateway.draining:
            raise Refusal("draining", definite=False, retry_after_ms=UNAVAILABLE_MS)
        if send_id is None:
            send_id = self.gateway.chance.token(SEND_ID_BYTES).hex()
        if not is_name(send_id) or (after is not None and not is_name(after)):
            raise Refusal("bad_request", "an id is 1 to 128 printable characters without a space")
        if not is_name(group):
            raise Refusal("no_such_group")
        if join is None:
            join = await self._join_of(caller, group)
        if not 0 <= join < 2**63:
            raise Refusal("bad_request", "join is the number of an entry")
        send = Send(
            group=group,
            sender=caller.user,
            device=caller.device,
            send_id=send_id,
            join=join,
            after=after,
            kind=kind,
            body=bodies.canonical(body),
        )
        answer = await self.gateway.submitter.ask(send)
        if answer.seq is None:
            raise _refused(answer)
        return Accepted(id=send_id, group=group, seq=answer.seq)

    async def _join_of(self, caller: Caller, group: GroupId) -> int:
        """Also of a membership that is over: a request that had its answer then has the same now."""
        view = await self.queries.any_view(caller.user, group)
        if view is None or not view.memberships:
            raise Refusal("no_such_group")
        return (current(view.memberships) or view.memberships[-1]).join

    def charge(self, scope: Scope, caller: Caller) -> None:
        """Count the request of `scope` once, whoever looks at it. Raises Refusal where there have been too many."""
        if not caller.is_user or CHARGED in scope:
            return  # A key has a quota of its own, which `access` keeps.
        bucket = self._buckets.get(caller.user)
        if bucket is None:
            settings = self.gateway.settings
            bucket = TokenBucket(settings.requests_per_s, settings.requests_burst)
            self._buckets[caller.user] = bucket
            if len(self._buckets) > CALLERS_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(caller.user)
        wait_s = bucket.take(self.gateway.clock.monotonic_s())
        if wait_s > 0:
            raise Refusal("rate_limited", retry_after_ms=int(wait_s * 1_000) + 1)
        scope[CHARGED] = True  # type: ignore[typeddict-unknown-key]


def desk_of(request: Request[Any, Any, Any]) -> Desk:
    """The desk of the application that got this request."""
    desk: Desk = request.app.state.desk
    return desk


def read_body(body: bytes, shape: msgspec.json.Decoder[T]) -> T:
    """The request's body. Raises Refusal where it is not JSON of that shape."""
    try:
        return shape.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("bad_request", str(error)[:200]) from error


class JsonResponse(Response[bytes]):
    """JSON that is ready to be sent: headers and all, so that the general case's work is not done for each answer."""

    def __init__(self, content: bytes, status: int) -> None:
        self.content = content
        self.status_code = self._status = status

    def to_asgi_response(self, *_: Any, **__: Any) -> "JsonResponse":  # type: ignore[override]
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        headers = [*_HEADERS, (b"content-length", str(len(self.content)).encode())]
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": self._status,
            "headers": headers,
        }
        await send(start)
        await send({"type": "http.response.body", "body": self.content, "more_body": False})


def json_response(content: msgspec.Struct, status: int = 200) -> JsonResponse:
    """A struct as the answer."""
    return JsonResponse(_ENCODER.encode(content), status)


def refusal_response(_: Request[Any, Any, Any], refusal: Exception) -> Response[bytes]:
    """What a call is answered that was refused, by whichever part."""
    status: HTTPStatus | None = None
    definite: bool | msgspec.UnsetType = msgspec.UNSET
    retry_after_ms = 0
    if isinstance(refusal, AccessRefused):
        status, code, detail = refusal.status, refusal.code, refusal.detail
        retry_after_ms = int(refusal.retry_after_s * 1_000)
    elif isinstance(refusal, Refusal):
        code, detail = refusal.code, refusal.detail
        definite, retry_after_ms = refusal.definite, refusal.retry_after_ms
    elif isinstance(refusal, QueryRefused):
        code, detail = refusal.code, refusal.detail
    else:  # StoreAway and StoreFull say that nothing happened, StoreUnknown may be asked again all the same.
        code, detail, retry_after_ms = "unavailable", "", UNAVAILABLE_MS
    status = status or STATUS.get(code, HTTPStatus.BAD_REQUEST)
    return problem_response(status, code, detail, definite=definite, retry_after_ms=retry_after_ms)


def _refused(answer: Answer) -> Refusal:
    if answer.code == "not_taken":
        # To whoever is not a member a group is as one that does not exist, by every door.
        return Refusal("no_such_group")
    return Refusal(answer.code, answer.detail, definite=answer.definite, retry_after_ms=answer.retry_after_ms)
