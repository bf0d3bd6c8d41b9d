"""The models that a person can choose from, as rows: the catalogue, and what lies on this computer.

What a model needs is its files, the cache of its context and an allowance, as when it is placed on
a device (`oa_chat.engine.placing`); main memory alone is looked at, since what a GPU takes over
shows only with the other models of a run (`oa-chat doctor`). Starts no process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oa_chat import catalog
from oa_chat.downloads.partial import Source, progress_of, source_of_file
from oa_chat.engine.fitting import wanted_context
from oa_chat.engine.gguf_header import GgufHeader, kind_of, read_header
from oa_chat.engine.placing import ALLOWANCE, wanted_of
from oa_chat.errors import ModelError, OaChatError
from oa_chat.folders import models_dir
from oa_chat.found_models import FoundModel, found_models
from oa_chat.known_models import KnownModel, known_models
from oa_chat.machine_memory import Memory, machine_memory

Fit = Literal["yes", "tight", "no", ""]
EMBEDDED = "in oa-chat"
"""Where the models of the package are."""
_ABOUT = {
    catalog.STARTER.name: ("small talk at once; knows no facts, gives no advice", "CC BY-SA 4.0"),
    catalog.GUARD.name: ("the guard that is there at once; English", "Apache 2.0"),
    catalog.RULE_WRITER.name: ("writes rules of thumb (guard.rule_author)", "CC BY-SA 4.0"),
}
"""What the package's models are good for, and their licences, as on their cards."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model to choose from. Sizes in bytes, contexts in tokens; 0 is unknown."""

    name: str
    title: str
    role: Literal["chat", "guard", ""]
    """Empty if it is not known what it is used for."""
    good_for: str
    size: int
    licence: str
    context: int
    needs: int
    """Main memory, roughly, with a context of up to 8,192 tokens."""
    fits: Fit
    """Into this machine's memory: now, only if other programs make room, or not at all."""
    path: Path | None
    """None if it is not here."""
    where: str
    """Whose folder it lies in; empty if it is not here."""
    progress: float | None = None
    """Of a download that was begun: 0 to 1."""
    full_name: str = ""
    """What names it for sure."""


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """Everything about one model."""

    row: ModelRow
    known: KnownModel | None
    header: GgufHeader | None
    """None if it is not here, or cannot be read."""
    problem: str
    """Why it cannot be read, in words."""
    source: Source | None
    """Where it was downloaded from, if oa-chat did that."""


def model_rows(memory: Memory | None = None) -> list[ModelRow]:
    """The package's models, the catalogue, then whatever else lies on this computer."""
    memory = memory or machine_memory()
    found = found_models(models_dir())
    here = {known.name: model for model in reversed(found) if (known := catalog.known_as(model))}
    rows = [_embedded(model) for model in catalog.EMBEDDED.values()]
    rows += [_known(known, here.get(known.name), memory) for known in known_models()]
    others = [model for model in found if catalog.known_as(model) is None]
    return [*rows, *_others(others, memory)]


def model_details(name: str) -> ModelDetails:
    """Everything about a model by name or path. Raises ModelNotFound and UsageError."""
    memory = machine_memory()
    if name in catalog.EMBEDDED:
        return _details(_embedded(catalog.EMBEDDED[name]), None)
    if catalog.is_path(name):
        path = catalog.path_of(name)
        read_header(path)  # raises what is wrong with it
        return _details(_other(FoundModel(name, name, path, ""), name, memory), None)
    try:
        model = catalog.find(name)
    except ModelError:
        known = catalog.known_by_name(name)
        if known is None:
            raise
        return _details(_known(known, None, memory), known)
    known = catalog.known_as(model)
    row = _known(known, model, memory) if known else _other(model, model.name, memory)
    return _details(row, known)


def fit(needs: int, memory: Memory) -> Fit:
    """Whether so many bytes fit into the machine's memory."""
    if not needs or not memory.total:
        return ""
    if needs <= memory.available:
        return "yes"
    return "tight" if needs <= memory.total else "no"


def needs_of(known: KnownModel) -> int:
    """Bytes of memory that a model of the catalogue takes, roughly, with the usual context."""
    return known.size + wanted_context(0, known.context) * known.cache_per_token + ALLOWANCE


def _details(row: ModelRow, known: KnownModel | None) -> ModelDetails:
    header, problem = None, ""
    if row.path is not None:
        try:
            header = read_header(row.path)
        except OaChatError as error:
            problem = f"{error.message} {error.hint}".strip()
    source = source_of_file(row.path) if row.path else None
    return ModelDetails(row, known, header, problem, source)


def _embedded(model: catalog.EmbeddedModel) -> ModelRow:
    path = catalog.embedded_path(model)
    chat = model is catalog.STARTER
    header = read_header(path)
    good_for, licence = _ABOUT[model.name]
    return ModelRow(
        name=model.name,
        title=model.title,
        role="chat" if chat else "guard" if model is catalog.GUARD else "",
        good_for=good_for,
        size=header.size_bytes,
        licence=licence,
        context=header.context_length,
        needs=wanted_of(model.name, header).needs,
        fits="yes",
        path=path,
        where=EMBEDDED,
        full_name=model.name,
    )


def _known(known: KnownModel, here: FoundModel | None, memory: Memory) -> ModelRow:
    needs = needs_of(known)
    return ModelRow(
        name=known.name,
        title=known.title,
        role=known.role,
        good_for=known.good_for,
        size=here.size if here else known.size,
        licence=known.licence,
        context=known.context,
        needs=needs,
        fits=fit(needs, memory),
        path=here.path if here else None,
        where=here.where if here else "",
        progress=None if here else progress_of(known.source.below(models_dir())),
        full_name=known.source.name,
    )


def _others(models: list[FoundModel], memory: Memory) -> Iterator[ModelRow]:
    names = [model.name for model in models]
    for model in models:
        # A name that several have is of no use; the full one always is.
        alone = names.count(model.name) == 1 and catalog.known_by_name(model.name) is None
        yield _other(model, model.name if alone else model.full_name, memory)


def _other(model: FoundModel, name: str, memory: Memory) -> ModelRow:
    header: GgufHeader | None = None
    try:
        header = read_header(model.path)
        of_use = "" if kind_of(header) else ", of no use here"
        about = f"{header.name} ({header.architecture}){of_use}"
    except OaChatError as error:
        about = error.message
    needs = wanted_of(model.name, header).needs if header else 0
    return ModelRow(
        name=name,
        title=catalog.title_of(name),
        role="",
        good_for=about,
        size=model.size,
        licence=str(header.values.get("general.license") or "") if header else "",
        context=header.context_length if header else 0,
        needs=needs,
        fits=fit(needs, memory),
        path=model.path,
        where=model.where,
        full_name=model.full_name,
    )
