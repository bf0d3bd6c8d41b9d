"""Runs that are killed, by the real process, and what the next run makes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from converters.errors import DataError
from converters.prepare.claim import claimed
from converters.prepare.plan import WORK
from tests.converters.prepare.small_data import (
    PLAIN,
    command,
    contents,
    post,
    prepare,
    run_command,
    sentence,
    write_lines,
    write_recipe,
)

ROOT = Path(__file__).resolve().parents[3]
STEPS = ("look into files", "rows", "exact", "near: candidates", "near: compare", "split", "write")
"""After each of these the next one is under way."""


def _start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _kill_after(process: subprocess.Popen[str], step: str) -> str:
    """Kill a run when it has said that a step is done; what it had said until then."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith(f"{step}: done"):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, said
    return said


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose posts make several partitions, and the dataset of an undisturbed run."""
    folder = tmp_path_factory.mktemp("clean")
    rows = [post(n) for n in range(600)]
    rows += [post(1_000 + n, text=f"{post(n)['text']} or so") for n in range(60)]
    write_lines(folder / "posts.jsonl", rows)
    recipe = write_recipe(folder, PLAIN)
    prepare(recipe, slice_bytes=16 * 1024)
    return folder


def test_a_run_killed_in_every_step_goes_on_to_the_same_bytes(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = ("prepare", clean / "recipe.toml", "--out", out, "--workers", "1", "--slice-kb", "16")
    for step in STEPS:
        told = _kill_after(_start(*said), step)
        assert not (out / "manifest.json").exists()
        assert ("Going on with what an earlier run left" in told) == (step != STEPS[0])
    done = run_command(*said)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(clean / "out")
    again = run_command(*said)
    assert again.returncode == 0
    assert again.stdout.startswith(f"Nothing to do: {out} is what this recipe makes")
    assert contents(out) == contents(clean / "out")


def test_finished_partitions_are_kept_and_workers_do_not_outlive_a_kill(
    clean: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = ("prepare", clean / "recipe.toml", "--out", out, "--workers", "2", "--slice-kb", "16")
    process = _start(*said)
    _until(lambda: bool(list(out.rglob("part-*.parquet"))))
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    _until(lambda: not any(map(_lives, workers)), 15)
    finished = {path: path.stat().st_mtime_ns for path in out.rglob("part-*.parquet")}
    assert finished
    second = _start(*said)
    told = _kill_after(second, "rows")
    assert "Going on" in told
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    prepare(clean / "recipe.toml", out=out, slice_bytes=16 * 1024)
    assert contents(out) == contents(clean / "out")


ATTACH = """
name = "attached"
[[source]]
kind = "posts"
path = "posts.jsonl"
[steps.decontaminate]
files = ["seen.jsonl"]
[steps.exact]
[steps.attach]
examples = ["examples.jsonl"]
threshold = 0.3
"""


def test_a_run_killed_while_it_attaches_keeps_what_it_had_embedded(tmp_path: Path) -> None:
    write_lines(tmp_path / "posts.jsonl", [post(n) for n in range(300)])
    examples = [
        {"text": sentence(1_000 + n), "labels": ["__needs_caution__"], "rule": f"Rule {n}."}
        for n in range(6)
    ]
    write_lines(tmp_path / "examples.jsonl", examples)
    write_lines(tmp_path / "seen.jsonl", [{"text": post(n)["text"]} for n in range(3)])
    recipe = write_recipe(tmp_path, ATTACH)
    said = ("prepare", recipe, "--out", tmp_path / "out", "--workers", "1")
    _kill_after(_start(*said), "rows")  # amid what comes next: decontaminate
    process = _start(*said)
    # The examples' vectors come first, together; the posts' follow, 64 at a time.
    _until(lambda: _largest(tmp_path, "vectors-*.bin") > 2 * 64 * 1024, 60)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "manifest.json").exists()
    second = _start(*said)
    told = second.communicate(timeout=100)[1]
    assert second.returncode == 0, told
    assert "Going on with what an earlier run left" in told
    prepare(recipe, out=tmp_path / "calm")
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")
    assert any('"weak":true' in line for line in _lines(tmp_path / "calm"))


def _largest(folder: Path, pattern: str) -> int:
    return max((path.stat().st_size for path in folder.rglob(pattern)), default=0)


def _lines(out: Path) -> list[str]:
    parts = ("train", "validation", "test")
    return [line for part in parts for line in (out / f"{part}.jsonl").read_text().splitlines()]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_ends_a_run_with_130_and_the_next_goes_on(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = ("prepare", clean / "recipe.toml", "--out", out, "--workers", "2", "--slice-kb", "16")
    process = _start(*said)
    _until(lambda: bool(list(out.rglob("part-*.parquet"))))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    prepare(clean / "recipe.toml", out=out, slice_bytes=16 * 1024)
    assert contents(out) == contents(clean / "out")


def test_two_runs_into_one_folder_keep_off_each_other(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        claimed(out / WORK),
        pytest.raises(DataError, match=r"Another run is at work in .*out\."),
    ):
        prepare(clean / "recipe.toml", out=out, slice_bytes=16 * 1024)
    assert sorted(path.name for path in (out / WORK).iterdir()) == ["lock"]
    prepare(clean / "recipe.toml", out=out, slice_bytes=16 * 1024)
    assert contents(out) == contents(clean / "out")
    assert not (out / WORK).exists()


def test_a_damaged_file_is_made_anew(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(clean / "recipe.toml", out=out, slice_bytes=16 * 1024)
    with (out / "train.jsonl").open("ab") as stream:
        stream.write(b"{}\n")
    outcome = prepare(clean / "recipe.toml", out=out, slice_bytes=16 * 1024)
    assert outcome.ran
    assert contents(out) == contents(clean / "out")


def test_other_inputs_or_another_recipe_are_noticed(tmp_path: Path) -> None:
    posts = write_lines(tmp_path / "posts.jsonl", [post(n) for n in range(40)])
    recipe = write_recipe(tmp_path, PLAIN)
    assert prepare(recipe).ran
    assert not prepare(recipe).ran
    assert prepare(recipe, "split.salt=other").ran
    write_lines(posts, [post(n) for n in range(41)])
    outcome = prepare(recipe, "split.salt=other")
    assert outcome.ran
    assert outcome.manifest.counts["kept"] == 41
    assert not (tmp_path / "out" / WORK).exists()


def test_the_work_of_another_plan_is_thrown_away(tmp_path: Path) -> None:
    write_lines(tmp_path / "posts.jsonl", [post(n) for n in range(10)])
    recipe = write_recipe(tmp_path, PLAIN)
    stale = tmp_path / "out" / WORK / "0123456789abcdef"
    stale.mkdir(parents=True)
    (stale / "part-000000-00.parquet").write_bytes(b"no Parquet")
    assert prepare(recipe).manifest.counts["kept"] == 10
    assert not stale.exists()
