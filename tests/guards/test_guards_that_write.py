"""Guards that write text, whole: a real model file, its own process, and a verdict or none.

The models are random, so their answers are noise that a grammar keeps in the family's form. What
counts is the path: detection, template, grammar, decisive place, probabilities, reading, rule.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Output
from oa_chat.guards.authors import RulebookAuthor
from oa_chat.guards.family import Identified, RawAnswer, Reading
from oa_chat.guards.guard import LocalGuard
from oa_chat.guards.registry import identify
from oa_chat.rulebook import Rulebook
from oa_chat.verdict import Verdict
from tests.guards.test_identify import GRANITE_33, NEMO, XGUARD
from tests.models.tiny_llama import write_llama_gguf

TURNS = (
    "{% for m in messages %}{{ '<|role|>' + m.role + '\\n' + m.content + '<|eot|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|role|>assistant\\n' }}{% endif %}"
)
GRANITE_3 = (
    "{% set risk_bank = {'harm': 'H'} %}"
    "{{ '<|role|>user\\n' + messages[-1].content + risk_bank[guardian_config['risk_name']] }}"
    "{% if messages|length == 2 %}{{ messages[0].content }}{% endif %}{{ '<|eot|>' }}"
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

    def read(self, answer: RawAnswer) -> Reading:
        self.answers.append(answer)
        return self.family.read(answer)


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


def form_of(path: Path, verdict: Verdict) -> Reading:
    """What the family reads in the answer's text alone."""
    return identify(path).family.read(Output(verdict.raw, None, finished=True))


def model(folder: Path, family: str, seed: int = 1, template: str | None = None) -> Path:
    name, own = FILES[family]
    shown = own if template is None else template
    path = folder / f"{family}-{seed}.gguf"
    return write_llama_gguf(path, name=name, template=shown, controls=HARMONY, seed=seed)


@pytest.mark.parametrize("family", list(FILES)[:-1])
async def test_a_grammar_keeps_a_guard_in_its_form(tmp_path: Path, family: str) -> None:
    """Noise in, an answer of the form out; too improbable to be one, so never a pass."""
    path = model(tmp_path, family)
    assert identify(path).family.name == family
    for verdict, answers in await judged(path, PAIR[:1], PAIR):
        assert not verdict.readable
        assert verdict.failure == "the guard is not sure that its answer is a verdict at all"
        assert form_of(path, verdict).severity is not None, verdict.raw
        (answer,) = answers
        assert isinstance(answer, Output)
        assert answer.probabilities is not None
        assert len(answer.probabilities) == (29 if family == "xguard" else 2)


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
    for verdict, _ in await judged(path, PAIR[:1], PAIR):
        assert form_of(path, verdict).severity is not None, verdict.raw


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
