"""A verb with the options of a maker: both are read from the command line, and the verb gets what was made."""

from typing import Annotated

import typer
from typer.testing import CliRunner

from folkmoot.cli.options import given

Where = Annotated[str, typer.Option("--where", envvar="OPTIONS_WHERE", help="The place.")]


class Place:
    def __init__(self, where: Where = "here", far: Annotated[bool, typer.Option("--far")] = False) -> None:
        self.text = f"{where} {'far' if far else 'near'}"


app = typer.Typer()


@app.command()
@given(Place)
def say(
    place: Place, word: Annotated[str, typer.Argument()], loud: Annotated[bool, typer.Option("--loud")] = False
) -> None:
    """Say a word at a place."""
    typer.echo(f"{word.upper() if loud else word} {place.text}")


def said(*words: str, **env: str) -> str:
    done = CliRunner().invoke(app, words, env=env)
    assert done.exit_code == 0, done.output
    return done.output.strip()


def test_own_options_and_those_of_the_maker_are_both_read() -> None:
    assert said("hello") == "hello here near"
    assert said("hello", "--loud", "--where", "there", "--far") == "HELLO there far"
    assert said("hello", OPTIONS_WHERE="elsewhere") == "hello elsewhere near"


def test_help_shows_both_and_says_what_the_verb_is_for() -> None:
    text = said("--help")
    assert "Say a word at a place." in text
    assert "--loud" in text
    assert "The place." in text
    assert "place" not in [word.strip("-*") for word in text.split() if word.startswith("--pl")]


def test_what_neither_knows_is_refused() -> None:
    assert CliRunner().invoke(app, ["hello", "--nonsense"]).exit_code == 2
