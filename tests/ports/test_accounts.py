"""What a standing says of a token; the promises of the port are in the suite."""

from folkmoot.ports.accounts import ApiKey, Standing


def test_nothing_known_admits_everyone() -> None:
    assert Standing(user="user-1").admits("", 0)


def test_a_deactivated_user_is_admitted_by_no_token() -> None:
    assert not Standing(user="user-1", active=False).admits("phone", 10**15)


def test_a_token_is_good_from_the_very_time_of_the_sign_out() -> None:
    standing = Standing(user="user-1", out_before_ms=1_000)
    assert not standing.admits("phone", 999)
    assert standing.admits("phone", 1_000)


def test_one_device_out_leaves_the_others_in() -> None:
    standing = Standing(user="user-1", out_before_ms=500, devices_out={"phone": 1_000})
    assert not standing.admits("phone", 999)
    assert standing.admits("tablet", 999)
    assert standing.admits("", 999)
    assert not standing.admits("tablet", 499)


def test_a_key_never_shows_its_hash() -> None:
    key = ApiKey(id="k1", name="shop", secret_hash=b"hash", scopes=("read",), requests_per_s=1.0, created_ms=0)
    assert "hash" not in repr(key)
