"""Making a model fit: fewer layers, smaller contexts, and threads by size."""

from __future__ import annotations

from pathlib import Path

import pytest

from oa_chat.engine import context as contexts
from oa_chat.engine import cores
from oa_chat.engine.context import Context, ContextOptions, open_both, open_context
from oa_chat.engine.model import Model, open_model
from oa_chat.engine.native import devices, lib, system_info
from oa_chat.engine.protocol import OnProgress
from oa_chat.errors import ModelError, ModelUnreadable
from tests.engine.local import Local

_OPTIONS = [ContextOptions(256, outputs=1)]


def _pretend_gpu(monkeypatch: pytest.MonkeyPatch, fits: int, tried: list[int]) -> None:
    """A GPU with memory for `fits` layers."""

    def open_some(path: Path, layers: int, on_progress: OnProgress | None = None) -> Model:
        tried.append(layers)
        if layers < 0 or layers > fits:
            raise ModelError("not enough memory")
        model = open_model(path, 0)
        model.gpu_layers = layers
        return model

    monkeypatch.setattr(lib, "llama_supports_gpu_offload", lambda: True)
    monkeypatch.setattr(contexts, "open_model", open_some)


def test_layers_are_halved_until_they_fit(starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    _pretend_gpu(monkeypatch, 10, tried)
    model, context, note = open_both(starter, -1, lambda _: _OPTIONS)
    assert tried == [-1, 32, 16, 8]
    assert note == "Only 8 layers fit on the GPU."
    context.close()
    model.close()


def test_a_context_that_does_not_fit_costs_layers_too(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    _pretend_gpu(monkeypatch, 6, tried)

    def open_small(model: Model, options: ContextOptions) -> Context:
        if model.gpu_layers > 2:
            raise ModelError("no memory for the context")
        return open_context(model, options)

    monkeypatch.setattr(contexts, "open_context", open_small)
    model, context, note = open_both(starter, 6, lambda _: _OPTIONS)
    assert tried == [6, 3, 1]
    assert "Only 1 layers" in note
    context.close()
    model.close()


def test_a_broken_file_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"nothing")
    monkeypatch.setattr(lib, "llama_supports_gpu_offload", lambda: True)
    with pytest.raises(ModelUnreadable):
        open_both(path, -1, lambda _: _OPTIONS)


def test_a_smaller_context_is_taken_and_said(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[int, int]] = []

    def open_small(model: Model, options: ContextOptions) -> Context:
        tried.append((options.context, options.flash_attention))
        if options.context > 1000 or options.flash_attention == 1:
            raise ModelError("no memory")
        return open_context(model, options)

    monkeypatch.setattr(contexts, "open_context", open_small)
    local = Local(starter, context=3000)
    assert tried == [
        (3000, 1),
        (3000, -1),
        (3000, 0),
        (1500, 1),
        (1500, -1),
        (1500, 0),
        (750, 1),
        (750, -1),
    ]
    assert local.info.context == 750
    assert "Only a context of 750 tokens fits into memory, not 3000." in local.info.note
    local.runner.close()


def test_no_context_at_all(starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lib, "llama_init_from_model", lambda *_: None)
    with pytest.raises(ModelError, match="no context of 512 tokens"):
        Local(starter)


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "physical_cores", lambda: 16)
    assert cores.choose_threads(7_000_000) == 1
    assert cores.choose_threads(4_000_000_000) == 8
    assert cores.choose_threads(7_000_000, 5) == 5


def test_this_machine() -> None:
    assert 1 <= cores.physical_cores() <= 4096
    assert any(device.name == "CPU" for device in devices())
    assert "CPU" in system_info()
