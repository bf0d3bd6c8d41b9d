"""A request with its recipe checked and its files found: what can be refused before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.prepare.engine import EngineName
from converters.prepare.inputs import (
    SLICE_BYTES,
    InputFile,
    check_columns,
    looked_into,
    matching,
)
from converters.prepare.manifest import Manifest, begun
from converters.prepare.pipeline import Pipeline, checked
from converters.prepare.recipe import (
    EMBEDDED,
    RULEBOOK,
    AttachRecipe,
    DecontaminateRecipe,
    place_of_step,
    read_recipe,
)
from converters.recipe import SHIPPED
from oa_chat import catalog

WORK = ".work"


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for."""

    recipe: Path
    overrides: Sequence[str]
    out: Path | None
    """The dataset's folder; None is a folder of the recipe's name where the user is."""
    data: Path | None = None
    engine: EngineName = "local"
    address: str = ""
    workers: int = 0
    slice_bytes: int = SLICE_BYTES


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with its recipe checked and its files found and hashed."""

    pipeline: Pipeline
    files: Sequence[InputFile]
    examples: Sequence[str]
    """Where the examples of `attach` lie."""
    begun: Manifest
    folder: Path

    @property
    def work(self) -> Path:
        """The work folder of exactly this plan."""
        return self.folder / WORK / self.begun.basis()[:16]


def plan(request: Request) -> Plan:
    """Read the recipe and look at its files. Raises RecipeError and DataError."""
    recipe = read_recipe(request.recipe, request.overrides, request.data)
    pipeline = checked(recipe, request.recipe)
    shipped = request.recipe.resolve().parent == SHIPPED
    base = Path.cwd() if shipped else request.recipe.resolve().parent
    files = []
    for number, table in enumerate(pipeline.sources):
        place = f"{request.recipe}, source {number + 1}"
        source = pipeline.make_source(number)
        for pattern in table.path:
            for path in matching(pattern, base, recipe.paths, place):
                files.append(looked_into(path, number, pattern))
                check_columns(files[-1], source)

    def found(step: str, patterns: Iterable[str]) -> list[Path]:
        place = place_of_step(request.recipe, step)
        return [path for one in patterns for path in matching(one, base, recipe.paths, place)]

    decontaminate = pipeline.settings("decontaminate", DecontaminateRecipe)
    against = found("decontaminate", decontaminate.files) if decontaminate else []
    attach = pipeline.settings("attach", AttachRecipe)
    named = [one for one in attach.examples if one != RULEBOOK] if attach else []
    examples = found("attach", named)
    models = []
    if attach:
        own = attach.model == EMBEDDED
        models = [catalog.embedded_path(catalog.GUARD)] if own else found("attach", [attach.model])
    pipeline = replace(
        pipeline,
        eval_files=tuple(map(str, against)),
        attach_model=str(models[0]) if models else "",
    )
    others = [("decontaminate", path) for path in against]
    others += [("attach", path) for path in (*examples, *models)]
    texts = [str(path) for path in examples]
    if attach and RULEBOOK in attach.examples:
        texts.append(RULEBOOK)
    manifest = begun(pipeline, files, others)
    return Plan(pipeline, files, texts, manifest, request.out or Path(recipe.name))
