"""`oa-chat convert` on a T5 of t5-base's size (223M parameters, random weights): time and memory.

    python -m benchmarks.convert_t5 [--llama-cpp CHECKOUT] [--verify]

With a checkout of llama.cpp, its usual two steps (script to float32, then quantise) are measured
beside it, on the same files. Every conversion is a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from benchmarks.table import Row, print_table

_WIDTH, _INNER, _LAYERS, _HEADS, _VOCABULARY = 768, 3072, 12, 12, 32128
_LARGEST = _WIDTH * _VOCABULARY * 4 / 2**20
"""MiB of the largest tensor, the embedding table in float32."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--verify", action="store_true", help="measure the verification too")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        _make(options.make)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "t5-base-random"
        # In a process of its own: a child's peak counts from the size of who starts it.
        subprocess.run([sys.executable, "-m", __spec__.name, "--make", str(folder)], check=True)
        rows = []
        for quant in ("q8_0", "q4_0", "f16"):
            seconds, peak = _ours(folder, Path(name) / f"{quant}.gguf", quant)
            peer = _peer(options.llama_cpp, folder, Path(name), quant)
            rows += _rows(quant, seconds, peak, peer)
        if options.verify:
            seconds, peak = _ours(folder, Path(name) / "v.gguf", "q8_0", verify=True)
            rows.append(Row("q8_0, verified: time", f"{seconds:.0f} s"))
            rows.append(Row("q8_0, verified: peak memory", f"{peak:.0f} MiB"))
    print_table("Converting a T5 of 223M parameters; peer: llama.cpp's script and quantise", rows)


def _rows(quant: str, seconds: float, peak: float, peer: tuple[float, float] | None) -> list[Row]:
    goal = f"at most {1.3 * _LARGEST + 300:.0f} MiB"
    time_row = Row(f"{quant}: time", f"{seconds:.1f} s", goal="at most 1x")
    memory_row = Row(f"{quant}: peak memory", f"{peak:.0f} MiB", goal=goal)
    if peer is not None:
        time_row = Row(
            time_row.what,
            time_row.ours,
            f"{peer[0]:.1f} s",
            f"{seconds / peer[0]:.2f}x",
            "at most 1x",
        )
        memory_row = Row(
            memory_row.what, memory_row.ours, f"{peer[1]:.0f} MiB", f"{peak / peer[1]:.2f}x", goal
        )
    return [time_row, memory_row]


def _ours(folder: Path, out: Path, quant: str, *, verify: bool = False) -> tuple[float, float]:
    line = [sys.executable, "-m", "oa_chat", "convert", str(folder), str(out), "--quant", quant]
    measured = _measured([*line, *([] if verify else ["--no-verify"])])
    out.unlink()
    return measured


def _peer(
    checkout: Path | None, folder: Path, place: Path, quant: str
) -> tuple[float, float] | None:
    if checkout is None:
        return None
    whole, small = place / "peer-f32.gguf", place / "peer.gguf"
    script = str(checkout / "convert_hf_to_gguf.py")
    first = "f16" if quant == "f16" else "f32"
    seconds, peak = _measured(
        [sys.executable, script, str(folder), "--outfile", str(whole), "--outtype", first],
        PYTHONPATH=str(checkout / "gguf-py"),
    )
    if quant != "f16":
        code = (
            "from converters.convert.probe import Quantize, run\n"
            "from converters.convert.precision import file_type\n"
            f"run(Quantize({str(whole)!r}, {str(small)!r}, file_type({quant!r})))"
        )
        again, second = _measured([sys.executable, "-c", code])
        seconds, peak = seconds + again, max(peak, second)
        small.unlink()
    whole.unlink()
    return seconds, peak


def _measured(line: list[str], **variables: str) -> tuple[float, float]:
    """Seconds, and MiB of memory at the peak, of a command and what it starts."""
    started = time.perf_counter()
    process = subprocess.Popen(
        line, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    words = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(words.decode("utf-8", "replace"))
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def _make(folder: Path) -> None:
    """A checkpoint as transformers writes it, without needing torch for it."""
    folder.mkdir()
    generator = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32) * np.float32(0.05)

    weights = {"shared.weight": matrix(_VOCABULARY, _WIDTH)}
    for side, last in (("encoder", 1), ("decoder", 2)):
        weights[f"{side}.final_layer_norm.weight"] = np.ones(_WIDTH, np.float32)
        for number in range(_LAYERS):
            place = f"{side}.block.{number}.layer"
            for layer, kind in enumerate(["SelfAttention", "EncDecAttention"][:last]):
                for short in "qkvo":
                    weights[f"{place}.{layer}.{kind}.{short}.weight"] = matrix(_WIDTH, _WIDTH)
                weights[f"{place}.{layer}.layer_norm.weight"] = np.ones(_WIDTH, np.float32)
            weights[f"{place}.{last}.layer_norm.weight"] = np.ones(_WIDTH, np.float32)
            weights[f"{place}.{last}.DenseReluDense.wi.weight"] = matrix(_INNER, _WIDTH)
            weights[f"{place}.{last}.DenseReluDense.wo.weight"] = matrix(_WIDTH, _INNER)
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        weights[bias] = matrix(32, _HEADS)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config()))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer()))
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **marks})
    )
    (folder / "spiece.model").write_bytes(_sentence_piece())


def _config() -> dict[str, object]:
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "d_model": _WIDTH,
        "d_kv": 64,
        "d_ff": _INNER,
        "num_layers": _LAYERS,
        "num_heads": _HEADS,
        "vocab_size": _VOCABULARY,
        "relative_attention_num_buckets": 32,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "feed_forward_proj": "relu",
        "tie_word_embeddings": True,
    }


_SPECIAL = ("<pad>", "</s>", "<unk>")


def _pieces() -> list[tuple[str, float]]:
    letters = ["▁", *map(chr, range(33, 127))]
    words = [f"▁{number}" for number in range(32100 - len(_SPECIAL) - len(letters))]
    pieces = [(text, 0.0) for text in _SPECIAL]
    return pieces + [(text, -9.0) for text in letters] + [(text, -8.0) for text in words]


def _sentence_piece() -> bytes:
    """The same vocabulary in the only form that llama.cpp's script reads."""
    from sentencepiece import sentencepiece_model_pb2 as pb2

    proto = pb2.ModelProto()
    for number, (text, score) in enumerate(_pieces()):
        kind = 2 if text == "<unk>" else 3 if number < len(_SPECIAL) else 1
        proto.pieces.add(piece=text, score=score, type=kind)
    proto.trainer_spec.model_type = 1
    proto.normalizer_spec.add_dummy_prefix = True
    proto.normalizer_spec.remove_extra_whitespaces = True
    return proto.SerializeToString()


def _tokenizer() -> dict[str, object]:
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    steps = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, meta]}
    return {
        "version": "1.0",
        "added_tokens": [
            {
                "id": number,
                "content": text,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, text in enumerate(_SPECIAL)
        ],
        "pre_tokenizer": steps,
        "decoder": meta,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": _pieces(), "byte_fallback": False},
    }


if __name__ == "__main__":
    main()
