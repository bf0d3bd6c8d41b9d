"""The input files of a recipe: found, hashed, looked into, and cut into slices for workers.

Where a file is cut depends on its bytes alone, never on the number of workers. Packed files cannot
be read from the middle, so they are unpacked in blocks into the work folder first; that is when a
file that was cut short comes to light.
"""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from converters.errors import DataError, RecipeError
from converters.extras import require
from converters.prepare.packed import BROKEN, opened
from converters.prepare.reading import LINES, LONGEST_LINE, PACKED, TABLES, Slice, form_of, rows_of
from converters.prepare.sources.base import BadRow, Source
from converters.provenance import replacing, sha256_of

SLICE_BYTES = 16 * 2**20
"""About 50,000 posts: seconds of work, so that a killed run loses little."""
_BLOCK = 2**22
_LOOKED_AT = 50
"""Rows of which the columns are known: JSON rows need not all have the same."""


class InputFile(msgspec.Struct, frozen=True):
    """A file that a source reads."""

    source: int
    """The number of its `[[source]]` table, from 0."""
    name: str
    """As the recipe names it, for the manifest: no machine's own folder."""
    path: str
    sha256: str
    size: int


def fill(pattern: str, paths: Mapping[str, str], place: str) -> str:
    """A path of the recipe with its `{name}`s put in. Raises RecipeError for an unknown one."""
    try:
        return pattern.format_map(paths)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        hint = "Give the folder of the packs: --data FOLDER."
        if str(error) != "'data'":
            hint = f"Set it in [paths] or in the shell: paths.{str(error).strip(chr(39))}=FILE"
        raise RecipeError(f"{place}: {pattern!r} names {error}, which is not set.", hint) from error


def matching(pattern: str, folder: Path, paths: Mapping[str, str], place: str) -> list[Path]:
    """The files that a path of the recipe stands for, sorted. Raises RecipeError for none."""
    filled = fill(pattern, paths, place)
    whole = folder / filled  # an absolute path stays as it is
    # Path.glob takes no absolute pattern.
    found = [whole] if whole.is_file() else map(Path, glob.glob(str(whole), recursive=True))  # noqa: PTH207
    files = sorted(path for path in found if path.is_file())
    if not files:
        raise RecipeError(
            f"{place}: there is no file {filled}.",
            "Relative paths start at the recipe's folder (of recipes that ship: at the folder "
            "you are in).",
        )
    for path in files:
        if not form_of(path.name):
            known = ", ".join((*LINES, *PACKED, *TABLES))
            raise RecipeError(f"{place}: {path} is of no known kind.", f"Known endings: {known}.")
    return files


def looked_into(path: Path, number: int, pattern: str) -> InputFile:
    """A file with its hash; its name is the recipe's pattern with the file's own name."""
    parent, _, last = pattern.rpartition("/")
    name = f"{parent}/{path.name}" if parent and not parent.startswith("/") else path.name
    if last.startswith("{") and last.endswith("}"):
        name = path.name
    try:
        return InputFile(number, name, str(path), sha256_of(path), path.stat().st_size)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def check_columns(file: InputFile, source: Source) -> None:
    """Look at the first rows. Raises DataError for an empty file, or one of another kind."""
    path = Path(file.path)
    columns: dict[str, None] = {}
    rows = 0
    for row in _first_rows(path):
        if isinstance(row, BadRow):
            continue
        columns.update(dict.fromkeys(row[1]))
        rows += 1
        if rows == _LOOKED_AT:
            break
    if not rows:
        raise DataError(f"{path} has no rows that can be read.", "Take this source out, or refill.")
    source.check(list(columns), str(path))


def _first_rows(path: Path) -> Iterator[Any]:
    form = form_of(path.name)
    kind: Any = dict[str, Any]
    if form in PACKED:
        for number, line in enumerate(_opening(path).split(b"\n"), start=1):
            if line.strip():
                yield _decoded(number, line)
        return
    stop = groups_of(path) if form == ".parquet" else path.stat().st_size
    yield from rows_of(Slice(str(path), form, 0, stop, 1, str(path)), kind)


def _opening(path: Path) -> bytes:
    """How a packed file begins. Raises DataError if nothing can be unpacked."""
    read = b""
    with opened(path) as stream:
        try:
            while len(read) < _BLOCK and (more := stream.read(2**16)):
                read += more
        except BROKEN as error:
            if not read:
                raise DataError(f"{path} cannot be unpacked: {error}.") from error
    return read


def _decoded(number: int, line: bytes) -> Any:
    try:
        return number, msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return BadRow(number, str(error))


def groups_of(path: Path) -> int:
    """The number of row groups of a Parquet file. Raises DataError."""
    require("data", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.ParquetFile(path).num_row_groups)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file that can be read: {error}.") from error


def slices_of(file: InputFile, work: Path, size: int, *, whole: bool) -> tuple[list[Slice], str]:
    """The slices of a file, and what is wrong with its end ("" if nothing is).

    They are remembered in the work folder. `whole` asks for one slice. Raises DataError.
    """
    memory = work / f"cut-{file.sha256[:20]}-{size}-{int(whole)}.json"
    if memory.exists():
        cut = msgspec.json.decode(memory.read_bytes(), type=tuple[list[Slice], str])
        if all(Path(piece.path).exists() for piece in cut[0]):
            return cut
    cut = _cut(file, work, size, whole=whole)
    with replacing(memory) as part:
        part.write_bytes(msgspec.json.encode(cut))
    return cut


def _cut(file: InputFile, work: Path, size: int, *, whole: bool) -> tuple[list[Slice], str]:
    path = Path(file.path)
    form = form_of(path.name)
    if form == ".parquet":
        return _row_groups(path, whole=whole), ""
    if form in TABLES:
        return [Slice(str(path), form, 0, -1, 1, str(path))], ""
    size = 2**63 if whole else size
    if form in PACKED:
        return _unpacked(path, work / f"unpacked-{file.sha256[:20]}", size)
    with path.open("rb") as stream:
        cuts = list(_cuts(stream, size))
    edges = [*cuts, (file.size, 0)]
    return [
        Slice(str(path), form, start, stop, first, str(path))
        for (start, first), (stop, _) in itertools.pairwise(edges)
        if start < stop
    ], ""


def _row_groups(path: Path, *, whole: bool) -> list[Slice]:
    import pyarrow.parquet as pq

    metadata = pq.ParquetFile(path).metadata
    if whole:
        return [Slice(str(path), ".parquet", 0, metadata.num_row_groups, 1, str(path))]
    slices = []
    first = 1
    for group in range(metadata.num_row_groups):
        slices.append(Slice(str(path), ".parquet", group, group + 1, first, str(path)))
        first += metadata.row_group(group).num_rows
    return slices


def _cuts(stream: IO[bytes], size: int) -> Iterator[tuple[int, int]]:
    """Where slices of about `size` bytes begin, and the number of their first line."""
    offset, line = 0, 1
    yield 0, 1
    goal = size
    while block := stream.read(_BLOCK):
        here = 0
        while offset + len(block) > goal:
            end = block.find(b"\n", max(goal - offset, here))
            if end < 0:
                break
            line += block.count(b"\n", here, end + 1)
            here = end + 1
            yield offset + here, line
            goal = offset + here + size
        line += block.count(b"\n", here)
        offset += len(block)


def _unpacked(path: Path, stem: Path, size: int) -> tuple[list[Slice], str]:
    """The blocks of a packed file, written beside each other, and what is wrong with its end."""
    lines = form_of(path.name).rpartition(".")[0] or LINES[0]  # dumps end in .zst alone
    slices: list[Slice] = []
    line = 1
    problem = ""
    with opened(path) as stream:
        try:
            for block in _blocks(stream, size):
                place = stem.with_name(f"{stem.name}-{len(slices):05d}{lines}")
                with replacing(place) as part:
                    part.write_bytes(block)
                slices.append(Slice(str(place), lines, 0, len(block), line, str(path)))
                line += block.count(b"\n")
        except BROKEN as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the disk's doing, not the file's
            problem = f"after line {line}: {error}"
    return slices, problem


def _blocks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """Blocks of whole lines of about `size` bytes. What was read before an error comes out too."""
    held: list[bytes] = []
    have = 0
    try:
        while read := stream.read(min(_BLOCK, size)):
            held.append(read)
            have += len(read)
            if have >= size:
                data = b"".join(held)
                end = data.rfind(b"\n") + 1
                # A line without an end must not fill the memory; its halves will be no JSON.
                if end or have > size + 2 * LONGEST_LINE:
                    yield data[: end or have]
                    held, have = [data[end or have :]], have - (end or have)
    except BROKEN:
        yield b"".join(held)
        raise
    if have:
        yield b"".join(held)
