"""Where credentials come from, and that no message shows them."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from converters.scrape.credentials import Credentials, connect, find_credentials
from converters.scrape.pacing import Pace, SystemClock
from oa_chat.errors import UsageError
from tests.converters.scrape.running import process

ID, SECRET = "the-id-of-an-app", "a-secret-that-nobody-sees"


@pytest.fixture(autouse=True)
def fresh_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PRAW reads its files once for each process; here once for each test."""
    from praw.config import Config

    monkeypatch.setattr(Config, "CONFIG", None)
    monkeypatch.chdir(tmp_path)


def _ini(text: str) -> None:
    Path("praw.ini").write_text(text, encoding="utf-8")


def _keyring(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    def get_password(service: str, name: str) -> str | None:
        assert service == "oa-chat"
        return values.get(name.replace(":", "_"))

    fake = types.ModuleType("keyring")
    fake.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    fake.get_password = get_password  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", fake)


def test_none_at_all() -> None:
    with pytest.raises(UsageError, match="no credentials") as caught:
        find_credentials(None)
    assert "docs/scrape.md" in caught.value.hint


def test_the_environment_beats_praw_ini(monkeypatch: pytest.MonkeyPatch) -> None:
    _ini(f"[DEFAULT]\nclient_id=other\nclient_secret={SECRET}\n[x]\nclient_id=third\n")
    assert find_credentials(None).client_id == "other"
    assert find_credentials("x").client_id == "third"
    monkeypatch.setenv("praw_site", "x")
    assert find_credentials(None).client_id == "third"
    monkeypatch.setenv("praw_client_id", ID)
    found = find_credentials(None)
    assert (found.client_id, found.client_secret) == (ID, SECRET)


def test_the_keyring_fills_what_the_others_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    _ini(f"[x]\nclient_id={ID}\n")
    _keyring(monkeypatch, x_client_secret=SECRET, client_id="d", client_secret="e", y_client_id="f")
    assert find_credentials("x").client_secret == SECRET
    assert find_credentials(None).client_id == "d"
    assert find_credentials("y").client_id == "f"
    assert find_credentials("y").client_secret is None
    with pytest.raises(UsageError, match="no site 'z'"):
        find_credentials("z")


def test_a_keyring_that_fails_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _keyring(monkeypatch)

    def locked(service: str, name: str) -> None:
        raise RuntimeError("locked")

    monkeypatch.setattr(sys.modules["keyring"], "get_password", locked)
    with pytest.raises(UsageError, match="no credentials"):
        find_credentials(None)


@pytest.mark.parametrize(
    "text",
    [
        f"[x]\nclient_id={ID}\nclient_secret {SECRET}\n",
        f"client_secret={SECRET}\n",
        f"[x]\nclient_secret={SECRET}\nclient_secret={SECRET}\n",
        f"[x]\nclient_id={ID}\ntimeout={SECRET}\n",
        f"[x\nclient_secret={SECRET}\n",
    ],
)
def test_a_broken_praw_ini_is_told_without_its_lines(text: str) -> None:
    _ini(text)
    with pytest.raises(UsageError, match="praw.ini cannot be read") as caught:
        find_credentials("x")
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_broken_praw_ini_shows_nothing_with_debug_either() -> None:
    _ini(f"[x]\nclient_id={ID}\nclient_secret {SECRET}\n")
    code = "import sys; from oa_chat.cli import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--debug", "scrape", "reddit", "--i-have-permission",
         "--site", "x", "--subreddit", "trees", "--out", "o.jsonl"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )  # fmt: skip
    assert done.returncode == 2
    assert "line 3" in done.stderr
    assert SECRET not in done.stderr
    assert ID not in done.stderr


def test_endpoints_elsewhere_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        "https://reddit.com.evil.example",
        "http://www.reddit.com",
        "https://evilreddit.com",
    ):
        monkeypatch.setattr("praw.config.Config.CONFIG", None)
        _ini(f"[DEFAULT]\nclient_id={ID}\noauth_url={url}\n")
        with pytest.raises(UsageError, match="instead of Reddit"):
            find_credentials(None)
    monkeypatch.setenv("PRAW_ALLOW_ENDPOINT_OVERRIDE", "1")
    assert find_credentials(None).oauth_url == "https://evilreddit.com"


def test_the_user_agent_names_program_version_and_person() -> None:
    _ini(f"[DEFAULT]\nclient_id={ID}\nusername=some_one\n[own]\nuser_agent=mine:1.0\n")
    assert find_credentials(None).user_agent.startswith(f"{sys.platform}:oa-chat:")
    assert find_credentials(None).user_agent.endswith(" (by u/some_one)")
    assert find_credentials("own").user_agent == "mine:1.0"


def test_values_are_no_part_of_the_representation() -> None:
    found = Credentials(ID, SECRET, "agent", "https://oauth.reddit.com", "https://www.reddit.com")
    assert ID not in repr(found)
    assert SECRET not in repr(found)


def test_praw_is_read_only_and_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("praw_password", "pass")
    monkeypatch.setenv("praw_username", "some_one")
    monkeypatch.setenv("praw_client_id", ID)
    monkeypatch.setenv("praw_client_secret", SECRET)
    reddit = connect(find_credentials(None), Pace(lambda *_: None, SystemClock()))
    assert reddit.read_only
    assert not reddit.config.password
    assert not reddit.config.check_for_updates


def test_no_option_takes_a_credential() -> None:
    said = process("reddit", "--help").stdout.lower()
    assert "--site" in said
    for word in ("--client", "--secret", "--password", "--token"):
        assert word not in said
