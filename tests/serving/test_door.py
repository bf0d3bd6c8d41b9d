"""Who may come in, where the service listens, and what it says when it cannot be started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oa_chat.errors import UsageError
from oa_chat.serving import listener
from oa_chat.serving.door import Entry, is_named
from oa_chat.serving.listener import address_of
from tests.serving.endless import setup_of
from tests.serving.running import serving

TOKEN = "a-token-of-enough-characters"


async def test_the_token_is_asked_for_everywhere_but_at_the_health() -> None:
    async with serving(setup_of(entry=Entry(TOKEN))) as client:
        assert (await client.get("/health")).status_code == 200
        wrong = ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}"]
        for value in wrong:
            headers = {"authorization": value} if value else {}
            for path in ("/v1/models", "/v1/moderations", "/v1/elsewhere"):
                answer = await client.get(path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["error"]["type"] == "authentication_error"
        right = {"authorization": f"bearer {TOKEN}"}
        assert (await client.get("/v1/models", headers=right)).status_code == 200


def test_hosts() -> None:
    hosts = {"127.0.0.1", "localhost", "::1"}
    for good in ("localhost", "LOCALHOST:80", "127.0.0.1:8642", "[::1]:8642", "[::1]"):
        assert is_named([good], hosts)
    bad = ("", "evil.example", "localhost.evil.example", "evil@localhost", "localhost/x", "[::1")
    assert not any(is_named([name], hosts) for name in bad)
    assert not is_named([], hosts)
    assert not is_named(["localhost", "evil.example"], hosts)


def test_where_it_listens() -> None:
    assert address_of("localhost", 0, token=False).host == "127.0.0.1"
    assert address_of("::1", 0, token=False).loopback
    assert not address_of("0.0.0.0", 0, token=True).loopback
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(UsageError, match="needs a token") as refused:
            address_of(host, 0, token=False)
        assert "--token-file" in refused.value.hint
    with pytest.raises(UsageError, match="is not an IP address"):
        address_of("example.org", 0, token=True)


def refused(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "oa_chat", "serve-guard", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode in {2, 3, 4}, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_what_cannot_be_served_is_said_at_once(tmp_path: Path) -> None:
    assert "needs a token" in refused("--host", "0.0.0.0")
    assert "at least 16" in refused("--host", "0.0.0.0", OA_CHAT_SERVE_TOKEN="short")
    (tmp_path / "token").write_text("\n", encoding="utf-8")
    assert "at least 16" in refused("--token-file", str(tmp_path / "token"))
    assert "cannot be read" in refused("--token-file", str(tmp_path / "nowhere"))
    for wrong in ("localhost:8080", "http://[::1/v1", "ftp://x", "http://me:secret@x/v1"):
        said = refused("--upstream", wrong)
        assert "base URL" in said
        assert "secret" not in said
    assert "exclude each other" in refused("--upstream", "http://localhost/v1", "--model", "x")
    assert "the guard is none" in refused("--guard", "none")
    assert "no model file" in refused("--guard", str(tmp_path / "none.gguf"))


def test_a_missing_package_is_said_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError(name='uvicorn')", encoding="utf-8")
    said = refused(PYTHONPATH=str(tmp_path))
    assert "pip install 'oa-chat[serve]'" in said
    assert "uvicorn" in said


def test_a_taken_port_is_said() -> None:
    with listener.open_socket(address_of("127.0.0.1", 0, token=False)) as taken:
        port = taken.getsockname()[1]
        assert "Choose another --port" in refused("--port", str(port))
