"""Where models go: decided from sizes and made-up devices, and asked once."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oa_chat.engine import places as places_module
from oa_chat.engine.gguf_header import read_header
from oa_chat.engine.places import Places, has_gpu_backend
from oa_chat.engine.placing import ALLOWANCE, Placement, Wanted, place, wanted_of
from oa_chat.engine.process import Engine
from oa_chat.engine.survey import Survey, SurveyedDevice, look_around
from oa_chat.errors import EngineError

GIB = 2**30
CPU = SurveyedDevice("CPU", "a processor", False, 16 * GIB, 16 * GIB)


def gpu(free: float, name: str = "CUDA0", total: float = 24) -> SurveyedDevice:
    return SurveyedDevice(name, "a GPU", True, int(free * GIB), int(total * GIB))


def chat(size: float = 4, **settings: object) -> Wanted:
    return Wanted("chat", int(size * GIB), GIB // 2, 32, **settings)  # type: ignore[arg-type]


def guard(size: float = 2, part: str = "guard", **settings: object) -> Wanted:
    return Wanted(part, int(size * GIB), 0, 24, **settings)  # type: ignore[arg-type]


SMALL = Wanted("guard", 25_000_000, 0, 6)


def layers(*placements: Placement) -> list[int]:
    return [one.gpu_layers for one in placements]


def test_without_a_gpu_all_is_on_the_processor() -> None:
    placed = place([chat(), SMALL, guard(part="second guard", wish="gpu")], [CPU])
    assert layers(*placed) == [0, 0, 0]
    assert {one.device for one in placed} == {"CPU"}
    assert [one.why for one in placed] == [
        "no GPU is seen",
        "no GPU is seen",
        "no GPU is seen, although the settings want one",
    ]


def test_the_chat_chooses_first_and_guards_take_what_is_left() -> None:
    models = [chat(4), guard(2), guard(4, "second guard")]
    roomy = place(models, [CPU, gpu(24)])
    assert layers(*roomy) == [-1, -1, -1]
    assert {one.device for one in roomy} == {"CUDA0"}
    tighter = place(models, [CPU, gpu(8)])
    assert layers(*tighter) == [-1, -1, 0]
    assert (tighter[2].device, tighter[2].why) == ("CPU", "the GPU has no room for all of it")
    full = place(models, [CPU, gpu(5)])
    assert layers(*full) == [-1, 0, 0]
    assert (full[1].device, full[1].why) == ("CPU", "the GPU is full")


def test_a_chat_model_is_split_and_a_guard_is_not() -> None:
    (part,) = place([chat(8)], [gpu(4)])
    assert 0 < part.gpu_layers < 32
    assert part.split == f"{part.gpu_layers} of 32 layers"
    assert (part.device, part.why) == ("CUDA0", "no more fits")
    (none,) = place([chat(8)], [gpu(0.1)])
    assert (none.gpu_layers, none.why) == (0, "the GPU is full")
    (whole,) = place([guard(8)], [gpu(4)])
    assert (whole.gpu_layers, whole.why) == (0, "the GPU has no room for all of it")
    (forced,) = place([guard(8, wish="gpu")], [gpu(4)])
    assert 0 < forced.gpu_layers < 24


def test_a_small_guard_leaves_the_gpu_to_the_chat() -> None:
    (small,) = place([SMALL], [CPU, gpu(24)])
    assert (small.gpu_layers, small.why) == (0, "it is small, and the GPU is the chat's")
    forced = Wanted("guard", SMALL.weights, 0, 6, wish="gpu")
    assert layers(*place([forced], [CPU, gpu(24)])) == [-1]
    tiny_chat = Wanted("chat", 8_000_000, 1_000_000, 6)
    assert layers(*place([tiny_chat], [CPU, gpu(24)])) == [-1]


def test_settings_are_obeyed() -> None:
    placed = place(
        [chat(wish="cpu"), guard(gpu_layers=0), guard(part="second guard", gpu_layers=7)],
        [gpu(24)],
    )
    assert layers(*placed) == [0, 0, 7]
    assert {one.why for one in placed} == {"as the settings say"}
    assert layers(*place([chat(gpu_layers=99)], [gpu(24)])) == [-1]


def test_several_gpus_count_as_one_and_unknown_memory_as_enough() -> None:
    placed = place([chat(8)], [CPU, gpu(5), gpu(5, "CUDA1")])
    assert (placed[0].gpu_layers, placed[0].device) == (-1, "CUDA0+CUDA1")
    placed = place([chat(8), guard(8)], [CPU, gpu(0, "Vulkan0", total=0)])
    assert layers(*placed) == [-1, -1]


_models = st.builds(
    Wanted,
    part=st.sampled_from(["chat", "guard", "second guard"]),
    weights=st.integers(1, 40 * GIB),
    cache=st.integers(0, 8 * GIB),
    layers=st.integers(1, 100),
    wish=st.sampled_from(["auto", "cpu", "gpu"]),
)
_devices = st.lists(
    st.builds(gpu, free=st.floats(0, 80), total=st.floats(0.001, 80)) | st.just(CPU), max_size=4
)


@given(st.lists(_models, max_size=3), _devices)
def test_no_more_is_put_on_a_gpu_than_is_free(
    models: list[Wanted], devices: list[SurveyedDevice]
) -> None:
    placed = place(models, devices)
    assert [one.part for one in placed] == [one.part for one in models]
    free = sum(device.free_bytes for device in devices if device.gpu)
    taken = 0.0
    for model, one in zip(models, placed, strict=True):
        assert one.why
        assert (one.device == "CPU") is (one.gpu_layers == 0)
        assert model.wish != "cpu" or one.gpu_layers == 0
        if one.gpu_layers:
            share = 1 if one.gpu_layers < 0 else one.gpu_layers / model.layers
            taken += ALLOWANCE + share * (model.needs - ALLOWANCE)
    assert taken <= free + 1


# ------------------------------------------------------------ what a file needs


def test_what_the_embedded_models_need(starter: Path, guard_file: Path) -> None:
    model = wanted_of("chat", read_header(starter))
    header = read_header(starter)
    heads = header.values[f"{header.architecture}.attention.head_count_kv"]
    each = header.embedding_length // int(
        str(header.values[f"{header.architecture}.attention.head_count"])
    )
    assert model.weights == starter.stat().st_size
    assert model.cache == 512 * header.block_count * int(str(heads)) * 2 * each * 2
    assert wanted_of("chat", header, context=1024).cache == 2 * model.cache
    judge = wanted_of("guard", read_header(guard_file), wish="cpu")
    assert (judge.cache, judge.layers, judge.wish) == (0, 6, "cpu")


def test_a_model_in_several_files_is_as_large_as_all_of_them(tmp_path: Path, starter: Path) -> None:
    import dataclasses

    header = read_header(starter)
    names = [f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    for number, name in enumerate(names, 1):
        (tmp_path / name).write_bytes(b"x" * 1000 * number)
    parts = dataclasses.replace(
        header, path=tmp_path / names[0], values={**header.values, "split.count": 3}
    )
    assert wanted_of("chat", parts).weights == 6000


# ------------------------------------------------------------ asking once


class _Looker:
    def __init__(self, *devices: SurveyedDevice, broken: bool = False) -> None:
        self.devices, self.broken, self.looks = devices, broken, 0

    async def __call__(self) -> Survey:
        self.looks += 1
        if self.broken:
            raise EngineError("llama.cpp does not start: no reason")
        return Survey("0", "", list(self.devices), 2, ["CPU", "CUDA"])


def places(looker: _Looker, *models: Wanted, worth: bool = True) -> Places:
    return Places(lambda: models, looker, lambda: worth)


async def test_the_devices_are_looked_at_once() -> None:
    looker = _Looker(CPU, gpu(8))
    asked = places(looker, chat(4), guard(2), guard(4, "second guard"))
    assert [await asked.layers(part, "auto", -1) for part in ("guard", "chat", "second guard")] == [
        -1,
        -1,
        0,
    ]
    assert await asked.layers("unknown", "auto", 5) == 5
    assert looker.looks == 1


async def test_what_needs_no_look_gets_none() -> None:
    looker = _Looker(CPU, gpu(8))
    asked = places(looker, chat(4))
    assert await asked.layers("chat", "cpu", 99) == 0
    assert await asked.layers("chat", "gpu", 0) == 0
    assert await places(looker, chat(4), worth=False).layers("chat", "auto", -1) == -1
    assert looker.looks == 0


async def test_a_llama_cpp_that_does_not_start_is_told_by_the_load() -> None:
    asked = places(_Looker(broken=True), chat(4))
    assert await asked.layers("chat", "auto", 12) == 12
    with pytest.raises(EngineError, match="does not start"):
        await asked.placements()


def test_a_gpu_backend_is_known_by_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "llama_cpp"
    (package / "lib").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('nobody may import this')")
    (package / "lib" / "libggml-cpu.so").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name, expected in [("libggml-base.so", False), ("ggml-vulkan.dll", True)]:
        (package / "lib" / name).touch()
        has_gpu_backend.cache_clear()
        assert places_module.has_gpu_backend() is expected
    has_gpu_backend.cache_clear()


async def test_the_real_look_around_and_a_real_load(starter: Path) -> None:
    survey = await look_around()
    assert "CPU" in survey.backends
    assert any(not device.gpu for device in survey.devices)
    asked: list[str] = []

    async def layers_of() -> int:
        asked.append("chat")
        return 0

    engine = Engine(starter, "causal", gpu_layers=layers_of)
    try:
        assert (await engine.load()).gpu_layers == 0
        await engine.load()
    finally:
        await engine.close()
    assert asked == ["chat"]


@pytest.mark.parametrize(("gpu_layers", "kept_off"), [(0, True), (-1, False), (3, False)])
def test_a_model_on_the_processor_is_offered_no_gpu(
    starter: Path, monkeypatch: pytest.MonkeyPatch, gpu_layers: int, kept_off: bool
) -> None:
    """What llama.cpp is told, as if this build could use a GPU; an empty list ends with NULL."""
    from oa_chat.engine.native import lib, open_model

    offered: list[object] = []
    load = lib.llama_model_load_from_file

    def told(path: bytes, params: Any) -> Any:
        first = params.devices and ctypes.c_void_p.from_address(params.devices).value
        offered.append((params.devices is not None, first, params.n_gpu_layers))
        return load(path, params)

    monkeypatch.setattr(lib, "llama_model_load_from_file", told)
    monkeypatch.setattr(lib, "llama_supports_gpu_offload", lambda: True)
    open_model(starter, gpu_layers).close()
    assert offered == [(kept_off, None, gpu_layers)]
