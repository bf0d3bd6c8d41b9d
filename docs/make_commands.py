"""Writes `docs/commands.md` from the program's own help, so that the two cannot drift.

    python docs/make_commands.py

`tests/test_docs.py` fails while the page is not what this prints.
"""

from __future__ import annotations

from pathlib import Path

import click

from oa_chat.cli import main

PAGE = Path(__file__).with_name("commands.md")

_HEAD = """# Commands

This page is written by `python docs/make_commands.py` from the program's own help.

Options can stand before or after the name of a command. Replies and results go to standard output,
everything else to standard error. `OA_CHAT_MODEL`, `OA_CHAT_GUARD`, `OA_CHAT_POLICY`,
`OA_CHAT_CONFIG` and `OA_CHAT_DATA_DIR` say the same as the flags of that name. A flag beats the
environment, and the environment beats the [settings file](settings.md).
"""

_EXIT_CODES = """## Exit codes

| code | meaning |
|---|---|
| 0 | fine; a flag is not an error |
| 1 | some lines could not be read, or an error of no other kind |
| 2 | wrong usage |
| 3 | the settings, rules or policy |
| 4 | a model file |
| 5 | an engine |
| 6 | the guard gave no verdict |
| 7 | the stored conversations |
| 8 | not sent: blocked, or nobody confirmed; or the reply was flagged twice |
| 9 | a command of the pipeline: a recipe, data, a server, a training, a conversion |
| 70 | a bug |
| 130 | interrupted |
| 141 | the reader of the output went away |

## JSON

`oa-chat check --jsonl` reads lines such as

    {"text": "...", "context": [{"role": "user", "content": "..."}]}

and writes one line for each, in order: `text`, `label` (ProsocialDialog's name), `severity` (0 to
4), `probabilities` (five, by label), `rule`, `categories`, `action`, `reason` (which policy
decided, and what decided), `guideline` (what would be sent along), `guard`, `language` (a code of
two letters, or null), `language_known` (whether the guard knows it), `latency_ms`. If the guard
gave no verdict, `label` and `severity` are null and `failure` says why. Lines that cannot be read
are named on standard error with their number; the exit code is then 1.

`oa-chat ask --json` writes one object: `text`, `model`, `guard`, `verdict` (the fields above, or
null without a guard), `reply`, `sent` (exactly what went to the model, or null), `stop_reason`,
`reply_verdict`, `withdrawn`, `timing`, and `error` if there was one.
"""


def page() -> str:
    """The page as it should be."""
    parts = [_HEAD]
    root = click.Context(main, info_name="oa-chat", terminal_width=96, **main.context_settings)
    parts.append(_section("oa-chat", main.get_help(root)))
    parts += _sections(main, root)
    return "\n".join([*parts, _EXIT_CODES])


def _sections(group: click.Group, above: click.Context) -> list[str]:
    """A section for each command of a group, and for the commands of those that are groups."""
    parts: list[str] = []
    for name in group.list_commands(above):
        command = group.get_command(above, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=above, terminal_width=96)
        parts.append(_section(context.command_path, command.get_help(context)))
        if isinstance(command, click.Group):
            parts += _sections(command, context)
    return parts


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
