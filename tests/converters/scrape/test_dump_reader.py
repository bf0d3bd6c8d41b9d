"""Finding wanted lines by their bytes, and telling what is no line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import psutil
import pytest

from converters.scrape.dump_reader import LONGEST, Line, LineReader, Place, Problem
from tests.converters.scrape.dump_files import blocks_of, broken, frame, line, lines, submission


def _read(
    path: Path, *names: str, place: Place | None = None
) -> tuple[list[Line], list[Problem], list[Place]]:
    found = list(LineReader(path, names).read(place or Place()))
    return (
        [item for item in found if isinstance(item, Line)],
        [item for item in found if isinstance(item, Problem)],
        [item for item in found if isinstance(item, Place)],
    )


def _file(folder: Path, *texts: bytes) -> Path:
    path = folder / "RS_2019-01.jsonl"
    path.write_bytes(b"".join(texts))
    return path


def _ids(found: list[Line]) -> list[str]:
    return [json.loads(item.data)["id"] for item in found]


def test_only_lines_of_the_subreddit_come_with_their_places(tmp_path: Path) -> None:
    rows = [
        submission(n, subreddit=("Gardening", "Cooking", "Gardening2")[n % 3]) for n in range(9)
    ]
    path = _file(tmp_path, lines(rows))
    found, problems, places = _read(path, "Gardening")
    assert (_ids(found), problems) == (["s0000", "s0003", "s0006"], [])
    text = path.read_bytes()
    for item in found:
        assert text[item.text :].startswith(item.data + b"\n")
    assert places[-1].text == len(text)


@pytest.mark.parametrize("asked", ["gardening", "GARDENING", "Gardening"])
@pytest.mark.parametrize("written", ["Gardening", "gardening", "GaRdEnInG"])
def test_case_does_not_matter(tmp_path: Path, asked: str, written: str) -> None:
    path = _file(tmp_path, line(submission(1, subreddit=written)))
    assert len(_read(path, asked)[0]) == 1


def test_spaces_around_the_colon_do_not_matter(tmp_path: Path) -> None:
    rows = [submission(1), submission(2, subreddit="Cooking")]
    spaced = "".join(json.dumps(row, separators=(", ", " : ")) + "\n" for row in rows)
    assert _ids(_read(_file(tmp_path, spaced.encode()), "gardening")[0]) == ["s0001"]


def test_a_text_that_quotes_json_is_not_taken_for_a_key(tmp_path: Path) -> None:
    quoting = submission(1, subreddit="Cooking", selftext='{"subreddit":"Gardening"}')
    assert _read(_file(tmp_path, line(quoting)), "gardening")[0] == []


_OTHER = submission(9, subreddit="Cooking")


@pytest.mark.parametrize("asked", ["gardening", "cooking"])
def test_a_crosspost_is_of_the_subreddit_that_it_is_in(tmp_path: Path, asked: str) -> None:
    parent = {"crosspost_parent_list": [_OTHER]}
    path = _file(tmp_path, line(parent | submission(1)))
    assert len(_read(path, asked)[0]) == (asked == "gardening")


@pytest.mark.parametrize(
    "behind",
    [
        {"crosspost_parent_list": [_OTHER]},
        {"zzz": '}]} and "quotes": {'},
        {"crosspost_parent_list": [_OTHER | {"title": "{"}]},
        {"media": {"type": "image"}},
    ],
)
def test_what_cannot_be_told_apart_is_handed_on_for_its_reader_to_decide(
    tmp_path: Path, behind: dict[str, Any]
) -> None:
    path = _file(
        tmp_path, line(submission(1) | behind), line(submission(2, subreddit="x") | behind)
    )
    assert _ids(_read(path, "gardening")[0]) == ["s0001"]
    inside = "crosspost_parent_list" in behind
    assert _ids(_read(path, "COOKING")[0]) == (["s0001", "s0002"] if inside else [])


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,", " :\t")])
@pytest.mark.parametrize("size", [7, 999, 2**17])
def test_it_finds_what_parsing_every_line_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, separators: tuple[str, str], size: int
) -> None:
    """Rows in many orders of their keys, with all that could mislead, in pieces of every size."""
    chance = random.Random(size)
    texts = ["{", "}", '"subreddit":"Gardening"', '{"subreddit":"gardening"}', "\\", '\\"', "b\n"]
    made = []
    for number in range(300):
        name = chance.choice(["Gardening", "gardening", "Garden", "GardeningX", "Cooking", ""])
        row = submission(number, subreddit=name, title="".join(chance.choices(texts, k=3)))
        row |= {"selftext": chance.choice(texts), "crosspost_parent_list": [_OTHER]}
        if chance.random() < 0.5:
            row["subreddit_detail"] = {"subreddit": "Gardening"}
        keys = chance.sample(sorted(row), len(row))
        made.append({key: row[key] for key in keys})
    text = "".join(json.dumps(row, separators=separators) + "\n" for row in made)
    monkeypatch.setattr("converters.unpacking._PLAIN", size)
    found, problems, _ = _read(_file(tmp_path, text.encode()), "gardening")
    assert problems == []
    wanted = {row["id"] for row in made if row["subreddit"].lower() == "gardening"}
    own = [row for item in found if (row := json.loads(item.data))["id"] in wanted]
    assert [row["id"] for row in own] == [row["id"] for row in made if row["id"] in wanted]
    assert len(found) < 300


def test_several_names_and_no_name(tmp_path: Path) -> None:
    rows = [submission(n, subreddit=("a.b", "axb", "c")[n]) for n in range(3)]
    path = _file(tmp_path, lines(rows), b"\n  \n")
    assert _ids(_read(path, "A.B", "c")[0]) == ["s0000", "s0002"]
    assert _ids(_read(path)[0]) == ["s0000", "s0001", "s0002"]


def test_windows_line_ends_blank_lines_and_no_last_newline_are_fine(tmp_path: Path) -> None:
    first, second = line(submission(1)).rstrip(), line(submission(2)).rstrip()
    path = _file(tmp_path, b"\r\n", first, b"\r\n\r\n\n", second)
    found, problems, _ = _read(path, "gardening")
    assert (_ids(found), problems) == (["s0001", "s0002"], [])


@pytest.mark.parametrize("names", [(), ("gardening",)])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_broken_lines_are_told_wherever_they_are(
    tmp_path: Path, where: int, names: tuple[str, ...]
) -> None:
    torn = line(submission(7))[:300] + b"\n"
    tail = line(submission(8))[300:]
    whole = [line(submission(1)), line(submission(2))]
    parts = [*whole[:where], torn, tail, *whole[where:]]
    found, problems, _ = _read(_file(tmp_path, *parts), *names)
    assert _ids(found) == ["s0001", "s0002"]
    start = sum(map(len, whole[:where]))
    assert [problem.text for problem in problems] == [start, start + len(torn)]
    assert "no whole line of JSON" in str(problems[0])
    assert f"byte {start} of the unpacked text" in str(problems[0])


def test_broken_lines_of_other_subreddits_are_told_too(tmp_path: Path) -> None:
    path = _file(tmp_path, b"garbage \x00\xff\n", line(submission(1, subreddit="Cooking")))
    found, problems, _ = _read(path, "gardening")
    assert (found, [problem.text for problem in problems]) == ([], [0])


def test_a_line_of_100_mb_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "RS_2019-01.zst"
    long = b'{"subreddit":"Gardening","selftext":"' + b"a" * 100_000_000 + b'"}\n'
    before, after = lines(map(submission, range(5))), lines(map(submission, range(5, 9)))
    path.write_bytes(frame(before + long + after, window=20))
    used = psutil.Process().memory_info().rss
    most = used
    found, problems = [], []
    for item in LineReader(path, ["gardening"]).read(Place()):
        most = max(most, psutil.Process().memory_info().rss)
        match item:
            case Line():
                found.append(item)
            case Problem():
                problems.append(item)
    assert _ids(found) == [f"s{number:04d}" for number in range(9)]
    assert [problem.text for problem in problems] == [len(before)]
    assert f"a line of {len(long)} bytes" in problems[0].reason
    assert most - used < 60_000_000


def test_a_line_just_short_enough_is_read(tmp_path: Path) -> None:
    path = _file(tmp_path, line(submission(1, selftext="b" * (LONGEST - 2000))), b"{}\n")
    assert _ids(_read(path, "gardening")[0]) == ["s0001"]


def test_long_lines_at_the_end_and_before_a_gap_are_told(tmp_path: Path) -> None:
    path = tmp_path / "RS_2019-01.zst"
    packed = frame(line(submission(1)) + b"x" * (LONGEST + 2**20))
    path.write_bytes(packed[:-2])
    found, problems, _ = _read(path, "gardening")
    assert _ids(found) == ["s0001"]
    assert [problem.reason[:11] for problem in problems] == ["a line of 9", "the file is"]


def test_a_record_that_goes_over_two_frames_is_one_record(tmp_path: Path) -> None:
    text = lines(map(submission, range(50)))
    path = tmp_path / "RS_2019-01.zst"
    path.write_bytes(
        b"".join(frame(text[at : at + 777], window=20) for at in range(0, len(text), 777))
    )
    assert len(_read(path, "gardening")[0]) == 50


def test_a_gap_costs_the_line_that_it_cuts(tmp_path: Path) -> None:
    first = frame(lines(map(submission, range(600))))
    at = blocks_of(first)[2][0]
    path = tmp_path / "RS_2019-01.zst"
    path.write_bytes(broken(first, at + 20) + frame(lines(map(submission, range(600, 700)))))
    found, (problem,), _ = _read(path, "gardening")
    ids = _ids(found)
    kept = len(ids) - 100
    assert 2**18 // 1100 < kept < 2**18 // 900
    assert ids == [f"s{number:04d}" for number in [*range(kept), *range(600, 700)]]
    assert problem.file == at
    assert str(problem).startswith(f"byte {at}: a zstd block is broken")


@pytest.mark.parametrize("packing", ["zst", "jsonl", "jsonl.gz"])
def test_reading_goes_on_at_every_place_without_loss_or_doubles(
    tmp_path: Path, packing: str
) -> None:
    text = lines(map(submission, range(12_000)))
    assert len(text) > 2 * 2**22
    path = tmp_path / f"RS_2019-01.{packing}"
    if packing == "zst":
        path.write_bytes(
            b"".join(frame(text[at : at + 10**6], window=20) for at in range(0, len(text), 10**6))
        )
    else:
        import gzip

        path.write_bytes(gzip.compress(text, 1) if packing.endswith("gz") else text)
    whole, _, places = _read(path, "gardening")
    assert len(whole) == 12_000
    assert len(places) >= 3
    for place in [*places[:: len(places) // 5], places[-1]]:
        rest, problems, _ = _read(path, "gardening", place=place)
        assert problems == []
        assert rest == [item for item in whole if item.text >= place.text]
