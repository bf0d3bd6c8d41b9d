"""What every command of the pipeline takes, whatever else it does."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from oa_chat.cli import main

COMMANDS = [
    ("convert",),
    ("evaluate",),
    ("train",),
    ("prepare",),
    ("scrape",),
    ("scrape", "dump"),
    ("scrape", "reddit"),
    ("scrape", "arctic"),
    ("scrape", "refresh"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_is_short_or_long_and_names_debug(command: tuple[str, ...], flag: str) -> None:
    shown = CliRunner().invoke(main, [*command, "--debug", flag])

    assert shown.exit_code == 0, shown.output
    assert "--debug" in shown.output
    assert "Show tracebacks." in shown.output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_wrong_usage(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*command, "--no-such-option"])

    assert shown.exit_code == 2
    assert "--no-such-option" in shown.stderr
