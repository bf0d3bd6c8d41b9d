"""`oa-chat models`: list, download, remove and describe models.

Results go to standard output, progress and what was done to standard error. Text of files and
servers is made printable on the way; with ``--json`` it is exact.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oa_chat.commands.stored import JSON
from oa_chat.commands.terminal import is_terminal
from oa_chat.errors import OaChatError, UsageError

if TYPE_CHECKING:
    from oa_chat.config import Settings
    from oa_chat.model_list import ModelRow

_NAME = click.argument("name", metavar="NAME")


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--debug", is_flag=True, default=None, help="Show tracebacks.")(command)
    path = click.Path(path_type=Path)
    return click.option("--config", type=path, help="Settings file.")(command)


@click.group()
@_with_options
def models(**_said: Any) -> None:
    """List, download, remove and describe models.

    A NAME is one of `oa-chat models list`, or hf:owner/repository/file.gguf for any file of the
    Hugging Face hub. Models of LM Studio, Ollama, llama.cpp and the hub's own cache are used where
    they lie.
    """


@models.command("list")
@JSON
@_with_options
@click.pass_context
def list_(context: click.Context, /, as_json: bool, **_said: Any) -> None:
    """List the models that can be used: here, and to download."""
    from oa_chat.commands.history_lines import print_json
    from oa_chat.commands.models_lines import list_lines, row_fields
    from oa_chat.folders import models_dir
    from oa_chat.machine_memory import machine_memory
    from oa_chat.model_list import model_rows

    memory = machine_memory()
    rows = model_rows(memory)
    if as_json:
        for row in rows:
            print_json(row_fields(row))
    else:
        print("\n".join(list_lines(rows, memory, models_dir())))


@models.command()
@_NAME
@click.option("--again", is_flag=True, help="Download it even if it is here already.")
@JSON
@_with_options
@click.pass_context
def pull(context: click.Context, /, name: str, again: bool, as_json: bool, **_said: Any) -> None:
    """Download a model, or go on with a download that stopped.

    It is checked before it can be used. Ctrl+C stops; the same command goes on from there.
    """
    from oa_chat import catalog
    from oa_chat.commands.history_lines import print_json
    from oa_chat.commands.models_lines import row_fields
    from oa_chat.commands.pulling import shown
    from oa_chat.downloads.fetching import Order, download
    from oa_chat.engine.gguf_header import read_header
    from oa_chat.folders import models_dir
    from oa_chat.model_list import model_details

    settings = _settings(context)
    source = catalog.source_of(name)
    elsewhere = None if again else _elsewhere(name)
    if elsewhere is None:
        try:
            with shown(name) as tell:
                order = Order(tell, offline=settings.models.offline, again=again)
                path = download(source, models_dir(), order)
        except KeyboardInterrupt:
            _say("Stopped. What is there is kept: the same command goes on with it.")
            raise
        try:
            read_header(path)
        except OaChatError as error:
            raise type(error)(error.message, f"Remove it: oa-chat models remove {name}") from error
    # A name on the hub with a revision is the same model without it.
    known = catalog.known_by_name(name)
    details = model_details(known.name if known else f"hf:{source.repo}/{source.file}")
    if as_json:
        print_json(row_fields(details.row))
    elif elsewhere is not None:
        _say(f"{name} is here already, from {elsewhere}. Use it: {_use(details.row)}")
    else:
        _say(f"{name} is ready. Use it: {_use(details.row)}")


@models.command()
@_NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
@_with_options
@click.pass_context
def remove(context: click.Context, /, name: str, yes: bool, as_json: bool, **_said: Any) -> None:
    """Delete a downloaded model, or what was downloaded of it."""
    from oa_chat.commands.history_lines import print_json
    from oa_chat.downloads.partial import gigabytes
    from oa_chat.downloads.removing import remove as delete
    from oa_chat.folders import models_dir

    path = _removable(name)
    wanting = _wanting(_settings(context), path)
    if not yes:
        if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
            raise UsageError("Nobody is there to confirm it.", "Add --yes if you are sure.")
        click.confirm(f"Delete {path.name}?", abort=True, err=True)
    freed = delete(path, models_dir())
    if as_json:
        print_json({"removed": str(path), "freed": freed, "wanted_by": wanting})
        return
    _say(f"Removed {path.name}: {gigabytes(freed)} are free again.")
    if wanting:
        _say(f"Your settings still name it ({', '.join(wanting)}): choose another model there.")


@models.command()
@_NAME
@JSON
@_with_options
@click.pass_context
def info(context: click.Context, /, name: str, as_json: bool, **_said: Any) -> None:
    """Say everything that is known about a model; NAME may be a path."""
    from oa_chat.commands.history_lines import print_json
    from oa_chat.commands.models_lines import details_fields, details_lines
    from oa_chat.model_list import model_details

    details = model_details(name)
    if as_json:
        print_json(details_fields(details))
    else:
        print("\n".join(details_lines(details)))


def _elsewhere(name: str) -> str | None:
    """Whose folder has the model already, if it is not ours."""
    from oa_chat import catalog
    from oa_chat.errors import ModelError

    try:
        found = catalog.find(name)
    except (ModelError, UsageError):
        return None
    return None if found.ours else found.where


def _removable(name: str) -> Path:
    """The file of ours that a name means, whole or begun. Raises UsageError and ModelNotFound."""
    from oa_chat import catalog
    from oa_chat.downloads.removing import begun
    from oa_chat.errors import ModelNotFound
    from oa_chat.folders import models_dir

    if name in catalog.EMBEDDED:
        raise UsageError(f"{name} is part of oa-chat.", "It goes with the program.")
    if catalog.is_path(name):
        raise UsageError(f"{name} is a path, not the name of a model.", catalog.LIST)
    try:
        path = catalog.source_of(name).below(models_dir())
    except ModelNotFound:
        path = None
    if path is not None and begun(path):
        return path
    found = catalog.find(name)
    if not found.ours:
        raise UsageError(
            f"{name} was not downloaded by oa-chat: it is {found.where}'s.", "Remove it there."
        )
    return found.path


def _wanting(settings: Settings, path: Path) -> list[str]:
    """The settings that name the model at this path."""
    from oa_chat import catalog

    named = (
        ("chat.model", settings.chat.model),
        ("guard.model", settings.guard.model),
        ("guard.second", settings.guard.second),
    )
    wanting = []
    for key, name in named:
        try:
            if name not in ("", "none") and catalog.path_of(name) == path:
                wanting.append(key)
        except OaChatError:
            continue
    return wanting


def _use(row: ModelRow) -> str:
    """How to use a model, as a command line."""
    return f"oa-chat {'--guard' if _is_guard(row) else '--model'} {row.name}"


def _is_guard(row: ModelRow) -> bool:
    from oa_chat.guards.registry import identify

    if row.role or row.path is None:
        return row.role == "guard"
    try:
        identify(row.path)
    except OaChatError:
        return False
    return True


def _settings(context: click.Context) -> Settings:
    from oa_chat.assembly import Flags

    said: Path | None = None
    above: click.Context | None = context
    while above is not None and said is None:
        said, above = above.params.get("config"), above.parent
    return Flags(config=said).settings()


def _say(text: str) -> None:
    from oa_chat.printable import printable

    print(printable(text), file=sys.stderr)
