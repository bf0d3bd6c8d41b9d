"""What a start loads: nothing native, nothing of the training stack, the screen only for itself.

The import contracts in pyproject.toml read the code; this looks at what a fresh interpreter really
has loaded, through other packages as well.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

NATIVE = {"llama_cpp", "ctransformers"}
TRAINING = {"converters", "numpy", "praw", "torch", "transformers"}
SCREEN = {"textual"}
# What `--version` and `--help` must not wait for either.
SLOW = {"asyncio", "httpx", "jinja2", "requests", "rich", "sqlite3"}


def loaded_by(*statements: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after these statements."""
    code = "; ".join((*statements, "import sys, json", "print(json.dumps(sorted(sys.modules)))"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.split(".", 1)[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "module",
    [
        "oa_chat.__main__",
        "oa_chat.assembly",
        "oa_chat.catalog",
        "oa_chat.cli",
        "oa_chat.commands.ask",
        "oa_chat.commands.check",
        "oa_chat.commands.doctor",
        "oa_chat.engine.process",
        "oa_chat.guards.guard",
        "oa_chat.guards.registry",
        "oa_chat.session",
        "oa_chat.store",
    ],
)
def test_the_parent_process_loads_no_native_code_and_no_screen(module: str) -> None:
    assert not loaded_by(f"import {module}") & (NATIVE | TRAINING | SCREEN)


def test_the_screen_loads_textual_and_still_no_native_code() -> None:
    modules = loaded_by("import oa_chat.ui.app")
    assert modules >= SCREEN
    assert not modules & (NATIVE | TRAINING)


def test_the_entry_point_loads_the_version_alone() -> None:
    modules = loaded_by("import oa_chat.__main__")
    assert not modules & (SLOW | {"click", "msgspec"})


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_version_and_help_load_nothing_slow(flag: str) -> None:
    run = f"import contextlib; from oa_chat.cli import run; run(['{flag}'])"
    assert not loaded_by(run) & (NATIVE | TRAINING | SCREEN | SLOW)


def test_the_worker_takes_an_engine_only_when_a_file_needs_it() -> None:
    assert not loaded_by("import oa_chat.engine.worker") & (NATIVE | TRAINING | SCREEN)


def test_what_is_kept_out_is_really_there_to_be_loaded() -> None:
    """Or the tests above would pass for a package that merely is not installed."""
    missing = {name for name in NATIVE | TRAINING | SCREEN if not importlib.util.find_spec(name)}
    assert not missing
