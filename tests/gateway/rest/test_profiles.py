"""A profile as it is answered: data stays the JSON that it was given as."""

import msgspec

from folkmoot.gateway.rest.profiles import profile_row
from folkmoot.ports.accounts import Profile


def test_a_profile_is_shown_as_it_was_said() -> None:
    row = profile_row(Profile(user="user-1", name="One", data=b'{"a":  1}', changed_ms=5))
    assert msgspec.json.encode(row) == (b'{"user":"user-1","name":"One","picture":"","data":{"a":  1},"changed_ms":5}')
