"""The app in a real terminal: what is written to it, byte by byte."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pyte
import pytest

ROOT = Path(__file__).parents[2]
APP = """
from tests.ui.driving import app_with
from tests.ui.stand_in import Script, StandIn
evil = "\\x1b]0;owned\\x07 \\x1b[2J\\x1b]52;c;aGk=\\x07 \\u202e text"
app_with(StandIn([Script(pieces=[evil, " the end"])])).run()
"""


class Terminal:
    """A program in a terminal of 100 columns."""

    def __init__(self, code: str, **more: str) -> None:
        env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **more}
        self._child = pexpect.spawn(sys.executable, ["-c", code], env=env, dimensions=(30, 100))
        self._screen = pyte.Screen(100, 30)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""

    def wait_for(self, text: str, seconds: float = 20) -> None:
        """Read until a text is on the screen."""
        ends = time.monotonic() + seconds
        while text not in "\n".join(self._screen.display):
            assert time.monotonic() < ends, f"{text!r} did not appear"
            try:
                got = self._child.read_nonblocking(65536, timeout=0.1)
            except pexpect.TIMEOUT:
                continue
            self.raw += got
            self._stream.feed(got)

    def send(self, keys: str) -> None:
        """Press keys."""
        self._child.send(keys)

    def quit(self) -> int:
        """Press Ctrl+Q and give the exit code."""
        self._child.sendcontrol("q")
        self._child.expect(pexpect.EOF, timeout=10)
        self._child.close()
        return int(self._child.exitstatus or 0)


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(APP)


def test_no_escape_sequence_of_a_model_reaches_the_terminal(terminal: Terminal) -> None:
    terminal.wait_for("Write a message")
    terminal.send("hello\r")
    terminal.wait_for("the end")
    assert b"\x1b]0;owned" not in terminal.raw
    assert b"\x1b]52" not in terminal.raw
    assert "\u202e".encode() not in terminal.raw
    assert "␛]52;c;aGk=␇".encode() in terminal.raw
    assert terminal.quit() == 0


def test_a_bracketed_paste_and_ctrl_j_stay_in_the_composer(terminal: Terminal) -> None:
    terminal.wait_for("Write a message")
    terminal.send("\x1b[200~one\ntwo\x1b[201~")
    terminal.wait_for("two")
    terminal.send("\nthree")
    terminal.wait_for("three")
    assert terminal.quit() == 0


def test_without_colour_the_flag_has_words_and_a_symbol() -> None:
    terminal = Terminal(APP, NO_COLOR="1")
    terminal.wait_for("Write a message")
    terminal.send("hello\r")
    terminal.wait_for("○ casual")
    terminal.quit()
