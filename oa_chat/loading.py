"""Loads several models side by side and reports how far they are, as events.

Knows nothing about what the models are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from oa_chat.engine.protocol import ModelInfo, OnProgress
from oa_chat.errors import OaChatError, unexpected
from oa_chat.events import LoadEvent, LoadFailed, Loading, Ready


class Loadable(Protocol):
    """Anything with a model to load."""

    async def load(self, on_progress: OnProgress | None = None) -> ModelInfo:
        """Load the model. Raises OaChatError."""
        ...


async def load_side_by_side(parts: Mapping[str, Loadable]) -> AsyncGenerator[LoadEvent, None]:
    """Load all parts at once; each ends with `Ready` or `LoadFailed`."""
    events: asyncio.Queue[LoadEvent] = asyncio.Queue()
    tasks = [asyncio.create_task(_load(part, parts[part], events)) for part in parts]
    try:
        waiting = len(tasks)
        while waiting:
            event = await events.get()
            waiting -= not isinstance(event, Loading)
            yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _load(part: str, model: Loadable, events: asyncio.Queue[LoadEvent]) -> None:
    try:
        info = await model.load(lambda done, total: events.put_nowait(Loading(part, done, total)))
    except OaChatError as error:
        events.put_nowait(LoadFailed(part, error))
    except Exception as error:  # noqa: BLE001 - who waits for this part must hear of it
        events.put_nowait(LoadFailed(part, unexpected(error)))
    else:
        events.put_nowait(
            Ready(part, info.name, info.device, info.context, info.load_ms, info.note)
        )
