"""Each error says its code; definite and indefinite are different types."""

import pytest

from folkmoot.client import errors
from folkmoot.client.errors import ClientError, RequestFailed, SendRefused, SendUnknown


def test_code_and_detail() -> None:
    error = SendRefused("too_long", "at most 8000", send_id="s1")
    assert (error.code, error.detail, error.send_id, str(error)) == (
        "too_long", "at most 8000", "s1", "too_long: at most 8000",
    )  # fmt: skip
    assert str(RequestFailed("timeout")) == "timeout"


def test_definite_is_not_indefinite() -> None:
    assert not issubclass(SendRefused, SendUnknown)
    assert not issubclass(SendUnknown, SendRefused)


@pytest.mark.parametrize("name", [name for name in vars(errors) if name[0].isupper() and name != "SendId"])
def test_all_are_the_sdks_and_say_what_they_mean(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, ClientError)
    assert error.__doc__
