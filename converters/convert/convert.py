"""One conversion from folder to file: written, verified, and only then in its place.

float32 is written first when something is to be held against it, or when llama.cpp makes the
K-quants from it; it lies beside the output and goes away at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from converters.convert.card import file_name, metadata
from converters.convert.checkpoint import read_checkpoint
from converters.convert.guard_config import GuardConfig, read_guard_config
from converters.convert.precision import (
    K_BLOCK,
    K_QUANTS,
    choose,
    embeddings_type,
    file_type,
    stored_bytes,
)
from converters.convert.probe import Quantize, run
from converters.convert.registry import source_of
from converters.convert.report import Report
from converters.convert.sample import labelled, measure
from converters.convert.source import Source
from converters.convert.verify import (
    Verifier,
    compare_samples,
    limits_for,
    verify_f32,
    verify_quantised,
)
from converters.convert.writer import OnBytes, write_gguf
from converters.errors import ConversionError
from converters.provenance import replacing
from converters.records import Record
from oa_chat.verdict import LABELS

_SAMPLE_TEXTS = 200
"""Texts of a labelled sample whose logits are compared as well."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to convert."""

    quant: str = "q8_0"
    embeddings: str | None = None
    """Another type for the embedding table."""
    verify: bool = True
    sample: Path | None = None


@dataclass(slots=True)
class Converted:
    """What came of it."""

    path: Path
    report: Report | None
    verified: bool
    notices: list[str] = field(default_factory=list)


class Watcher:
    """Hears how a conversion goes on; this one does not care."""

    def say(self, text: str) -> None:
        """A step begins."""

    @contextmanager
    def writing(self, what: str, size: int) -> Iterator[OnBytes]:
        """A file of about `size` bytes is written meanwhile."""
        yield lambda _: None

    def found(self, report: Report, name: str) -> None:
        """The verification has ended, well or not."""


def convert_checkpoint(folder: Path, out: Path, options: Options, watcher: Watcher) -> Converted:
    """Convert a checkpoint folder to `out` (a file, or a folder to name it in).

    Raises ConversionError, and leaves no file, if anything cannot be converted or verified.
    """
    guard = read_guard_config(folder)
    records = labelled(options.sample) if options.sample and options.verify else []
    source = source_of(read_checkpoint(folder), guard)
    if records:
        _require_guard(source)
    if out.is_dir():
        out /= file_name(guard, folder, source, options.quant)
    embeddings, told = embeddings_type(source, options.embeddings)
    embeddings = None if embeddings == options.quant else embeddings
    native = bool({options.quant, embeddings} & {*K_QUANTS})
    notices = [*source.notices, *told]
    with replacing(out) as part, _beside(out, ".f32") as whole:
        job = _Job(folder, guard, source, options, watcher, records)
        plain = options.quant == "f32" and embeddings is None
        if (options.verify or native) and not plain:
            job.write(whole, "f32", None)
        if native:
            notices += job.quantise(whole, part, embeddings)
        else:
            notices += job.write(part, options.quant, embeddings)
        report = job.verify(part if plain else whole, part, embeddings) if options.verify else None
    return Converted(out, report, options.verify, notices)


def _require_guard(source: Source) -> None:
    """A sample is labelled with the five levels, so the model has to answer with them."""
    if source.kind == "causal" or (source.labels and sorted(source.labels) != sorted(LABELS)):
        named = f" with the labels {', '.join(source.labels)}" if source.labels else ""
        raise ConversionError(
            f"--sample measures guards, and this is a {source.kind} model{named}.",
            f"A guard's labels are {', '.join(LABELS)} (id2label, or labels in oa_chat.json).",
        )


@contextmanager
def _beside(out: Path, ending: str) -> Iterator[Path]:
    path = out.with_name(f".{out.name}{ending}.part")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Job:
    folder: Path
    guard: GuardConfig
    source: Source
    options: Options
    watcher: Watcher
    records: list[Record]
    """The labelled sample; may be empty."""

    def write(self, path: Path, quant: str, embeddings: str | None) -> list[str]:
        """Write a file with numpy's types; what a person should know about it."""
        choice = choose(self.source, quant, embeddings)
        size = sum(stored_bytes(one.shape, choice.types[one.name]) for one in self.source.tensors)
        values = metadata(self.folder, self.source, self.guard, quant, verified=self.options.verify)
        with self.watcher.writing(quant, size) as on_bytes:
            write_gguf(path, self.source, values, choice.types, on_bytes)
        return choice.notices

    def quantise(self, whole: Path, path: Path, embeddings: str | None) -> list[str]:
        """Make K-quants of a float32 file with llama.cpp."""
        import gguf

        quant = self.options.quant
        self.watcher.say(f"quantising to {quant} with llama.cpp")
        table = int(gguf.GGMLQuantizationType[embeddings.upper()]) if embeddings is not None else -1
        run(Quantize(str(whole), str(path), file_type(quant), table))
        if not path.is_file():
            raise ConversionError(f"llama.cpp made no {quant} file.")
        odd = [
            one.name
            for one in self.source.tensors
            if len(one.shape) > 1 and one.shape[-1] % K_BLOCK
        ]
        if not odd:
            return []
        who = f"{odd[0]} and {len(odd) - 1} more"
        return [f"rows of {who} do not divide by 256: llama.cpp gave them a larger type"]

    def verify(self, whole: Path, path: Path, embeddings: str | None) -> Report:
        """Verify; raises ConversionError if a check fails, when all is told."""
        records = self.records
        texts = [record.text for record in records[:_SAMPLE_TEXTS]]
        verifier = verify_f32(self.folder, whole, self.source.kind, texts, self.watcher.say)
        limits = limits_for(self.options.quant, embeddings)
        if path != whole:
            self.watcher.say("comparing the quantised file with float32")
            verify_quantised(verifier, path, limits)
        if records:
            self.watcher.say(f"judging {len(records)} records with both files")
            before = measure(whole, records)
            after = before if path == whole else measure(path, records)
            compare_samples(verifier.report, before, after, limits)
        self._settle(verifier)
        return verifier.report

    def _settle(self, verifier: Verifier) -> None:
        report = verifier.report
        self.watcher.found(report, self.folder.name)
        if report.failed:
            first = report.failed[0]
            raise ConversionError(
                f"The converted file is not the model: {first.what}: {first.measured}"
                f" ({first.limit}). Nothing was written.",
                "The table says what differs. --no-verify writes the file all the same.",
            )
