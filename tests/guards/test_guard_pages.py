"""docs/guard-families.md is about the families that there are, and shows the categories as used."""

import re
from pathlib import Path

from oa_chat.guards.registry import FAMILIES
from oa_chat.guards.taxonomy import LISTS, SOURCES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "guard-families.md").read_text(encoding="utf-8")


def test_every_family_has_a_section_and_every_section_a_family() -> None:
    headings = [line for line in PAGE.splitlines() if line.startswith("## `")]
    named = [name for line in headings for name in re.findall(r"`([a-z0-9-]+)`", line)]
    assert sorted(named) == sorted(FAMILIES)


def test_each_section_says_what_a_user_has_to_know() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    for family in FAMILIES:
        if family in ("classifier", "open-assistant", "granite-guardian-think"):
            continue
        (section,) = [one for one in sections if one.startswith(f"`{family}`:")]
        assert "| model | licence | q8_0 | q4_k_m |" in section
        for point in ("GGUF", "Explains", "Languages", "Levels", "Limits"):
            assert f"- **{point}**: " in section, (family, point)


def test_the_categories_on_the_page_are_the_taxonomys() -> None:
    text = " ".join(PAGE.split())
    for family, rows in LISTS.items():
        assert f"**{family}** ({SOURCES[family]}):" in text
        shown = text.split(f"**{family}** (")[1].split("**")[0]
        for row in rows:
            assert f"{row.name} → `{row.ours}`" in shown, (family, row.code)
        assert shown.count("→") == len(rows)
