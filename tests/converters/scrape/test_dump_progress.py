"""How far reading dumps is said to be, on a terminal and elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from converters.scrape.dump_file import Amount
from converters.scrape.dump_progress import DumpProgress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"RS_[b]{number}.zst" for number in range(2)]
    for path in paths:
        path.write_bytes(bytes(50_000))
    return paths


def test_a_line_gives_share_rate_records_and_time_left(files: list[Path]) -> None:
    stream, seconds = io.StringIO(), [0.0]
    with DumpProgress(files, stream, lambda: seconds[0]) as progress:
        progress.read(0, Amount(10_000, 2_000_000, 7))  # before this run
        seconds[0] = 9.0
        progress.read(0, Amount(20_000, 202_000_000, 8))
        seconds[0] = 10.0
        progress.read(1, Amount())
        progress.read(1, Amount(10_000, 8_000_000, 1_000))
        seconds[0] = 21.0
        progress.merged(500, 1_008)
    assert stream.getvalue().splitlines() == [
        "20% of 0.1 MB read (20 MB/s of text), 8 records kept, about 0:01:20 left",
        "putting the files together: 500 of 1,008 records",
    ]


def test_a_terminal_shows_bars_of_all_and_of_each_file(files: list[Path]) -> None:
    stream = _Terminal()
    with DumpProgress(files, stream) as progress:
        progress.read(0, Amount(25_000, 10**9, 1_234))
        progress.read(1, Amount(50_000, 1, 1))
        progress.merged(3, 6)
        progress.merged(6, 6)
        assert progress._bars is not None
        shown = {task.description: task for task in progress._bars.tasks}
    assert {name: task.percentage for name, task in shown.items()} == {
        "all files": 75.0,
        "RS_\\[b]0.zst": 50.0,
        "RS_\\[b]1.zst": 100.0,
        "putting the files together: 6 of 6 records": 100.0,
    }
    assert shown["RS_\\[b]0.zst"].fields["facts"] == "1,234 kept"
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is there again
