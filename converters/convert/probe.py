"""Runs llama.cpp for the converter, in a process of its own: a native abort is then an error.

`ask` starts this module, hands it one job and reads the answer; the parent never loads native
code. A job asks a model for token ids and logits, or makes K-quants. Logits go through a file of
float32, row after row.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from converters.errors import ConversionError
from oa_chat.engine.command import command, environment
from oa_chat.engine.protocol import ModelKind

if TYPE_CHECKING:
    import numpy as np

_SECONDS = 3600
MOST_TOKENS = 60
"""Of a text whose logits are compared: the engine gives at most 64 rows in one call."""


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Token ids of texts, and logits for given ids."""

    model: str
    kind: ModelKind
    texts: list[str] = []
    """Tokenised as untrusted text, one by one."""
    trusted: list[str] = []
    """Tokenised with control tokens recognised."""
    inputs: list[list[int]] = []
    """Judged by a classifier, read by a T5's encoder, or continued by a causal model."""
    targets: list[list[int]] = []
    """For a T5: what its decoder is given for each input."""
    logits: str = ""
    """The file to write the rows to."""


class Quantize(msgspec.Struct, frozen=True, tag="quantize"):
    """Make another file with llama.cpp's own quantisation."""

    source: str
    target: str
    file_type: int
    embeddings: int = -1
    """ggml's number of the type for the embedding table; -1 is llama.cpp's choice."""


class Answer(msgspec.Struct, frozen=True):
    """What a job found."""

    texts: list[list[int]] = []
    trusted: list[list[int]] = []
    width: int = 0
    """Numbers in a row of logits."""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer with its logits."""

    texts: list[list[int]]
    trusted: list[list[int]]
    logits: np.ndarray
    """One row a classified input, or one a token; (0, 0) if none were asked for."""


def ask(
    model: Path,
    kind: ModelKind,
    texts: Sequence[str] = (),
    trusted: Sequence[str] = (),
    inputs: Sequence[Sequence[int]] = (),
    targets: Sequence[Sequence[int]] = (),
) -> Found:
    """Ask a model file. Raises ConversionError when llama.cpp cannot load or run it."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "logits"
        job = Ask(
            str(model),
            kind,
            list(texts),
            list(trusted),
            [list(ids) for ids in inputs],
            [list(ids) for ids in targets],
            str(rows),
        )
        answer = run(job)
        data = np.fromfile(rows, np.float32) if inputs else np.zeros(0, np.float32)
    return Found(answer.texts, answer.trusted, data.reshape(-1, answer.width or 1))


def run(job: Ask | Quantize) -> Answer:
    """Run a job in a child process. Raises ConversionError with llama.cpp's last words."""
    name = Path(job.source if isinstance(job, Quantize) else job.model).name
    try:
        done = subprocess.run(
            command("converters.convert.probe"),
            input=msgspec.json.encode(job),
            capture_output=True,
            env=environment(),
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(f"llama.cpp took longer than {_SECONDS} s with {name}.") from error
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Answer)
    words = done.stderr.decode("utf-8", "replace").strip().splitlines()
    ended = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
    raise ConversionError(
        f"llama.cpp cannot run {name} (it ended with {ended}): {' | '.join(words[-3:])[-600:]}",
        "The conversion is at fault, or this llama.cpp is too old for the model.",
    )


# ---------------------------------------------------------------- in the child


def main() -> None:
    """Do the job that comes on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Ask | Quantize)
    answer = _quantize(job) if isinstance(job, Quantize) else _answer(job)
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.buffer.flush()


def _answer(job: Ask) -> Answer:
    from oa_chat.engine.native import open_model

    model = open_model(Path(job.model), 0)
    texts = [model.tokenize(text) for text in job.texts]
    trusted = [model.tokenize(text, special=True) for text in job.trusted]
    rows = _classified(job) if job.kind == "classifier" else _decoded(job)
    with Path(job.logits).open("wb") as stream:
        for row in rows:
            array("f", row).tofile(stream)
    return Answer(texts, trusted, len(rows[0]) if rows else 0)


def _classified(job: Ask) -> list[list[float]]:
    from oa_chat.engine.encoder import RANK, Encoder
    from oa_chat.engine.native import open_model

    if not job.inputs:
        return []
    encoder = Encoder(open_model(Path(job.model), 0), RANK, max(map(len, job.inputs)), 1)
    return [encoder.encode([tuple(ids)])[0] for ids in job.inputs]


def _decoded(job: Ask) -> list[list[float]]:
    from oa_chat.engine.decoder import MOST_ROWS, Decoder
    from oa_chat.engine.native import ContextOptions, open_both

    if not job.inputs:
        return []
    longest = max(64, *map(len, job.inputs))
    options = ContextOptions(longest, longest, 1, flash_attention=0, outputs=MOST_ROWS)
    model, context, _ = open_both(Path(job.model), 0, lambda _: [options])
    decoder = Decoder(model, context)
    rows: list[list[float]] = []
    for number, ids in enumerate(job.inputs):
        target = ids
        if job.kind == "seq2seq":
            decoder.read(ids)
            target = job.targets[number]
        rows += [row.logits for row in decoder.decode(target, 0, rows=True)]
    return rows


def _quantize(job: Quantize) -> Answer:
    from oa_chat.engine.native import lib, recent_log

    params = lib.llama_model_quantize_default_params()
    params.nthread = 1
    params.ftype = job.file_type
    if job.embeddings >= 0:
        params.token_embedding_type = job.embeddings
    status = lib.llama_model_quantize(job.source.encode(), job.target.encode(), params)
    if status != 0:
        sys.exit(f"llama_model_quantize: {status}: {recent_log()}")
    return Answer()


if __name__ == "__main__":
    main()
