"""Packages that only parts of the pipeline need: asked for where they are used."""

from __future__ import annotations

import importlib.util
from typing import Literal

from oa_chat.errors import UsageError

Extra = Literal["data", "cluster", "train"]


def require(extra: Extra, *modules: str) -> None:
    """Raise a UsageError that says what to install, unless all the modules can be imported."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"This needs packages that are not installed: {', '.join(missing)}.",
            f"Install them: pip install 'oa-chat[{extra}]'",
        )
