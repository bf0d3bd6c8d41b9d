"""The Jinja environment in which chat templates from model files run.

A template is code from a stranger's file. It gets what `transformers` gives it and nothing more:
no attributes of Python objects, no mutation, no long ranges, no giant products. What remains
possible is to run for ever, so templates are rendered in the child process alone, under the
parent's time limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST_TEMPLATE = 1_000_000
"""Characters; the largest known templates have 30,000."""
LARGEST_PROMPT = 20_000_000
"""Characters of a rendered prompt."""
LARGEST_PRODUCT = 1_000_000
"""Items of a repeated string or list, and the largest exponent's result in bits."""


class TemplateRefuses(Exception):
    """The template itself called ``raise_exception``, such as for a role it does not know."""


class _Generation(Extension):
    """``{% generation %}`` marks the assistant's words for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - as in jinja2's own extensions

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "+"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for text, count in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(count, int):
                    _check_size(len(text) * count)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_size(left.bit_length() * right)
        elif operator == "+" and isinstance(left, str) and isinstance(right, str):
            _check_size((len(left) + len(right)) * LARGEST_PRODUCT // LARGEST_PROMPT)
        return super().call_binop(context, operator, left, right)


def _check_size(size: int) -> None:
    if size > LARGEST_PRODUCT:
        raise SecurityError("the template builds something far too large")


def compile_template(source: str) -> jinja2.Template:
    """Compile a chat template. Raises `jinja2.TemplateError` or `RecursionError` for bad ones."""
    if len(source) > LARGEST_TEMPLATE:
        raise jinja2.TemplateSyntaxError("the template is too long", 1)
    sandbox = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    now = datetime.now().astimezone()  # frozen: a prompt must not change from turn to turn
    sandbox.globals.pop("lipsum")  # random text would change the prompt, too
    sandbox.globals["raise_exception"] = _refuse
    sandbox.globals["strftime_now"] = now.strftime
    sandbox.filters["tojson"] = _tojson
    return sandbox.from_string(source)


def render_template(template: jinja2.Template, variables: Mapping[str, Any]) -> str:
    """Render, up to `LARGEST_PROMPT` characters.

    Raises `TemplateRefuses`, or anything else that code can raise.
    """
    parts: list[str] = []
    size = 0
    for part in template.generate(variables):
        size += len(part)
        if size > LARGEST_PROMPT:
            raise SecurityError("the template writes far too much")
        parts.append(part)
    return "".join(parts)


def _refuse(message: object) -> None:
    raise TemplateRefuses(str(message)[:200])


def _tojson(value: object, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
