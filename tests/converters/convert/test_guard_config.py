"""The file that carries a training's results to the converter."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.convert.guard_config import (
    FILE_NAME,
    General,
    GuardConfig,
    Thresholds,
    read_guard_config,
    write_guard_config,
)
from converters.errors import ConversionError


def test_it_reads_what_it_wrote(tmp_path: Path) -> None:
    config = GuardConfig(
        max_tokens=256,
        prompt_format="classifier",
        temperature=1.7,
        thresholds=Thresholds(flag_below=0.6),
        labels=["a", "b"],
        general=General(name="Mine", license="apache-2.0", sampling={"temp": 0.5}),
    )
    assert write_guard_config(tmp_path, config) == tmp_path / "oa_chat.json"
    assert read_guard_config(tmp_path) == config
    first = (tmp_path / FILE_NAME).read_bytes()
    write_guard_config(tmp_path, config)
    assert (tmp_path / FILE_NAME).read_bytes() == first


def test_without_the_file_everything_has_its_default(tmp_path: Path) -> None:
    assert read_guard_config(tmp_path) == GuardConfig()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"temperature": 0}', "between 0.01 and 100"),
        ('{"thresholds": {"flag_below": 1.5}}', "between 0 and 1"),
        ('{"max_tokens": -1}', "max_tokens"),
        ('{"temprature": 1.2}', "temprature"),
        ('{"labels": [1]}', "labels"),
        ("{", "oa_chat.json"),
        ("\xff", "oa_chat.json"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")
    with pytest.raises(ConversionError, match=reason):
        read_guard_config(tmp_path)
