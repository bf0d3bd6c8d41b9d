"""The same plan on a local Ray cluster of two workers, by the real command."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

from tests.converters.prepare.small_data import (
    PLAIN,
    contents,
    post,
    prepare,
    run_command,
    write_lines,
    write_recipe,
)


def test_a_cluster_of_two_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    assert importlib.util.find_spec("ray")
    rows = [post(n) for n in range(300)]
    rows += [post(1_000 + n, text=f"{post(n)['text']} or so") for n in range(50)]
    write_lines(tmp_path / "posts.jsonl", rows)
    recipe = write_recipe(tmp_path, PLAIN)
    said = ("--engine", "ray", "--workers", "2", "--slice-kb", "16")
    done = run_command("prepare", recipe, "--out", tmp_path / "ray", *said)
    assert done.returncode == 0, done.stderr
    assert "The dataset and its card are in" in done.stdout
    prepare(recipe, slice_bytes=16 * 1024)
    assert contents(tmp_path / "ray") == contents(tmp_path / "out")


def test_a_cluster_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    write_lines(tmp_path / "posts.jsonl", [post(1)])
    recipe = write_recipe(tmp_path, PLAIN)
    done = run_command("prepare", recipe, "--address", "127.0.0.1:1", folder=tmp_path)
    assert done.returncode == 2
    assert "add --engine ray" in done.stderr
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        done = run_command(
            "prepare", recipe, "--engine", "ray", "--address", address, folder=tmp_path
        )
    assert done.returncode == 9
    assert f"The Ray cluster at {address} cannot be used" in done.stderr
    assert "ray status" in done.stderr
    assert "Traceback" not in done.stderr
