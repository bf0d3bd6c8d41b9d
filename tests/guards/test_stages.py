"""Two guards as one: when the second is asked, whose verdict counts, and that no failure passes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.catalog import GUARD, embedded_path
from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import ModelInfo, OnProgress
from oa_chat.errors import ModelError
from oa_chat.guards.authors import RulebookAuthor
from oa_chat.guards.classifier import Classifier
from oa_chat.guards.guard import GuardLimits, LocalGuard
from oa_chat.guards.registry import identify
from oa_chat.guards.stages import StagedGuard, Staging, asks_second, combined
from oa_chat.policies.shelf import shipped
from oa_chat.policy import Action, decide
from oa_chat.rulebook import Rulebook
from oa_chat.verdict import Severity, Subject, Verdict, unreadable
from tests.scripted import ScriptedGuard, info, verdict

MODELS = Path(__file__).parents[1] / "models"
CASUAL, CAUTION, CRISIS = Severity.CASUAL, Severity.CAUTION, Severity.INTERVENTION
SURE = replace(verdict(CASUAL), probabilities=(0.95, 0.05, 0.0, 0.0, 0.0))
UNSURE = replace(SURE, probabilities=(0.5, 0.3, 0.1, 0.1, 0.0))
FLAGGED = verdict(CAUTION)
BROKEN = unreadable("scripted guard", "it babbled")
HELLO = [Message("user", "Hello")]


def staged(first: Verdict, second: Verdict, staging: Staging) -> tuple[StagedGuard, ScriptedGuard]:
    strong = ScriptedGuard("strong guard", [replace(second, guard="strong guard")])
    return StagedGuard(ScriptedGuard(verdicts=[first]), strong, staging), strong


@pytest.mark.parametrize(
    ("first", "unsure", "flagged"),
    [
        (SURE, False, False),
        (UNSURE, True, False),
        (replace(SURE, probabilities=(0.9, 0.1, 0.0, 0.0, 0.0)), True, False),
        (FLAGGED, False, True),
        (replace(FLAGGED, probabilities=(0.1, 0.2, 0.2, 0.5, 0.0)), True, True),
        (replace(SURE, probabilities=None), True, False),
        (replace(SURE, language="fi", language_known=False), True, False),
        (replace(SURE, probabilities=(float("nan"),) * 5), True, False),
        (BROKEN, True, True),
    ],
)
def test_when_the_second_guard_is_asked(first: Verdict, unsure: bool, flagged: bool) -> None:
    assert asks_second(first, Staging("unsure"))[0] is unsure
    assert asks_second(first, Staging("flagged"))[0] is flagged
    assert asks_second(first, Staging("always"))[0]


@pytest.mark.parametrize(
    ("when", "first", "second", "severity", "counts"),
    [
        ("unsure", UNSURE, FLAGGED, CAUTION, "strong guard"),
        ("unsure", UNSURE, SURE, CASUAL, "strong guard"),
        ("unsure", UNSURE, BROKEN, None, "strong guard"),
        ("unsure", BROKEN, SURE, CASUAL, "strong guard"),
        ("unsure", BROKEN, BROKEN, None, "strong guard"),
        ("flagged", FLAGGED, SURE, CASUAL, "strong guard"),
        ("flagged", FLAGGED, BROKEN, None, "strong guard"),
        ("always", SURE, FLAGGED, CAUTION, "strong guard"),
        ("always", FLAGGED, SURE, CAUTION, "scripted guard"),
        ("always", FLAGGED, verdict(CRISIS), CRISIS, "strong guard"),
        ("always", SURE, SURE, CASUAL, "strong guard"),
        ("always", SURE, BROKEN, None, "strong guard"),
        ("always", BROKEN, SURE, None, "scripted guard"),
    ],
)
async def test_whose_verdict_counts(
    when: str, first: Verdict, second: Verdict, severity: Severity | None, counts: str
) -> None:
    staging = msgspec.convert({"when": when}, Staging)
    guard, strong = staged(first, second, staging)
    said = await guard.check([Message("user", "Hello")], "reply")
    assert (said.severity, said.guard, said.subject) == (severity, counts, "reply")
    assert [stage.guard for stage in said.stages] == ["scripted guard", "strong guard"]
    assert [stage.severity for stage in said.stages] == [first.severity, second.severity]
    assert [stage.counts for stage in said.stages].count(True) == 1
    assert said.latency_ms == first.latency_ms + second.latency_ms
    assert len(strong.seen) == 1
    if severity is None:
        assert "babbled" in said.failure
        assert all(decide(said, policy).action is Action.HOLD for policy in shipped().values())


async def test_a_sure_first_guard_is_enough() -> None:
    guard, strong = staged(SURE, FLAGGED, Staging("unsure"))
    said = await guard.check(HELLO)
    assert said == replace(SURE, stages=said.stages)
    first, second = said.stages
    assert (first.asked, first.counts, first.certainty) == (True, True, 0.95)
    assert (second.asked, second.counts, second.latency_ms) == (False, False, 0.0)
    assert second.why == "the first is sure (casual 95 %)"
    assert strong.seen == []


def test_contradictions_are_kept() -> None:
    said = combined(FLAGGED, replace(SURE, guard="strong guard"), Staging("flagged"))
    assert said.severity is CASUAL
    assert said.contradicted
    assert [stage.severity for stage in said.stages] == [CAUTION, CASUAL]
    agreed = combined(FLAGGED, verdict(CRISIS), Staging("flagged"))
    assert not agreed.contradicted
    assert not FLAGGED.contradicted


def test_without_a_verdict_both_are_told_and_help_is_shown() -> None:
    said = combined(verdict(CRISIS), replace(BROKEN, guard="strong guard"), Staging("flagged"))
    assert said.failure == "strong guard: it babbled (scripted guard: needs intervention)"
    decision = decide(said, shipped()["relaxed"])
    assert (decision.action, decision.show_help) == (Action.HOLD, True)
    assert not decide(BROKEN, shipped()["relaxed"]).show_help


async def test_a_batch_asks_the_second_guard_only_what_it_has_to_read() -> None:
    firsts = [SURE, UNSURE, FLAGGED, BROKEN, SURE]
    strong = ScriptedGuard("strong guard", [verdict(CRISIS), replace(SURE, guard="strong guard")])
    guard = StagedGuard(ScriptedGuard(verdicts=list(firsts)), strong)
    talks = [[Message("user", f"message {number}")] for number in range(5)]
    said = await guard.check_many(talks)
    assert [one.severity for one in said] == [CASUAL, CRISIS, CAUTION, CASUAL, CASUAL]
    assert [talk[0].text for talk in strong.seen] == ["message 1", "message 3"]
    assert await guard.check_many([]) == []


# ------------------------------------------------------------ whatever the guards say

_severities = st.sampled_from([None, *Severity])
_shares = st.none() | st.lists(st.floats(0, 1), min_size=5, max_size=5).map(tuple)
_verdicts = st.builds(
    Verdict,
    severity=_severities,
    guard=st.sampled_from(["a", "b"]),
    probabilities=_shares,
    failure=st.text(max_size=5),
    language_known=st.booleans(),
)
_stagings = st.builds(
    Staging,
    when=st.sampled_from(["unsure", "flagged", "always"]),
    unsure_between=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)


@given(_verdicts, _verdicts, _stagings)
def test_nothing_becomes_casual_unless_who_decides_says_so(
    first: Verdict, second: Verdict, staging: Staging
) -> None:
    asked = asks_second(first, staging)[0]
    said = combined(first, second if asked else None, staging, "b")
    deciding = second if asked else first
    if deciding.severity is None or deciding.severity > CASUAL:
        assert said.severity is not CASUAL
    if staging.when == "always" and None in (first.severity, second.severity):
        assert said.severity is None
    if said.severity is CASUAL and staging.when == "always":
        assert first.severity is second.severity is CASUAL
    if not asked:
        assert first.severity is not None
    assert [stage.asked for stage in said.stages] == [True, asked]
    assert sum(stage.counts for stage in said.stages) == 1


@given(_verdicts, _verdicts, _stagings)
def test_stages_survive_being_stored(first: Verdict, second: Verdict, staging: Staging) -> None:
    asked = asks_second(first, staging)[0]
    said = combined(first, second if asked else None, staging, "b")
    assert msgspec.json.decode(msgspec.json.encode(said), type=Verdict) == said


# ------------------------------------------------------------ failures and loading


class _Failing(ScriptedGuard):
    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        raise ModelError("there is no such model")

    async def check(self, messages: Sequence[Message], subject: Subject = "message") -> Verdict:
        raise ModelError("there is no such model")


@pytest.mark.parametrize("when", ["unsure", "flagged", "always"])
async def test_guards_that_raise_never_pass(when: str) -> None:
    staging = msgspec.convert({"when": when}, Staging)
    for first in (FLAGGED, BROKEN, replace(FLAGGED, probabilities=None)):
        guard = StagedGuard(ScriptedGuard(verdicts=[first]), _Failing("gone"), staging)
        said = await guard.check(HELLO)
        if said.stages[1].asked:
            assert said.severity is None
            assert "no such model" in said.failure
        else:
            assert said.severity is CAUTION
    both = StagedGuard(_Failing("gone"), _Failing("gone too"), staging)
    assert [one.severity for one in await both.check_many([HELLO, HELLO])] == [None, None]


async def test_the_second_guard_is_loaded_behind_the_first() -> None:
    first, second = ScriptedGuard("fast"), ScriptedGuard("slow")
    guard = StagedGuard(first, second)
    assert guard.name == "fast + slow"
    seen: list[tuple[int, int]] = []
    waiting = asyncio.create_task(guard.later.load(lambda done, total: seen.append((done, total))))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert (await guard.load()).name == "fast"
    assert (await waiting).name == "slow"
    assert seen == [(1, 1)]
    await guard.close()


async def test_a_second_guard_that_cannot_be_loaded_is_told_to_those_who_ask() -> None:
    guard = StagedGuard(ScriptedGuard("fast"), _Failing("gone"))
    assert (await guard.load()).name == info("fast").name
    with pytest.raises(ModelError, match="no such model"):
        await guard.later.load()
    await guard.close()


# ------------------------------------------------------------ two real guards


def _local(name: str, path: Path, limit: float = 30.0) -> LocalGuard:
    family = identify(path).family
    author = RulebookAuthor(Rulebook.load)
    engine = Engine(path, family.kind)
    return LocalGuard(name, engine, family, author, GuardLimits(limit))


@pytest.fixture
async def real() -> AsyncIterator[StagedGuard]:
    """The embedded classifier first, a tiny T5 with the seed's format second."""
    second = _local("tiny T5", MODELS / "tiny-t5-seed.gguf", limit=2.0)
    guard = StagedGuard(_local("embedded", embedded_path(GUARD)), second, Staging("always"))
    await guard.load()
    await guard.later.load()
    yield guard
    await guard.close()


async def test_two_real_guards(real: StagedGuard) -> None:
    texts = ["hello, how are you?", "I think all white people are racists"]
    talks = [[Message("user", text)] for text in texts]
    firsts = await real.first.check_many(talks)
    seconds = await real.second.check_many(talks)
    for when in ("unsure", "flagged", "always"):
        real.staging = msgspec.convert({"when": when}, Staging)
        for one, other, said in zip(firsts, seconds, await real.check_many(talks), strict=True):
            first, second = said.stages
            assert first.severity is one.severity
            assert first.latency_ms > 0
            if second.asked:
                assert second.severity is other.severity
                assert second.latency_ms > 0
                assert said.latency_ms == pytest.approx(first.latency_ms + second.latency_ms)
            assert said.severity is (other if second.counts else one).severity


async def test_a_real_second_guard_that_babbles_holds_the_message() -> None:
    """A classifier whose five scores are read as those of a model with three labels."""
    engine = Engine(embedded_path(GUARD), "classifier")
    author = RulebookAuthor(Rulebook.load)
    babbling = LocalGuard("babbling", engine, Classifier((0, 1, 2)), author)
    fast = ScriptedGuard(verdicts=[UNSURE, FLAGGED, SURE])
    guard = StagedGuard(fast, babbling, Staging("unsure", (0.0, 1.0)))
    for first in (UNSURE, FLAGGED, SURE):
        said = await guard.check(HELLO)
        assert said.stages[0].severity is first.severity
        assert said.severity is None
        assert "make no sense" in said.failure
        assert decide(said, shipped()["relaxed"]).action is Action.HOLD
    await guard.close()


async def test_a_real_second_guard_that_hangs_holds_the_message(real: StagedGuard) -> None:
    assert isinstance(real.second, LocalGuard)
    pid = real.second._engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    said = await real.check(HELLO)
    with pytest.raises(ProcessLookupError):  # it was ended
        os.kill(pid, 0)
    assert said.severity is None
    assert "longer than 2 seconds" in said.failure
    assert said.stages[0].severity is CASUAL
    assert decide(said, shipped()["relaxed"]).action is Action.HOLD
    again = await real.check(HELLO)  # the engine starts again
    assert again.stages[1].severity is not None
