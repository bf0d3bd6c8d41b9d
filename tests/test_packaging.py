"""What is shipped, and that the pages about it say the same."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ALL_REQUIREMENTS = [*PROJECT["dependencies"], *itertools.chain(*EXTRAS.values())]


def declared(requirements: list[str]) -> set[str]:
    return {Requirement(requirement).name.lower() for requirement in requirements}


def documented(heading: str) -> set[str]:
    """The packages in the table under a heading of docs/dependencies.md."""
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `([^`]+)` \| \S", section, re.MULTILINE))


def package_data() -> set[str]:
    """The files in the packages that are not code, by their path in the wheel."""
    suffixes = {".gguf", ".gz", ".jsonl", ".md", ".toml", ".tcss", ".jinja", ".json", ".typed"}
    return {
        path.relative_to(ROOT).as_posix()
        for package in ("oa_chat", "converters")
        for path in (ROOT / package).rglob("*")
        if path.suffix in suffixes or path.name == "py.typed"
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source package, built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_the_models_the_rules_and_the_styles(wheel: zipfile.ZipFile) -> None:
    data = package_data()
    assert {"oa_chat/py.typed", "oa_chat/rules.toml"} <= data
    assert sum(name.startswith("oa_chat/models/") for name in data) >= 3
    assert data <= set(wheel.namelist())


def test_wheel_holds_all_code_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "oa_chat").rglob("*.py")}
    assert code <= set(names)
    tops = {name.split("/", 1)[0] for name in names}
    assert tops == {"oa_chat", "converters", f"oa_chat-{version()}.dist-info"}
    assert not [name for name in names if "__pycache__" in name]


def test_wheel_carries_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    info = f"oa_chat-{version()}.dist-info"
    entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "[console_scripts]\noa-chat = oa_chat.__main__:main" in entry_points
    assert b"Apache License" in wheel.read(f"{info}/licenses/LICENSE")
    assert b"License-Expression: Apache-2.0" in wheel.read(f"{info}/METADATA")


def test_source_package_can_build_the_wheel_and_run_the_tests(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert package_data() <= names
    assert {"Makefile", "constraints.txt", "LICENSE", "README.md", "pyproject.toml"} <= names
    assert {
        ".ci/installer/bootstrap.py",
        ".ci/installer/llama-slim.cmake",
        "tests/conftest.py",
    } <= names
    assert not [name for name in names if name.startswith((".venv", ".git/"))]


def version() -> str:
    from oa_chat import __version__

    return __version__


@pytest.mark.parametrize(
    ("heading", "requirements"),
    [
        ("To chat", PROJECT["dependencies"]),
        ("To collect and prepare data (`oa-chat[data]`)", EXTRAS["data"]),
        ("On a cluster (`oa-chat[cluster]`)", EXTRAS["cluster"]),
        ("To train, convert and evaluate (`oa-chat[train]`)", EXTRAS["train"]),
        ("To test (`oa-chat[test]`)", EXTRAS["test"]),
        ("To check the code (`oa-chat[lint]`)", EXTRAS["lint"]),
    ],
)
def test_every_dependency_has_its_reason(heading: str, requirements: list[str]) -> None:
    assert documented(heading) == declared(requirements)


def test_every_extra_is_documented() -> None:
    assert set(EXTRAS) == {"test", "lint", "serve", "data", "cluster", "train"}


def pins() -> dict[str, str]:
    """The exact versions in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): exact for name, exact in pairs}


@pytest.mark.parametrize("requirement", ALL_REQUIREMENTS)
def test_every_direct_dependency_has_an_exact_version_in_its_range(requirement: str) -> None:
    parsed = Requirement(requirement)
    assert parsed.specifier.contains(pins()[parsed.name.lower()])


def test_no_exact_version_ties_everybody_to_one_index() -> None:
    # As a local version ("2.13.0+cpu") would.
    assert not [exact for exact in pins().values() if "+" in exact]
