"""All calls of REST, as one router."""

from litestar import Router

from folkmoot.gateway.access import AccessRefused
from folkmoot.gateway.queries import QueryRefused
from folkmoot.gateway.rest import chats, entries, groups, keys, members, messages, pages, pointers, streams, users
from folkmoot.gateway.rest.desk import Refusal, refusal_response
from folkmoot.ports.store import StoreAway, StoreFull, StoreUnknown


def rest_router() -> Router:
    """The router of `/v1`. Its handlers look for the desk in the application's state."""
    nouns = (groups, members, messages, entries, pointers, streams, chats, users, keys, pages)
    refusals = (Refusal, AccessRefused, QueryRefused, StoreAway, StoreFull, StoreUnknown)
    return Router(
        "/v1",
        route_handlers=[handler for noun in nouns for handler in noun.HANDLERS],
        exception_handlers=dict.fromkeys(refusals, refusal_response),
    )
