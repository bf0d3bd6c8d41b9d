"""The engine's programs, started from a folder and an environment that would mislead Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from oa_chat.engine.command import command, environment
from oa_chat.engine.process import Engine
from oa_chat.engine.survey import Survey
from tests.engine.local import text_of


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with modules that end whoever imports them, and an old `oa_chat`."""
    here, old = tmp_path / "here", tmp_path / "old"
    for folder in (here, old):
        (folder / "oa_chat" / "engine").mkdir(parents=True)
        for name in ("__init__.py", "engine/__init__.py", "engine/worker.py", "engine/survey.py"):
            (folder / "oa_chat" / name).write_text("raise SystemExit('trapped')")
    for name in ("json.py", "msgspec.py", "llama_cpp.py"):
        (here / name).write_text("raise SystemExit('trapped')")
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", str(old))
    return here


def test_the_survey_runs_anywhere(trap: Path) -> None:
    done = subprocess.run(
        command("oa_chat.engine.survey"), env=environment(), capture_output=True, check=True
    )
    assert msgspec.json.decode(done.stdout, type=Survey).cores > 0


async def test_the_worker_runs_anywhere(trap: Path, starter: Path) -> None:
    engine = Engine(starter, "causal")
    try:
        assert await text_of(engine)
    finally:
        await engine.close()


def test_the_users_own_path_is_kept(trap: Path) -> None:
    own = str(trap.parent / "old")
    assert environment()["PYTHONPATH"].endswith(own)
    assert environment()["PYTHONPATH"] != own
