"""`oa-chat history`: list, show, search, export, import and delete stored conversations.

Results go to standard output, what was done to standard error. Text from others is made printable
on the way; with ``--json`` it is exact.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oa_chat.commands.stored import JSON, opened_store, with_options
from oa_chat.commands.terminal import is_terminal
from oa_chat.errors import UsageError

if TYPE_CHECKING:
    from oa_chat.history import History

_ID = click.argument("name", metavar="ID")
_LIMIT = click.IntRange(min=1)


@contextlib.contextmanager
def _opened(context: click.Context) -> Iterator[History]:
    """The history of the data directory that was named last on the command line."""
    from oa_chat.history import History

    with opened_store(context) as store:
        yield History(store)


@click.group()
@with_options
def history(**_said: Any) -> None:
    """List, show, search, export, import and delete conversations.

    An ID is a number of `oa-chat history list`, or "last".
    """


@history.command("list")
@click.option("--limit", type=_LIMIT, help="At most so many.")
@click.option("--deleted", is_flag=True, help="Those that can still be restored.")
@JSON
@with_options
@click.pass_context
def list_(
    context: click.Context, /, limit: int | None, deleted: bool, as_json: bool, **_said: Any
) -> None:
    """List conversations, newest first.

    A line has the number, the date, how many messages and flags there are, and the title.
    """
    from oa_chat.commands.history_lines import print_json, summary_fields, summary_line

    with _opened(context) as found:
        summaries = found.summaries(-1 if limit is None else limit, deleted=deleted)
    for summary in summaries:
        if as_json:
            print_json(summary_fields(summary))
        else:
            print(summary_line(summary))
    if not summaries and not as_json:
        _say("There are no deleted conversations." if deleted else "There are no conversations.")


@history.command()
@_ID
@JSON
@with_options
@click.pass_context
def show(context: click.Context, /, name: str, as_json: bool, **_said: Any) -> None:
    """Print a conversation with its flags and rules."""
    from oa_chat.commands.history_lines import conversation_lines, print_json

    with _opened(context) as found:
        conversation = found.conversation(found.find(name))
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(conversation))
    else:
        print("\n".join(conversation_lines(conversation)))


@history.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--limit", type=_LIMIT, default=50, show_default=True, help="At most so many turns.")
@JSON
@with_options
@click.pass_context
def search(
    context: click.Context, /, text: tuple[str, ...], limit: int, as_json: bool, **_said: Any
) -> None:
    """Find messages with all words of TEXT.

    The last word may be a beginning; case and accents do not count. The newest come first.
    """
    from oa_chat.commands.history_lines import hit_fields, hit_lines, print_json

    with _opened(context) as found:
        hits = found.search(" ".join(text), limit)
    for hit in hits:
        if as_json:
            print_json(hit_fields(hit))
        else:
            print("\n".join(hit_lines(hit)))
    if not hits and not as_json:
        _say("Nothing was found.")


@history.command()
@_ID
@click.option(
    "--format",
    "format_",
    type=click.Choice(["md", "json", "html"]),
    default="md",
    show_default=True,
    help="Markdown, JSON that can be imported again, or one web page.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File; standard output without it.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@with_options
@click.pass_context
def export(
    context: click.Context,
    /,
    name: str,
    format_: str,
    out: Path | None,
    force: bool,
    **_said: Any,
) -> None:
    """Write a conversation to a file."""
    from oa_chat.exports import FORMATS
    from oa_chat.exports.writing import write_export

    with _opened(context) as found:
        text = FORMATS[format_](found.conversation(found.find(name)))
    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())  # UTF-8, whatever the terminal speaks
        return
    write_export(out, text, replace=force)
    _say(f"Written to {out}.")


@history.command("import")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--again", is_flag=True, help="Import what is there already once more.")
@JSON
@with_options
@click.pass_context
def import_(
    context: click.Context, /, path: Path, again: bool, as_json: bool, **_said: Any
) -> None:
    """Take in conversations from a file.

    FILE is our own JSON (`oa-chat history export --format json`), or the conversations.json of
    ChatGPT's data export. What is there already is left out.
    """
    from oa_chat.archive import fingerprint_of
    from oa_chat.commands.history_lines import print_json
    from oa_chat.imports import read_conversations

    conversations = read_conversations(path)
    skipped = 0
    ids: list[int] = []
    with _opened(context) as found:
        known = set() if again else found.fingerprints()
        for conversation in conversations:
            print_ = fingerprint_of(conversation)
            if print_ in known:
                skipped += 1
                continue
            if not again:
                known.add(print_)
            ids.append(found.add(conversation))
    if as_json:
        print_json({"imported": ids, "skipped": skipped})
        return
    _say(f"Imported: {len(ids)}.")
    if skipped:
        _say(f"Left out because they are there already: {skipped}. (--again imports them too.)")


@history.command()
@_ID
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--for-good", is_flag=True, help="At once and without a way back.")
@with_options
@click.pass_context
def delete(context: click.Context, /, name: str, yes: bool, for_good: bool, **_said: Any) -> None:
    """Delete a conversation.

    `oa-chat history restore ID` brings it back for 30 days; after that it is gone.
    """
    from oa_chat.exports.facts import one_line

    with _opened(context) as found:
        chosen = _any(found, name) if for_good else found.find(name)
        title = one_line(found.title(chosen)) or "(no title)"
        if not yes:
            _confirm(f"Delete conversation {chosen}, {title}" + (" for good?" if for_good else "?"))
        if for_good:
            found.delete_for_good(chosen)
            _say(f"Conversation {chosen} is gone for good.")
        else:
            found.delete(chosen)
            _say(f"Deleted. `oa-chat history restore {chosen}` brings it back for 30 days.")


@history.command()
@_ID
@with_options
@click.pass_context
def restore(context: click.Context, /, name: str, **_said: Any) -> None:
    """Bring a deleted conversation back."""
    with _opened(context) as found:
        chosen = found.find(name, deleted=True)
        found.restore(chosen)
    _say(f"Conversation {chosen} is back.")


def _any(found: History, name: str) -> int:
    """A conversation, whether it is deleted or not."""
    from oa_chat.errors import StoreError

    try:
        return found.find(name)
    except StoreError:
        with contextlib.suppress(StoreError):
            return found.find(name, deleted=True)
        raise


def _confirm(question: str) -> None:
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise UsageError("Nobody is there to confirm it.", "Add --yes if you are sure.")
    click.confirm(question, abort=True, err=True)


def _say(text: str) -> None:
    from oa_chat.printable import printable

    print(printable(text), file=sys.stderr)
