"""The command line. Heavy imports happen inside the commands, so that help and version are quick.

Exit codes: 0 fine; 1 some lines could not be read, or an error of no other kind; 2 wrong usage;
3 settings; 4 a model file; 5 an engine; 6 the guard gave no verdict; 7 the store; 8 not sent
(blocked, or nobody confirmed); 9 a command of the pipeline; 70 a bug; 130 interrupted; 141 the
reader went away.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oa_chat import __version__
from oa_chat.errors import OaChatError, UsageError, unexpected

if TYPE_CHECKING:
    from oa_chat.assembly import Flags

_EXIT_INTERRUPTED = 130
_EXIT_BROKEN_PIPE = 141

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--model", metavar="NAME", help="Chat model: a name or a GGUF file."),
    click.option("--guard", metavar="NAME", help='Guard: a name, a GGUF file, or "none".'),
    click.option("--guard-family", metavar="NAME", help="How to ask the guard, if not detected."),
    click.option("--second-guard", metavar="NAME", help="Guard for what the first is unsure of."),
    click.option("--policy", metavar="NAME", help="relaxed, balanced, strict, or one of your own."),
    click.option(
        "--context", type=click.IntRange(min=0), help="Context of the chat model, tokens."
    ),
    click.option("--gpu-layers", type=click.IntRange(min=-1), help="Layers on the GPU; -1: auto."),
    click.option("--config", type=click.Path(path_type=Path), help="Settings file."),
    click.option("--data-dir", type=click.Path(path_type=Path), help="Where conversations lie."),
    click.option("--debug", is_flag=True, default=None, help="Show tracebacks."),
)


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _flags(context: click.Context, said: dict[str, Any]) -> Flags:
    """The flags of a command; what it leaves out is as said before the command's name."""
    from oa_chat.assembly import Flags

    before = context.parent.params if context.parent else {}
    names = [field.name for field in fields(Flags)]
    merged = {name: _first(said.get(name), before.get(name)) for name in names}
    merged["debug"] = bool(merged["debug"])
    return Flags(**merged)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


class _ReaderGone(Exception):
    """Whoever read the output went away. Click would make an exit code of 1 of it."""


_PIPELINE = {
    "scrape": "Collect posts from Reddit's API, dumps and archives.",
    "prepare": "Make a clean dataset of what was collected, by a recipe.",
    "train": "Train a guard, a rule writer or a small chat model, by a recipe.",
    "convert": "Turn a checkpoint into a GGUF file, and verify it.",
    "evaluate": "Measure guards on labelled files.",
}
"""Commands that live in `converters`, with the line for ``--help``: loaded when they are used."""
_LATER = {
    **_PIPELINE,
    "feedback": "Say that a flag is wrong; list and export what you said.",
    "history": "List, show, search, export, import and delete conversations.",
    "models": "List, download, remove and describe models.",
    "policy": "Show, check and test policies.",
    "serve-guard": "Serve moderations and guarded chat completions to other programs.",
}
"""All commands that are loaded when they are used."""


class _Group(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *_LATER})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _LATER:
            return super().get_command(context, name)
        word = name.replace("-", "_")
        home = f"converters.{word}.command" if name in _PIPELINE else f"oa_chat.commands.{word}"
        module = importlib.import_module(home)
        command: click.Command = getattr(module, word)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(context):
            command = super().get_command(context, name)
            rows.append((name, command.get_short_help_str(80) if command else _LATER[name]))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError as error:
            raise _ReaderGone from error


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@click.version_option(__version__, prog_name="oa-chat", message="%(prog)s %(version)s")
@_with_options
@click.option("--continue", "resume", is_flag=True, help="Go on with the last conversation.")
@click.option("--plain", is_flag=True, help="Linear chat, for screen readers and dumb terminals.")
@click.pass_context
def main(context: click.Context, /, resume: bool, plain: bool, **said: Any) -> None:
    """Chat in the terminal with a local model, behind a guardrail that you can see.

    Without a command the chat opens.
    """
    if context.invoked_subcommand is None:
        from oa_chat.commands.chat import open_chat

        context.exit(open_chat(_flags(context, said), resume=resume, plain=plain))


@main.command()
@click.argument("text", required=False)
@_with_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.option("--yes", is_flag=True, help="Send with the guideline where the policy would ask.")
@click.pass_context
def ask(context: click.Context, /, text: str | None, as_json: bool, yes: bool, **said: Any) -> None:
    """Send TEXT (or standard input) and print the reply; flag and rule go to standard error."""
    import asyncio

    from oa_chat.assembly import build_session
    from oa_chat.commands.ask import AskOptions, print_failure
    from oa_chat.commands.ask import ask as send
    from oa_chat.commands.help import help_lines

    flags = _flags(context, said)
    try:
        message = _message(text)
        settings = flags.settings()
        session = build_session(settings, flags.store_path(), shelf=flags.shelf())
    except OaChatError as error:
        if as_json:
            print_failure(_clean(text or ""), error)
        raise
    options = AskOptions(as_json, yes, lambda: help_lines(settings))
    context.exit(asyncio.run(send(session, message, options)))


@main.command()
@click.argument("texts", nargs=-1)
@_with_options
@click.option("--jsonl", is_flag=True, help='Judge lines {"text", "context"} of standard input.')
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each text.")
@click.option("--explain", is_flag=True, help="Show pieces, probabilities, rules and policies.")
@click.pass_context
def check(
    context: click.Context,
    /,
    texts: tuple[str, ...],
    jsonl: bool,
    as_json: bool,
    explain: bool,
    **said: Any,
) -> None:
    """Judge TEXTS (or standard input) with the guard alone; nothing is sent or stored."""
    import asyncio

    from oa_chat.assembly import build_guard, build_policy
    from oa_chat.commands.check import check_jsonl, check_texts

    flags = _flags(context, said)
    settings = flags.settings()
    policy = build_policy(settings, flags.shelf())
    guard = build_guard(settings)
    if guard is None:
        raise UsageError("There is nothing to check with: the guard is none.", "Name a --guard.")
    if jsonl and texts:
        raise UsageError("--jsonl reads standard input; leave out the texts.")
    if jsonl and explain:
        raise UsageError("--explain is for texts; pipe in one, or leave out --jsonl.")
    if jsonl:
        context.exit(asyncio.run(check_jsonl(guard, policy)))
    messages = [_message(text) for text in texts or (None,)]
    if explain:
        from oa_chat.assembly import build_rulebook
        from oa_chat.commands.explain import explain_texts, policies_of

        policies = policies_of(flags.shelf())
        rulebook = build_rulebook(settings)
        done = explain_texts(guard, rulebook, policy, policies, messages, as_json=as_json)
    else:
        done = check_texts(guard, policy, messages, as_json=as_json)
    context.exit(asyncio.run(done))


@main.command()
@_with_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def doctor(context: click.Context, /, as_json: bool, **said: Any) -> None:
    """Say what is installed, which devices are seen, and whether the models load."""
    import asyncio

    from oa_chat.commands.doctor import examine

    context.exit(asyncio.run(examine(_flags(context, said), as_json=as_json)))


@main.command()
@click.argument("what", type=click.Choice(["show", "path"]), default="show")
@_with_options
@click.pass_context
def config(context: click.Context, /, what: str, **said: Any) -> None:
    """Print the settings in force (show), or where the settings file lies (path)."""
    from oa_chat.commands.config import print_path, print_settings

    flags = _flags(context, said)
    if what == "path":
        print_path(flags)
    else:
        print_settings(flags)


def _message(text: str | None) -> str:
    """The message of the command line, or of standard input; never an empty one."""
    if text is None or text == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("There is no text.", "Give it as an argument, or pipe it in.")
        text = sys.stdin.buffer.read().decode("utf-8", errors="replace")
    message = _clean(text)
    if not message.strip():
        raise UsageError("The message is empty.", "Give it as an argument, or pipe it in.")
    return message


def _clean(text: str) -> str:
    """Arguments may hold bytes that are not UTF-8; they become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code. The one place where errors are printed."""
    debug = "--debug" in arguments
    if sys.stdout is None:
        return _tell("There is nowhere to write to: the output is closed.", "", 2, debug=debug)
    try:
        code = int(main.main(args=arguments, prog_name="oa-chat", standalone_mode=False) or 0)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - nobody else can tell a person
        code = _report(error, debug=debug)
    return code


def _report(error: BaseException, *, debug: bool) -> int:
    """Print an error for people; the exit code that goes with it."""
    match error:
        case click.exceptions.Exit():
            code = error.exit_code
        case click.ClickException():
            error.show()
            code = error.exit_code
        case OaChatError():
            code = _tell(error.message, error.hint, error.exit_code, debug=debug)
        case KeyboardInterrupt() | click.Abort():
            code = _EXIT_INTERRUPTED
        case _ReaderGone():
            # What is left in the buffer has no reader: without this, Python complains on exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = _EXIT_BROKEN_PIPE
        case OSError():
            code = _tell(f"The system refused: {error}.", "", 1, debug=debug)
        case _:
            bug = unexpected(error)
            code = _tell(bug.message, bug.hint, bug.exit_code, debug=debug)
    return code


def _tell(message: str, hint: str, code: int, *, debug: bool) -> int:
    from oa_chat.printable import printable

    if debug:
        traceback.print_exc()
    click.echo(f"oa-chat: {printable(message)}", err=True)
    if hint:
        click.echo(printable(hint), err=True)
    return code
