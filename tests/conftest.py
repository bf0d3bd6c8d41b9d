"""Keeps every test away from the developer's machine: its home, its settings, its network.

The first isolation happens while this file is read, before any test module is imported, so that
nothing that looks at the environment on import sees the real one. Each test then gets a home of
its own on top.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_HIDDEN = (
    "COLUMNS",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "TERM_PROGRAM",
    "TEXTUAL",
    "TEXTUAL_THEME",
    "TMUX",
    "all_proxy",
    "ALL_PROXY",
)
_FIXED = {
    "TERM": "xterm-256color",
    "COLORTERM": "truecolor",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    # For the child processes, which the guard on sockets below does not reach: a port that
    # nothing listens on, so that whatever tries to leave the machine fails at once.
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost,::1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}


def _home_variables(home: Path) -> dict[str, str]:
    """The variables that lead programs to a user's files."""
    return {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_RUNTIME_DIR": str(home / ".run"),
        "HF_HOME": str(home / ".cache" / "huggingface"),
    }


_session_home = Path(tempfile.mkdtemp(prefix="oa-chat-tests-"))
for _name in [*_HIDDEN, *(name for name in os.environ if name.startswith("OA_CHAT_"))]:
    os.environ.pop(_name, None)
os.environ.update(_FIXED)
os.environ.update(_home_variables(_session_home))
if hasattr(time, "tzset"):
    time.tzset()


def pytest_unconfigure() -> None:
    shutil.rmtree(_session_home, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder for this test, in force here and in the processes it starts."""
    home = tmp_path_factory.mktemp("home")
    for name, value in _home_variables(home).items():
        monkeypatch.setenv(name, value)
    return home


def _refuse_the_world(address: Any) -> None:
    if isinstance(address, tuple) and address[0] not in _LOOPBACK:
        raise AssertionError(f"a test tried to reach {address[0]}:{address[1]}")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Fail whatever connects to anything but this machine."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _refuse_the_world(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _refuse_the_world(address)
        return connect_ex(self, address)

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    yield
    patch.undo()
