"""A store with something of everything in it: for whatever takes a store as a whole."""

from typing import Final

from folkmoot.model.send import SKIP
from folkmoot.ports.accounts import Accounts, ApiKey, Profile
from folkmoot.ports.store import MovedPointer, Store, Write
from folkmoot.testing.store_suite import OTHER, OWNER, Author

SENT: Final = 600
"""Messages of the longest log: several pages."""


async def fill(store: Store, accounts: Accounts) -> None:
    """Three groups (one of them only refused), three refusals, pointers, three users and two keys."""
    for name, sent in (("long", SENT), ("short", 3)):
        author = Author(store, name)
        await author.make(OTHER, "user-3")
        for first in range(0, sent, 50):
            await author.say(*(f"m{n}" for n in range(first, min(sent, first + 50))), sender=OTHER)
        await author.ask(author.a_send("refused", kind=SKIP, body={}))
        await author.ask(author.a_send("bye", kind="member.left", body={}, sender="user-3"))
        await author.say("the last")
        await store.move_pointers([MovedPointer(author.group, "user-3", 1, 2)])
    state = await store.state("gneverseen")
    refusals = {(OWNER, "no"): "forbidden"}
    await store.append(
        Write(group=state.group, expected=state.head, entries=(), refusals=refusals, after=state, memberships=())
    )
    await accounts.put_profile(Profile(user="user-4", name="Four", changed_ms=7))
    await accounts.sign_out(OWNER, "phone", at_ms=9)
    await accounts.sign_out(OWNER, "", at_ms=5)
    await accounts.set_active(OTHER, False, at_ms=6)
    for n, revoked_ms in enumerate((None, 8)):
        key = ApiKey(
            id=f"k{n}", name="n", secret_hash=b"h", scopes=("read",), requests_per_s=1.5, created_ms=2, revoked_ms=None
        )
        await accounts.put_key(key)
        if revoked_ms is not None:
            await accounts.revoke_key(key.id, at_ms=revoked_ms)
