"""What all commands of the pipeline have in common on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def debug_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--debug`` behind the command's name too; `oa_chat.cli.run` looks for it by itself."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")(
        command
    )
