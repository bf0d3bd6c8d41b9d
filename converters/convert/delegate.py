"""Hands a checkpoint to the conversion script of a llama.cpp checkout, for other architectures.

The script runs in a process of its own and is the checkout's, not ours: whoever names a checkout
trusts it. Its output is checked as far as the app can (a whole GGUF that llama.cpp loads), but not
compared with PyTorch, so the file is marked as unverified.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from converters.convert.convert import Converted, Options, Watcher
from converters.convert.precision import file_type
from converters.convert.probe import Ask, Quantize, run
from converters.convert.remark import copy_marked
from converters.errors import ConversionError
from converters.provenance import replacing
from oa_chat.engine.gguf_header import kind_of, read_header
from oa_chat.errors import OaChatError

SCRIPT = "convert_hf_to_gguf.py"
_ITS_OWN = ("f32", "f16", "bf16", "q8_0")
"""What the script writes by itself."""
_SHOWN = 15
"""Lines of the script's errors that are shown."""


def delegate(
    checkout: Path, checkpoint: Path, out: Path, options: Options, watcher: Watcher
) -> Converted:
    """Convert with a checkout's script. Raises ConversionError with the script's last words."""
    script = checkout / SCRIPT
    if not script.is_file():
        raise ConversionError(
            f"{checkout} is no checkout of llama.cpp: it has no {SCRIPT}.",
            "Name the folder that git clone made.",
        )
    if out.is_dir():
        raise ConversionError(f"{out} is a folder.", "With --llama-cpp, name a file.")
    if options.embeddings is not None or options.sample is not None:
        raise ConversionError(
            "--embeddings-quant and --sample do not go with --llama-cpp.", "Leave them out."
        )
    first = options.quant if options.quant in _ITS_OWN else "f32"
    with replacing(out) as part:
        made = part.with_name(f"{part.name}.made")
        quantised = part.with_name(f"{part.name}.quantised")
        try:
            _run_script(script, checkpoint, made, first, watcher)
            if options.quant not in _ITS_OWN:
                watcher.say(f"quantising to {options.quant} with llama.cpp")
                run(Quantize(str(made), str(quantised), file_type(options.quant)))
            result = quantised if quantised.exists() else made
            _require_sound(result, watcher)
            copy_marked(result, part, {"oa_chat.verified": False})
        finally:
            made.unlink(missing_ok=True)
            quantised.unlink(missing_ok=True)
    return Converted(out, None, False, [f"converted by {SCRIPT} of {checkout.name}"])


def _run_script(
    script: Path, checkpoint: Path, made: Path, out_type: str, watcher: Watcher
) -> None:
    watcher.say(f"running {script.name}")
    ours = [sys.executable, str(script), str(checkpoint), "--outfile", str(made)]
    # The checkout brings the gguf package that its script was written for.
    paths = [str(script.parent / "gguf-py"), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [*ours, "--outtype", out_type],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )
    if done.returncode == 0 and made.is_file():
        return
    words = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    raise ConversionError(
        f"{script.name} ended with code {done.returncode} and no file:\n"
        + "\n".join(words[-_SHOWN:]),
        "That is the script's own message; is the checkout as new as the model?",
    )


def _require_sound(path: Path, watcher: Watcher) -> None:
    """Refuse a file that the app could not open."""
    watcher.say("loading the file with llama.cpp")
    try:
        header = read_header(path)
    except OaChatError as error:
        raise ConversionError(f"The script's file is not sound: {error.message}") from error
    kind = kind_of(header)
    if kind is not None:
        run(Ask(str(path), kind, ["hello"], logits=os.devnull))
