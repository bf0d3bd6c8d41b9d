"""Which family a file is of: each is known by its own signs, and a chat model is no guard."""

from __future__ import annotations

from pathlib import Path

import pytest

from oa_chat.engine.gguf_header import GgufHeader, read_header
from oa_chat.errors import WrongModelKind
from oa_chat.guards.granite_guardian import GraniteGuardian
from oa_chat.guards.registry import FAMILIES, identify
from tests.engine.surgery import tiny

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
GRANITE_3 = "{% set risk_bank = {} %}{{ guardian_config['risk_name'] }}" + CHATML
GRANITE_33 = "{% set criteria_bank = {} %}{{ guardian_config['criteria_id'] }}" + CHATML
XGUARD = "{% if reason_first %}{% endif %}{{ policy }}" + CHATML
NEMO = 'Output JSON: {"User Safety": , "Safety Categories": }' + CHATML
FILES: list[tuple[str, str, str, str]] = [
    ("granite-guardian", "granite", "Granite Guardian 3.1 2b", GRANITE_3),
    ("granite-guardian", "granitemoe", "Granite Guardian 3.2 3b A800M", GRANITE_3),
    ("granite-guardian", "granite", "model", GRANITE_3),
    ("granite-guardian", "granite", "Granite Guardian 3.3 8b", GRANITE_33),
    ("granite-guardian", "granite", "Granite Guardian 4.1 8b", CHATML),
    ("granite-guardian", "granite", "granite-guardian-4.1-8b", ""),
    ("xguard", "qwen3", "YuFeng XGuard Reason 0.6B", XGUARD),
    ("xguard", "qwen3", "model", XGUARD),
    ("xguard", "qwen3", "YuFeng-XGuard-Reason-8B", CHATML),
    ("wildguard", "llama", "Wildguard", ""),
    ("wildguard", "llama", "allenai_wildguard", CHATML),
    ("polyguard", "qwen2", "PolyGuard Qwen Smol", CHATML),
    ("polyguard", "llama", "PolyGuard-Ministral", CHATML),
    ("nemoguard", "llama", "Llama 3.1 Nemoguard 8b Content Safety", CHATML),
    ("nemoguard", "llama", "Llama-3.1-Nemotron-Safety-Guard-8B-v3", CHATML),
    ("nemoguard", "llama", "model", NEMO),
    ("gpt-oss-safeguard", "gpt-oss", "Gpt Oss Safeguard 20b", CHATML),
]
CHAT_MODELS = [
    ("llama", "Meta Llama 3.1 8B Instruct"),
    ("qwen3", "Qwen3 0.6B"),
    ("gemma2", "Gemma 2 2b It"),
    ("granite", "Granite 3.3 8b Instruct"),
    ("gpt-oss", "Gpt Oss 20b"),
    ("llama", "Llama 3.1 Nemotron 8B"),
    ("llama", "Llama 3.1 NemoGuard 8B Topic Control"),
    ("gemma3", "Nemotron Content Safety Reasoning 4B"),
    ("llama", "Guardian of the Forest"),
    ("llama", "x-guard"),
]


def header(path: Path, architecture: str, name: str, template: str) -> GgufHeader:
    keys = {"tokenizer__chat_template": template} if template else {}
    return read_header(tiny(path, architecture, general__basename=name, **keys))


@pytest.mark.parametrize(("family", "architecture", "name", "template"), FILES)
def test_each_family_is_known_by_itself_and_by_no_other(
    tmp_path: Path, family: str, architecture: str, name: str, template: str
) -> None:
    found = header(tmp_path / "guard.gguf", architecture, name, template)
    sure = {
        key: hit.confidence
        for key, test in FAMILIES.items()
        if (hit := test(found)) is not None and hit.confidence >= 0.5
    }
    assert list(sure) == [family]
    assert sure[family] >= 0.9
    chosen = identify(found.path)
    assert chosen.family.name == family
    assert chosen.why


@pytest.mark.parametrize(("architecture", "name"), CHAT_MODELS)
def test_an_ordinary_chat_model_is_no_guard(tmp_path: Path, architecture: str, name: str) -> None:
    found = header(tmp_path / "chat.gguf", architecture, name, CHATML)
    with pytest.raises(WrongModelKind, match="not a guard"):
        identify(found.path)


@pytest.mark.parametrize(
    ("template", "dialect"), [(GRANITE_3, "yes-no"), (GRANITE_33, "score"), (CHATML, "block")]
)
def test_granites_dialect_is_in_the_template(tmp_path: Path, template: str, dialect: str) -> None:
    found = header(tmp_path / "guard.gguf", "granite", "granite-guardian-4.1-8b", template)
    assert identify(found.path).family == GraniteGuardian(dialect)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "family", [name for name in FAMILIES if name not in ("classifier", "open-assistant")]
)
def test_a_family_can_be_named_for_any_model_that_writes(tmp_path: Path, family: str) -> None:
    found = header(tmp_path / "mine.gguf", "llama", "my own", CHATML)
    assert identify(found.path, wanted=family).family.name == family


def test_a_model_that_cannot_write_is_of_no_such_family(tmp_path: Path) -> None:
    path = tmp_path / "bert.gguf"
    tiny(path, "bert", general__basename="wildguard polyguard nemoguard")
    with pytest.raises(WrongModelKind):
        identify(path)
    with pytest.raises(WrongModelKind, match="cannot be a guard of the family 'wildguard'"):
        identify(path, wanted="wildguard")


def test_thinking_is_only_for_the_dialects_that_can(tmp_path: Path) -> None:
    old = header(tmp_path / "old.gguf", "granite", "granite-guardian-3.1", GRANITE_3)
    with pytest.raises(WrongModelKind):
        identify(old.path, wanted="granite-guardian-think")
    new = header(tmp_path / "new.gguf", "granite", "granite-guardian-3.3", GRANITE_33)
    chosen = identify(new.path, wanted="granite-guardian-think")
    assert chosen.family == GraniteGuardian("score", thinks=True)
