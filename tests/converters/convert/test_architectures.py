"""Every architecture: converted, verified against PyTorch, and run as the app runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from converters.convert.convert import Options, Watcher, convert_checkpoint
from converters.convert.guard_config import (
    General,
    GuardConfig,
    Thresholds,
    write_guard_config,
)
from converters.convert.probe import ask
from converters.convert.report import Report
from converters.errors import ConversionError
from oa_chat.conversation import Message
from oa_chat.engine import causal, classifier
from oa_chat.engine.gguf_header import kind_of, read_header
from oa_chat.engine.own_keys import own_keys
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Answer, Classified, Classify, Load, Passage
from oa_chat.guards.registry import identify
from oa_chat.verdict import LABELS
from tests.converters.convert import checkpoints

Make = Callable[[Path], Path]
_ALL: dict[str, tuple[Make, str]] = {
    "bert": (checkpoints.bert, "bert"),
    "bert-cased": (lambda folder: checkpoints.bert(folder, lowercase=False), "bert"),
    "roberta": (checkpoints.roberta, "bert"),
    "xlm-roberta": (checkpoints.xlm_roberta, "bert"),
    "modern-bert": (checkpoints.modern_bert, "modern-bert"),
    "t5-tied": (checkpoints.t5, "t5"),
    "t5-gated": (lambda folder: checkpoints.t5(folder, gated=True), "t5"),
    "mt5": (checkpoints.mt5, "t5"),
    "t5-spiece": (checkpoints.t5_of_old, "t5"),
    "byt5": (checkpoints.byt5, "t5"),
    "llama-tied": (checkpoints.llama, "llama"),
    "llama-json": (checkpoints.llama_of_json, "llama"),
    "llama-untied": (lambda folder: checkpoints.llama(folder, tied=False, groups=4), "llama"),
}


class Seen(Watcher):
    """Keeps the report."""

    report = Report()

    def found(self, report: Report, name: str) -> None:
        self.report = report


def converted(folder: Path, quant: str = "f32", **settings: Any) -> tuple[Path, Report]:
    out = folder.parent / f"{quant}.gguf"
    seen = Seen()
    convert_checkpoint(folder, out, Options(quant, **settings), seen)
    return out, seen.report


@pytest.mark.parametrize("name", _ALL)
def test_it_is_pytorchs_model(name: str, tmp_path: Path) -> None:
    make, architecture = _ALL[name]
    out, report = converted(make(tmp_path / "checkpoint"), "q8_0")
    measured = {check.what: check.measured for check in report.checks}
    print(measured)
    assert not report.failed
    assert len(report.checks) == 9
    header = read_header(out)
    assert header.architecture == architecture
    assert own_keys(header).verified is True
    assert float(measured["F32 to PyTorch, NMSE"]) < 2e-5


def test_the_labels_keep_their_order_and_the_app_reads_them(tmp_path: Path) -> None:
    order = [LABELS[number] for number in (3, 0, 4, 1, 2)]
    folder = checkpoints.bert(tmp_path / "checkpoint", id2label=dict(enumerate(order)))
    write_guard_config(
        folder,
        GuardConfig(
            max_tokens=64,
            temperature=1.5,
            prompt_format="classifier",
            thresholds=Thresholds(flag_below=0.7),
            labels=order,
        ),
    )
    out, _ = converted(folder)
    header = read_header(out)
    assert header.labels == tuple(order)
    assert own_keys(header).max_tokens == 64
    found = identify(out)
    assert found.family == type(found.family)((3, 0, 4, 1, 2), pytest.approx(0.7))
    windows = _windows(out, Passage("We walk home."))
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**tokenizer("We walk home.", return_tensors="pt")).logits[0]
    expected = (logits / 1.5).softmax(-1).tolist()
    assert windows == pytest.approx(expected, abs=2e-3)


def _windows(file: Path, passage: Passage) -> list[float]:
    answers: list[Answer] = []
    load = Load(id=1, path=str(file), kind="classifier")
    runner = classifier.load(load, answers.append)
    runner.run(Classify(id=2, passages=[passage]), answers.append, lambda: False)
    runner.close()
    last = answers[-1]
    assert isinstance(last, Classified)
    ((window,),) = last.windows
    return window.probabilities


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta", "modern-bert"])
def test_context_is_put_before_the_message_as_the_tokenizer_does(name: str, tmp_path: Path) -> None:
    folder = _ALL[name][0](tmp_path / "checkpoint")
    out = tmp_path / "f32.gguf"
    convert_checkpoint(folder, out, Options("f32", verify=False), Watcher())
    context, text = "user: I lied to my wife about the money", "and now I can't sleep"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    given = tokenizer(context, text, return_tensors="pt")
    types = {"token_type_ids": torch.zeros_like(given["input_ids"])} if name == "bert" else {}
    with torch.no_grad():
        expected = model(input_ids=given["input_ids"], **types).logits[0].softmax(-1).tolist()
    assert _windows(out, Passage(text, context)) == pytest.approx(expected, abs=5e-3)


async def test_a_t5_guard_runs_in_both_dialects(tmp_path: Path) -> None:
    dialects = {
        "open-assistant/seed": ("<cls>", "<ctx>", "<sep>"),
        "open-assistant/blade2blade": ("<|prompter|>", "<|assistant|>", "<sep>"),
    }
    for number, (name, marks) in enumerate(dialects.items()):
        folder = checkpoints.t5(tmp_path / str(number) / "checkpoint", marks=marks)
        out, _ = converted(folder)
        assert f"open-assistant/{identify(out).family.dialect}" == name  # type: ignore[attr-defined]
        assert ask(out, "seq2seq", ["a<sep>b"], list(marks)).trusted == [
            [token] for token in AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(marks)
        ]
        engine = Engine(out, "seq2seq")
        prompt = identify(out).family.prompt([Message("user", "hi")])
        (output,) = await engine.write([prompt], LABELS, max_tokens=4)  # type: ignore[list-item]
        await engine.close()
        assert output.truncated is False


def test_line_breaks_are_blanks_in_vocabularies_without_a_normaliser(tmp_path: Path) -> None:
    """As `oa-chat train` makes them: a unigram that splits at white space, and no more."""
    folder = checkpoints.t5_from_scratch(tmp_path / "checkpoint")
    out, report = converted(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["hello\nthere", "hello\t\r\n  there\u3000you\u2028", "hello there"]
    found = ask(out, "seq2seq", texts).texts
    assert found == [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    assert found[0] == found[2]
    assert not report.failed


def test_a_chat_model_has_its_template_and_sampling(tmp_path: Path) -> None:
    folder = checkpoints.llama(tmp_path / "checkpoint")
    general = General(name="Tiny chat", sampling={"temp": 0.5, "top_k": 40}, license="mit")
    write_guard_config(folder, GuardConfig(general=general))
    out, _ = converted(folder)
    header = read_header(out)
    assert kind_of(header) == "causal"
    assert header.chat_template == checkpoints.TEMPLATE
    assert header.sampling == {"temp": 0.5, "top_k": 40}
    assert (header.name, header.values["general.license"]) == ("Tiny chat", "mit")
    runner = causal.load(Load(id=1, path=str(out), kind="causal"), lambda _: None)
    assert runner.info.has_template
    end = header.values["tokenizer.ggml.eos_token_id"]
    assert read_header(out, tokens=True).tokens[int(str(end))] == "<|im_end|>"
    runner.close()


def test_the_card_and_oa_chat_json_become_metadata(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    (folder / "README.md").write_text(
        "---\nlicense: apache-2.0\nbase_model: some/encoder\ndatasets:\n- one/set\n- other\n"
        "language: en\ntags: [guard]\n---\n# Card\n"
    )
    write_guard_config(folder, GuardConfig(general=General(name="Guard", version="2")))
    folder_out = tmp_path / "out"
    folder_out.mkdir()
    done = convert_checkpoint(folder, folder_out, Options(verify=False), Watcher())
    assert done.path.name == f"Guard-{_size(done.path)}-2-Q8_0.gguf"
    values = read_header(done.path).values
    assert values["general.license"] == "apache-2.0"
    assert values["general.base_model.0.repo_url"] == "https://huggingface.co/some/encoder"
    assert values["general.dataset.count"] == 2
    assert values["general.dataset.1.name"] == "other"
    assert values["general.file_type"] == 7


def _size(path: Path) -> str:
    return str(read_header(path).values["general.size_label"])


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = checkpoints.t5(tmp_path / "checkpoint")
    files = [tmp_path / f"{number}.gguf" for number in range(2)]
    for file in files:
        convert_checkpoint(folder, file, Options("q4_0", verify=False), Watcher())
    assert files[0].read_bytes() == files[1].read_bytes()


# ---------------------------------------------------------------- what llama.cpp cannot do


def _changed(folder: Path, **settings: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | settings))


@pytest.mark.parametrize(
    ("make", "settings", "reason"),
    [
        (checkpoints.modern_bert, {"classifier_pooling": "cls"}, "classifier_pooling"),
        (checkpoints.t5, {"relative_attention_max_distance": 64}, "max_distance"),
        (checkpoints.t5, {"num_layers": 1}, "num_decoder_layers"),
        (checkpoints.t5, {"feed_forward_proj": "gated-silu"}, "feed_forward_proj"),
        (checkpoints.bert, {"hidden_act": "relu"}, "hidden_act"),
        (checkpoints.llama, {"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters"),
        (checkpoints.bert, {"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM"),
    ],
)
def test_what_would_come_out_wrong_is_refused(
    make: Make, settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = make(tmp_path / "checkpoint")
    _changed(folder, **settings)
    with pytest.raises(ConversionError, match=reason):
        convert_checkpoint(folder, tmp_path / "out.gguf", Options(), Watcher())
    assert not (tmp_path / "out.gguf").exists()
