"""What `oa-chat models` prints: lines for people, fields for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oa_chat.downloads.partial import gigabytes
from oa_chat.found_models import OURS
from oa_chat.machine_memory import Memory
from oa_chat.model_list import EMBEDDED, ModelDetails, ModelRow
from oa_chat.printable import printable

_HEAD = f"{'name':<24}{'here':<13}{'size':>8}{'memory':>9}  {'fits':<7}{'context':>8}"


def list_lines(rows: Sequence[ModelRow], memory: Memory, folder: Path) -> Iterator[str]:
    """The list, in three parts, and what its columns mean."""
    parts = (
        ("Chat models (--model NAME)", [row for row in rows if row.role == "chat"]),
        ("Guards (--guard NAME)", [row for row in rows if row.role == "guard"]),
        ("Other models on this computer", [row for row in rows if _other(row)]),
    )
    for title, chosen in parts:
        if chosen:
            yield title
            yield f"  {_HEAD}"
            for row in chosen:
                yield from map(printable, _row_lines(row))
            yield ""
    yield f"Download one with `oa-chat models pull NAME`. They lie in {printable(str(folder))}."
    if memory.total:
        yield (
            f"Memory is what a model takes with up to 8,192 tokens of context; this machine has"
            f" {gigabytes(memory.total)}, {gigabytes(memory.available)} of them free."
        )


def _other(row: ModelRow) -> bool:
    return not row.role and row.where != EMBEDDED


def _row_lines(row: ModelRow) -> Iterator[str]:
    name = f"{row.name:<23} " if len(row.name) <= 23 else f"{row.name}\n  {'':<24}"
    needs = gigabytes(row.needs) if row.needs else "?"
    context = f"{row.context:,}" if row.context else "?"
    yield (
        f"  {name}{state_word(row):<13}{gigabytes(row.size):>8}{needs:>9}"
        f"  {row.fits or '?':<7}{context:>8}"
    )
    licence = f" ({row.licence})" if row.licence else ""
    yield f"      {row.good_for}{licence}"


def state_word(row: ModelRow) -> str:
    """Whether a model is here, in a word or two."""
    if row.where == OURS or (row.path is not None and not row.where):
        return "yes"
    if row.where:
        return row.where
    return "no" if row.progress is None else f"{row.progress:.0%}"


def row_fields(row: ModelRow) -> dict[str, Any]:
    """The fields of ``list --json``."""
    return {
        "name": row.name,
        "title": row.title,
        "role": row.role or None,
        "good_for": row.good_for,
        "size": row.size,
        "licence": row.licence or None,
        "context": row.context or None,
        "memory": row.needs or None,
        "fits": row.fits or None,
        "path": None if row.path is None else str(row.path),
        "where": row.where or None,
        "progress": row.progress,
        "full_name": row.full_name,
    }


def details_lines(details: ModelDetails) -> Iterator[str]:
    """Everything about a model, a line each. What is not known is left out."""
    row, known, header, source = details.row, details.known, details.header, details.source
    said: Iterable[tuple[str, str]] = (
        ("name", row.name),
        ("full name", row.full_name if row.full_name != row.name else ""),
        ("title", row.title if row.title != row.name else ""),
        ("used as", row.role),
        ("good for" if row.role else "what it is", row.good_for),
        ("guard family", known.family if known else ""),
        ("licence", row.licence),
        ("size", f"{gigabytes(row.size)} ({row.size:,} bytes)" if row.size else ""),
        ("context", f"{row.context:,} tokens" if row.context else ""),
        ("memory", f"about {gigabytes(row.needs)}; fits: {row.fits or '?'}" if row.needs else ""),
        ("here", f"{state_word(row)}{f', {row.path}' if row.path else ''}"),
        ("architecture", f"{header.architecture}, {header.block_count} layers" if header else ""),
        ("chat template", ("yes" if header.chat_template else "no") if header else ""),
        ("problem", details.problem),
        ("downloaded", f"{source.repo}, commit {source.commit}" if source else ""),
        ("checksum", source.content.checksum if source else known.sha256 if known else ""),
    )
    for name, text in said:
        if text:
            yield printable(f"{name + ':':<15}{text}")
    if row.path is None:
        yield f"Download it: oa-chat models pull {printable(row.name)}"


def details_fields(details: ModelDetails) -> dict[str, Any]:
    """The fields of ``info --json``."""
    known, header, source = details.known, details.header, details.source
    return row_fields(details.row) | {
        "family": known.family or None if known else None,
        "repo": known.repo if known else source.repo if source else None,
        "file": known.file if known else source.file if source else None,
        "commit": source.commit if source else None,
        "checksum": source.content.checksum if source else known.sha256 or None if known else None,
        "architecture": header.architecture if header else None,
        "layers": header.block_count if header else None,
        "chat_template": bool(header.chat_template) if header else None,
        "problem": details.problem or None,
    }
