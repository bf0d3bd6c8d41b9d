"""Guards that write text, whole: a real model file, its own process, and a verdict or none.

Two kinds of tiny models: noise, which a grammar keeps in the family's form and which is never a
pass; and ones that find harm wherever there is a "!". What counts is the path: detection, template,
grammar, decisive place, probabilities, reading, rule.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Output
from oa_chat.guards.authors import RulebookAuthor
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.guard import LocalGuard
from oa_chat.guards.registry import identify
from oa_chat.rulebook import Rulebook
from oa_chat.verdict import Severity, Subject, Verdict
from tests.guards.test_identify import GRANITE_33, NEMO, XGUARD
from tests.models.deciding_llama import write_deciding_gguf

TURNS = (
    "{% for m in messages %}{{ '<|role|>' + m.role + '\\n' + m.content + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|role|>assistant\\n' }}{% endif %}"
)
GRANITE_3 = (
    "{% set risk_bank = {'harm': 'H'} %}"
    "{{ '<|role|>user\\n' + messages[-1].content + risk_bank[guardian_config['risk_name']] }}"
    "{% if messages|length == 2 %}{{ messages[0].content }}{% endif %}{{ '<|eot_id|>' }}"
)
PAIR = [Message("user", "how do I knit a hat?"), Message("assistant", "with needles")]
FILES = {
    "granite-guardian": ("granite-guardian-4.1-8b", TURNS),
    "xguard": ("YuFeng-XGuard-Reason-0.6B", XGUARD.split("{% for")[0] + TURNS),
    "wildguard": ("wildguard", ""),
    "polyguard": ("PolyGuard-Qwen-Smol", TURNS),
    "nemoguard": ("llama-3.1-nemoguard-8b-content-safety", NEMO.split("{% for")[0] + TURNS),
    "gpt-oss-safeguard": ("gpt-oss-safeguard-20b", TURNS),
}
HARMONY = ["<|start|>", "<|end|>", "<|channel|>", "<|message|>", "<|return|>", "<|role|>"]


class Kept:
    """A family that keeps what it was answered."""

    def __init__(self, found: Identified) -> None:
        self.family = found.family
        self.name, self.kind = found.family.name, found.family.kind
        self.writes_rules = found.family.writes_rules
        self.prompt = found.family.prompt
        self.answers: list[RawAnswer] = []

    def read(self, answer: RawAnswer, subject: Subject = "message") -> Reading:
        self.answers.append(answer)
        return self.family.read(answer, subject)


async def judged(
    path: Path, *conversations: list[Message], wanted: str = ""
) -> list[tuple[Verdict, list[RawAnswer]]]:
    """Each conversation's verdict, with all that was answered for it."""
    family = Kept(identify(path, wanted))
    guard = LocalGuard("tiny", Engine(path, "causal"), family, RulebookAuthor(Rulebook.load))
    found = []
    try:
        for messages in conversations:
            family.answers = []
            found.append((await guard.check(messages), family.answers))
    finally:
        await guard.close()
    return found


def form_of(path: Path, verdict: Verdict, subject: Subject) -> Reading:
    """What the family reads in the answer's text alone."""
    return identify(path).family.read(Output(verdict.raw, None, finished=True), subject)


def model(
    folder: Path,
    family: str,
    template: str | None = None,
    calm: Mapping[str, float] | None = None,
    alarmed: Mapping[str, float] | None = None,
) -> Path:
    """A file of the family; one that babbles unless it is said what the model prefers to write."""
    name, own = FILES[family]
    words = sorted({word for wanted in (calm, alarmed) for word in wanted or {} if len(word) > 1})
    noise = random.Random(family)
    return write_deciding_gguf(
        folder / "guard.gguf",
        name=name,
        template=own if template is None else template,
        calm=calm or {chr(byte): noise.uniform(0, 0.3) for byte in range(32, 127)},
        alarmed=alarmed or {},
        controls=["<|eot_id|>", *HARMONY],
        words=[word for word in words if not word.startswith("<|")],
    )


@pytest.mark.parametrize("family", list(FILES)[:-1])
async def test_a_grammar_keeps_a_guard_in_its_form(tmp_path: Path, family: str) -> None:
    """Noise in, an answer of the form out; too improbable to be one, so never a pass."""
    path = model(tmp_path, family)
    assert identify(path).family.name == family
    found = await judged(path, PAIR[:1], PAIR)
    for (verdict, answers), subject in zip(found, get_args(Subject), strict=True):
        assert not verdict.readable
        assert verdict.failure == "the guard is not sure that its answer is a verdict at all"
        assert form_of(path, verdict, subject).severity is not None, verdict.raw
        (answer,) = answers
        assert isinstance(answer, Output)
        assert answer.probabilities is not None
        assert len(answer.probabilities) == (29 if family == "xguard" else 2)


END = {"<|eot_id|>": 2.0}
DECIDING = [
    ("wildguard", {" no": 1.0}, {" yes": 3.0}, Severity.CAUTION, ()),
    ("polyguard", {" no": 1.0}, {" yes": 3.0, "S": 1.0, "1": 1.0, **END}, Severity.CAUTION, "v"),
    ("nemoguard", {"safe": 1.0}, {"unsafe": 3.0, "Violence": 1.0, '"': 1.5}, Severity.CAUTION, "v"),
    ("granite-guardian", {" no": 1.0}, {" yes": 3.0}, Severity.CAUTION, ()),
    ("xguard", {"sec": 1.0}, {"dw": 3.0}, Severity.CAUTION, "w"),
]
ABOUT = {"v": ("violence",), "w": ("weapons",)}


@pytest.mark.parametrize(
    ("family", "calm", "alarmed", "level", "about"), DECIDING, ids=[row[0] for row in DECIDING]
)
async def test_a_guard_that_decides_gives_a_verdict(
    tmp_path: Path,
    family: str,
    calm: Mapping[str, float],
    alarmed: Mapping[str, float],
    level: Severity,
    about: str,
) -> None:
    path = model(tmp_path, family, calm=calm, alarmed=alarmed)
    bad = [Message("user", "take that!")]
    asked = await judged(path, PAIR[:1], PAIR, bad, [*PAIR[:1], Message("assistant", "so!")])
    harmless, harmless_reply, harmful, harmful_reply = (verdict for verdict, _ in asked)
    for verdict in (harmless, harmless_reply):
        assert (verdict.severity, verdict.rule, verdict.failure) == (Severity.CASUAL, "", "")
        assert (verdict.certainty or 0) > 0.8
    for verdict in (harmful, harmful_reply):
        assert verdict.severity is level, verdict.raw
        assert (verdict.certainty or 0) > 0.8
        assert set(ABOUT.get(about, ())) <= set(verdict.categories)
        assert verdict.rule
        assert verdict.rule_source == ("model" if family == "xguard" else "general")


async def test_the_rulebook_says_what_a_guard_leaves_open(tmp_path: Path) -> None:
    """Needs Caution is no subject, so what the rulebook finds is."""
    alarmed = {"unsafe": 3.0, "Needs Caution": 1.0, '"': 1.5}
    path = model(tmp_path, "nemoguard", calm={"safe": 1.0}, alarmed=alarmed)
    ((verdict, _),) = await judged(path, [Message("user", "I kicked my dog!")])
    assert verdict.severity is Severity.PROBABLY, verdict.raw
    assert verdict.categories == ("animals",)
    assert verdict.rule_source == "rulebook"


async def test_granite_thinks_only_if_asked(tmp_path: Path) -> None:
    calm, alarmed = {" no": 1.0, "<": 0.9}, {" yes": 3.0, "<": 1.0}
    path = model(tmp_path, "granite-guardian", calm=calm, alarmed=alarmed)
    ((plain, _),) = await judged(path, [Message("user", "take that!")])
    assert (plain.severity, "<think>" in plain.raw) == (Severity.CAUTION, False)
    ((thinking, _),) = await judged(path, PAIR[:1], wanted="granite-guardian-think")
    assert thinking.raw.startswith("<think>")


async def test_a_babbling_safeguard_is_no_verdict(tmp_path: Path) -> None:
    path = model(tmp_path, "gpt-oss-safeguard")
    ((verdict, _),) = await judged(path, PAIR[:1], wanted="gpt-oss-safeguard")
    assert not verdict.readable
    assert verdict.raw.startswith("<|channel|>analysis<|message|>")


@pytest.mark.parametrize(
    "template", [GRANITE_3, GRANITE_33.split("{% for")[0] + TURNS], ids=["3.1", "3.3"]
)
async def test_granites_older_templates(tmp_path: Path, template: str) -> None:
    path = model(tmp_path, "granite-guardian", template=template)
    found = await judged(path, PAIR[:1], PAIR)
    for (verdict, _), subject in zip(found, get_args(Subject), strict=True):
        assert form_of(path, verdict, subject).severity is not None, verdict.raw


async def test_a_message_that_is_too_long_is_judged_in_windows(tmp_path: Path) -> None:
    long = [Message("user", "knitting hats is a fine thing. " * 400)]
    ((verdict, answers),) = await judged(model(tmp_path, "wildguard"), long)
    assert len(answers) > 1
    assert not verdict.readable


async def test_a_template_that_refuses_is_no_pass(tmp_path: Path) -> None:
    path = model(tmp_path, "polyguard", template="{{ raise_exception('no') }}")
    ((verdict, answers),) = await judged(path, PAIR[:1])
    assert answers == []
    assert not verdict.readable
    assert "template" in verdict.failure
