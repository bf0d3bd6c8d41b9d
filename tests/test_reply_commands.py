"""`ask`, `ask --json` and `--plain` with judged replies, over real pipes and terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from oa_chat.conversation import StopReason, Turn
from oa_chat.store import Store
from tests.reply_guard import RULE

CRUEL, KIND = ["Well. ", "Be cruel to him. ", "Go on."], ["Talk ", "to him. ", "It helps."]
DEAD = ["Well. ", "Now it is dead. ", "More."]
AGAIN = ["Yes. ", "Cruel, so cruel. "]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "c.sqlite3"


def command(
    front: str, mode: str, store: Path, *replies: list[str], seconds: str = "0"
) -> list[str]:
    module = "tests.reply_front_end"
    return [sys.executable, "-m", module, front, mode, json.dumps(replies), str(store), seconds]


def run(
    front: str, mode: str, store: Path, *replies: list[str], typed: str = ""
) -> tuple[int, str, str]:
    done = subprocess.run(
        command(front, mode, store, *replies),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def stored(store: Path) -> Turn:
    return Store(store).conversation(1).turns[0]


@pytest.mark.parametrize("mode", ["strict", "balanced"])
def test_a_pipe_gets_the_second_try_alone(store: Path, mode: str) -> None:
    code, out, said = run("ask", mode, store, CRUEL, KIND)
    assert (code, out) == (0, "Talk to him. It helps.\n")
    assert "Withdrawn: the guard flagged this reply (● needs caution (96 %))." in said
    assert f"Rule: {RULE}" in said
    assert "cruel to him" not in said


@pytest.mark.parametrize("mode", ["strict", "balanced"])
def test_two_flags_leave_no_reply(store: Path, mode: str) -> None:
    code, out, said = run("ask", mode, store, CRUEL, AGAIN)
    assert (code, out) == (8, "")
    assert "No reply: the guard flagged the second try as well." in said


def test_a_dead_guard_in_strict_ends_the_reply(store: Path) -> None:
    code, out, said = run("ask", "strict", store, DEAD)
    assert (code, out.strip()) == (6, "Well.")
    assert "the guard gave no verdict on the next part" in said


def test_a_dead_guard_in_balanced_is_told(store: Path) -> None:
    code, out, said = run("ask", "balanced", store, DEAD)
    assert (code, out) == (0, "Well. Now it is dead. More.\n")
    assert "The reply was not judged" in said


def test_without_withdrawals_a_pipe_gets_the_text_as_it_comes(store: Path) -> None:
    code, out, said = run("ask", "relaxed", store, CRUEL)
    assert (code, out, said) == (0, "".join(CRUEL) + "\n", "")


def test_json_has_both_verdicts_and_what_was_withdrawn(store: Path) -> None:
    code, out, _ = run("json", "balanced", store, CRUEL, KIND)
    body = json.loads(out)
    assert (code, body["reply"]) == (0, "Talk to him. It helps.")
    assert body["verdict"]["label"] == "__casual__"
    assert body["reply_verdict"]["label"] == "__casual__"
    (withdrawn,) = body["withdrawn"]
    assert "Be cruel" in withdrawn["text"]
    assert (withdrawn["severity"], withdrawn["rule"]) == (3, RULE)


def test_json_of_a_reply_that_ended_unjudged(store: Path) -> None:
    code, out, _ = run("json", "strict", store, DEAD)
    body = json.loads(out)
    assert (code, body["stop_reason"], body["reply"].strip()) == (6, "unjudged", "Well.")
    assert body["reply_verdict"]["failure"] == "The guard's process ended."
    assert body["withdrawn"] == []


def test_a_terminal_shows_what_balanced_withdraws(store: Path) -> None:
    program, *arguments = command("ask", "balanced", store, CRUEL, KIND)
    terminal = pexpect.spawn(program, arguments, timeout=30, encoding="utf-8", env=dict(os.environ))
    terminal.expect("Be cruel to him")
    terminal.expect("Withdrawn: the guard flagged this reply")
    terminal.expect("It helps")
    terminal.expect(pexpect.EOF)


def test_a_terminal_never_shows_what_strict_holds(store: Path) -> None:
    program, *arguments = command("ask", "strict", store, CRUEL, KIND)
    terminal = pexpect.spawn(program, arguments, timeout=30, encoding="utf-8", env=dict(os.environ))
    terminal.expect(pexpect.EOF)
    assert "It helps." in terminal.before
    assert "cruel to him" not in terminal.before


def test_plain_says_what_happens(store: Path) -> None:
    code, out, _ = run("plain", "balanced", store, CRUEL, KIND, AGAIN, AGAIN, typed="hi\nagain\n")
    assert code == 0
    first, second = out.split("You: ")[1:3]
    assert first.index("Be cruel") < first.index("Withdrawn:") < first.index("Reply: Talk to him.")
    assert f"Rule: {RULE}" in first
    assert second.count("Withdrawn:") == 2
    assert "No reply: the guard flagged the second try as well." in second


def test_plain_says_why_strict_ends(store: Path) -> None:
    _, out, _ = run("plain", "strict", store, DEAD, typed="hi\n")
    assert "Now it is" not in out
    assert "The reply ends here" in out
    assert "The guard's process ended." in out


def test_ctrl_c_in_plain_while_text_is_held_back(store: Path) -> None:
    program, *arguments = command("plain", "strict", store, CRUEL, seconds="60")
    terminal = pexpect.spawn(program, arguments, timeout=30, encoding="utf-8", env=dict(os.environ))
    terminal.expect("You: ")
    terminal.sendline("hi")
    terminal.expect("Reply: ")
    time.sleep(0.2)  # nothing more comes up while the guard reads
    terminal.kill(signal.SIGINT)
    terminal.expect("Stopped.")
    terminal.sendline("/quit")
    terminal.expect(pexpect.EOF)
    assert (stored(store).reply, stored(store).stop_reason) == ("", StopReason.STOPPED)


def test_ctrl_c_in_ask_stores_what_had_passed(store: Path) -> None:
    process = subprocess.Popen(
        command("ask", "strict", store, ["One. ", "Two. ", "Three."], seconds="1.5"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not store.exists():
        time.sleep(0.05)
    time.sleep(2.2)  # a check takes 1.5 s, and the pieces take two of them at least
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    turn = stored(store)
    assert turn.stop_reason is StopReason.STOPPED
    assert turn.reply in ("", "One.", "One. Two.")
