"""`oa-chat policy`: show policies, check a file, and test one against a table of examples.

Results go to standard output. Text of files is made printable on the way; with ``--json`` it is
exact.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oa_chat.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from oa_chat.assembly import Flags

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_EXIT_FAILED = 1


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--debug", is_flag=True, default=None, help="Show tracebacks.")(command)
    path = click.Path(path_type=Path)
    return click.option("--config", type=path, help="Settings file.")(command)


def _said(context: click.Context, name: str) -> Any:
    """An option as it was said last on the command line."""
    above: click.Context | None = context
    while above is not None:
        if (value := above.params.get(name)) is not None:
            return value
        above = above.parent
    return None


@click.group()
@_with_options
def policy(**_said: Any) -> None:
    """Show, check and test policies.

    A policy is one of relaxed, balanced and strict, the name of a file in the folder `policies`
    beside the settings file, or the path of a policy file.
    """


@policy.command()
@click.argument("wanted", metavar="[NAME|FILE]", required=False)
@_JSON
@_with_options
@click.pass_context
def show(context: click.Context, /, wanted: str | None, as_json: bool, **_options: Any) -> None:
    """Print what a policy does, and the help lines that it shows.

    Without a name all policies within reach are listed, and the one in force is shown.
    """
    import json

    from oa_chat.assembly import build_policy
    from oa_chat.commands.help import help_lines
    from oa_chat.commands.policy_lines import list_lines, policy_fields, policy_lines

    flags = _flags(context, wanted)
    shelf = flags.shelf()
    profile = shelf.load(wanted) if wanted is not None else None
    settings = flags.settings()
    shown = profile.policy if profile else build_policy(settings, shelf)
    profile = profile or shelf.load(settings.policy.profile)
    if as_json:
        fields = policy_fields(profile, shown) | {"help": help_lines(settings)}
        print(json.dumps(fields | ({"known": shelf.names()} if wanted is None else {})))
        return
    lines = policy_lines(profile, shown, help_lines(settings))
    print("\n".join((list_lines(shelf) if wanted is None else []) + lines))


@policy.command()
@click.argument("wanted", metavar="FILE")
@_JSON
@_with_options
@click.pass_context
def check(context: click.Context, /, wanted: str, as_json: bool, **_options: Any) -> None:
    """Look for mistakes and contradictions in a policy file.

    Ends with exit code 3 if there is an error; warnings alone are fine.
    """
    import json
    from dataclasses import asdict

    from oa_chat.commands.policy_lines import finding_lines
    from oa_chat.policies.checks import findings

    try:
        found = findings(_flags(context).shelf().load(wanted))
    except SettingsError as error:
        if as_json:
            print(json.dumps({"error": {"message": error.message, "hint": error.hint}}))
            context.exit(error.exit_code)
        raise
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in found]}))
    else:
        print("\n".join(finding_lines(found)))
    failed = any(finding.grade == "error" for finding in found)
    context.exit(SettingsError.exit_code if failed else 0)


@policy.command()
@click.argument("wanted", metavar="FILE")
@click.argument("table", metavar="[EXAMPLES]", required=False, type=click.Path(path_type=Path))
@click.option("--guard", metavar="PATH", help='Guard: a GGUF file, or "embedded".')
@click.option("--guard-family", metavar="NAME", help="How to ask the guard, if not detected.")
@_JSON
@_with_options
@click.pass_context
def test(
    context: click.Context, /, wanted: str, table: Path | None, as_json: bool, **_options: Any
) -> None:
    """Let the guard judge a table of examples, and see what the policy does about each.

    EXAMPLES is TOML or JSON lines; without it, the table beside the policy is used
    (NAME.examples.toml). Ends with exit code 1 if something is not as expected.
    """
    import asyncio
    import json

    from oa_chat.assembly import build_guard
    from oa_chat.commands.policy_lines import outcome_fields, outcome_lines
    from oa_chat.policies.examples import Example, Outcome, outcomes, read_examples

    flags = _flags(context, policy=wanted)
    profile = flags.shelf().load(wanted)
    examples = read_examples(table or _table_beside(profile.path))
    guard = build_guard(flags.settings())
    if guard is None:
        raise UsageError("There is nothing to test with: the guard is none.", "Name a --guard.")

    async def run(examples: list[Example]) -> list[Outcome]:
        try:
            return await outcomes(guard, profile.policy, examples)
        finally:
            await guard.close()

    found = asyncio.run(run(examples))
    if as_json:
        print(json.dumps({"policy": profile.policy.name, "outcomes": outcome_fields(found)}))
    else:
        print("\n".join(outcome_lines(found)))
    context.exit(_EXIT_FAILED if any(outcome.problems for outcome in found) else 0)


def _table_beside(path: Path) -> Path:
    from oa_chat.policies.shelf import EXAMPLES

    beside = path.with_name(path.name.removesuffix(".toml") + EXAMPLES)
    if not beside.is_file():
        raise UsageError(
            f"There are no examples for {path}.", f"Name a table of examples, or write {beside}."
        )
    return beside


def _flags(context: click.Context, policy: str | None = None) -> Flags:
    """The flags that count here, with a policy in place of the one that was said."""
    from oa_chat.assembly import Flags

    named = ("guard", "guard_family", "config")
    chosen = policy if policy is not None else _said(context, "policy")
    return Flags(**{name: _said(context, name) for name in named}, policy=chosen)
