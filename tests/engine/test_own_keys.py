"""Metadata of our own converter: what it changes, and what of it is nonsense."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from oa_chat.engine import classifier
from oa_chat.engine.gguf_header import read_header
from oa_chat.engine.own_keys import OwnKeys, own_keys
from oa_chat.engine.passage_ids import PassageIds
from oa_chat.engine.protocol import Answer, Classified, Classify, Load, Passage
from tests.models.tiny_bert import SPECIAL, write_bert_gguf

LETTERS = [*"abcdefgh", *(f"##{letter}" for letter in "abcdefgh")]


def header(path: Path, **values: Any) -> OwnKeys:
    writer = gguf.GGUFWriter(path, "bert")
    for key, value in values.items():
        name = f"oa_chat.{key.replace('__', '.')}"
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
        add.get(type(value), writer.add_string)(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return own_keys(read_header(path))


def test_they_are_read(tmp_path: Path) -> None:
    found = header(
        tmp_path / "x.gguf",
        max_tokens=256,
        separators=2,
        temperature=2.5,
        thresholds__flag_below=0.25,
        closer_looks=False,
        prompt_format="open-assistant/seed",
        verified=False,
    )
    assert found == OwnKeys(256, 2, 2.5, 0.25, False, "open-assistant/seed", False)
    assert "nobody has compared" in found.note
    assert header(tmp_path / "y.gguf") == OwnKeys()
    assert OwnKeys(verified=True).note == OwnKeys().note == ""


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "hot"},
        {"separators": 7},
        {"closer_looks": "no"},
        {"thresholds__flag_below": 2.0},
        {"verified": 1},
        {"max_tokens": True},
        {"prompt_format": 3},
    ],
)
def test_nonsense_is_as_good_as_nothing(values: dict[str, Any], tmp_path: Path) -> None:
    assert header(tmp_path / "x.gguf", **values) == OwnKeys()


def test_the_temperature_is_applied_to_the_logits(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(LETTERS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=3,
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    rows = {}
    for temperature in (0.0, 1.0, 3.0):
        path = tmp_path / f"{temperature}.gguf"
        write_bert_gguf(model, LETTERS, ["a", "b", "c"], path, temperature=temperature)
        answers: list[Answer] = []
        runner = classifier.load(Load(id=1, path=str(path), kind="classifier"), answers.append)
        runner.run(Classify(id=2, passages=[Passage("abc def")]), answers.append, lambda: False)
        runner.close()
        last = answers[-1]
        assert isinstance(last, Classified)
        rows[temperature] = last.windows[0][0].probabilities
    assert rows[0.0] == rows[1.0], "a file without a temperature is not calibrated"
    cooler = [value ** (1 / 3) for value in rows[1.0]]
    assert rows[3.0] == pytest.approx([value / sum(cooler) for value in cooler])
    assert rows[3.0] != pytest.approx(rows[1.0], abs=0.01)


def test_a_file_that_needs_no_closer_look_is_judged_by_its_windows_alone() -> None:
    class Words:
        def tokenize(self, text: str) -> list[int]:
            return [10] * len(text.split())

    text = Passage(text="a b c d e f g h i j. " * 8)
    plans = [PassageIds(0, 2, 256, Words(), 1, closer).plan(text) for closer in (True, False)]
    assert [len(plan.wholes) for plan in plans] == [1, 1]
    assert len(plans[0].pieces) == 8
    assert not plans[1].pieces
    (whole,) = plans[1].first_look()
    assert plans[1].windows({whole: [0.9, 0.1]})[0].probabilities == [0.9, 0.1]


def test_robertas_two_separators_fit_into_the_window() -> None:
    class Words:
        def tokenize(self, text: str) -> list[int]:
            return [10] * len(text.split())

    for count in (1, 2):
        ids = PassageIds(0, 2, 32, Words(), count)
        message, context = [11] * 12, [12] * 10
        assert ids.join(message, context) == (0, *context, *[2] * count, *message, 2)
        long = ids.join(message, [12] * 100)
        assert len(long) == 32
        assert long.count(2) == count + 1
        assert ids.join([11] * 26, context) == (0, *[11] * 26, 2), "no room for context"
        (window,) = ids.windows(ids.tokens("a " * 15), "b " * 100)
        assert len(window[1]) == 32
