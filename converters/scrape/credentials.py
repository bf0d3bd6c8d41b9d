"""Finds the credentials of a Reddit app: environment, praw.ini, keyring; never an option.

    praw_client_id, praw_client_secret, ...      the environment, as PRAW reads it
    praw.ini                                     a site of it (--site), as PRAW reads it
    service "oa-chat" of the system's keyring    client_id and client_secret; with --site NAME
                                                 NAME:client_id and NAME:client_secret

Only the app's own read-only access is used: user names, passwords and refresh tokens are not even
read. No message of this module holds a value; those of praw.ini's parser do, so they are replaced.
"""

from __future__ import annotations

import configparser
import importlib.util
import os
import re
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from converters.scrape.pacing import Pace
from converters.scrape.web import requestors
from oa_chat import __version__
from oa_chat.errors import UsageError

_SERVICE = "oa-chat"
_HOW = "docs/scrape.md says how to name the credentials of a Reddit app, and how to get one."


@dataclass(frozen=True, slots=True)
class Credentials:
    """What PRAW needs; values are not part of the representation."""

    client_id: str = field(repr=False)
    client_secret: str | None = field(repr=False)
    """None: an installed app, which has none."""
    user_agent: str
    oauth_url: str
    reddit_url: str


def find_credentials(site: str | None) -> Credentials:
    """The credentials for a site of praw.ini, or without one for the default site.

    Raises UsageError where there are none, or praw.ini cannot be used.
    """
    site = site or os.environ.get("praw_site")  # noqa: SIM112 - PRAW's own spelling
    config = _config(site)
    prefix = f"{site}:" if site else ""
    client_id = _value(config, "client_id") or _from_keyring(f"{prefix}client_id")
    if not client_id:
        where = f" for the site {site!r}" if site else ""
        raise UsageError(f"There are no credentials for Reddit{where}.", _HOW)
    secret = _value(config, "client_secret") or _from_keyring(f"{prefix}client_secret")
    _check_endpoints(config)
    return Credentials(
        client_id, secret or None, _user_agent(config), config.oauth_url, config.reddit_url
    )


def connect(credentials: Credentials, pace: Pace) -> Any:
    """A read-only `praw.Reddit` that asks at our pace. Nothing is sent yet."""
    import praw

    reddit = praw.Reddit(
        "DEFAULT",
        check_for_updates=False,
        check_for_async=False,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
        user_agent=credentials.user_agent,
        oauth_url=credentials.oauth_url,
        reddit_url=credentials.reddit_url,
        username=None,
        password=None,
        refresh_token=None,
        requestor_class=requestors(pace),
    )
    reddit.read_only = True
    return reddit


def _config(site: str | None) -> Any:
    """PRAW's settings of a site; those of the default where only the keyring may know the site."""
    from praw.config import Config

    problem = ""
    with warnings.catch_warnings():
        # PRAW warns of endpoints in a praw.ini that lies about; here they are refused.
        warnings.simplefilter("ignore")
        try:
            return Config(site or "DEFAULT")
        except configparser.NoSectionError:
            if _from_keyring(f"{site}:client_id"):
                return Config("DEFAULT")
            problem = f"There is no site {site!r} in praw.ini, and none in the keyring."
        except configparser.Error as error:
            lines = [number for number, _ in getattr(error, "errors", [])]
            line = lines[0] if lines else getattr(error, "lineno", None)
            where = f"line {line} is no setting" if line else type(error).__name__
            problem = f"praw.ini cannot be read: {where}."
        except (OSError, ValueError) as error:
            problem = f"praw.ini cannot be read ({type(error).__name__})."
    # Outside of the handler: the parser's exceptions quote the lines, secrets and all.
    raise UsageError(problem, _HOW)


def _value(config: Any, name: str) -> str:
    found = getattr(config, name)
    return found.strip() if isinstance(found, str) else ""


def _from_keyring(name: str) -> str:
    """A value of the system's keyring; empty where it has none, is locked, or there is no such."""
    if importlib.util.find_spec("keyring") is None:
        return ""
    import keyring

    try:
        found = keyring.get_password(_SERVICE, name)
    except Exception:  # noqa: BLE001 - each backend has errors of its own
        return ""
    return (found or "").strip()


def _user_agent(config: Any) -> str:
    """What Reddit asks for: platform, program, version, and who runs it if that is known."""
    if said := _value(config, "user_agent"):
        return said
    name = _value(config, "username")
    by = f" (by u/{name})" if re.fullmatch(r"[\w-]{1,30}", name, re.ASCII) else ""
    return f"{sys.platform}:oa-chat:{__version__}{by}"


def _check_endpoints(config: Any) -> None:
    """Refuse to send the credentials elsewhere because a praw.ini that lies about says so."""
    if os.environ.get("PRAW_ALLOW_ENDPOINT_OVERRIDE"):
        return
    for url in (config.oauth_url, config.reddit_url):
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" or not f".{host}".endswith(".reddit.com"):
            raise UsageError(
                f"A praw.ini sends the credentials to {host or url!r} instead of Reddit.",
                "Take oauth_url and reddit_url out of it, or set PRAW_ALLOW_ENDPOINT_OVERRIDE=1.",
            )
