"""Tables of examples: strictly read, judged together, told apart by what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from oa_chat.errors import SettingsError
from oa_chat.policies.examples import Example, outcomes, read_examples
from oa_chat.policies.shelf import SHIPPED, shipped, shipped_file
from oa_chat.verdict import Severity, unreadable
from tests.scripted import ScriptedGuard, verdict


def refused(folder: Path, text: str, name: str = "table.toml") -> SettingsError:
    (folder / name).write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_examples(folder / name)
    return caught.value


def test_toml_and_json_lines_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[[example]]\ntext = "hi"\naction = "pass"\nlevel = "casual"\n'
        'context = [{ role = "user", content = "hello" }]\n'
    )
    (tmp_path / "a.jsonl").write_text(
        '{"text": "hi", "action": "pass", "level": "casual",'
        ' "context": [{"role": "user", "content": "hello"}]}\n\n'
    )
    (example,) = read_examples(tmp_path / "a.toml")
    assert read_examples(tmp_path / "a.jsonl") == [example]
    assert [(message.role, message.text) for message in example.messages()] == [
        ("user", "hello"),
        ("user", "hi"),
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_shipped_policy_has_examples(name: str) -> None:
    examples = read_examples(shipped_file(f"{name}.examples.toml"))
    assert {"pass", "nudge", "help"} & {example.action for example in examples}
    assert len(examples) >= 10


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ('[[example]]\ntext = "a"\nacton = "pass"\n', "line 1:", "Did you mean action?"),
        (
            '[[example]]\ntext = "a"\naction = "pass"\n\n[[example]]\ntext = 3\naction = "pass"\n',
            "line 5: text",
            "",
        ),
        ('[[example]]\ntext = "a"\naction = "halt"\n', "line 1: action", ""),
        ('[[example]]\ntext = "a"\n', "expects nothing", "action, level or category"),
        ('[[example]]\ntext = "a"\ncategory = "hakcing"\n', "hakcing", "Did you mean hacking?"),
        ("[[exmple]]\n", "exmple", "Did you mean example?"),
        ("", "no examples", ""),
        ("example = 3\n", "example", ""),
        ("[[example]\n", "not valid TOML", ""),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, said: str, hint: str) -> None:
    error = refused(tmp_path, text)
    assert said in error.message
    assert hint in error.hint


def test_a_json_line_that_is_none(tmp_path: Path) -> None:
    assert (
        "line 2: this is no JSON"
        in refused(tmp_path, '{"text": "a", "action": "pass"}\n{"text"\n', "t.jsonl").message
    )
    assert "t.jsonl, line 1" in refused(tmp_path, "[1, 2]\n", "t.jsonl").message


async def test_outcomes_say_what_is_not_as_expected() -> None:
    guard = ScriptedGuard(
        verdicts=[
            verdict(Severity.CAUTION),
            verdict(Severity.CASUAL),
            verdict(Severity.INTERVENTION),
            unreadable("scripted guard", "it died"),
        ]
    )
    examples = [
        Example(text="one", action="confirm", level="needs_caution"),
        Example(text="two", action="confirm", level="needs_caution", category="hacking"),
        Example(text="three", action="help"),
        Example(text="four", action="pass"),
    ]
    fine, wrong, helped, failed = await outcomes(guard, shipped()["strict"], examples)
    assert fine.problems == ()
    assert wrong.problems == (
        "action: expected confirm, got pass",
        "level: expected needs_caution, got casual",
        "category: expected hacking, got none",
    )
    assert helped.problems == ()
    assert failed.problems == ("action: expected pass, got hold",)
    assert failed.decision.reason == "it died"


async def test_help_that_is_not_shown_is_a_failure() -> None:
    (outcome,) = await outcomes(
        ScriptedGuard(), shipped()["strict"], [Example(text="hi", action="help")]
    )
    assert outcome.problems == ("action: expected help, got pass without help lines",)
