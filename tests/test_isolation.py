"""The promises of conftest.py: no test sees this user's files or leaves this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest


def test_folders_of_this_user_are_out_of_reach(own_home: Path) -> None:
    for folder in (
        Path.home(),
        platformdirs.user_config_path("oa-chat"),
        platformdirs.user_data_path("oa-chat"),
        platformdirs.user_cache_path("oa-chat"),
        platformdirs.user_state_path("oa-chat"),
    ):
        assert folder.is_relative_to(own_home)


def test_child_processes_have_the_same_home(own_home: Path) -> None:
    code = "import pathlib; print(pathlib.Path.home())"
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip() == str(own_home)


def test_no_settings_come_in_by_the_environment() -> None:
    assert not [name for name in os.environ if name.startswith("OA_CHAT_")]


def test_other_machines_cannot_be_reached() -> None:
    # An address set aside for documentation, so that even a broken guard would reach nobody.
    with socket.socket() as one, pytest.raises(AssertionError, match=r"192\.0\.2\.1"):
        one.connect(("192.0.2.1", 80))


def test_this_machine_can_be_reached() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()
