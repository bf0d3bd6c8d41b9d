"""One list of what a message can be about, and every guard's published list mapped to it.

Our names are the rulebook's (`oa_chat.rulebook.CATEGORIES`), so that a policy, a rule and any guard
speak of the same thing. A code that nobody published is "other": text of a model never becomes a
name of ours. This module knows names alone; what a guard writes is read in its own file.

The lists are facts from the sources named in `SOURCES`; docs/guard-families.md shows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from oa_chat.rulebook import CATEGORIES as CATEGORIES  # noqa: PLC0414 - the names, for callers
from oa_chat.verdict import Severity

OTHER = "other"

_INTERVENTION = frozenset({"self_harm", "minors", "abuse"})


@dataclass(frozen=True, slots=True)
class Listed:
    """A category as a guard's makers published it."""

    code: str
    """What the model writes; the same as the name where it writes names."""
    name: str
    ours: str
    """The name in `CATEGORIES`."""


def _coded(rows: str) -> tuple[Listed, ...]:
    """``code | name | ours``, a line each; ``name | ours`` where the model writes the name."""
    cells = ([cell.strip() for cell in row.split("|")] for row in rows.strip().splitlines())
    return tuple(Listed(cell[0], cell[-2], cell[-1]) for cell in cells)


_MLCOMMONS = """
S1 | Violent Crimes | violence
S2 | Non-Violent Crimes | crime
S3 | Sex-Related Crimes | abuse
S4 | Child Sexual Exploitation | minors
S5 | Defamation | harassment
S6 | Specialized Advice | other
S7 | Privacy | privacy
S8 | Intellectual Property | copyright
S9 | Indiscriminate Weapons | weapons
S10 | Hate | hate
S11 | Suicide & Self-Harm | self_harm
S12 | Sexual Content | sexual
S13 | Elections | politics
S14 | Code Interpreter Abuse | hacking
"""

LISTS: dict[str, tuple[Listed, ...]] = {
    "llama-guard": _coded(_MLCOMMONS),
    "polyguard": _coded(
        _MLCOMMONS.replace("Sex-Related", "Sex")
        .replace("Child Sexual Exploitation", "Child Exploitation")
        .replace("Suicide & Self-Harm", "Self-Harm")
    ),
    "qwen3guard": _coded("""
Violent | violence
Non-violent Illegal Acts | crime
Sexual Content or Sexual Acts | sexual
PII | privacy
Suicide & Self-Harm | self_harm
Unethical Acts | ethics
Politically Sensitive Topics | politics
Copyright Violation | copyright
Jailbreak | jailbreak
"""),
    "shieldgemma": _coded("""
Dangerous Content | violence
Harassment | harassment
Hate Speech | hate
Sexually Explicit Information | sexual
"""),
    "granite-guardian": _coded("""
harm | Harm | other
social_bias | Social Bias | hate
jailbreak | Jailbreaking | jailbreak
violence | Violence | violence
profanity | Profanity | profanity
sexual_content | Sexual Content | sexual
unethical_behavior | Unethical Behavior | ethics
harm_engagement | Harm Engagement | other
evasiveness | Evasiveness | honesty
groundedness | Groundedness | misinformation
context_relevance | Context Relevance | other
answer_relevance | Answer Relevance | other
function_call | Function Call Hallucination | other
"""),
    "xguard": _coded("""
pc | Pornographic Contraband | sexual
dc | Drug Crimes | substances
dw | Dangerous Weapons | weapons
pi | Property Infringement | crime
ec | Economic Crimes | fraud
ac | Abusive Curses | harassment
def | Defamation | harassment
ti | Threats and Intimidation | violence
cy | Cyberbullying | harassment
ph | Physical Health | self_harm
mh | Mental Health | self_harm
se | Social Ethics | ethics
sci | Science Ethics | ethics
pp | Personal Privacy | privacy
cs | Commercial Secret | privacy
acc | Access Control | hacking
mc | Malicious Code | hacking
ha | Hacker Attack | hacking
ps | Physical Security | hacking
ter | Violent Terrorist Activities | extremism
sd | Social Disruption | extremism
ext | Extremist Ideological Trends | extremism
fin | Finance | money
med | Medicine | medical
law | Law | legal
cm | Corruption of Minors | minors
ma | Minor Abuse and Exploitation | minors
md | Minor Delinquency | minors
"""),
    "nemoguard": _coded("""
Violence | violence
Sexual | sexual
Criminal Planning/Confessions | crime
Guns and Illegal Weapons | weapons
Controlled/Regulated Substances | substances
Suicide and Self Harm | self_harm
Sexual (minor) | minors
Hate/Identity Hate | hate
PII/Privacy | privacy
Harassment | harassment
Threat | violence
Profanity | profanity
Needs Caution | other
Other | other
Manipulation | ethics
Fraud/Deception | fraud
Malware | hacking
High Risk Gov Decision Making | politics
Political/Misinformation/Conspiracy | misinformation
Copyright/Trademark/Plagiarism | copyright
Unauthorized Advice | other
Illegal Activity | crime
Immoral/Unethical | ethics
"""),
    "openai-moderation": _coded("""
harassment | harassment
harassment/threatening | violence
hate | hate
hate/threatening | hate
illicit | crime
illicit/violent | weapons
self-harm | self_harm
self-harm/intent | self_harm
self-harm/instructions | self_harm
sexual | sexual
sexual/minors | minors
violence | violence
violence/graphic | violence
"""),
}
"""Family -> its published list. Families that are absent here publish none, or write our names."""

SOURCES: dict[str, str] = {
    "llama-guard": "model cards of Llama Guard 3 (S1-S13 for 1B) and 4: the MLCommons hazards",
    "polyguard": "the system prompt on the model card of ToxicityPrompts/PolyGuard-Qwen",
    "qwen3guard": "README of QwenLM/Qwen3Guard; Jailbreak is for messages alone",
    "shieldgemma": "model card of google/shieldgemma-2b, arXiv 2407.21772",
    "granite-guardian": "README and cookbooks of ibm-granite/granite-guardian",
    "xguard": "README of Alibaba-AAIG/YuFeng-XGuard-Reason; `sec` is safe",
    "nemoguard": "the Aegis 2.0 list in NVIDIA/NeMo-Guardrails' content safety prompt",
    "openai-moderation": "OpenAI's API reference, omni-moderation",
}
"""Where each list is from."""


def _folded(code: str) -> str:
    """How codes are compared: case, spaces around and a full stop at the end do not count."""
    return re.sub(r"\s+", " ", code).strip().rstrip(".").casefold()


_FOUND = {
    family: {_folded(key): row.ours for row in rows for key in (row.name, row.code)}
    for family, rows in LISTS.items()
}


def map_category(family: str, code: str) -> str:
    """Our name for a guard's code or published name; "other" for anything unknown."""
    return _FOUND.get(family, {}).get(_folded(code), OTHER)


def map_categories(family: str, codes: Iterable[str]) -> tuple[str, ...]:
    """Our names for some codes, in their order, each once; "other" only if nothing else is left."""
    ours = dict.fromkeys(map_category(family, code) for code in codes)
    known = tuple(name for name in ours if name != OTHER)
    return known or tuple(ours)


def knows(family: str, code: str) -> bool:
    """Whether a family's published list has this code or name."""
    return _folded(code) in _FOUND.get(family, {})


def unsafe(categories: Iterable[str]) -> Severity:
    """The level of a guard's plain "unsafe".

    "needs caution", or "needs intervention" if it is about self-harm, minors or abuse:
    ProsocialDialog's last level is for what needs another human being, not for the worst request.
    """
    return Severity.INTERVENTION if _INTERVENTION & set(categories) else Severity.CAUTION
