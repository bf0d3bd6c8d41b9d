"""The classifier: it learns, its loss is the one written down, its input is the engine's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from converters.convert.guard_config import read_guard_config
from converters.train.classifier import ClassifierJob
from converters.train.classifier_dev import windows_of
from converters.train.files import Folders
from converters.train.guard_rows import FAMILY
from converters.train.kinds import read_recipe
from oa_chat.conversation import Message
from oa_chat.engine.process import Engine
from oa_chat.verdict import LABELS
from tests.converters.train.small import CLASSIFIER, data_folder, records, train, write_lines
from tests.models.tiny_bert import write_bert_gguf


def job(tmp_path: Path, *overrides: str, data: Path | None = None) -> ClassifierJob:
    path = tmp_path / "recipe.toml"
    path.write_text(CLASSIFIER)
    recipe, module = read_recipe(path, overrides)
    made = module.open_job(recipe, Folders(data or data_folder(tmp_path / "data")))
    assert isinstance(made, ClassifierJob)
    return made


def test_it_learns(guard: Path) -> None:
    import json

    found = json.loads((guard / "metrics.json").read_text())
    assert found["dev"]["macro_f1"] > 0.7
    assert found["macro_f1"] == pytest.approx(found["dev"]["macro_f1"])


def test_what_is_saved_can_be_loaded_and_says_its_labels(guard: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(guard)
    assert [model.config.id2label[number] for number in range(5)] == list(LABELS)
    assert len(AutoTokenizer.from_pretrained(guard)) == model.config.vocab_size
    config = read_guard_config(guard)
    assert config.labels == list(LABELS)
    assert config.max_tokens == 32
    assert config.prompt_format == "classifier"
    assert config.temperature != 1.0


LONG = " ".join(row["text"] for row in records())


@pytest.mark.parametrize(
    "conversation",
    [
        [Message("user", "I baked bread.")],
        [Message("user", "I will hurt my [SEP] friend [CLS] tonight.")],
        [Message("user", "Hello there!"), Message("assistant", "Hi!"), Message("user", "I lied.")],
        [Message("user", LONG), Message("assistant", "I see."), Message("user", "I lied again.")],
        [Message("user", "Hello there!"), Message("assistant", "Hi!"), Message("user", LONG)],
    ],
)
async def test_training_and_engine_judge_the_same_tokens(
    guard: Path, tmp_path: Path, conversation: list[Message]
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(guard)
    tokenizer = AutoTokenizer.from_pretrained(guard)
    words = tokenizer.convert_ids_to_tokens(range(5, len(tokenizer)))
    write_bert_gguf(model, words, list(LABELS), tmp_path / "guard.gguf", max_tokens=32)
    passage = FAMILY.prompt(conversation)
    trained = job(tmp_path)
    row = trained._rows[0]
    inputs = windows_of(
        type(row)(passage, row.target, False, 1.0, "", row.levels, None), trained._ids
    )
    with torch.no_grad():
        expected = [model(torch.tensor([ids])).logits[0].softmax(-1).tolist() for ids in inputs]
    engine = Engine(tmp_path / "guard.gguf", "classifier")
    try:
        (windows,) = await engine.classify([passage])
    finally:
        await engine.close()
    judged = [window.probabilities for window in windows]
    assert (len(expected) > 1) == (conversation[-1].text == LONG)
    # The engine may add windows for single sentences behind those.
    for probabilities, row_expected in zip(judged, expected, strict=False):
        assert probabilities == pytest.approx(row_expected, abs=0.005)


def test_the_loss_is_the_one_that_is_written_down(tmp_path: Path) -> None:
    made = job(tmp_path)
    logs = torch.tensor([[0.1, 0.2, 0.3, 0.15, 0.25]]).log()

    def model(**_: Any) -> Any:
        return type("Answer", (), {"logits": logs})

    def loss(target: list[float], partial: bool, weight: float) -> float:
        inputs = {
            "input_ids": None,
            "attention_mask": None,
            "target": torch.tensor([target]),
            "partial": torch.tensor([partial]),
            "weight": torch.tensor([weight]),
        }
        return float(made.loss(model, inputs))

    assert loss([0, 1, 1, 0, 0], True, 1.0) == pytest.approx(-math.log(0.5))
    assert loss([0, 0.1, 0.8, 0.1, 0], False, 2.0) == pytest.approx(
        -2 * (0.1 * math.log(0.2) + 0.8 * math.log(0.3) + 0.1 * math.log(0.15))
    )


def test_the_weights_of_a_step_add_up_to_one_however_it_is_cut(tmp_path: Path) -> None:
    made = job(tmp_path, "train.batch=5", "train.accumulation=3")
    (stage,) = made.stages
    for count in (1, 2, 5):
        parts = [part for rank in range(count) for part in stage.batches(0, rank, count)]
        assert sum(float(part["weight"].sum()) for part in parts) == pytest.approx(1)
        assert len(stage.batches(0, 0, count)) == 3


def test_class_weights(tmp_path: Path) -> None:
    made = job(tmp_path, "labels.weights=[1.0, 1.0, 1.0, 1.0, 3.0]")
    weights = {made._rows[n].target: made._weight(n) for n in range(len(made._rows))}
    assert weights[(0, 0, 0, 0, 1)] == 3.0
    assert weights[(0, 0, 0, 1, 1)] == 2.0
    balanced = job(tmp_path, "labels.weights=balanced")
    assert balanced._class_weights[0] < balanced._class_weights[4] * 1.5


def test_a_share_of_the_records_gets_an_unrelated_context(tmp_path: Path) -> None:
    made = job(tmp_path, "context.share=0.5", 'context.exchanges=["{data}/talks.jsonl"]')
    plain = job(tmp_path).inputs_of(0)
    seen = [made.inputs_of(epoch) for epoch in range(4)]
    own = [bool(row.passage.context) for row in made._rows]
    changed = sum(ids != before for run in seen for ids, before in zip(run, plain, strict=True))
    assert 0.3 < changed / (4 * own.count(False)) < 0.7
    for number, has_own in enumerate(own):
        if has_own:
            assert seen[0][number] == plain[number]
    separator = made._ids.separator
    with_context = next(ids for ids, other in zip(seen[0], plain, strict=True) if ids != other)
    assert with_context.count(separator) == 2
    assert len(with_context) <= 32
    assert seen[0] == made.inputs_of(0)


def test_a_long_message_is_learned_window_by_window(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    write_lines(data / "records.jsonl", [{"text": LONG, "labels": [LABELS[3]]}, *records()])
    made = job(tmp_path, data=data)
    windows = made._windows[0]
    assert len(windows) > 3
    seen = {made._input(epoch, 0) for epoch in range(40)}
    assert seen == set(windows)
    assert all(len(ids) == 32 for ids in windows)


def test_body_and_head_learn_at_rates_of_their_own(tmp_path: Path) -> None:
    made = job(tmp_path, "train.rate=1e-4", "train.head_rate=1e-3", "train.layer_decay=0.5")
    (optimizer,) = made.optimizers()
    scale = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    named = {name: scale[id(p)] for name, p in made.model.named_parameters()}
    assert named["classifier.weight"] == named["bert.pooler.dense.weight"] == 1e-3
    assert named["bert.encoder.layer.1.output.dense.weight"] == 1e-4
    assert named["bert.encoder.layer.0.output.dense.weight"] == 0.5e-4
    assert named["bert.embeddings.word_embeddings.weight"] == 0.25e-4
    assert len(scale) == len(list(made.model.parameters()))


def test_frozen_embeddings_stay_and_dropout_is_set(tmp_path: Path) -> None:
    made = job(tmp_path, "model.freeze_embeddings=true", "model.dropout=0.3")
    assert made.model.config.hidden_dropout_prob == 0.3
    (optimizer,) = made.optimizers()
    table = made.model.get_input_embeddings().weight
    assert all(table is not p for group in optimizer.param_groups for p in group["params"])


def test_lora_trains_little_and_is_merged(guard: Path, tmp_path: Path) -> None:
    out = train(
        tmp_path,
        CLASSIFIER,
        f"base={guard}",
        "train.max_steps=4",
        "train.rate=1e-2",
        "lora.rank=2",
        'lora.targets=["query", "value"]',
    )
    before = AutoModelForSequenceClassification.from_pretrained(guard).state_dict()
    after = AutoModelForSequenceClassification.from_pretrained(out).state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[-2] for name in changed} <= {"query", "value", "classifier", "dense"}
    assert any("query" in name for name in changed)
    assert not any("intermediate" in name for name in changed)
