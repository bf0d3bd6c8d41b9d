"""`oa-chat convert`."""

from __future__ import annotations

from pathlib import Path

import click

from converters.options import debug_option

_QUANTS = ("q8_0", "q4_0", "q5_0", "q4_k_m", "f16", "bf16", "f32")
_EMBEDDINGS = ("q8_0", "q4_0", "q5_0", "q4_k", "q6_k", "f16", "bf16", "f32")


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--quant", type=click.Choice(_QUANTS), default="q8_0", show_default=True)
@click.option(
    "--embeddings-quant", type=click.Choice(_EMBEDDINGS), help="Another type for the token table."
)
@click.option(
    "--sample",
    type=click.Path(path_type=Path),
    help="Labelled records: the change of macro-F1 and calibration is checked too.",
)
@click.option("--no-verify", is_flag=True, help="Do not compare with PyTorch; marks the file.")
@click.option(
    "--llama-cpp",
    type=click.Path(path_type=Path),
    help="A checkout of llama.cpp, for architectures that are not known here.",
)
@debug_option
def convert(
    checkpoint: Path,
    out: Path,
    quant: str,
    embeddings_quant: str | None,
    sample: Path | None,
    no_verify: bool,
    llama_cpp: Path | None,
) -> None:
    """Turn CHECKPOINT (a folder, or a legacy .bin file) into OUT, a GGUF file, and verify it.

    If OUT is a folder, the file in it is named by GGUF's convention.
    """
    from converters.convert.convert import Options
    from converters.convert.run import run

    options = Options(quant, embeddings_quant, not no_verify, sample)
    run(checkpoint, out, options, llama_cpp)
