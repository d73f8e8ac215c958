"""How a user is shown to others."""

import msgspec

from folkmoot.ports.accounts import Profile


class ProfileRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a user is shown. `changed_ms` is 0 where nobody has said anything of them yet."""

    user: str
    name: str
    picture: str
    data: msgspec.Raw
    changed_ms: int


def profile_row(profile: Profile) -> ProfileRow:
    """The profile as it is answered."""
    return ProfileRow(
        user=profile.user,
        name=profile.name,
        picture=profile.picture,
        data=msgspec.Raw(profile.data),
        changed_ms=profile.changed_ms,
    )
