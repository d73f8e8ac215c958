"""`/v1/keys`: API keys of a customer's backends: make, list, revoke."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import PathParameter, QueryParameter, RawBody

from folkmoot.gateway.registrar import REQUESTS_PER_S_DEFAULT
from folkmoot.gateway.rest.described import Limit, told
from folkmoot.gateway.rest.desk import Refusal, desk_of, json_response, read_body
from folkmoot.ports.accounts import ApiKey


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it is for; what it may do, of `read`, `write`, `users`, `tokens`, `metrics` and `keys`; and how often."""

    name: str
    scopes: list[str]
    requests_per_s: float = REQUESTS_PER_S_DEFAULT


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret. `revoked_ms` is null while it is good."""

    id: str
    name: str
    scopes: list[str]
    requests_per_s: float
    created_ms: int
    revoked_ms: int | None


class MadeKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key. `key` is its text, which is shown this once and kept nowhere."""

    id: str
    name: str
    scopes: list[str]
    requests_per_s: float
    created_ms: int
    key: str


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Keys by id, revoked ones too. `next` is the `after` of the following page, null where there is none."""

    keys: list[KeyRow]
    next: str | None


_NEW_KEY: Final = msgspec.json.Decoder(NewKey)


@post("/keys", **told("Make an API key", takes=NewKey, gives=MadeKey, status=201))
async def make_key(request: Request[Any, Any, Any], body: RawBody) -> Response[bytes]:
    """Needs the scope `keys`, and whatever scopes the new key is given. Asked again, it makes another."""
    desk = desk_of(request)
    caller = await desk.caller(request, "keys")
    asked = read_body(body, _NEW_KEY)
    key, text = await desk.registrar.create_key(caller, asked.name, asked.scopes, asked.requests_per_s)
    return json_response(
        MadeKey(
            id=key.id,
            name=key.name,
            scopes=list(key.scopes),
            requests_per_s=key.requests_per_s,
            created_ms=key.created_ms,
            key=text,
        ),
        201,
    )


@get("/keys", **told("List API keys", gives=Keys))
async def list_keys(
    request: Request[Any, Any, Any],
    after: Annotated[str, QueryParameter(description="The `next` of the page before.")] = "",
    limit: Limit = 100,
) -> Response[bytes]:
    """Needs the scope `keys`. No secret is shown: they are not kept."""
    desk = desk_of(request)
    await desk.caller(request, "keys")
    keys = await desk.accounts.keys(after=after, rows_max=limit)
    return json_response(Keys(keys=[_row(key) for key in keys], next=keys[-1].id if len(keys) == limit else None))


@delete("/keys/{key_id:str}", **told("Revoke an API key", gives=KeyRow, refuses=("no_such_key",)))
async def revoke_key(
    request: Request[Any, Any, Any], key_id: Annotated[str, PathParameter(description="The id of a key.")]
) -> Response[bytes]:
    """Needs the scope `keys`. It and the tokens that it had made are no longer good, within a second, for ever."""
    desk = desk_of(request)
    await desk.caller(request, "keys")
    await desk.registrar.revoke_key(key_id)
    key = await desk.accounts.key(key_id)
    if key is None:
        raise Refusal("no_such_key")
    return json_response(_row(key))


HANDLERS: Final = (make_key, list_keys, revoke_key)


def _row(key: ApiKey) -> KeyRow:
    return KeyRow(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        requests_per_s=key.requests_per_s,
        created_ms=key.created_ms,
        revoked_ms=key.revoked_ms,
    )
