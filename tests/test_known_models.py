"""The catalogue: strict, in order, and as the page about models says."""

from __future__ import annotations

from pathlib import Path

import pytest

from oa_chat.downloads.partial import gigabytes
from oa_chat.engine.placing import ALLOWANCE
from oa_chat.errors import SettingsError, UsageError
from oa_chat.guards.registry import FAMILIES
from oa_chat.known_models import KnownModel, known_models, parse_catalogue
from oa_chat.machine_memory import Memory, _linux, machine_memory
from oa_chat.model_list import fit, needs_of

ROOT = Path(__file__).resolve().parent.parent
ENTRY = """
[[model]]
name = "tiny"
title = "Tiny"
role = "chat"
good_for = "tests"
repo = "owner/Tiny-GGUF"
file = "tiny.gguf"
size = 1000
licence = "MIT"
context = 4096
layers = 2
kv_heads = 1
head_dim = 8
"""
HERE = Path("known.toml")


def test_the_catalogue_offers_chat_models_and_guards() -> None:
    roles = [known.role for known in known_models()]
    assert roles == sorted(roles)
    assert len({known.name for known in known_models()}) == len(known_models())
    assert len({known.source.origin for known in known_models()}) == len(known_models())
    for role in ("chat", "guard"):
        sizes = [known.size for known in known_models() if known.role == role]
        assert sizes == sorted(sizes)
        assert sizes[0] < 700_000_000
    for known in known_models():
        assert known.role == "chat" or known.family in FAMILIES
        # A checksum without a commit may go out of date; a commit without a checksum is of no use.
        assert known.sha256 or known.revision == "main"


def test_the_page_has_the_catalogue() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    section = page.split("## The catalogue")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [row(known) for known in known_models()]


def row(known: KnownModel) -> str:
    """A line of the page's table."""
    use = known.good_for if known.role == "chat" else f"{known.family}: {known.good_for}"
    cells = (
        f"`{known.name}`",
        use,
        gigabytes(known.size),
        gigabytes(needs_of(known)),
        f"{known.context:,}",
        known.licence,
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size = 1000", "size = -1", "size"),
        ("size = 1000", "syze = 1000", "Did you mean"),
        ('role = "chat"', 'role = "chef"', "chat, guard"),
        ('role = "chat"', 'role = "guard"', "a guard has a family"),
        ('name = "tiny"', 'name = "Ti ny"', "name"),
        ('licence = "MIT"', 'licence = "MIT"\nsha256 = "abc"', "sha256"),
        ('licence = "MIT"\n', "", "licence"),
    ],
)
def test_a_mistake_in_a_catalogue_is_named(old: str, new: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_catalogue(ENTRY.replace(old, new), HERE)
    assert said in str(caught.value)


def test_names_of_a_catalogue_stay_in_the_folder() -> None:
    assert parse_catalogue(ENTRY, HERE)[0].source.name == "hf:owner/Tiny-GGUF/tiny.gguf"
    with pytest.raises(UsageError):
        parse_catalogue(ENTRY.replace("owner/Tiny-GGUF", "../Tiny"), HERE)
    with pytest.raises(SettingsError, match="twice"):
        parse_catalogue(ENTRY + ENTRY, HERE)


def test_the_memory_that_a_model_needs() -> None:
    known = parse_catalogue(ENTRY, HERE)[0]
    assert needs_of(known) == 1000 + 4096 * (2 * 1 * 8 * 2 * 2) + ALLOWANCE
    assert fit(100, Memory(1000, 100)) == "yes"
    assert fit(101, Memory(1000, 100)) == "tight"
    assert fit(1001, Memory(1000, 100)) == "no"
    assert fit(1, Memory(0, 0)) == ""


def test_the_memory_of_a_machine(tmp_path: Path) -> None:
    here = machine_memory()
    assert 0 < here.available <= here.total
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       8000 kB\nMemFree:  1 kB\nMemAvailable:   5000 kB\n")
    assert _linux(meminfo, tmp_path / "none") == Memory(8_192_000, 5_120_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert _linux(meminfo, tmp_path) == Memory(8_192_000, 5_120_000)
    (tmp_path / "memory.max").write_text("4000000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 500000\n")
    assert _linux(meminfo, tmp_path) == Memory(4_000_000, 1_500_000)
    assert _linux(tmp_path / "missing", tmp_path / "none") == Memory(0, 0)
