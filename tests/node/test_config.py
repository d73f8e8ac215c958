"""Settings: four layers, each over the one before; what is wrong is said with its name and where it came from."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.node.config import (
    ENVIRONMENT_PREFIX,
    Settings,
    SettingsError,
    changes_live,
    load,
    load_settings,
    reason_of,
)

NAMES = Settings.__struct_fields__


def toml(folder: Path, text: str) -> Path:
    path = folder / "folkmoot.toml"
    path.write_text(text)
    return path


def test_without_anything_all_are_defaults() -> None:
    loaded = load({}, {}, None)
    assert loaded.settings == Settings()
    assert set(loaded.sources) == set(NAMES)
    assert set(loaded.sources.values()) == {"default"}


def test_each_layer_goes_over_the_one_before_and_is_remembered(tmp_path: Path) -> None:
    path = toml(tmp_path, 'port = 1\nhost = "::1"\nlog_level = "error"\nsends_per_s = 7\n')
    env = {"FOLKMOOT_PORT": "2", "FOLKMOOT_HOST": "192.0.2.1", "UNRELATED": "x"}
    loaded = load({"port": 3, "log_json": None}, env, path)
    assert loaded.settings == Settings(port=3, host="192.0.2.1", log_level="error", sends_per_s=7.0)
    assert loaded.sources["port"] == "--port"
    assert loaded.sources["host"] == "FOLKMOOT_HOST"
    assert loaded.sources["log_level"] == "log_level in folkmoot.toml"
    assert loaded.sources["log_json"] == "default"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "0", 0),
        ("log_json", "true", True),
        ("log_json", "0", False),
        ("hello_seconds", "2.5", 2.5),
        ("allowed_origins", "https://a.example, https://b.example", ("https://a.example", "https://b.example")),
        ("allowed_origins", "", ()),
        ("data_dir", "12", "12"),
    ],
)
def test_the_environment_and_flags_give_text(name: str, text: str, value: object) -> None:
    assert getattr(load_settings({}, {ENVIRONMENT_PREFIX + name.upper(): text}, None), name) == value
    assert getattr(load_settings({name: text}, {}, None), name) == value


def test_a_file_gives_lists_and_numbers_of_either_kind(tmp_path: Path) -> None:
    path = toml(tmp_path, 'allowed_origins = ["https://a.example"]\nsends_burst = 3\nask_again_s = 0.5\n')
    settings = load_settings({}, {}, path)
    assert (settings.allowed_origins, settings.sends_burst, settings.ask_again_s) == (("https://a.example",), 3.0, 0.5)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "eighty"),
        ("port", "70000"),
        ("port", "-1"),
        ("port", "1.5"),
        ("port", ""),
        ("host", ""),
        ("data_dir", ""),
        ("log_level", "loud"),
        ("log_json", "perhaps"),
        ("hello_seconds", "0"),
        ("hello_seconds", "nan"),
        ("ping_interval_s", "inf"),
        ("sends_per_s", "0"),
        ("batch_entries_max", "0"),
        ("write_bytes_high", "1"),
        ("no_such_setting", "1"),
    ],
)
def test_what_is_wrong_is_said_once_with_its_name_and_source(tmp_path: Path, name: str, text: str) -> None:
    variable = ENVIRONMENT_PREFIX + name.upper()
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        load_settings({}, {variable: text}, None)
    with pytest.raises(SettingsError, match=f"^--{name.replace('_', '-')}: "):
        load_settings({name: text}, {}, None)
    with pytest.raises(SettingsError, match=f"^{name} in folkmoot.toml: "):
        load_settings({}, {}, toml(tmp_path, f'{name} = "{text}"' if text else f"{name} = []"))


def test_a_file_has_types_of_its_own(tmp_path: Path) -> None:
    for line in (
        'port = "8420"',
        "log_json = 1",
        "port = 8420.5",
        "allowed_origins = [1]",
        'allowed_origins = "a"',
        'host = ["x"]',
    ):
        with pytest.raises(SettingsError, match=r"in folkmoot\.toml: "):
            load_settings({}, {}, toml(tmp_path, line))


def test_marks_that_cross_are_refused() -> None:
    with pytest.raises(SettingsError, match="write_bytes_low"):
        load_settings({"write_bytes_low": 9_000, "write_bytes_high": 8_000}, {}, None)


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings({}, {}, tmp_path / "nowhere.toml")
    with pytest.raises(SettingsError, match="Invalid value"):
        load_settings({}, {}, toml(tmp_path, "port ="))
    (tmp_path / "folkmoot.toml").write_bytes(b"host = '\xff'")
    with pytest.raises(SettingsError, match="utf-8"):
        load_settings({}, {}, tmp_path / "folkmoot.toml")


def test_what_takes_effect_on_a_reload_is_marked() -> None:
    assert changes_live("log_level")
    assert changes_live("sends_per_s")
    assert not changes_live("port")
    assert not changes_live("data_dir")


def test_variables_of_clients_are_no_settings() -> None:
    env = {"FOLKMOOT_TOKEN": "a.b.c", "FOLKMOOT_URL": "http://127.0.0.1:1", "FOLKMOOT_TOKEN_FILE": "x"}
    assert load_settings({}, env, None) == Settings()


def test_no_error_repeats_a_value() -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({}, {"FOLKMOOT_PORT": "hunter2"}, None)
    assert "hunter2" not in str(error.value)


def test_every_setting_has_a_default_within_its_bounds_and_a_reason() -> None:
    assert msgspec.convert(msgspec.to_builtins(Settings()), Settings) == Settings()
    for name in NAMES:
        assert re.fullmatch(r"[A-Z].{15,}\.", reason_of(name)), name


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(getattr(Settings(), n), float)])
def test_a_number_says_its_unit(name: str) -> None:
    words = name.split("_")
    assert {"s", "seconds", "burst", "ratio"} & set(words) or name.endswith("_per_s"), name


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=20), max_size=5))
def test_any_text_is_taken_within_bounds_or_refused(values: dict[str, str]) -> None:
    try:
        settings = load_settings(values, {}, None)
    except SettingsError:
        return
    assert msgspec.convert(msgspec.to_builtins(settings), Settings) == settings
