"""What `policy check` finds: contradictions, weak levels, and models that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from oa_chat.catalog import GUARD, STARTER, embedded_path
from oa_chat.policies.checks import Finding, findings
from oa_chat.policies.file import parse_profile
from oa_chat.policies.shelf import SHIPPED, Shelf
from tests.policies.test_policy_file import LEVELS


def found(more: str, text: str = LEVELS, folder: Path = Path()) -> list[Finding]:
    return findings(parse_profile(text + more, folder / "mine.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_is_wrong_with_what_ships(name: str) -> None:
    assert findings(Shelf().load(name)) == []


def test_nothing_is_wrong_with_a_sane_file() -> None:
    assert found('\n[categories.self_harm]\naction = "help"\n[guard]\njudge = "embedded"\n') == []


def test_a_phrase_on_both_lists() -> None:
    (finding,) = found('\n[phrases]\nallow = ["Kill  it"]\ndeny = ["other", "kill it"]\n')
    assert finding.grade == "error"
    assert finding.where == "mine.toml, line 11: phrases.allow"
    assert "“Kill  it” is allowed and denied" in finding.message


def test_an_allowed_phrase_that_holds_a_denied_one() -> None:
    (finding,) = found('\n[phrases]\nallow = ["kill the process"]\ndeny = ["kill"]\n')
    assert finding.grade == "warning"
    assert "“kill” in it is denied" in finding.message


def test_a_level_weaker_than_a_lower_one() -> None:
    (finding,) = found("", LEVELS.replace('needs_caution = "confirm"', 'needs_caution = "pass"'))
    assert finding.grade == "warning"
    assert finding.where == "mine.toml, line 7: levels.needs_caution"
    assert "weaker than nudge" in finding.message


def test_intervention_that_passes() -> None:
    messages = [one.message for one in found("", LEVELS.replace('"block"', '"pass"'))]
    assert any("need intervention go as typed" in message for message in messages)


def test_a_category_that_softens() -> None:
    text = '\n[categories.violence]\naction = "nudge"\n'
    not_counting, weaker = found(text)
    assert "does not count at needs_intervention" in not_counting.message
    assert "weaker than what needs_caution gets" in weaker.message
    assert {not_counting.grade, weaker.grade} == {"warning"}


def test_help_without_lines_and_a_rule_that_is_never_sent() -> None:
    helpless, silent = found(
        '\n[categories.hacking]\naction = "help"\n'
        '[categories.jailbreak]\naction = "block"\nrule = "Be kind."\n'
    )
    assert "no help lines about hacking" in helpless.message
    assert silent.where == "mine.toml, line 14: categories.jailbreak.rule"


def test_a_guard_that_is_missing_or_none(tmp_path: Path) -> None:
    (missing,) = found('\n[guard]\nsecond = "nowhere.gguf"\n', folder=tmp_path)
    assert "guard.second" in missing.where
    assert missing.grade == "error"
    assert str(tmp_path / "nowhere.gguf") in missing.message
    starter = embedded_path(STARTER)
    (no_guard,) = found(f"\n[guard]\njudge = '{starter}'\n")
    assert no_guard.grade == "error"
    assert "not a guard" in no_guard.message


def test_a_persona_whose_model_cannot_chat() -> None:
    (finding,) = found(f"\n[persona]\nmodel = '{embedded_path(GUARD)}'\n")
    assert finding.grade == "error"
    assert finding.where == "mine.toml, line 11: persona.model"
