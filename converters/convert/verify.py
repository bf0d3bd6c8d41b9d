"""Verifies a conversion: token ids, float32 against PyTorch, the shipped file against float32.

The limits are below. A file beyond one of them is not left behind. Everything native runs in
`probe`'s processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from converters.convert.comparison import CLEAR, difference
from converters.convert.corpus import EVERYDAY, NASTY
from converters.convert.probe import ask
from converters.convert.reference import Reference
from converters.convert.report import Check, Report
from converters.convert.sample import Measured
from converters.convert.verify_tokens import compare_added, compare_tokens
from oa_chat.engine.protocol import ModelKind

if TYPE_CHECKING:
    import numpy as np

NMSE_F32 = 1e-4
"""float32 against PyTorch. llama.cpp looks GELU up in a table of float16 and keeps keys and values
in float16: 1e-8 to 2e-6 was measured; a missing pooler or scale gives more than 0.1."""
FLIPS_F32 = 0.0
SAMPLE_NOISE = 0.5
"""Over the root of the number of records, this is added to the limits on a labelled sample: with
150 records, 1.5 % of changed answers moved the ECE of a sound file by 0.03."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a quantised file may differ by from float32."""

    kl_mean: float
    kl_999: float
    flips: float
    """Share of clear answers that change."""
    f1: float = 0.02
    """Loss of macro-F1 on a labelled sample."""
    ece: float = 0.02
    """Rise of the calibration error on a labelled sample."""


LIMITS = {
    "f32": Limits(1e-6, 1e-5, 0.0, 0.0, 0.0),
    "f16": Limits(0.002, 0.02, 0.0, 0.005, 0.005),
    "bf16": Limits(0.005, 0.05, 0.01, 0.01, 0.01),
    "q8_0": Limits(0.005, 0.05, 0.01, 0.01, 0.01),
    "q6_k": Limits(0.01, 0.1, 0.02),
    "q5_0": Limits(0.03, 0.3, 0.05),
    "q4_k": Limits(0.05, 0.5, 0.05),
    "q4_k_m": Limits(0.05, 0.5, 0.05),
    "q4_0": Limits(0.1, 1.0, 0.08),
}
_FEW = 12
"""Texts whose logits are compared for models that write: each gives a row for every token."""


@dataclass(slots=True)
class Verifier:
    """The texts, their ids and the float32 logits that later files are held against."""

    kind: ModelKind
    report: Report
    inputs: list[list[int]]
    targets: list[list[int]]
    logits: np.ndarray


def verify_f32(
    folder: Path, file: Path, kind: ModelKind, texts: Sequence[str], say: Callable[[str], None]
) -> Verifier:
    """Compare a float32 file with its checkpoint. Raises ConversionError if one cannot run."""
    report = Report()
    say("loading the checkpoint in PyTorch")
    reference = Reference(folder, kind)
    corpus = [*EVERYDAY, *NASTY]
    theirs = [reference.ids(text) for text in corpus]
    added = reference.added()
    judged = [*EVERYDAY, *(text for text in NASTY if text.strip()), *texts]
    chosen = judged if kind == "classifier" else judged[:_FEW]
    rows = [reference.whole(text) for text in chosen]
    inputs = [ids for ids in rows if ids and not reference.is_padded(ids)]
    say(f"computing logits of {len(inputs)} texts in PyTorch")
    targets = reference.targets(inputs)
    expected = reference.logits(inputs, targets)
    del reference  # its memory is not needed beside llama.cpp's
    say("asking llama.cpp")
    found = ask(file, kind, corpus, list(added), inputs, targets)
    compare_tokens(report, found.texts, theirs)
    compare_added(report, added, dict(zip(added, found.trusted, strict=True)))
    gap = difference(found.logits, expected)
    report.checks.append(Check("F32 to PyTorch, largest difference", f"{gap.largest:.3g}"))
    report.at_most("F32 to PyTorch, NMSE", gap.nmse, NMSE_F32)
    report.at_most(f"F32 to PyTorch, other top-1 of {gap.rows}", gap.flips, FLIPS_F32)
    return Verifier(kind, report, inputs, targets, found.logits)


def verify_quantised(verifier: Verifier, file: Path, limits: Limits) -> None:
    """Compare the file to be shipped with the float32 one; adds to the report."""
    found = ask(file, verifier.kind, inputs=verifier.inputs, targets=verifier.targets)
    gap = difference(found.logits, verifier.logits)
    report = verifier.report
    report.at_most("quantised to F32, mean KL", gap.kl_mean, limits.kl_mean)
    report.at_most("quantised to F32, 99.9 % KL", gap.kl_999, limits.kl_999)
    what = "label flips" if verifier.kind == "classifier" else "other top-1"
    report.at_most(
        f"quantised to F32, {what} of {gap.rows} (clear by {CLEAR})", gap.flips, limits.flips
    )


def compare_samples(report: Report, before: Measured, after: Measured, limits: Limits) -> None:
    """Compare what both files make of a labelled sample; the limits allow for its size."""
    slack = SAMPLE_NOISE / math.sqrt(after.records)
    report.checks.append(Check("sample, records", str(before.records)))
    report.checks.append(
        Check("sample, macro-F1 F32 -> quantised", f"{before.f1:.4f} -> {after.f1:.4f}")
    )
    report.at_most("sample, loss of macro-F1", before.f1 - after.f1, limits.f1 + slack)
    report.checks.append(
        Check("sample, ECE F32 -> quantised", f"{before.ece:.4f} -> {after.ece:.4f}")
    )
    report.at_most("sample, rise of ECE", after.ece - before.ece, limits.ece + slack)


def limits_for(quant: str, embeddings: str | None) -> Limits:
    """The wider of the limits of the layers' type and the embeddings'."""
    rows = [LIMITS[quant], LIMITS[embeddings or quant]]
    return max(rows, key=lambda row: row.kl_mean)
