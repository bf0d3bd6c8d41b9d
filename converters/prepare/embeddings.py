"""Embeds texts by a local GGUF file, through the project's own engine, and remembers the vectors.

Each text is embedded alone, on one thread: in a batch, its neighbours change its vector (by up to
0.005 in a component, measured with the embedded guard), and equal input has to give equal output
whatever was embedded before. The memory is a file for each model; what a killed run had embedded is
there for the next one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.extras import require
from converters.provenance import sha256_of
from oa_chat.engine.process import Engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_KEY_BYTES = 16
_SAVED_TOGETHER = 64
"""Texts: about a second of work is lost by a kill."""


class Embedder:
    """Unit vectors of texts, by one model."""

    def __init__(self, model: Path, cache: Path) -> None:
        """`cache` is a folder; the model's file is read to name its memory there."""
        require("data", "pyarrow")
        self._model = model
        self._file = cache / f"vectors-{sha256_of(model)[:16]}.bin"

    def vectors(
        self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None
    ) -> Array:
        """One row a text (float32). `on_progress` is told how many more are embedded.

        Raises what the engine raises: `oa_chat.errors`.
        """
        import numpy as np

        keys = [_key(text) for text in texts]
        known = self._read()
        if on_progress:
            on_progress(sum(key in known for key in keys))
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            asyncio.run(self._embed(missing, known, on_progress))
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, 0), np.float32)

    async def _embed(
        self,
        missing: dict[bytes, str],
        known: dict[bytes, Array],
        on_progress: Callable[[int], None] | None,
    ) -> None:
        import numpy as np

        engine = Engine(self._model, "classifier", threads=1)
        fresh: dict[bytes, Array] = {}
        try:
            for key, text in missing.items():
                fresh[key] = np.array((await engine.embed([text]))[0], np.float32)
                if len(fresh) == _SAVED_TOGETHER:
                    self._append(fresh)
                    known |= fresh
                    fresh = {}
                if on_progress:
                    on_progress(1)
        finally:
            known |= fresh
            self._append(fresh)
            await engine.close()

    def _append(self, fresh: dict[bytes, Array]) -> None:
        if not fresh:
            return
        new = not self._file.is_file()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as stream:
            if new:
                width = next(iter(fresh.values())).size
                stream.write(width.to_bytes(_KEY_BYTES, "little"))
            stream.write(b"".join(key + row.tobytes() for key, row in fresh.items()))

    def _read(self) -> dict[bytes, Array]:
        """The vectors of earlier runs. A row that a kill left half written is cut off."""
        import numpy as np

        if not self._file.is_file():
            return {}
        raw = self._file.read_bytes()
        width = int.from_bytes(raw[:_KEY_BYTES], "little")
        size = _KEY_BYTES + 4 * width
        rows = (len(raw) - _KEY_BYTES) // size
        if rows < 1 or width < 1:
            self._file.unlink()
            return {}
        whole = _KEY_BYTES + rows * size
        if whole != len(raw):
            with self._file.open("r+b") as stream:
                stream.truncate(whole)
        table = np.frombuffer(raw, np.uint8, rows * size, _KEY_BYTES).reshape(rows, size)
        vectors = np.ascontiguousarray(table[:, _KEY_BYTES:]).view(np.float32)
        return {bytes(row[:_KEY_BYTES]): vector for row, vector in zip(table, vectors, strict=True)}


def _key(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=_KEY_BYTES).digest()


def unit(rows: Array) -> Array:
    """The rows at length 1; rows without a length stay as they are."""
    import numpy as np

    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1, lengths)
