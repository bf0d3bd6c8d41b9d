"""Guards that write text: their published answers are read, and nothing else is a verdict.

The answers are in `answers/`, a file a family: the makers' forms with sentences of our own, and
hostile ones. A new family needs a file there and its safe form in `SAFE`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.engine.protocol import Output, Window
from oa_chat.guards import registry
from oa_chat.guards.answers import RULE_LENGTH, explained
from oa_chat.guards.family import GuardFamily
from oa_chat.guards.gpt_oss_safeguard import GptOssSafeguard
from oa_chat.guards.granite_guardian import GraniteGuardian
from oa_chat.guards.llama_guard import LlamaGuard
from oa_chat.guards.nemoguard import NemoGuard
from oa_chat.guards.polyguard import PolyGuard
from oa_chat.guards.qwen3guard import Qwen3Guard
from oa_chat.guards.taxonomy import CATEGORIES, LISTS
from oa_chat.guards.wildguard import WildGuard
from oa_chat.guards.xguard import XGuard
from oa_chat.verdict import Severity, Subject

FAMILIES: dict[str, GuardFamily] = {
    "llama-guard": LlamaGuard(),
    "qwen3guard": Qwen3Guard(),
    "granite-guardian": GraniteGuardian("score"),
    "xguard": XGuard(),
    "wildguard": WildGuard(),
    "polyguard": PolyGuard(),
    "nemoguard": NemoGuard(),
    "gpt-oss-safeguard": GptOssSafeguard(),
}
_THOUGHT = r"(<think>[^<]*</think>)?"
SAFE: dict[str, str] = {
    "llama-guard": r"safe",
    "qwen3guard": (rf"{_THOUGHT}\s*Safety: Safe(\nCategories: None(\nRefusal: (Yes|No))?)?"),
    "granite-guardian": (
        r"No(\s*<confidence>\s*High\s*</confidence>)?"
        rf"|{_THOUGHT}\s*<score>\s*no\s*</score>"
    ),
    "xguard": r"sec(\s*<explanation>[^<]*</explanation>|\s*<explanation>)?",
    "wildguard": r"Harmful request: no(\nResponse refusal: \S+\nHarmful response: (n/a|N/A|no))?",
    "polyguard": (
        r"Harmful request: no\nRequest safety violations: None"
        r"(\nResponse refusal: no\nHarmful response: no\nResponse safety violations: .*)?"
    ),
    "nemoguard": r'\{\s*"User Safety"\s*:\s*"safe"\s*(,\s*"Response Safety"\s*:\s*"safe"\s*)?\}'
    r'|\{\s*"Response Safety"\s*:\s*"safe"\s*,\s*"User Safety"\s*:\s*"safe"\s*\}',
    "gpt-oss-safeguard": r"(?s:<\|channel\|>.*)?<\|channel\|>final<\|message\|>(?s:.*\n)?SAFE\s*",
}
"""What a family may call safe of a message, written down once more and more loosely than in the
family itself: whatever is none of these must not pass."""
SAFE_REPLY: dict[str, str] = SAFE | {
    "wildguard": r"Harmful request: (yes|no)\nResponse refusal: \S+\nHarmful response: no",
    "polyguard": (
        r"Harmful request: (yes|no)\nRequest safety violations: (None|S[\dS, ]+)"
        r"\nResponse refusal: (yes|no)\nHarmful response: no\nResponse safety violations: None"
    ),
    "nemoguard": (
        r'(?=.*"Response Safety"\s*:\s*"safe")\{\s*("(User|Response) Safety"\s*:\s*"(un)?safe"'
        r'|"Safety Categories"\s*:\s*"[^"]*"|\s*,\s*)+\}'
    ),
}
"""The same of a reply."""
SUBJECTS: tuple[Subject, ...] = get_args(Subject)


def golden() -> list[Any]:
    folder = Path(__file__).parent / "answers"
    return [
        pytest.param(family, row, id=f"{family}: {row['about']}")
        for family in FAMILIES
        for row in json.loads((folder / f"{family}.json").read_text(encoding="utf-8"))
    ]


def probabilities(row: dict[str, Any]) -> list[float] | None:
    if "choices" not in row:
        return row.get("probabilities")
    codes = ["sec", *(listed.code for listed in LISTS["xguard"])]
    return [row["choices"].get(code, 0.0) for code in codes]


@pytest.mark.parametrize(("name", "row"), golden())
def test_published_answers_are_read_and_hostile_ones_are_not(
    name: str, row: dict[str, Any]
) -> None:
    output = Output(row["text"], probabilities(row), finished=row.get("finished", True))
    reading = FAMILIES[name].read(output, row.get("subject", "message"))
    assert reading.severity == row["severity"]
    assert list(reading.categories) == row.get("categories", [])
    assert reading.rule == row.get("rule", "")
    assert reading.raw == row["text"]
    assert bool(reading.failure) is (reading.severity is None)
    if "row" in row:
        assert reading.probabilities == pytest.approx(row["row"], abs=1e-3)


def test_every_family_that_writes_text_is_tested_here() -> None:
    """ShieldGemma answers several questions: tests/guards/test_causal_guards.py."""
    others = {"classifier", "open-assistant", "shieldgemma", "granite-guardian-think"}
    assert set(FAMILIES) == set(SAFE) == set(registry.FAMILIES) - others


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_scores_or_several_answers_are_no_verdict(family: GuardFamily) -> None:
    assert family.read([Window([1.0, 0.0, 0.0, 0.0, 0.0])]).severity is None
    assert family.read((Output("No", None, True), Output("sec", None, True))).severity is None


FRAGMENTS = st.sampled_from(
    sorted({piece for param in golden() for piece in re.split(r"(\W)", param.values[1]["text"])})
)
TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(FRAGMENTS, st.text(max_size=3)), max_size=24).map("".join),
    st.tuples(st.text(max_size=4), st.sampled_from(golden()), st.text(max_size=4)).map(
        lambda parts: parts[0] + parts[1].values[1]["text"] + parts[2]
    ),
)


@pytest.mark.parametrize("name", FAMILIES)
@given(text=TEXTS, subject=st.sampled_from(SUBJECTS))
def test_no_text_passes_unless_it_is_an_allowed_form(
    name: str, text: str, subject: Subject
) -> None:
    reading = FAMILIES[name].read(Output(text, None, finished=True), subject)
    if reading.severity is Severity.CASUAL:
        form = (SAFE_REPLY if subject == "reply" else SAFE)[name]
        assert re.fullmatch(form, text.strip().removesuffix("<|return|>"), re.DOTALL)
    assert (reading.severity is None) is bool(reading.failure)
    assert set(reading.categories) <= CATEGORIES


@pytest.mark.parametrize("name", FAMILIES)
@given(
    param=st.sampled_from([one for one in golden() if one.values[1]["severity"] == 0]),
    before=st.text(min_size=1).filter(lambda text: bool(text.strip())),
    after=st.text(min_size=1).filter(lambda text: bool(text.strip())),
    subject=st.sampled_from(SUBJECTS),
)
def test_a_safe_answer_with_text_around_it_is_no_pass(
    name: str, param: Any, before: str, after: str, subject: Subject
) -> None:
    if param.values[0] != name:
        return
    text = param.values[1]["text"].strip()
    for spoilt in (before + text, text.removesuffix("<|return|>") + after):
        reading = FAMILIES[name].read(Output(spoilt, None, True), subject)
        assert reading.severity is not Severity.CASUAL


@given(st.text(), st.booleans())
def test_an_explanation_is_one_bounded_line_without_marks(text: str, last: bool) -> None:
    rule = explained(text, last=last)
    assert len(rule) <= RULE_LENGTH
    assert not set("[]<>|\n\r\t\x00\x1b") & set(rule)


def test_explanations_keep_whole_sentences() -> None:
    text = "First things first. " + "This one is about hats. " * 20 + "At last it ends."
    assert explained(text).startswith("First things first. This one")
    assert explained(text).endswith("hats.")
    assert explained(text, last=True).endswith("hats. At last it ends.")
    assert explained("word " * 100).endswith("word…")
    assert explained("<|im_end|></explanation>") == ""
    assert explained("a <|im_start|>system\nb") == "a system b"
