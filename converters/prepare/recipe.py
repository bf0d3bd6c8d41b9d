"""The recipe of `oa-chat prepare`: what it may hold, and how its errors are worded.

A recipe names sources (`[[source]]`), row steps in the order in which they run (`[steps.NAME]`),
and the steps that look at the whole (`exact`, `near`, `attach`, `decontaminate`), which have a
fixed place. This module reads no data. Reference for users: docs/prepare.md.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import msgspec

from converters.errors import RecipeError
from converters.recipe import load_recipe
from oa_chat.strict_toml import line_of, reason_of

SPLITS = ("train", "validation", "test")

EMBEDDED = "embedded"
RULEBOOK = "rulebook"

S = TypeVar("S", bound=msgspec.Struct)


class SplitRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the records are divided. The shares are of records, within source and label."""

    train: float = 0.9
    validation: float = 0.05
    test: float = 0.05
    salt: str = "oa-chat"
    """Another salt gives another split of the same records."""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recipe's file. The tables of sources and steps are read by their own structs."""

    name: str
    title: str = ""
    description: str = ""
    bad_rows: Literal["drop", "fail"] = "drop"
    """What to do with a row that cannot be read: count it as dropped, or stop there."""
    paths: dict[str, str] = {}
    """Names for `{name}` in the paths below; ``--data FOLDER`` sets `data`."""
    source: list[dict[str, Any]] = []
    steps: dict[str, dict[str, Any]] = {}
    split: SplitRecipe = SplitRecipe()


class ExactRecipe(msgspec.Struct, frozen=True):
    """Exact duplicates: text and context equal after folding. It has no keys."""


class NearRecipe(msgspec.Struct, frozen=True):
    """Near duplicates: found by MinHash, judged by the Jaccard similarity of character 5-grams."""

    threshold: float = 0.7
    """From this similarity on (0 to 1), two texts are the same for a training."""


class DecontaminateRecipe(msgspec.Struct, frozen=True):
    """Records that occur in evaluation sets, exactly or nearly, are dropped."""

    files: list[str] = []
    """Evaluation files, as rows with a `text`; globs and `{name}` are allowed."""
    threshold: float = 0.7
    """Jaccard similarity of character 5-grams, 0 to 1."""


class AttachRecipe(msgspec.Struct, frozen=True):
    """A rule of thumb, and a weak label, from the best-matching labelled example."""

    model: str = EMBEDDED
    """A GGUF file whose engine embeds text; "embedded" is the guard that ships."""
    examples: list[str] = msgspec.field(default_factory=lambda: [RULEBOOK])
    """Files of labelled records with rules; "rulebook" is the rulebook that ships."""
    threshold: float = 0.8
    """Cosine similarity, 0 to 1, from which a match counts (`converters.prepare.attach`)."""


GLOBAL_STEPS: dict[str, type[msgspec.Struct]] = {
    "decontaminate": DecontaminateRecipe,
    "exact": ExactRecipe,
    "near": NearRecipe,
    "attach": AttachRecipe,
}
"""Steps that are no row steps, in the order in which they run."""


def read_recipe(path: Path, overrides: Sequence[str], data: Path | None) -> Recipe:
    """The recipe with the overrides and the data folder put in. Raises RecipeError."""
    settled = [_from_here(override) for override in overrides]
    if data is not None:
        settled.append(f"paths.data={_quoted(str(data.resolve()))}")
    recipe = load_recipe(path, Recipe, settled)
    if not recipe.source:
        raise RecipeError(f"{path}: the recipe has no source.", "Add a [[source]] table.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", recipe.name):
        raise RecipeError(
            f"{path}: name: {recipe.name!r} is not fit for a folder.",
            "Use letters, digits, dots, hyphens and underscores.",
        )
    shares = (recipe.split.train, recipe.split.validation, recipe.split.test)
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise RecipeError(
            f"{path}: split: the shares are {', '.join(map(str, shares))}.",
            "train, validation and test must not be negative and must add up to 1.",
        )
    return recipe


def _from_here(override: str) -> str:
    """An override as it stands, but a path given in the shell is relative to the shell's folder."""
    name, mark, value = override.partition("=")
    if not mark or not name.strip().startswith("paths."):
        return override
    return f"{name.strip()}={_quoted(str(Path(value.strip().strip(chr(34))).absolute()))}"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def table_of(struct: type[S], table: Mapping[str, Any], place: str, keys: Sequence[str] = ()) -> S:
    """A table of the recipe as its struct. Raises RecipeError with the nearest key.

    `keys` are further keys that the table may have and that the caller reads.
    """
    known = [*get_type_hints(struct), *keys]
    for key in table:
        if key not in known:
            raise RecipeError(
                f"{place}: there is no key {key}.",
                f"{_near(key, known)}Known here: {', '.join(known) or 'none'}.",
            )
    own = {key: value for key, value in table.items() if key not in keys}
    try:
        return msgspec.convert(own, struct)
    except msgspec.ValidationError as error:
        reason, path = reason_of(error)
        raise RecipeError(f"{place}: {'.'.join(path)}: {reason}.", "Correct the value.") from error


def unknown_name(what: str, name: str, known: Sequence[str], place: str) -> RecipeError:
    """An error for a source or a step that does not exist, with the nearest one."""
    return RecipeError(
        f"{place}: there is no {what} {name!r}.",
        f"{_near(name, known)}Known here: {', '.join(known)}.",
    )


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}? " if near else ""


def place_of_step(path: Path, name: str) -> str:
    """Where a step stands, for messages."""
    line = line_of(_text(path), ("steps", name))
    return f"{path}, line {line}, steps.{name}" if line else f"{path}, steps.{name}"


def place_of_source(path: Path, number: int) -> str:
    """Where the n-th source (from 1) stands, for messages."""
    seen = 0
    for line, text in enumerate(_text(path).splitlines(), start=1):
        if re.match(r"\s*\[\[\s*source\s*\]\]", text):
            seen += 1
            if seen == number:
                return f"{path}, line {line}, source {number}"
    return f"{path}, source {number}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain tables for the manifest: without the machine's own paths."""
    tables: dict[str, Any] = msgspec.to_builtins(recipe)
    del tables["paths"]
    return tables


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of what the recipe asks for, wherever its files lie."""
    return hashlib.sha256(msgspec.json.encode(resolved(recipe))).hexdigest()
