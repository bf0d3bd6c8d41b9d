"""`oa-chat feedback`: say that a flag is wrong, and hand what you said to a training.

A correction changes no verdict by itself. Results go to standard output, what was done to standard
error. Text from others is made printable on the way; with ``--json`` it is exact.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oa_chat.commands.stored import JSON, opened_store, with_options
from oa_chat.errors import UsageError
from oa_chat.verdict import Severity

if TYPE_CHECKING:
    from oa_chat.corrections import Correction, Corrections


def _level(_context: click.Context, _parameter: click.Parameter, said: str) -> Severity:
    """A level by name ("needs-caution"), label or number."""
    from oa_chat.corrections import level_named

    found = level_named(said)
    if found is None:
        names = ", ".join(level.words.replace(" ", "-") for level in Severity)
        raise click.BadParameter(f"{said!r} is no level. The levels: {names}.")
    return found


@contextlib.contextmanager
def _opened(context: click.Context) -> Iterator[Corrections]:
    """The corrections of the data directory that was named last on the command line."""
    from oa_chat.corrections import Corrections

    with opened_store(context) as store:
        yield Corrections(store)


@click.group()
@with_options
def feedback(**_said: Any) -> None:
    """Say that a flag is wrong; list, export and remove what you said.

    What you say stays on this machine and changes no verdict by itself: `export` writes records
    that `oa-chat prepare` and `oa-chat train` read.
    """


@feedback.command()
@click.argument("level", callback=_level)
@click.option("--message", "place", metavar="ID:TURN", help='Such as 12:3; "last" without it.')
@click.option("--text", help="About this text, which is in no conversation.")
@click.option("--note", default="", help="Why, in your words.")
@JSON
@with_options
@click.pass_context
def add(
    context: click.Context,
    /,
    level: Severity,
    place: str | None,
    text: str | None,
    note: str,
    as_json: bool,
    **_said: Any,
) -> None:
    """Say which LEVEL would have been right for a message.

    LEVEL is casual, possibly-needs-caution, probably-needs-caution, needs-caution or
    needs-intervention, or 0 to 4. What you said about the message before is replaced.
    """
    if text is not None and place is not None:
        raise UsageError("Name a --message or give a --text, not both.")
    with _opened(context) as found:
        if text is not None:
            number = found.add_text(_clean(text), level, _clean(note))
        else:
            number = found.add(found.turn_at(place or "last"), level, _clean(note))
        (added,) = (one for one in found.all() if one.id == number)
    if as_json:
        print_json(_fields(added))
        return
    _say(f"Noted as {number}: {_line(added)}")
    _say(f"No verdict changes by that. `oa-chat feedback remove {number}` takes it back.")


@feedback.command("list")
@JSON
@with_options
@click.pass_context
def list_(context: click.Context, /, as_json: bool, **_said: Any) -> None:
    """List what you said: number, message, the guard's level, yours, and the text."""
    with _opened(context) as found:
        corrections = found.all()
    for correction in corrections:
        if as_json:
            print_json(_fields(correction))
        else:
            print(f"{correction.id:>5}  {correction.place or '-':>8}  {_line(correction)}")
    if not corrections and not as_json:
        _say("You have said nothing about flags. In the chat, F6 does it.")


@feedback.command()
@click.option("--out", type=click.Path(path_type=Path), help="File; standard output without it.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@with_options
@click.pass_context
def export(context: click.Context, /, out: Path | None, force: bool, **_said: Any) -> None:
    """Write what you said as training records, JSON lines.

    They hold your messages and up to six messages before each: look before you share them.
    """
    from oa_chat.exports.writing import write_export

    with _opened(context) as found:
        records = list(found.records())
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())  # UTF-8, whatever the terminal speaks
        return
    write_export(out, text, replace=force)
    _say(f"{len(records)} record{'' if len(records) == 1 else 's'} written to {out}.")


@feedback.command()
@click.argument("number", type=click.IntRange(min=1))
@with_options
@click.pass_context
def remove(context: click.Context, /, number: int, **_said: Any) -> None:
    """Take back what you said. NUMBER is one of `oa-chat feedback list`."""
    with _opened(context) as found:
        found.remove(number)
    _say(f"Correction {number} is taken back.")


def print_json(fields: dict[str, Any]) -> None:
    """One object on one line, as `oa-chat history` prints it."""
    from oa_chat.commands.history_lines import print_json as print_line

    print_line(fields)


def _line(correction: Correction) -> str:
    from oa_chat.exports.facts import one_line
    from oa_chat.wording import SYMBOLS, symbol

    said = "not judged"
    if correction.verdict is not None:
        level = correction.verdict.severity
        words = "no verdict" if level is None else level.words
        said = f"{symbol(correction.verdict)} {words}"
    yours = f"{SYMBOLS[correction.severity]} {correction.severity.words}"
    note = f" ({one_line(correction.note)})" if correction.note else ""
    text = one_line(correction.text[:400])
    text = text if len(text) <= 60 else text[:59] + "…"
    return f"{said} → you said: {yours}{note}  {text}"


def _fields(correction: Correction) -> dict[str, Any]:
    verdict = correction.verdict
    judged = verdict.severity if verdict else None
    return {
        "id": correction.id,
        "message": correction.place,
        "label": correction.severity.label,
        "severity": int(correction.severity),
        "guard": verdict.guard if verdict else "",
        "guard_label": judged.label if judged is not None else None,
        "note": correction.note,
        "created": correction.created,
        "text": correction.text,
    }


def _clean(text: str) -> str:
    """Arguments may hold bytes that are not UTF-8; they become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _say(text: str) -> None:
    from oa_chat.printable import printable

    print(printable(text), file=sys.stderr)
