"""Policy files: what they may hold, and errors that name file, line and nearest key."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.errors import SettingsError
from oa_chat.guards.taxonomy import CATEGORIES
from oa_chat.policies.file import parse_profile
from oa_chat.policies.shelf import SHIPPED, shipped, shipped_file
from oa_chat.policy import Action, CategoryRule
from oa_chat.verdict import Severity

FILE = Path("mine.toml")
LEVELS = """name = "mine"

[levels]
casual = "pass"
possibly_needs_caution = "nudge"
probably_needs_caution = "nudge"
needs_caution = "confirm"
needs_intervention = "block"
"""


def refused(more: str, text: str = LEVELS) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse_profile(text + more, FILE)
    return caught.value


def test_the_least_that_a_file_says() -> None:
    policy = parse_profile(LEVELS, FILE).policy
    assert policy.name == "mine"
    assert [action.value for action in policy.actions] == [
        *("pass", "nudge", "nudge", "confirm", "block")
    ]
    assert policy.categories == {}
    assert policy.languages.known is None
    assert policy.languages.unknown is Action.NUDGE


def test_everything_that_a_file_can_say() -> None:
    more = """
[categories.self_harm]
action = "help"

[categories.hacking]
action = "block"
minimum = "needs_caution"
rule = "Only open what is yours."

[phrases]
allow = ["kill the process"]
deny = ["Project Raven"]

[languages]
known = ["en", "de"]
unknown = "pass-with-mark"
rule = "Take care."

[persona]
system_prompt = "You are a patient teacher."
model = "starter"

[persona.sampling]
temperature = 0.2

[guard]
judge = "embedded"

[replies]
mode = "strict"
"""
    profile = parse_profile(
        LEVELS.replace('"mine"', '"mine"\ndescription = "For us."') + more, FILE
    )
    policy = profile.policy
    assert policy.description == "For us."
    assert policy.categories == {
        "hacking": CategoryRule(Action.BLOCK, Severity.CAUTION, "Only open what is yours."),
        "self_harm": CategoryRule(None),
    }
    assert policy.allow.written == ("kill the process",)
    assert policy.deny.written == ("Project Raven",)
    assert policy.languages.known == ("en", "de")
    assert policy.languages.unknown is Action.PASS
    assert policy.replies == "strict"
    assert profile.file.persona.sampling.temperature == 0.2
    assert profile.file.guard.judge == "embedded"


@pytest.mark.parametrize(
    ("more", "line", "said", "hint"),
    [
        ('\n[person]\nmodel = "x"\n', 10, "person", "Did you mean persona?"),
        ('\n[categories.slef_harm]\naction = "help"\n', 10, "slef_harm", "categories.self_harm?"),
        ('\n[categories.abuse]\nacton = "help"\n', 11, "acton", "categories.abuse.action?"),
        ('\n[categories.abuse]\naction = "halp"\n', 11, "categories.abuse.action", "block, help"),
        ("\n[categories.abuse]\nrule = 'x'\n", 10, "action", ""),
        ('\n[categories.abuse]\naction="pass"\nminimum="high"\n', 12, "minimum", "needs_caution"),
        ('\n[phrases]\nalow = ["x"]\n', 11, "alow", "phrases.allow?"),
        ('\n[phrases]\nallow = "x"\n', 11, "phrases.allow", ""),
        ('\n[phrases]\ndeny = ["..."]\n', 11, "no word", "at least one word"),
        ('\n[phrases]\ndeny = ["a\\u001b[31mb"]\n', 11, "phrases.deny", "control characters"),
        ('\n[phrases]\ndeny = ["a\\u202eb"]\n', 11, "phrases.deny", "do not show"),
        ('\n[languages]\nknown = ["english"]\n', 11, "language code", "from guard"),
        ('\n[languages]\nknown = "guard"\n', 11, "languages.known", "from guard"),
        ('\n[languages]\nunknown = "pass"\n', 11, "languages.unknown", "pass-with-mark"),
        ('\n[guard]\njudge = "none"\n', 11, "needs a guard", "--guard none"),
        ('\n[replies]\nmode = "never"\n', 11, "replies.mode", ""),
        ("\n[languages]\nrule = '''a\nb'''\n", 11, "languages.rule", "line breaks"),
    ],
)
def test_a_mistake_names_its_line_and_what_was_meant(
    more: str, line: int, said: str, hint: str
) -> None:
    error = refused(more)
    assert f"mine.toml, line {line}:" in error.message
    assert said in error.message
    assert hint in error.hint


def test_a_level_that_is_left_out_is_no_pass() -> None:
    error = refused("", LEVELS.replace('needs_intervention = "block"\n', ""))
    assert "needs_intervention" in error.message
    assert "mine.toml, line 3" in error.message
    assert "hold" not in error.hint


def test_a_level_cannot_be_held() -> None:
    error = refused("", LEVELS.replace('"confirm"', '"hold"'))
    assert "line 7: levels.needs_caution" in error.message


def test_a_name_cannot_draw_on_the_screen() -> None:
    for name in ("a\\u001b[2Jb", "a\\nb", "x" * 41, "  "):
        assert "name" in refused("", LEVELS.replace('"mine"', f'"{name}"')).message


def test_a_prompt_may_have_lines_but_nothing_hidden() -> None:
    more = "\n[persona]\nsystem_prompt = '''You teach.\nBe brief.'''\n"
    assert parse_profile(LEVELS + more, FILE).file.persona.system_prompt == "You teach.\nBe brief."
    hidden = '\n[persona]\nsystem_prompt = "a\\U000e0041b"\n'
    assert "persona.system_prompt" in refused(hidden).message


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 50_000, "[" * 50_000, "a" + ".a" * 500 + " = 1"],
    ids=["lists", "headers", "dots"],
)
def test_a_hostile_file_is_an_error_and_no_crash(text: str) -> None:
    assert "mine.toml" in refused("", text).message


def test_broken_toml_names_the_line() -> None:
    assert "line 9" in refused("name = \n").message


@pytest.mark.parametrize("name", sorted(CATEGORIES))
def test_every_category_can_be_named(name: str) -> None:
    more = f'\n[categories.{name}]\naction = "confirm"\n'
    assert parse_profile(LEVELS + more, FILE).policy.categories[name].action is Action.CONFIRM


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_policies_are_files(name: str) -> None:
    path = shipped_file(f"{name}.toml")
    policy = parse_profile(path.read_text(encoding="utf-8"), path).policy
    assert policy.name == name
    assert policy.actions == shipped()[name].actions
    assert policy.description
    assert policy.categories["self_harm"].action is None


@given(st.text(max_size=300))
def test_any_text_is_a_policy_or_a_told_error(text: str) -> None:
    try:
        profile = parse_profile(text, FILE)
    except SettingsError:
        return
    assert profile.policy.name


def test_the_documents_example_is_a_policy() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    (text,) = [block for block in blocks if block.startswith('name = "')]
    profile = parse_profile(text, Path("docs/policy.md"))
    assert profile.policy.categories
    assert profile.policy.allow.written
    assert profile.policy.deny.written


@pytest.mark.parametrize("key", ["a", '"a"', "'a b'"])
def test_a_key_without_end_is_refused_at_once(key: str) -> None:
    text = f"{LEVELS}\n{'.'.join([key] * 50_000)} = 1\n"
    began = time.perf_counter()
    with pytest.raises(SettingsError, match="nested too deeply"):
        parse_profile(text, Path("mine.toml"))
    assert time.perf_counter() - began < 5
