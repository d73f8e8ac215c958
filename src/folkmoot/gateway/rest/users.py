"""`/v1/users`: profiles, whether a user may come in, sign-outs, and tokens made for users; `/v1/me`."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post, put
from litestar.params import QueryParameter, RawBody

from folkmoot.gateway.access import Caller, require
from folkmoot.gateway.rest.described import Limit, UserPath, told
from folkmoot.gateway.rest.desk import Desk, Refusal, desk_of, json_response, read_body
from folkmoot.gateway.rest.profiles import ProfileRow, profile_row
from folkmoot.model.ids import UserId, is_name
from folkmoot.ports.accounts import Profile

NAME_CHARS_MAX: Final = 200
PICTURE_CHARS_MAX: Final = 2_000
DATA_BYTES_MAX: Final = 16_384
IDS_MAX: Final = 100
TOKEN_LIFETIME_S: Final = 3_600


class NewProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name (up to 200 characters), a picture's address (up to 2,000), and a JSON object of the application's own.

    What is left out is empty from then on.
    """

    name: str = ""
    picture: str = ""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user with their profile; `active`: whether they may come in."""

    user: str
    name: str
    picture: str
    data: msgspec.Raw
    changed_ms: int
    active: bool


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """Users by id, or in the order asked for. `next` is the `after` of the following page, null where there is none."""

    users: list[ProfileRow]
    next: str | None


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: `user` is empty for a key that acts for nobody, `key` the id of the key; `scopes` what they may."""

    user: str
    device: str
    key: str
    scopes: list[str]
    expires_ms: int | None
    time_ms: int


class Active(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the user may come in. Set to false, it ends their connections within a second."""

    active: bool


class SignOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The device whose tokens are no longer good; left out, all of the user's."""

    device: str = ""


class SignedOut(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens made until now are no longer good."""

    user: str
    device: str


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how many seconds the token is good (up to 30 days), and perhaps for which device."""

    lifetime_s: int = TOKEN_LIFETIME_S
    device: str = ""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token of the user's own, kept nowhere, and when its time is over (milliseconds since 1970)."""

    token: str
    expires_ms: int


_PROFILE: Final = msgspec.json.Decoder(NewProfile)
_ACTIVE: Final = msgspec.json.Decoder(Active)
_SIGN_OUT: Final = msgspec.json.Decoder(SignOut)
_TOKEN: Final = msgspec.json.Decoder(NewToken)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


@get("/me", **told("Who am I?", gives=Me))
async def read_me(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What the server takes the caller for."""
    desk = desk_of(request)
    caller = await desk.caller(request)
    me = Me(
        user=caller.user,
        device=caller.device,
        key=caller.key,
        scopes=sorted(caller.scopes),
        expires_ms=caller.expires_ms,
        time_ms=desk.gateway.clock.wall_ms(),
    )
    return json_response(me)


@get("/users", **told("Look users up", gives=Users))
async def list_users(
    request: Request[Any, Any, Any],
    ids: Annotated[
        list[str] | None, QueryParameter(max_items=IDS_MAX, description="These users; repeat it for each, up to 100.")
    ] = None,
    after: Annotated[str, QueryParameter(description="The `next` of the page before.")] = "",
    limit: Limit = 100,
) -> Response[bytes]:
    """All of whom something is known, by id; or those of `ids`. Needs the scope `users`."""
    desk = desk_of(request)
    await desk.caller(request, "users")
    following = None
    if ids is not None:
        named = [user for user in dict.fromkeys(ids) if is_name(user)]
    else:
        named = await desk.accounts.users(after=after, rows_max=limit)
        following = named[-1] if len(named) == limit else None
    profiles = await desk.accounts.profiles(named)
    rows = [
        profile_row(profiles[u]) if u in profiles else profile_row(Profile(user=u))
        for u in named
        if ids is None or u in profiles
    ]
    return json_response(Users(users=rows, next=following))


@get("/users/{user:str}", **told("Read a user", gives=User, refuses=("no_such_user",)))
async def read_user(request: Request[Any, Any, Any], user: UserPath) -> Response[bytes]:
    """Oneself, or with the scope `users` anyone of whom something is known."""
    desk = desk_of(request)
    caller = await _self_or(desk, request, user, "read")
    return json_response(await _user(desk, user, known=caller.user != user))


@put(
    "/users/{user:str}",
    **told("Write a user's profile", takes=NewProfile, gives=User, refuses=("no_such_user", "too_long")),
)
async def write_user(request: Request[Any, Any, Any], user: UserPath, body: RawBody) -> Response[bytes]:
    """Oneself, or with the scope `users` anyone."""
    desk = desk_of(request)
    await _self_or(desk, request, user, "write")
    asked = read_body(body, _PROFILE)
    data = b"{}" if asked.data is msgspec.UNSET else bytes(asked.data)
    if len(asked.name) > NAME_CHARS_MAX or len(asked.picture) > PICTURE_CHARS_MAX or len(data) > DATA_BYTES_MAX:
        bounds = f"{NAME_CHARS_MAX} characters, {PICTURE_CHARS_MAX} characters and {DATA_BYTES_MAX} bytes"
        raise Refusal("too_long", f"name, picture and data have at most {bounds}")
    read_body(data, _OBJECT)
    profile = Profile(
        user=user, name=asked.name, picture=asked.picture, data=data, changed_ms=desk.gateway.clock.wall_ms()
    )
    await desk.accounts.put_profile(profile)
    return json_response(await _user(desk, user, known=False))


@put(
    "/users/{user:str}/active",
    **told("Deactivate a user, or let them in again", takes=Active, gives=User, refuses=("no_such_user",)),
)
async def set_active(request: Request[Any, Any, Any], user: UserPath, body: RawBody) -> Response[bytes]:
    """Needs the scope `users`. Who is deactivated stays a member of their groups, and is shown nothing."""
    desk = desk_of(request)
    await desk.caller(request, "users")
    _check_user(user)
    await desk.registrar.set_active(user, read_body(body, _ACTIVE).active)
    return json_response(await _user(desk, user, known=False))


@post("/users/{user:str}/sign-out", **told("Sign out", takes=SignOut, gives=SignedOut, refuses=("no_such_user",)))
async def sign_out(request: Request[Any, Any, Any], user: UserPath, body: RawBody) -> Response[bytes]:
    """One device or all. Oneself, or with the scope `users` anyone. Connections end within a second."""
    desk = desk_of(request)
    await _self_or(desk, request, user, "write")
    device = read_body(body, _SIGN_OUT).device if body else ""
    if device and not is_name(device):
        raise Refusal("bad_request", "device is not a name")
    await desk.registrar.sign_out(user, device)
    return json_response(SignedOut(user=user, device=device))


@post("/users/{user:str}/tokens", **told("Make a token for a user", takes=NewToken, gives=Token, status=201))
async def make_token(request: Request[Any, Any, Any], user: UserPath, body: RawBody) -> Response[bytes]:
    """Needs the scope `tokens`: for a backend whose users have no tokens yet. It ends with the key that made it."""
    desk = desk_of(request)
    caller = await desk.caller(request, "tokens")
    asked = read_body(body, _TOKEN) if body else NewToken()
    token, expires_ms = await desk.access.mint_for(caller, user, asked.device, lifetime_s=asked.lifetime_s)
    return json_response(Token(token=token, expires_ms=expires_ms), 201)


HANDLERS: Final = (read_me, list_users, read_user, write_user, set_active, sign_out, make_token)


async def _self_or(desk: Desk, request: Request[Any, Any, Any], user: UserId, scope: str) -> Caller:
    """The caller, who is `user` and has the scope, or administers users."""
    caller = await desk.caller(request)
    require(caller, scope if caller.user == user else "users")
    _check_user(user)
    return caller


def _check_user(user: UserId) -> None:
    if not is_name(user):
        raise Refusal("no_such_user")


async def _user(desk: Desk, user: UserId, *, known: bool) -> User:
    """The user as they are now. `known`: `no_such_user` where nobody has said anything of them."""
    profiles = await desk.accounts.profiles([user])
    standing = await desk.accounts.standing(user)
    profile = profiles.get(user)
    if profile is None and known and standing == type(standing)(user=user):
        raise Refusal("no_such_user")
    row = profile_row(profile or Profile(user=user))
    return User(
        user=user,
        name=row.name,
        picture=row.picture,
        data=row.data,
        changed_ms=row.changed_ms,
        active=standing.active,
    )
