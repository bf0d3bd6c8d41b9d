"""The search of the Arctic Shift archive, over HTTP.

https://github.com/ArthurHeitmann/arctic_shift/blob/master/api/README.md describes it: `after` and
`before` by created_utc, at most 100 results (or `limit=auto`), oldest first with `sort=asc`. This
module does not page.
"""

from __future__ import annotations

import sys
from typing import Any, Literal
from urllib.parse import urlsplit

from converters.errors import SourceError
from converters.scrape.pacing import RERUN, Pace
from converters.scrape.web import requestors
from oa_chat import __version__
from oa_chat.errors import UsageError

BASE = "https://arctic-shift.photon-reddit.com"
FULL = 100
"""Results of a full page."""

_PATIENCE = 60.0
"""Seconds. Searches of large subreddits take the archive long."""

What = Literal["posts", "comments"]


class ArcticApi:
    """Asks an archive; reading is all that it offers."""

    def __init__(self, base: str, pace: Pace) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{base!r} is no address of an archive.", f"For example: {BASE}")
        self._base = base.rstrip("/")
        agent = f"{sys.platform}:oa-chat:{__version__}"
        self._requestor = requestors(pace)(user_agent=agent, timeout=_PATIENCE)

    def search(self, what: What, **params: str | int) -> list[dict[str, Any]]:
        """Posts or comments. Raises SourceError, with what the archive says against it."""
        url = f"{self._base}/api/{what}/search"
        response = self._requestor.request("GET", url, params=params, allow_redirects=True)
        status = response.status_code
        try:
            said = response.json()
        except ValueError:
            said = None
        rows = said.get("data") if isinstance(said, dict) else None
        if status == 200 and isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            return rows
        error = said.get("error") if isinstance(said, dict) else None
        reason = f": {str(error)[:200]}" if error else ""
        raise SourceError(f"The archive refuses the search (status {status}){reason}.", RERUN)

    def close(self) -> None:
        """Close the connections."""
        self._requestor.close()
