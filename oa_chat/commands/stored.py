"""What the commands about stored conversations share: their options, and opening the store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from oa_chat.store import Store

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--data-dir`` and ``--debug``."""
    command = click.option("--debug", is_flag=True, help="Show tracebacks.")(command)
    path = click.Path(path_type=Path)
    return click.option("--data-dir", type=path, help="Where conversations lie.")(command)


@contextlib.contextmanager
def opened_store(context: click.Context) -> Iterator[Store]:
    """The store of the data directory that was named last on the command line."""
    from oa_chat.config import store_path
    from oa_chat.store import Store

    said = None
    above: click.Context | None = context
    while above is not None and said is None:
        said, above = above.params.get("data_dir"), above.parent
    store = Store(store_path(said))
    try:
        yield store
    finally:
        store.close()
