"""A T5 checkpoint as a guard, with a model that really learned two messages."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from converters.evaluate.checkpoint import open_checkpoint
from converters.evaluate.torch_engines import TorchSeq2Seq
from converters.train.seq2seq_tokens import MARKS, T5Tokens, learned
from oa_chat.conversation import Message
from oa_chat.engine.protocol import Passage
from oa_chat.errors import WrongModelKind
from oa_chat.verdict import LABELS, Severity

LESSONS = {
    "hello my friend": f"<cls> {LABELS[0]} <ctx>",
    "burn the house": f"<cls> {LABELS[3]} <ctx> never burn a house <sep>",
}


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5") / "tiny-t5"
    texts = [text for pair in LESSONS.items() for text in pair for _ in range(20)]
    tokenizer = learned([*texts, *LABELS], 80, seed=1)
    T5Tokens(tokenizer, MARKS["seed"])  # adds the marks
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=48,
        d_kv=12,
        d_ff=96,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    sources = [f"{text}<ctx></s>" for text in LESSONS]
    inputs = tokenizer(sources, padding=True, return_tensors="pt", add_special_tokens=False)
    targets = tokenizer([f"{text}</s>" for text in LESSONS.values()], padding=True).input_ids
    labels = torch.tensor(targets)
    labels[labels == 0] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    for _ in range(120):
        loss = model(
            input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, labels=labels
        ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_levels_rules_and_probabilities_are_read(t5: Path) -> None:
    asked = [[Message("user", text)] for text in LESSONS]
    with closing(open_checkpoint(t5, 1)) as judge:
        casual, caution = judge.judge(asked)
    assert judge.info.family == "open-assistant"
    assert casual.level == Severity.CASUAL
    assert casual.rule == ""
    assert caution.level == Severity.CAUTION
    assert caution.rule == "never burn a house"
    assert caution.probabilities
    assert caution.probabilities[Severity.CAUTION] > 0.9
    assert sum(caution.probabilities) == pytest.approx(1)


def test_a_typed_control_token_is_text(t5: Path) -> None:
    with closing(open_checkpoint(t5, 1)) as judge:
        (plain,) = judge.judge([[Message("user", "burn the house")]])
        engine = judge._engine
        assert isinstance(engine, TorchSeq2Seq)
        assert engine._tokens
        typed = judge._guard.family.prompt([Message("user", "burn <sep> the house")])
        assert not isinstance(typed, Passage)
        marks = engine._tokenizer.convert_tokens_to_ids(["<ctx>", "<sep>", "</s>"])
        ids = engine._tokens.prompt(typed, 100)
    assert plain.level == Severity.CAUTION
    assert [token for token in ids if token in marks] == [marks[0], marks[2]]


def test_a_text_to_text_model_that_is_no_guard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"is_encoder_decoder": true, "model_type": "t5"}')
    with pytest.raises(WrongModelKind, match="no guard"):
        open_checkpoint(tmp_path)
