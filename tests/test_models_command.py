"""`oa-chat models` as a person uses it: real processes, a hub on loopback, a real small model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest

from oa_chat.catalog import GUARD, STARTER, embedded_path, partial_path
from tests.hub_server import HubServer, Served, running

NAME = "hf:someone/Tiny-GGUF/tiny.gguf"
KEY = "someone/Tiny-GGUF/tiny.gguf"
CONTENT = embedded_path(STARTER).read_bytes()
PROGRAM = [sys.executable, "-m", "oa_chat"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OA_CHAT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "models"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
        server.files[KEY] = Served(CONTENT)
        yield server


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def answer(*arguments: str) -> dict[str, Any]:
    """What a command says with --json."""
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    fields: dict[str, Any] = json.loads(done.stdout)
    return fields


def model(folder: Path) -> Path:
    return folder / "someone" / "Tiny-GGUF" / "tiny.gguf"


def until(size: int, part: Path) -> None:
    """Wait until so much of a download is on the disk."""
    end = time.monotonic() + 60
    while not part.is_file() or part.stat().st_size < size:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_pull_use_and_remove(hub: HubServer, folder: Path) -> None:
    done = run("models", "pull", NAME)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{NAME} is ready. Use it: oa-chat --model tiny" in done.stderr
    assert "Checking: 100 %" in done.stderr
    assert model(folder).read_bytes() == CONTENT
    for name in ("tiny", "TINY", NAME):
        assert run("ask", "--model", name, "--guard", "none", "hello").stdout.strip()
    facts = answer("models", "info", "tiny")
    assert facts["path"] == str(model(folder))
    assert (facts["where"], facts["architecture"], facts["repo"]) == (
        "oa-chat",
        "llama",
        "someone/Tiny-GGUF",
    )
    assert "1 downloaded" in run("doctor", "--guard", "none", "--model", "tiny").stdout
    assert run("models", "remove", "tiny").returncode == 2
    assert model(folder).is_file()
    gone = answer("models", "remove", "tiny", "--yes")
    assert gone["freed"] > len(CONTENT)
    assert not list(folder.iterdir())
    done = run("ask", "--model", "tiny", "hello")
    assert done.returncode == 4
    assert "There is no model tiny." in done.stderr


def test_a_model_that_the_settings_name_is_removed(
    hub: HubServer, folder: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[chat]\nmodel = "{NAME}"\n[guard]\nmodel = "none"\n')
    assert run("models", "pull", NAME, "--config", str(settings)).returncode == 0
    assert run("ask", "--config", str(settings), "hello").returncode == 0
    done = run("models", "remove", NAME, "--yes", "--config", str(settings))
    assert "Your settings still name it (chat.model)" in done.stderr
    done = run("ask", "--config", str(settings), "hello")
    assert done.returncode == 4
    assert f"oa-chat models pull {NAME}" in done.stderr
    report = run("doctor", "--config", str(settings)).stdout
    assert f"-> Download it: oa-chat models pull {NAME}" in report


def test_a_guard_by_name(hub: HubServer, folder: Path) -> None:
    hub.files["someone/Guard/guard.gguf"] = Served(embedded_path(GUARD).read_bytes())
    fields = answer("models", "pull", "hf:someone/Guard/guard.gguf")
    assert fields["name"] == "guard"
    verdict = json.loads(run("check", "--guard", "guard", "--json", "hello").stdout)
    assert verdict["severity"] == 0


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_program_that_ends_in_the_middle(
    hub: HubServer, folder: Path, sign: signal.Signals
) -> None:
    hub.files[KEY].pause = 0.01
    part = partial_path(model(folder))
    process = subprocess.Popen(
        [*PROGRAM, "models", "pull", NAME], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    until(2_000_000, part)
    process.send_signal(sign)
    _, said = process.communicate(timeout=30)
    assert process.returncode == (130 if sign == signal.SIGINT else -sign)
    if sign == signal.SIGINT:
        assert b"Stopped. What is there is kept" in said
        assert b"Traceback" not in said
    kept = part.stat().st_size
    assert 2_000_000 <= kept < len(CONTENT)
    assert not model(folder).exists()
    row = next(row for row in listed() if row["name"] == "starter")
    assert row["progress"] is None
    hub.files[KEY].pause = 0
    hub.bytes_sent = 0
    assert run("models", "pull", NAME).returncode == 0
    assert model(folder).read_bytes() == CONTENT
    assert hub.bytes_sent == len(CONTENT) - kept


def listed() -> list[dict[str, Any]]:
    done = run("models", "list", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_was_begun_shows_and_can_be_removed(hub: HubServer, folder: Path) -> None:
    # A model of the catalogue whose file the hub does not have as it should.
    source = "allenai/OLMo-2-0425-1B-Instruct-GGUF/OLMo-2-0425-1B-Instruct-Q4_K_M.gguf"
    final = folder / source
    final.parent.mkdir(parents=True)
    partial_path(final).write_bytes(b"GGUF" + bytes(396))
    final.with_name(final.name + ".part.json").write_text('{"size": 1000, "checksum": "00"}')
    row = next(row for row in listed() if row["name"] == "olmo2-1b")
    assert (row["progress"], row["path"]) == (0.4, None)
    assert "40%" in run("models", "list").stdout
    done = run("ask", "--model", "olmo2-1b", "hello")
    assert "only partly downloaded" in done.stderr
    assert run("models", "remove", "olmo2-1b", "--yes").returncode == 0
    assert not list(folder.iterdir())


def test_ctrl_c_at_the_bar(hub: HubServer, folder: Path) -> None:
    hub.files[KEY].pause = 0.02
    terminal = pexpect.spawn(
        PROGRAM[0], [*PROGRAM[1:], "models", "pull", NAME], dimensions=(24, 80), timeout=60
    )
    terminal.expect("Downloading")
    terminal.expect("MB")
    until(500_000, partial_path(model(folder)))
    terminal.sendintr()
    terminal.expect("Stopped. What is there is kept")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    hub.files[KEY].pause = 0
    terminal = pexpect.spawn(
        PROGRAM[0], [*PROGRAM[1:], "models", "pull", NAME], dimensions=(24, 80), timeout=60
    )
    terminal.expect("is ready")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert model(folder).read_bytes() == CONTENT


def test_a_disk_that_is_full(hub: HubServer, folder: Path) -> None:
    """A limit on the size of files, which the system enforces as it does the end of a disk."""

    def limit() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    done = subprocess.run(
        [*PROGRAM, "models", "pull", NAME],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 4
    assert "There is not enough room for tiny.gguf" in done.stderr
    assert partial_path(model(folder)).stat().st_size == 3_000_000
    hub.bytes_sent = 0
    assert run("models", "pull", NAME).returncode == 0
    assert hub.bytes_sent == len(CONTENT) - 3_000_000


def test_errors_are_for_people(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("models", "pull", "hf:someone/Tiny-GGUF/nothing.gguf")
    assert done.returncode == 4
    assert "has no file nothing.gguf" in done.stderr
    assert "\x1b" not in done.stderr
    hub.files[KEY].error = (403, {"X-Error-Code": "GatedRepo"})
    done = run("models", "pull", NAME)
    assert "accept their terms" in done.stderr
    assert "hf auth login" in done.stderr
    hub.files[KEY] = Served(CONTENT, sent=CONTENT[:-1] + b"!")
    assert "checksum is wrong" in run("models", "pull", NAME).stderr
    assert not model(folder).exists()
    hub.files[KEY] = Served(b"<html>", small=True)
    done = run("models", "pull", NAME)
    assert done.returncode == 4
    assert f"Remove it: oa-chat models remove {NAME}" in done.stderr
    assert run("models", "remove", NAME, "--yes").returncode == 0
    for name, said in (("qwen3-4bb", "Did you mean qwen3-4b?"), ("starter", "part of oa-chat")):
        assert said in run("models", "pull", name).stderr
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "offline mode is on, by HF_HUB_OFFLINE" in run("models", "pull", NAME).stderr


def test_offline_by_setting_asks_nobody(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[models]\noffline = true\n")
    done = run("models", "--config", str(settings), "pull", NAME)
    assert done.returncode == 4
    assert "models.offline" in done.stderr
    assert hub.requests == []


def test_without_the_package(folder: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['huggingface_hub'] = None; from oa_chat.cli import run;"
    code += f"sys.exit(run(['models', 'pull', {NAME!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "pip install" in done.stderr


def test_the_list_is_readable_and_needs_no_package(folder: Path) -> None:
    code = "import sys; from oa_chat.cli import run; run(['models', 'list']);"
    code += "assert not {'huggingface_hub', 'rich', 'textual'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines[:-2])) <= 100
    for part in ("Chat models", "Guards", "qwen3-4b", "embedded", str(folder)):
        assert part in done.stdout


def test_info_of_a_path_and_of_what_is_not_there(folder: Path) -> None:
    path = str(embedded_path(STARTER))
    assert f"here:          yes, {path}" in run("models", "info", path).stdout
    assert answer("models", "info", "QWEN3-4B")["path"] is None
    assert "models pull qwen3-4b" in run("models", "info", "qwen3-4b").stdout
    assert run("models", "info", "nothing-like-it").returncode == 4
    assert run("models", "info", "nothing.gguf").returncode == 4
    assert run("models", "remove", path, "--yes").returncode == 2
    assert run("models", "remove", "starter", "--yes").returncode == 2


def test_a_model_that_is_removed_while_it_talks(hub: HubServer, folder: Path) -> None:
    assert run("models", "pull", NAME).returncode == 0
    chat = pexpect.spawn(
        PROGRAM[0],
        [*PROGRAM[1:], "--plain", "--model", "tiny", "--guard", "none"],
        dimensions=(24, 80),
        timeout=60,
        echo=False,
    )
    chat.expect("You: ")
    chat.sendline("hello")
    chat.expect("Reply: ")
    chat.expect("You: ")
    assert run("models", "remove", "tiny", "--yes").returncode == 0
    chat.sendline("are you still there?")
    chat.expect("Reply: ")
    chat.expect("You: ")
    # What runs has the file open; a new start of the engine has not.
    for engine in psutil.Process(chat.pid).children(recursive=True):
        engine.kill()
    chat.sendline("and now?")
    chat.expect("There is no model file .*tiny.gguf")
    chat.expect("You: ")
    chat.sendeof()
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0
