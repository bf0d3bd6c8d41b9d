"""Conversions that are wrong in the four classic ways are found out, and leave no file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.convert import registry
from converters.convert.checkpoint import Checkpoint
from converters.convert.comparison import CLEAR, difference
from converters.convert.convert import Options, Watcher, convert_checkpoint
from converters.convert.corpus import EVERYDAY, NASTY
from converters.convert.guard_config import GuardConfig
from converters.convert.report import Report
from converters.convert.sample import measure
from converters.convert.source import Source, Tensor
from converters.convert.verify import LIMITS, NMSE_F32, SAMPLE_NOISE, compare_samples
from converters.convert.verify_tokens import MOST_ODD
from converters.errors import ConversionError
from converters.records import record_of
from oa_chat.engine.gguf_header import read_header
from oa_chat.engine.own_keys import own_keys
from oa_chat.verdict import LABELS
from tests.converters.convert import checkpoints

Change = Callable[[Source], Source]


def _with(monkeypatch: pytest.MonkeyPatch, class_name: str, change: Change) -> None:
    """Spoil what an architecture makes of a checkpoint."""
    real = registry.ARCHITECTURES[class_name]

    def spoiled(checkpoint: Checkpoint, guard: GuardConfig) -> Source:
        return change(real(checkpoint, guard))

    monkeypatch.setitem(registry.ARCHITECTURES, class_name, spoiled)


def _each(change: Callable[[Tensor], Tensor]) -> Change:
    return lambda source: replace(source, tensors=[change(one) for one in source.tensors])


def _times(tensor: Tensor, factor: float) -> Tensor:
    return replace(tensor, read=lambda first, end: tensor.read(first, end) * np.float32(factor))


def _unscaled(tensor: Tensor) -> Tensor:
    return _times(tensor, 8.0) if tensor.name == "dec.output_norm.weight" else tensor


def _no_pooler(tensor: Tensor) -> Tensor:
    if tensor.name != "cls.weight":
        return tensor
    return replace(tensor, read=lambda first, end: np.eye(64, dtype=np.float32)[first:end])


def _other_tokens(source: Source) -> Source:
    tokens = source.values["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    changed = [f"[PAD{n}]" if text == "<sep>" else str(text) for n, text in enumerate(tokens)]
    return replace(source, values=source.values | {"tokenizer.ggml.tokens": changed})


@pytest.mark.parametrize(
    ("class_name", "change", "failed"),
    [
        ("T5ForConditionalGeneration", _each(_unscaled), "NMSE"),
        ("BertForSequenceClassification", _each(_no_pooler), "NMSE"),
        ("T5ForConditionalGeneration", _other_tokens, "special tokens"),
    ],
    ids=["tied T5 unscaled", "BERT without pooler", "added tokens lost"],
)
def test_the_classic_mistakes_are_found(
    class_name: str,
    change: Change,
    failed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = checkpoints.t5 if class_name.startswith("T5") else checkpoints.bert
    folder = make(tmp_path / "checkpoint")
    _with(monkeypatch, class_name, change)
    out = tmp_path / "out" / "model.gguf"
    with pytest.raises(ConversionError, match=failed):
        convert_checkpoint(folder, out, Options(), Watcher())
    assert list(out.parent.iterdir()) == []


def test_a_crash_in_llama_cpp_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    _with(
        monkeypatch,
        "BertForSequenceClassification",
        lambda source: replace(
            source, tensors=[one for one in source.tensors if one.name != "blk.1.ffn_up.weight"]
        ),
    )
    with pytest.raises(ConversionError, match=r"cannot run .*ffn_up"):
        convert_checkpoint(folder, tmp_path / "x.gguf", Options(), Watcher())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_an_old_file_stays_when_the_new_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    out = tmp_path / "model.gguf"
    out.write_bytes(b"old")
    _with(monkeypatch, "BertForSequenceClassification", _each(_no_pooler))
    with pytest.raises(ConversionError):
        convert_checkpoint(folder, out, Options(), Watcher())
    assert out.read_bytes() == b"old"


def test_unverified_files_say_so(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    out = tmp_path / "model.gguf"
    done = convert_checkpoint(folder, out, Options(verify=False), Watcher())
    keys = own_keys(read_header(out))
    assert (done.verified, done.report, keys.verified) == (False, None, False)
    assert "--no-verify" in keys.note


def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    _with(
        monkeypatch,
        "BertForSequenceClassification",
        _each(lambda one: _times(one, float("nan")) if one.name == "cls.bias" else one),
    )
    with pytest.raises(ConversionError, match=r"cls\.bias holds numbers that are infinite"):
        convert_checkpoint(folder, tmp_path / "x.gguf", Options(verify=False), Watcher())


# ---------------------------------------------------------------- a labelled sample


def test_a_sample_is_judged_with_both_files(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    sample = tmp_path / "sample.jsonl"
    rows = [
        {"text": text, "label": LABELS[number % 5], "context": []}
        for number, text in enumerate(checkpoints.TEXTS)
    ]
    sample.write_text("\n".join(map(json.dumps, rows)) + "\n")
    kept: list[Report] = []

    class Keeping(Watcher):
        def found(self, report: Report, name: str) -> None:
            kept.append(report)

    out = tmp_path / "model.gguf"
    convert_checkpoint(folder, out, Options("q8_0", sample=sample), Keeping())
    named = {check.what: check for check in kept[0].checks}
    assert named["sample, records"].measured == str(len(rows))
    records = [record_of(row, "here") for row in rows]
    after = measure(out, records)
    assert named["sample, macro-F1 F32 -> quantised"].measured.endswith(f"{after.f1:.4f}")
    assert named["sample, ECE F32 -> quantised"].measured.endswith(f"{after.ece:.4f}")
    worse = replace(after, f1=after.f1 - 0.3, ece=after.ece + 0.3)
    report = Report()
    compare_samples(report, after, worse, LIMITS["q8_0"])
    assert [check.what for check in report.failed] == [
        "sample, loss of macro-F1",
        "sample, rise of ECE",
    ]


def test_a_sample_without_labels_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    sample = tmp_path / "sample.jsonl"
    sample.write_text('{"text": "hello"}\n')
    with pytest.raises(ConversionError, match="no record with a level"):
        convert_checkpoint(folder, tmp_path / "m.gguf", Options(sample=sample), Watcher())


def test_a_sample_for_other_labels_is_refused_at_once(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint", id2label={0: "bad", 1: "good"})
    sample = tmp_path / "sample.jsonl"
    sample.write_text(json.dumps({"text": "hello", "label": LABELS[0]}) + "\n")
    with pytest.raises(ConversionError, match="--sample measures guards.*bad, good"):
        convert_checkpoint(folder, tmp_path / "m.gguf", Options(sample=sample), Watcher())


# ---------------------------------------------------------------- formulas


def test_differences_by_hand() -> None:
    reference = np.log(np.array([[0.5, 0.5], [0.9, 0.1]]))
    other = np.log(np.array([[0.25, 0.75], [0.4, 0.6]]))
    found = difference(other, reference)
    kl = [0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75), 0.9 * np.log(2.25) + 0.1 * np.log(1 / 6)]
    assert found.kl_mean == pytest.approx(sum(kl) / 2)
    assert found.kl_999 == pytest.approx(max(kl), rel=0.01)
    assert found.flips == 0.5, "the tie of the first row is no clear answer"
    assert found.largest == pytest.approx(np.log(6))
    same = difference(reference, reference)
    assert (same.nmse, same.kl_mean, same.flips) == (0, 0, 0)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_numbers_that_are_none_are_infinitely_far(broken: float) -> None:
    found = difference(np.array([[broken, 0.0]]), np.zeros((1, 2)))
    assert found.nmse == found.kl_mean == float("inf")
    assert difference(np.zeros((2, 2)), np.zeros((1, 2))).flips == 1.0


def test_the_limits_of_the_manual_are_those_of_the_code() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "convert.md").read_text("utf-8")
    table = page.split("| type | mean KL |")[1].split("\n\n")[0].splitlines()[2:]
    told: dict[str, tuple[float, ...]] = {}
    for line in table:
        names, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        numbers = [
            float(cell.removesuffix(" %")) / (100 if cell.endswith("%") else 1) for cell in cells
        ]
        told |= {name: tuple(numbers) for name in names.split(", ")}
    told["f32"] = dataclasses.astuple(LIMITS["f32"])  # has no row: nothing is quantised
    assert told == {name: pytest.approx(dataclasses.astuple(one)) for name, one in LIMITS.items()}
    assert f"at most {int(MOST_ODD * len(NASTY))} of {len(NASTY)} differ" in page
    assert f"{len(EVERYDAY)} everyday and {len(NASTY)} nasty" in page
    assert f"at least {CLEAR}" in page
    assert f"{SAMPLE_NOISE} / sqrt(records)" in page
    assert f"NMSE at most {NMSE_F32:.0e}".replace("e-04", "e-4") in page
