"""`oa-chat policy`, as a user runs it: with the embedded guard, on real files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oa_chat import cli
from oa_chat.policies.shelf import SHIPPED
from tests.policies.test_policy_file import LEVELS

BAD = LEVELS + '\n[phrases]\nallow = ["kill it"]\ndeny = ["kill it"]\n'


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run([*arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    path = tmp_path / "settings.toml"
    path.write_text('[help]\ncountry = "DE"\n')
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_examples_hold_with_the_embedded_guard(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oa_chat", "policy", "test", name],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 of 11 examples as expected" in done.stdout


def test_what_is_not_as_expected_ends_with_1(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    table = config.parent / "table.jsonl"
    table.write_text(
        '{"text": "hi, how was your day?", "action": "pass"}\n'
        '{"text": "hi, how was your day?", "action": "block", "level": "needs_caution"}\n'
    )
    arguments = ("policy", "test", "strict", str(table), "--config", str(config))
    code, out, _ = run(capsys, *arguments)
    assert code == 1
    assert "action: expected block, got pass" in out
    assert "because: strict policy: casual" in out
    assert "1 of 2 examples as expected" in out
    code, out, _ = run(capsys, *arguments, "--json")
    passed, failed = json.loads(out)["outcomes"]
    assert code == 1
    assert passed["passed"]
    assert failed["problems"][1] == "level: expected needs_caution, got casual"


def test_a_policy_without_examples_needs_a_table(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    (config.parent / "policies" / "mine.toml").write_text(LEVELS)
    code, _, err = run(capsys, "policy", "test", "mine", "--config", str(config))
    assert code == 2
    assert "mine.examples.toml" in err


def test_a_missing_guard_is_told(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    path = config.parent / "mine.toml"
    path.write_text(LEVELS + '\n[guard]\njudge = "nowhere.gguf"\n')
    table = config.parent / "t.jsonl"
    table.write_text('{"text": "hi", "action": "pass"}\n')
    code, _, err = run(capsys, "policy", "test", str(path), str(table), "--config", str(config))
    assert code == 4
    assert "nowhere.gguf" in err


def test_show_lists_and_shows_the_one_in_force(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    (config.parent / "policies" / "mine.toml").write_text(LEVELS)
    code, out, _ = run(capsys, "policy", "show", "--config", str(config))
    assert code == 0
    assert "Shipped: relaxed, balanced, strict" in out
    assert "Your own: mine" in out
    assert "balanced (" in out
    assert "0800 111 0 111" in out
    code, out, _ = run(capsys, "policy", "show", "mine", "--json", "--config", str(config))
    fields = json.loads(out)
    assert code == 0
    assert fields["name"] == "mine"
    assert fields["levels"]["needs_intervention"] == "block"
    assert fields["languages"] == {"known": "from guard", "unknown": "nudge"}


def test_check_tells_errors_and_ends_with_3(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    path = config.parent / "bad.toml"
    path.write_text(BAD)
    code, out, _ = run(capsys, "policy", "check", str(path))
    assert code == 3
    assert f"error: {path}, line 11: phrases.allow" in out
    assert "1 error, 0 warnings" in out
    code, out, _ = run(capsys, "policy", "check", str(path), "--json")
    assert code == 3
    assert json.loads(out)["findings"][0]["grade"] == "error"
    path.write_text("name = 3\n")
    code, out, _ = run(capsys, "policy", "check", str(path), "--json")
    assert code == 3
    assert "bad.toml, line 1: name" in json.loads(out)["error"]["message"]


def test_check_finds_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "policy", "check", "strict")[:2] == (0, "Nothing is wrong with it.\n")


def test_text_of_a_file_is_printed_without_escapes(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    path = config.parent / "odd.toml"
    path.write_text('"a\\u001b[2J" = 1\n' + LEVELS)
    code, _, err = run(capsys, "policy", "check", str(path))
    assert code == 3
    assert "\x1b" not in err


def test_a_denied_phrase_is_blocked_and_told(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    path = config.parent / "mine.toml"
    path.write_text(LEVELS + '\n[phrases]\ndeny = ["door code"]\n')
    code, out, _ = run(
        capsys, *("--config", str(config), "--policy", str(path), "check", "What is the DOOR code?")
    )
    assert code == 0
    assert "Action: not sent (mine policy: the phrase “door code” is not sent)" in out
