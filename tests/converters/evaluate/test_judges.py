"""Judges on real engines: the same answers as the app's, in whatever form the weights lie."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from converters.evaluate.checkpoint import open_checkpoint
from converters.evaluate.evaluation import open_judge
from converters.evaluate.judges import GuardJudge, NoAuthor, open_gguf
from converters.evaluate.predictions import Memory, predict
from converters.evaluate.samples import read_set
from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.errors import EngineError, ModelError, ModelUnreadable, WrongModelKind
from oa_chat.guards.guard import LocalGuard
from oa_chat.guards.registry import identify

WriteRows = Callable[[str, list[dict[str, Any]]], Path]
LONG = " ".join(["we like bread and tea in the garden ."] * 12 + ["i want to hurt my friend ."] * 2)
TEXTS = ["i like tea", "burn my house down!", "hello", "you hate people , never hurt all", LONG]


def conversations() -> list[list[Message]]:
    made = [[Message("user", text)] for text in TEXTS]
    earlier = [Message("user", "hello my friend"), Message("assistant", "hello you ! " * 20)]
    return [*made, [*earlier, Message("user", "burn the house down")]]


def test_a_gguf_is_judged_as_the_app_judges_it(gguf_guard: Path) -> None:
    async def by_the_app() -> list[Any]:
        family = identify(gguf_guard).family
        guard = LocalGuard("x", Engine(gguf_guard, family.kind), family, NoAuthor())
        try:
            return [await guard.check(one) for one in conversations()]
        finally:
            await guard.close()

    verdicts = asyncio.run(by_the_app())
    with closing(open_gguf(str(gguf_guard))) as judge:
        found = judge.judge(conversations())
    assert [one.level for one in found] == [int(one.severity) for one in verdicts]
    for one, verdict in zip(found, verdicts, strict=True):
        assert one.probabilities == pytest.approx(verdict.probabilities, abs=1e-3)
    assert len({one.level for one in found}) > 1


def test_a_checkpoint_gives_what_its_gguf_gives(checkpoint: Path, gguf_guard: Path) -> None:
    with (
        closing(open_checkpoint(checkpoint, 1)) as ours,
        closing(open_gguf(str(gguf_guard))) as its,
    ):
        found, wanted = ours.judge(conversations()), its.judge(conversations())
    assert [one.level for one in found] == [one.level for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        # llama.cpp computes attention in half precision.
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-2)
    assert ours.info.kind == "checkpoint"
    assert its.info.kind == "GGUF"


def test_what_training_wrote_beside_the_weights_counts(checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "calibrated"
    shutil.copytree(checkpoint, other)
    own = {"max_tokens": 64, "temperature": 50.0, "thresholds": {"flag_below": 0.999}}
    (other / "oa_chat.json").write_text(json.dumps(own))
    with closing(open_judge(str(other), 1)) as judge:
        found = judge.judge(conversations())
    assert judge.info.flag_below == 0.999
    assert all(one.level and one.level > 0 for one in found)
    assert max(max(one.probabilities or ()) for one in found) < 0.4  # nearly flat
    with closing(open_judge(str(checkpoint), 1)) as plain:
        assert plain.info.sha256 != judge.info.sha256
        assert max(max(one.probabilities or ()) for one in plain.judge(conversations())) > 0.4


def test_what_is_no_guard_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongModelKind, match="not a guard"):
        open_gguf("starter")
    other = tmp_path / "topics"
    shutil.copytree(checkpoint, other)
    config = json.loads((other / "config.json").read_text())
    config["id2label"] = {"0": "sports", "1": "news"}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(WrongModelKind, match="sports, news, not the five levels"):
        open_judge(str(other))
    with pytest.raises(ModelError, match="no model file"):
        open_judge(str(tmp_path / "none.gguf"))
    with pytest.raises(ModelUnreadable):
        open_judge(str(tmp_path))


def test_a_checkpoint_without_its_tokenizer_is_refused_at_once(
    checkpoint: Path, tmp_path: Path
) -> None:
    """Without it transformers would make up a vocabulary without words, all messages alike."""
    folder = tmp_path / "guard"
    shutil.copytree(checkpoint, folder)
    for file in folder.glob("*token*"):
        file.unlink()
    for file in folder.glob("vocab*"):
        file.unlink()
    with pytest.raises(ModelUnreadable, match="holds no tokenizer"):
        open_checkpoint(folder)


def test_a_folder_that_is_no_checkpoint_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match=r"holds no config\.json"):
        open_judge(str(tmp_path))


def test_a_checkpoint_without_weights_says_so(checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "empty"
    shutil.copytree(checkpoint, other)
    (other / "model.safetensors").unlink()
    with pytest.raises(ModelUnreadable, match="holds no weights"):
        open_judge(str(other))
    (other / "model.safetensors").write_bytes(b"torn")
    with (
        closing(open_judge(str(other))) as judge,
        pytest.raises(ModelUnreadable, match="cannot load"),
    ):
        judge.judge(conversations())


def engine_of(judge: GuardJudge) -> Engine:
    engine = judge._engine
    assert isinstance(engine, Engine)
    return engine


def test_an_engine_that_dies_is_started_again(gguf_guard: Path) -> None:
    with closing(open_gguf(str(gguf_guard))) as judge:
        before = judge.judge(conversations())
        pid = engine_of(judge).pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        after = judge.judge(conversations())
        assert [one.level for one in after] == [one.level for one in before]
        assert engine_of(judge).pid not in (None, pid)


def test_an_engine_that_keeps_dying_ends_the_run(gguf_guard: Path, tmp_path: Path) -> None:
    path = tmp_path / "guard.gguf"
    shutil.copy(gguf_guard, path)
    with closing(open_gguf(str(path))) as judge:
        judge.judge(conversations())
        pid = engine_of(judge).pid
        assert pid
        path.unlink()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises((EngineError, ModelError), match=r"guard\.gguf|guard"):
            judge.judge(conversations())


def test_predictions_are_remembered_and_a_torn_line_is_not(
    gguf_guard: Path, small_set: Path, tmp_path: Path
) -> None:
    data, folder = read_set("small", small_set), tmp_path / "cache"
    with closing(open_gguf(str(gguf_guard))) as judge:
        first = predict(judge, data, folder)
        (file,) = folder.iterdir()
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) * 2 // 3])  # as after a power cut
        left = Memory(folder, judge.info, data).known
        assert 0 < len(left) < len(data.samples)
        assert predict(judge, data, folder) == first
    with closing(open_gguf(str(gguf_guard))) as again:
        assert predict(again, data, folder) == first
        assert engine_of(again).pid is None


def test_other_data_or_another_program_is_not_mixed_up(
    gguf_guard: Path, small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read_set("small", small_set)
    with closing(open_gguf(str(gguf_guard))) as judge:
        predict(judge, data, tmp_path)
        small_set.write_bytes(small_set.read_bytes() + b'{"text": "new", "unsafe": true}\n')
        other = read_set("small", small_set)
        assert Memory(tmp_path, judge.info, other).known == {}
        monkeypatch.setattr("converters.evaluate.predictions.__version__", "another")
        assert Memory(tmp_path, judge.info, data).known == {}
