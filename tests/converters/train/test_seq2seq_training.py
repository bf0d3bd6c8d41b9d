"""The T5 guard: prompt and answer of the family, in training as in the engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5Config, T5ForConditionalGeneration

from converters.convert.guard_config import read_guard_config
from converters.train.files import Folders
from converters.train.kinds import read_recipe
from converters.train.seq2seq import Seq2SeqJob
from converters.train.seq2seq_tokens import MARKS, T5Tokens
from oa_chat.cli import run as cli
from oa_chat.conversation import Message
from oa_chat.engine import t5_prompt
from oa_chat.engine.model import open_model
from oa_chat.engine.protocol import Output
from oa_chat.guards.open_assistant import Dialect, OpenAssistant
from oa_chat.verdict import Severity
from tests.converters.train.small import SEQ2SEQ, data_folder, losses, train

DIALECTS: list[Dialect] = ["seed", "blade2blade"]
TALK = [
    Message("user", "Hello there!"),
    Message("assistant", "Hi <sep> you </s>"),
    Message("user", "I lied to my <ctx> sister <|prompter|> again."),
]


def job(tmp_path: Path, *overrides: str) -> Seq2SeqJob:
    path = tmp_path / "recipe.toml"
    path.write_text(SEQ2SEQ)
    recipe, module = read_recipe(path, overrides)
    made = module.open_job(recipe, Folders(data_folder(tmp_path / "data")))
    assert isinstance(made, Seq2SeqJob)
    return made


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_answer_that_was_learned_can_be_read(tmp_path: Path, dialect: Dialect) -> None:
    made = job(tmp_path, f"model.dialect={dialect}", "model.answer_tokens=64")
    family = OpenAssistant(dialect)
    assert {one.severity for one in made._examples} == set(Severity)
    for one, ids in zip(made._examples, made._targets, strict=True):
        reading = family.read(Output(made.tokens.text(ids), None, finished=True))
        assert reading.severity is one.severity
        assert reading.rule == (one.rules[0] if one.severity else "")
        assert ids[-1] == made.tokens.end


@given(st.sampled_from(DIALECTS), st.sampled_from(Severity), st.text("abc .,'é", max_size=60))
def test_the_family_reads_back_its_own_target(
    dialect: Dialect, severity: Severity, rule: str
) -> None:
    family = OpenAssistant(dialect)
    segments = family.target(severity, [rule, "Another rule."])
    text = "".join(segment.text for segment in segments).removesuffix("</s>")
    reading = family.read(Output(text, None, finished=True))
    first = " ".join(rule.split()) or "Another rule."
    assert (reading.severity, reading.failure) == (severity, "")
    assert reading.rule == (first if severity else "")
    assert all(
        not segment.trusted for segment in segments if segment.text in (rule, "Another rule.")
    )


@pytest.mark.parametrize("dialect", DIALECTS)
def test_training_and_engine_see_the_same_ids(tmp_path: Path, dialect: Dialect) -> None:
    out = train(tmp_path, SEQ2SEQ, f"model.dialect={dialect}", "train.max_steps=1", "data.dev=[]")
    assert read_guard_config(out).prompt_format == f"open-assistant/{dialect}"
    path = tmp_path / "t5.gguf"
    assert cli(["convert", str(out), str(path), "--quant", "f32", "--no-verify"]) == 0
    model = open_model(path, 0)
    tokens = T5Tokens(AutoTokenizer.from_pretrained(out), MARKS[dialect])
    family = OpenAssistant(dialect)
    for talk in (TALK, TALK[-1:], [Message("user", "I lied. " * 30)]):
        segments = family.prompt(talk)
        expected, _ = t5_prompt.encode(model, segments, 48)
        assert tokens.prompt(segments, 48) == expected
    answer = family.target(Severity.CAUTION, ["It's wrong to hate."])
    engine = [
        token
        for segment in answer
        for token in model.tokenize(segment.text, special=segment.trusted)
    ]
    assert tokens.target(answer, 64) == engine
    model.close()


def test_typed_marks_are_text(t5: Path) -> None:
    tokens = T5Tokens(AutoTokenizer.from_pretrained(t5), MARKS["blade2blade"])
    family = OpenAssistant("blade2blade")
    ids = tokens.prompt(family.prompt(TALK), 200)
    marks = AutoTokenizer.from_pretrained(t5).convert_tokens_to_ids(["<|prompter|>", "<sep>"])
    assert ids.count(marks[0]) == 2
    assert ids.count(marks[1]) == 0
    assert ids.count(tokens.end) == 3


def test_it_learns_label_and_rule(tmp_path: Path) -> None:
    out = train(
        tmp_path,
        SEQ2SEQ,
        "train.max_steps=120",
        "train.rate=5e-3",
        "model.dropout=0.0",
        "train.evaluate_every=60",
        "data.dev_most=24",
    )
    found = json.loads((out / "metrics.json").read_text())
    assert found["readable"] == 1.0
    assert found["macro_f1"] > 0.6
    assert found["rule_chrf"] > 40
    assert losses(out)[-1] < losses(out)[0] / 4


def test_padding_mask_and_loss(tmp_path: Path) -> None:
    made = job(tmp_path, "train.batch=3", "model.label_weight=2.0", "model.dropout=0.0")
    (stage,) = made.stages
    (inputs,) = stage.batches(0, 0, 1)
    assert inputs["input_ids"].shape[1] % 8 == inputs["labels"].shape[1] % 8 == 0
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape
    assert ((inputs["input_ids"] != made.tokens.pad) == inputs["attention_mask"].bool()).all()
    assert ((inputs["labels"] == -100) == (inputs["weights"] == 0)).all()
    assert float(inputs["weights"].sum()) == pytest.approx(1)
    made.model.eval()
    expected = 0.0
    for prompt, labels, weights in zip(
        inputs["input_ids"], inputs["labels"], inputs["weights"], strict=True
    ):
        ids = prompt[prompt != made.tokens.pad][None]
        target = labels[labels != -100][None]
        logs = made.model(input_ids=ids, labels=target).logits.log_softmax(-1)[0]
        picked = logs.gather(1, target[0][:, None])[:, 0]
        expected -= float((picked * weights[weights > 0]).sum())
    assert float(made.loss(made.model, dict(inputs))) == pytest.approx(expected, rel=1e-4)


def test_the_label_comes_first_and_weighs_more(tmp_path: Path) -> None:
    made = job(tmp_path, "model.dialect=seed", "model.label_weight=3.0", "model.answer_tokens=64")
    number = next(n for n, one in enumerate(made._examples) if one.severity)
    weights = made._weights(number)
    heavy = [at for at, weight in enumerate(weights) if weight == 3.0]
    ids = made._targets[number]
    assert made.tokens.text([ids[at] for at in heavy]) == made._examples[number].severity.label
    assert heavy[0] == 1, "behind <cls>"
    assert weights[0] == weights[-1] == 1.0


def test_the_finished_model_keeps_its_marks(t5: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(t5)
    model = AutoModelForSeq2SeqLM.from_pretrained(t5)
    assert [tokenizer.convert_tokens_to_ids(mark) for mark in ("<pad>", "</s>", "<unk>")] == [
        0,
        1,
        2,
    ]
    for mark in MARKS["blade2blade"]:
        assert tokenizer.convert_tokens_to_ids(mark) < model.config.vocab_size
    assert model.config.decoder_start_token_id == 0


@pytest.mark.parametrize("tied", [True, False])
def test_a_matrix_of_its_own_stays_one_when_marks_are_added(
    t5: Path, tmp_path: Path, tied: bool
) -> None:
    base, size = tmp_path / "base", len(AutoTokenizer.from_pretrained(t5))
    config = T5Config(
        vocab_size=size,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_heads=2,
        num_layers=1,
        decoder_start_token_id=0,
        tie_word_embeddings=tied,
    )
    model = T5ForConditionalGeneration(config)
    if not tied:  # as in flan-T5 and mT5
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.shared.weight.detach() * 0.5 + 1)
    head = model.lm_head.weight.detach().clone()
    model.save_pretrained(base)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (base / name).write_bytes((t5 / name).read_bytes())
    out = train(
        tmp_path,
        SEQ2SEQ,
        f"base={base}",
        "model.dialect=seed",
        "train.rate=0.0",
        "train.max_steps=1",
        "data.dev=[]",
    )
    made = AutoModelForSeq2SeqLM.from_pretrained(out)
    assert made.lm_head.weight.shape[0] > size
    assert torch.equal(made.lm_head.weight[:size], head)
    assert torch.equal(made.lm_head.weight, made.shared.weight) is tied
    assert made.config.scale_decoder_outputs is tied


def test_bytes_are_tokens_of_byt5(tmp_path: Path) -> None:
    from transformers import ByT5Tokenizer

    tokenizer = ByT5Tokenizer()
    tokens = T5Tokens(tokenizer, MARKS["seed"])
    family = OpenAssistant("seed")
    ids = tokens.target(family.target(Severity.CASUAL, []), 64)
    assert bytes(token - 3 for token in ids[1:-1]) == b"__casual__"
    assert tokens.text(ids) == "<cls>__casual__"
    assert tokens.size > 259
    assert tokens.prompt(family.prompt([Message("user", "é")]), 64)[:2] == [0xC3 + 3, 0xA9 + 3]
