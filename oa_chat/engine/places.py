"""Where the models of one run go: looks at the devices once, before the first model is loaded.

`placing.place` decides; this asks what there is, and remembers the answer, since free memory says
little once a model is loaded. A build of llama.cpp without a GPU backend is not asked at all: its
start then costs nothing. Imports no native code.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path

from oa_chat.engine.placing import Placement, Wanted, place
from oa_chat.engine.survey import Survey, look_around
from oa_chat.errors import OaChatError

_GPU_LIBRARY = re.compile(r"ggml-(cuda|metal|vulkan|hip|sycl|opencl|musa|cann)", re.IGNORECASE)


@cache
def has_gpu_backend() -> bool:
    """Whether the installed llama.cpp has a library for GPUs; looks at file names alone."""
    spec = importlib.util.find_spec("llama_cpp")
    folders = spec.submodule_search_locations if spec else None
    libraries = [file.name for folder in folders or () for file in (Path(folder) / "lib").glob("*")]
    return any(_GPU_LIBRARY.search(name) for name in libraries)


class Places:
    """The places of a run's models. All parts ask the same object."""

    def __init__(
        self,
        models: Callable[[], Sequence[Wanted]],
        look: Callable[[], Awaitable[Survey]] = look_around,
        worth_looking: Callable[[], bool] = has_gpu_backend,
    ) -> None:
        """`models`, in the order of choosing, is called once and may read files."""
        self._models = models
        self._look = look
        self._worth_looking = worth_looking
        self._placed: dict[str, Placement] | None = None
        self._lock = asyncio.Lock()

    async def layers(self, part: str, wish: str, gpu_layers: int) -> int:
        """How many layers of a part's model go to the GPU; -1 is all.

        Without a GPU backend, or if llama.cpp does not start, it is what the settings say: loading
        the model then tells what is wrong.
        """
        told = 0 if wish == "cpu" else gpu_layers
        if told == 0 or not self._worth_looking():
            return told
        try:
            placement = (await self.placements()).get(part)
        except OaChatError:
            return told
        return placement.gpu_layers if placement else told

    async def placements(self) -> dict[str, Placement]:
        """By part. Raises EngineError if llama.cpp does not start, ModelError for a bad file."""
        async with self._lock:
            if self._placed is None:
                survey = await self._look()
                models = await asyncio.to_thread(self._models)
                self._placed = {one.part: one for one in place(models, survey.devices)}
            return self._placed
