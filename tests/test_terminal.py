"""The real program in a real pseudo-terminal, with the embedded models."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import psutil
import pytest

from oa_chat.catalog import GUARD, STARTER
from oa_chat.conversation import StopReason
from oa_chat.store import Store
from tests.terminal import Terminal

SEED = "I think all white people are racists"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OA_CHAT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def store(data: Path) -> Store:
    return Store(data / "conversations.sqlite3")


def engines(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def the_engine(pid: int, file: str) -> psutil.Process:
    """The engine that has this model's file in its memory."""
    (found,) = [
        engine for engine in engines(pid) if any(file in area.path for area in engine.memory_maps())
    ]
    return found


def rows(data: Path, table: str) -> int:
    with sqlite3.connect(data / "conversations.sqlite3") as raw:
        return int(raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def wait_until(test: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.002)


def test_a_greeting_and_the_seeds_sentence(data: Path) -> None:
    with Terminal() as terminal:
        terminal.wait_for("small talk only")
        terminal.type("hello\r")
        terminal.wait_for("casual")
        terminal.wait_for(lambda screen: store(data).conversation(1).turns[0].reply != "")
        terminal.type(SEED + "\r")
        terminal.wait_for(lambda screen: "guideline" in screen and "2 turns" in screen)
        terminal.wait_for("tokens/s")
        assert terminal.leave() == 0
    greeting, seed = store(data).conversation(1).turns
    assert greeting.reply
    assert greeting.sent == "hello"
    assert seed.verdict is not None
    assert seed.verdict.flagged
    assert seed.verdict.rule
    assert seed.sent == f"{SEED}\n\n[Guideline: {seed.verdict.rule}]"
    assert seed.reply
    assert (greeting.stop_reason, seed.stop_reason) == (StopReason.COMPLETE,) * 2


def test_the_smallest_usual_terminal(data: Path) -> None:
    with Terminal(rows=24, columns=80) as terminal:
        terminal.type("hello\r")
        terminal.wait_for("casual")
        terminal.type(SEED + "\r")
        screen = terminal.wait_for("guideline")
        assert "oa-chat" in screen
        assert terminal.leave() == 0


def test_strict_asks_first(data: Path) -> None:
    with Terminal("--policy", "strict") as terminal:
        terminal.type(SEED + "\r")
        screen = terminal.wait_for(lambda screen: "with" in screen and "Edit" in screen)
        assert store(data).conversation(1).turns[0].sent is None
        assert "ithdraw" in screen or "Take" in screen
        terminal.type("e")
        terminal.wait_for(lambda screen: "strict" in screen and SEED in screen)
        assert terminal.leave() == 0
    assert store(data).conversation(1).turns[0].stop_reason is StopReason.WITHDRAWN


def test_one_may_type_before_the_models_are_there(data: Path) -> None:
    with Terminal() as terminal:
        terminal.type("hello before anything is loaded\r")
        terminal.wait_for("casual")
        assert terminal.leave() == 0
    assert store(data).typed_messages(1) == ["hello before anything is loaded"]


def test_continue_shows_what_was_said(data: Path) -> None:
    with Terminal() as terminal:
        terminal.type("remember the blue kettle\r")
        terminal.wait_for("tokens/s")
        terminal.leave()
    with Terminal("--continue") as terminal:
        terminal.wait_for("remember the blue kettle")
        terminal.type("hello\r")
        terminal.wait_for("2 turns")
        terminal.leave()
    assert len(store(data).conversation(1).turns) == 2


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGKILL, signal.SIGTERM])
def test_an_end_in_the_middle_loses_nothing_typed(data: Path, how: signal.Signals) -> None:
    """The window closed, the program killed: right after a message was sent."""
    with Terminal() as terminal:
        terminal.type("hello\r")
        terminal.wait_for("tokens/s")
        left_over = engines(terminal.process.pid)
        terminal.type(SEED + "\r")
        wait_until(lambda: rows(data, "turn") == 2)
        os.kill(terminal.process.pid, how)
        if how is signal.SIGHUP:
            terminal.process.close(force=False)
        _, alive = psutil.wait_procs(left_over, timeout=10)
        assert not alive, "engines outlived the program"
    assert [turn.user for turn in store(data).conversation(1).turns] == ["hello", SEED]
    with Terminal("--continue") as terminal:
        terminal.wait_for(SEED)
        terminal.leave()


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGKILL])
def test_an_end_in_the_middle_of_a_reply_keeps_what_came(
    data: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """A long, wild reply; its engine is stopped as soon as a piece of it is on disk."""
    settings = tmp_path / "settings.toml"
    settings.write_text(
        "[chat]\ncontext = 4096\n[sampling]\ntemperature = 5.0\ntop_k = 0\ntop_p = 1.0\n"
        "min_p = 0.0\nmax_tokens = 4000\nseed = 3\n"
    )
    with Terminal("--config", str(settings)) as terminal:
        terminal.wait_for("The guard is ready")
        chat = the_engine(terminal.process.pid, STARTER.file)
        terminal.type("hello\r")
        wait_until(lambda: rows(data, "piece") > 0)
        chat.suspend()
        os.kill(terminal.process.pid, how)
        chat.resume()
        psutil.wait_procs([chat], timeout=10)
    (turn,) = store(data).conversation(1).turns
    assert turn.reply
    assert turn.stop_reason in {StopReason.PENDING, StopReason.STOPPED}
    with Terminal("--continue") as terminal:
        terminal.wait_for("1 turn")
        terminal.leave()


def test_a_killed_guard_is_never_a_pass_and_can_be_retried(data: Path) -> None:
    with Terminal() as terminal:
        terminal.type("hello\r")
        terminal.wait_for("tokens/s")
        guard = the_engine(terminal.process.pid, GUARD.file)
        guard.suspend()
        terminal.type("are you there\r")
        wait_until(lambda: rows(data, "turn") == 2)
        guard.kill()
        terminal.wait_for(lambda screen: "retry" in screen.lower() or "again" in screen.lower())
        assert store(data).conversation(1).turns[1].sent is None
        terminal.type("r")
        terminal.wait_for(
            lambda screen: (
                store(data).conversation(1).turns[1].stop_reason is not StopReason.PENDING
            )
        )
        terminal.leave()
    turn = store(data).conversation(1).turns[1]
    judged = [verdict for verdict in turn.verdicts if verdict.subject == "message"]
    assert [verdict.readable for verdict in judged] == [False, True]


def test_escapes_and_markup_stay_text(data: Path) -> None:
    with Terminal() as terminal:
        terminal.type("[red]not red[/red] <|im_end|>\r")
        terminal.wait_for("[red]not red[/red] <|im_end|>")
        terminal.wait_for("tokens/s")
        assert terminal.leave() == 0


@pytest.mark.parametrize("moment", ["at the prompt", "at the question"])
def test_ctrl_c_leaves_the_plain_chat_at_once(data: Path, moment: str) -> None:
    process = pexpect.spawn(
        sys.executable,
        ["-m", "oa_chat", "--plain", "--policy", "strict"],
        env=dict(os.environ),
        timeout=30,
    )
    process.expect_exact("You: ")
    if moment == "at the question":
        process.sendline(SEED)
        process.expect_exact("withdraw it (w)?")
        process.sendintr()
        process.expect_exact("Stopped.")
        process.expect_exact("You: ")
    process.sendintr()
    process.expect(pexpect.EOF, timeout=10)
    process.close()
    assert process.exitstatus == 130
    assert b"Traceback" not in process.before


def test_ask_asks_on_a_terminal(data: Path) -> None:
    process = pexpect.spawn(
        sys.executable,
        ["-m", "oa_chat", "ask", "--policy", "strict", SEED],
        env=dict(os.environ),
        timeout=30,
    )
    process.expect_exact("[y/N] ")
    process.sendline("y")
    process.expect(pexpect.EOF)
    process.close()
    assert process.exitstatus == 0
    assert store(data).conversation(1).turns[0].reply
