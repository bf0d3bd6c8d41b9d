"""The same T5, of t5-small's size with random weights, in PyTorch and in this project's engine.

Measured is what a guard does: read 37 tokens, write 24; and with the early stop behind a label,
write about 8. Alternating, so that both meet the same machine.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import torch
from gguf import TokenType
from transformers import T5Config, T5ForConditionalGeneration

from benchmarks.table import Row, median, percentile, print_table
from oa_chat.engine.process import Engine
from oa_chat.engine.protocol import Segment
from tests.models.tiny_t5 import Piece, write_t5_gguf

_IN, _OUT, _LABEL = 37, 24, 8
_ROUNDS = 12
_VOCABULARY = 32128


def main() -> None:
    model = _model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t5-small-random.gguf"
        write_t5_gguf(model, _pieces(), path, precision="f16")
        asyncio.run(_measure(model, path))


def _model() -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(T5Config(decoder_start_token_id=0)).eval()
    with torch.no_grad():
        model.shared.weight[:3] = 0  # words are more probable than <pad> and </s>
    return model


def _pieces() -> list[Piece]:
    special = [Piece("<pad>", 0.0, TokenType.CONTROL), Piece("</s>", 0.0, TokenType.CONTROL)]
    unknown = Piece("<unk>", 0.0, TokenType.UNKNOWN)
    words = [Piece(f"▁{number}", -8.0) for number in range(_VOCABULARY - 3)]
    return [*special, unknown, *words]


async def _measure(model: T5ForConditionalGeneration, path: Path) -> None:
    words = [str(number * 97) for number in range(_IN - 1)]
    prompt = [Segment(" ".join(words)), Segment("</s>", trusted=True)]
    ids = torch.tensor([[*(3 + int(word) for word in words), 1]])
    engine = Engine(path, "seq2seq")
    info = await engine.load()
    torch.set_num_threads(info.threads)
    ours: dict[int, list[float]] = {_OUT: [], _LABEL: []}
    peer: dict[int, list[float]] = {_OUT: [], _LABEL: []}
    for count in [_OUT, _LABEL] * (_ROUNDS + 1):
        started = time.perf_counter()
        (output,) = await engine.write([prompt], [], max_tokens=count)
        ours[count].append((time.perf_counter() - started) * 1000)
        assert len(output.text.split()) == count
        started = time.perf_counter()
        with torch.no_grad():
            written = model.generate(ids, max_new_tokens=count, do_sample=False)
        peer[count].append((time.perf_counter() - started) * 1000)
        shown = " ".join(str(token - 3) for token in written[0, 1:].tolist())
        same = shown == output.text
    await engine.close()
    rows = [
        _row(f"write {count} tokens, {name}", share, ours[count][1:], peer[count][1:])
        for count in (_OUT, _LABEL)
        for name, share in (("p50", 0.5), ("p95", 0.95))
    ]
    rows.append(Row("same tokens", "yes" if same else "no (F16 against F32)"))
    title = f"T5 of t5-small's size, {_IN} tokens in, {info.threads} thread; peer: PyTorch"
    print_table(title, rows)


def _row(what: str, share: float, ours: list[float], peer: list[float]) -> Row:
    mine = median(ours) if share == 0.5 else percentile(ours, share)
    other = median(peer) if share == 0.5 else percentile(peer, share)
    return Row(what, f"{mine:.0f} ms", f"{other:.0f} ms", f"{mine / other:.2f}x", "at most 1x")


if __name__ == "__main__":
    main()
