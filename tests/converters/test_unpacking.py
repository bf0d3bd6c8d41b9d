"""Real zst and gz files, whole and damaged in every way, as pieces and gaps."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from converters.unpacking import Event, Gap, Start, unpack_from
from tests.converters.scrape.dump_files import blocks_of, broken, frame, lines, submission

_TEXT = lines(submission(number) for number in range(600))
_OTHER = lines(submission(number) for number in range(600, 1200))


def _events(path: Path, start: int = 0) -> Iterator[Event]:
    with path.open("rb") as file:
        file.seek(start)
        yield from unpack_from(file, path.name)


def _read(path: Path, start: int = 0) -> tuple[bytes, list[Gap], list[int]]:
    events = list(_events(path, start))
    text = b"".join(event for event in events if isinstance(event, bytes))
    gaps = [event for event in events if isinstance(event, Gap)]
    return text, gaps, [event.offset for event in events if isinstance(event, Start)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "RS_2019-01.zst"


def test_a_long_window_that_others_refuse_is_read(path: Path) -> None:
    path.write_bytes(frame(_TEXT))
    with pytest.raises(zstandard.ZstdError, match="too much memory"):
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(path.read_bytes())).read(10)
    assert _read(path) == (_TEXT, [], [0])


def test_pieces_stay_small_however_much_a_block_unpacks_to(path: Path) -> None:
    path.write_bytes(frame(b"a" * 50_000_000))
    assert path.stat().st_size < 10_000
    sizes = [len(event) for event in _events(path) if isinstance(event, bytes)]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 2**17


def test_frames_follow_each_other_and_reading_can_begin_at_each(path: Path) -> None:
    skippable = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 9) + b"index \x28\xb5\x2f"
    sized = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(_OTHER)
    packed = [frame(_TEXT, checksum=True), skippable, frame(b""), sized, frame(_TEXT, window=20)]
    path.write_bytes(b"".join(packed))
    text, gaps, starts = _read(path)
    assert text == _TEXT + _OTHER + _TEXT
    assert gaps == []
    assert len(starts) == 4
    assert _read(path, starts[2])[0] == _OTHER + _TEXT


def test_a_broken_block_costs_the_rest_of_its_frame_only(path: Path) -> None:
    first, second = frame(_TEXT), frame(_OTHER)
    blocks = blocks_of(first)
    assert len(blocks) > 3
    at = blocks[2][0]
    path.write_bytes(broken(first, at + 20) + second)
    text, (gap,), starts = _read(path)
    assert text == _TEXT[: 2 * 2**17] + _OTHER
    assert gap.offset == at
    assert gap.reason.startswith("a zstd block is broken (")
    lost = f"without it: {len(first) - at:,} bytes, up to the next frame"
    assert gap.reason.endswith(f"; what follows in its frame cannot be read {lost}")
    assert starts == [0, len(first)]


def test_a_broken_block_of_the_only_frame_costs_the_rest_of_the_file(path: Path) -> None:
    packed = frame(_TEXT)
    at = blocks_of(packed)[1][0]
    path.write_bytes(broken(packed, at + 20))
    text, (gap,), _ = _read(path)
    assert text == _TEXT[: 2**17]
    assert gap.reason.endswith(f" {len(packed) - at:,} bytes, up to the end of the file")


def test_where_the_sizes_of_blocks_lead_nowhere_the_next_frame_is_searched(path: Path) -> None:
    first, second = frame(_TEXT), frame(_OTHER)
    at = blocks_of(first)[1][0]
    path.write_bytes(broken(first, at) + second)
    text, (gap,), starts = _read(path)
    assert text == _TEXT[: 2**17] + _OTHER
    assert gap.offset == at
    assert starts == [0, len(first)]


def test_bytes_between_frames_are_told(path: Path) -> None:
    first, second = frame(_TEXT), frame(_OTHER)
    path.write_bytes(first + b"<html>404</html>" * 3 + second)
    text, (gap,), starts = _read(path)
    assert text == _TEXT + _OTHER
    assert gap == Gap(len(first), "no zstd frame begins here")
    assert starts == [0, len(first) + 48]


def test_a_wrong_checksum_is_told(path: Path) -> None:
    packed = frame(_TEXT, checksum=True)
    path.write_bytes(packed[:-1] + bytes([packed[-1] ^ 1]) + frame(_OTHER))
    text, (gap,), _ = _read(path)
    assert text == _TEXT[: len(text) - len(_OTHER)] + _OTHER
    assert "checksum" in gap.reason


@pytest.mark.parametrize("cut", [2, 5, 8, 1000, -1])
def test_a_truncated_file_gives_what_there_is(path: Path, cut: int) -> None:
    second = frame(_OTHER)
    packed = frame(_TEXT) + second[:cut]
    path.write_bytes(packed)
    text, (gap,), _ = _read(path)
    whole = 0 if cut > 0 else (len(_OTHER) - 1) // 2**17 * 2**17
    assert text == _TEXT + _OTHER[:whole]
    assert gap.reason == "the file is cut off"
    assert len(packed) - 4 < gap.offset + 4 <= len(packed) + 4


def test_what_is_no_zstd_at_all_is_told(path: Path) -> None:
    path.write_bytes(b"<html>Not found</html>")
    assert _read(path) == (b"", [Gap(0, "no zstd frame begins here")], [])


@pytest.fixture
def packed_path(tmp_path: Path) -> Path:
    return tmp_path / "RS_2019-01.jsonl.gz"


def test_gzip_members_follow_each_other(packed_path: Path) -> None:
    first = gzip.compress(_TEXT)
    packed_path.write_bytes(first + gzip.compress(_OTHER) + b"\0" * 100)
    assert _read(packed_path) == (_TEXT + _OTHER, [], [0, len(first)])
    assert _read(packed_path, len(first))[0] == _OTHER


def test_a_broken_gzip_member_is_told_and_the_next_is_read(packed_path: Path) -> None:
    first = gzip.compress(_TEXT)
    middle = len(first) // 2
    packed_path.write_bytes(broken(first, middle) + gzip.compress(_OTHER))
    text, gaps, starts = _read(packed_path)
    kept = text.removesuffix(_OTHER)
    assert text.endswith(_OTHER)
    assert len(kept) > 10_000
    assert _TEXT.startswith(kept[:10_000])
    assert gaps[0].reason.startswith("a gzip member is broken (")
    assert gaps[0].reason.endswith(" bytes, up to the next member")
    assert abs(gaps[0].offset - middle) < len(first) // 2 + 1
    assert starts[-1] == len(first)


def test_a_truncated_gzip_gives_what_there_is(packed_path: Path) -> None:
    packed = gzip.compress(_TEXT)[:-5000]
    packed_path.write_bytes(packed)
    text, (gap,), _ = _read(packed_path)
    assert _TEXT.startswith(text)
    assert len(text) > len(_TEXT) // 2
    assert gap == Gap(len(packed), "the file is cut off")


def test_plain_files_can_be_begun_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "RS_2019-01.jsonl"
    path.write_bytes(_TEXT * 4)
    text, gaps, starts = _read(path)
    assert (text, gaps) == (_TEXT * 4, [])
    assert _read(path, starts[1])[0] == (_TEXT * 4)[starts[1] :]
