"""The documents say what the program does."""

import re
import runpy
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from oa_chat.cli import main
from oa_chat.config import Settings, parse_settings
from oa_chat.guards.registry import FAMILIES
from oa_chat.policies.shelf import shipped
from oa_chat.verdict import Severity

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_commands_page_is_the_programs_help() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_commands.py"))
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == script["page"](), "run python docs/make_commands.py"


def test_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in main.list_commands(click.Context(main)):
        assert f"`oa-chat {name}" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_layout_in_architecture_is_the_tree() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    layout = text.split("## Layout")[1].split("```")[1]
    named = set(re.findall(r"([a-z_]+\.py)\b", layout))
    there = {path.name for path in (ROOT / "oa_chat").rglob("*.py")}
    assert named <= there
    folders = {line.split()[0].rstrip("/") for line in layout.splitlines() if "/ " in line}
    assert all(
        (ROOT / folder).is_dir() or (ROOT / "oa_chat" / folder).is_dir() for folder in folders
    )


def test_the_policy_table_is_the_policy() -> None:
    text = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    for level in Severity:
        row = next(line for line in text.splitlines() if f"`{level.label}`" in line)
        actions = [cell.strip() for cell in row.strip("|").split("|")][2:]
        assert actions == [shipped()[name].actions[level].value for name in shipped()]


def test_the_guards_page_names_every_family() -> None:
    text = (ROOT / "docs" / "guards.md").read_text(encoding="utf-8")
    for family in FAMILIES:
        assert f"| `{family}` |" in text


def test_the_settings_page_has_every_setting_and_its_default() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    text = page.split("```toml")[1].split("```")[0]
    assert parse_settings(text, Path("settings.md")) == Settings()
    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    named = tomllib.loads(uncommented)
    expected = msgspec.to_builtins(Settings())
    assert {section: set(table) for section, table in named.items()} == {
        section: set(table) for section, table in expected.items()
    }
    assert set(named["policy"]["levels"]) == set(expected["policy"]["levels"])
    parse_settings(uncommented, Path("settings.md"))


def test_nothing_names_a_machine() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(?:root|home|work)/", page.read_text(encoding="utf-8"))
