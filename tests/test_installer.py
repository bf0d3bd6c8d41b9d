"""What `make` does before anything runs: which wheel, when nothing, and what it says."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
INSTALLER = ROOT / ".ci" / "installer"


@pytest.fixture(autouse=True)
def no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(INSTALLER))
    for name in ("CMAKE_ARGS", "WHEELS", "CXX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def llama() -> ModuleType:
    import llama

    return llama


@pytest.fixture
def progress() -> ModuleType:
    import progress

    return progress


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, at work on a checkout that is empty but for its two files."""
    import environment

    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in environment.BASED_ON:
        (tmp_path / name).write_text("llama-cpp-python==1.2.3\nrich==15.0.0\n")
    for name, value in {"ROOT": tmp_path, "VENV": venv, "STAMP": venv / "oa-chat.json"}.items():
        monkeypatch.setattr(environment, name, value)
    monkeypatch.setattr(environment, "make_venv", lambda: None)
    monkeypatch.setattr(environment, "check_llama", lambda: None)
    monkeypatch.setattr(environment, "installed_llama", lambda: "")
    return environment


@pytest.fixture
def installs(environment: Any, llama: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pip is called with, in place of pip."""
    calls: list[str] = []

    def pip_install(_title: str, arguments: list[str], _advice: str = "") -> None:
        calls.append(" ".join(arguments))
        (environment.VENV / "bin" / "oa-chat").touch()
        monkeypatch.setattr(environment, "installed_llama", lambda: "1.2.3")

    def built_wheel(_python: Path, version: str, _log: Path, variables: dict[str, str]) -> Path:
        return Path(f"/wheels/{version}{variables.get('CMAKE_ARGS', '')}.whl")

    monkeypatch.setattr(environment, "pip_install", pip_install)
    monkeypatch.setattr(llama, "built_wheel", built_wheel)
    return calls


def test_the_first_call_installs_and_the_second_does_nothing(
    environment: Any, installs: list[str]
) -> None:
    assert environment.main(["test"]) == 0
    assert "/wheels/1.2.3.whl" in installs[0]
    assert f"-e {environment.ROOT}[test]" in installs[1]
    del installs[:]
    assert environment.main(["test"]) == environment.main([]) == 0
    assert installs == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_to_what_is_asked_for_installs_again(
    environment: Any, installs: list[str], name: str
) -> None:
    environment.main([])
    with (environment.ROOT / name).open("a") as file:
        file.write("# more\n")
    del installs[:]
    environment.main([])
    # The library that is there stays.
    assert len(installs) == 1
    assert "wheels" not in installs[0]


def test_extras_add_up(environment: Any, installs: list[str]) -> None:
    environment.main(["test"])
    environment.main(["lint"])
    assert f"-e {environment.ROOT}[lint,test]" in installs[-1]


def test_build_options_are_built_and_then_kept(
    environment: Any, installs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.main([])
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    environment.main([])
    assert "/wheels/1.2.3-DGGML_CUDA=on.whl" in installs[2]
    monkeypatch.delenv("CMAKE_ARGS")
    del installs[:]
    environment.main([])
    assert installs == []
    environment.main(["test"])
    assert len(installs) == 1
    assert environment.Stamp.read().llama == {"CMAKE_ARGS": "-DGGML_CUDA=on"}


def test_prebuilt_wheels_come_from_upstreams_index_alone(
    environment: Any, installs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEELS", "cu124")
    environment.main([])
    assert re.search(r"--extra-index-url \S+/whl/cu124 --only-binary llama-cpp-python", installs[0])
    # A newer one than the pinned one is as good, and stays.
    pins = (environment.VENV / "constraints.txt").read_text()
    assert "llama-cpp-python==1.2.3" in pins


def test_a_library_put_there_by_hand_stays(
    environment: Any, installs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "installed_llama", lambda: "1.2.3")
    environment.main([])
    assert len(installs) == 1


def test_a_failure_leaves_no_note_of_success(
    environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise environment.InstallError("no network")

    monkeypatch.setattr(environment, "install_llama", fail)
    assert environment.main([]) == "no network"
    assert not environment.STAMP.exists()


def test_the_cache_tells_builds_apart(llama: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        llama.cache_key("1.2.3", {}),
        llama.cache_key("1.2.4", {}),
        llama.cache_key("1.2.3", {"CMAKE_ARGS": "-DGGML_CUDA=on"}),
        llama.cache_key("1.2.3", {"CXXFLAGS": "-O1"}),
    }
    assert llama.cache_key("1.2.3", {"PATH": "/elsewhere"}) in keys
    monkeypatch.setattr(llama, "processor", lambda: "another one")
    keys.add(llama.cache_key("1.2.3", {}))
    assert len(keys) == 5


def test_a_wheel_in_the_cache_is_not_built_again(
    llama: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    folder = llama.cache_folder(variables) / llama.cache_key("1.2.3", variables)
    folder.mkdir(parents=True)
    wheel = folder / "llama_cpp_python-1.2.3-py3-none-any.whl"
    wheel.touch()
    assert llama.built_wheel(Path(sys.executable), "1.2.3", tmp_path / "log", variables) == wheel
    assert "built earlier" in capsys.readouterr().out


def test_without_a_compiler_it_says_how_to_get_one(llama: ModuleType, tmp_path: Path) -> None:
    variables = {"XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)}
    with pytest.raises(llama.BuildError, match="build-essential"):
        llama.built_wheel(Path(sys.executable), "1.2.3", tmp_path / "log", variables)


def test_the_users_build_options_come_last(llama: ModuleType) -> None:
    variables = llama.build_environment({"CMAKE_ARGS": "-DLLAVA_BUILD=ON"})
    # scikit-build-core hands SKBUILD_CMAKE_DEFINE on in a cache file, CMAKE_ARGS as arguments.
    assert variables["CMAKE_ARGS"] == "-DLLAVA_BUILD=ON"
    assert "LLAVA_BUILD=OFF" in variables["SKBUILD_CMAKE_DEFINE"]
    assert str(INSTALLER / "llama-slim.cmake") in variables["SKBUILD_CMAKE_DEFINE"]


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("  [12/83] /usr/bin/g++ -O3 ggml.cpp", "compiling 12/83"),
        ("  *** Configuring CMake...", "configuring"),
        ("Collecting textual<9,>=8.2.6", "collecting textual<9,>=8.2.6"),
        ("  Downloading torch-2.13.0.whl (190.1 MB)", "downloading torch-2.13.0.whl (190.1 MB)"),
        ("Requirement already satisfied: rich", None),
        ("  -- Looking for [1/2] things", None),
    ],
)
def test_progress_is_read_off_the_output(progress: ModuleType, line: str, step: str | None) -> None:
    assert progress.describe(line) == step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def script(*lines: str, status: int = 0) -> list[str]:
    code = f"import sys; print({chr(10).join(lines)!r}); sys.exit({status})"
    return [sys.executable, "-c", code]


def test_a_terminal_sees_one_line_that_changes(progress: ModuleType, tmp_path: Path) -> None:
    out, log = Terminal(), tmp_path / "log"
    assert progress.run("Building", script("[1/2] a", "[2/2] b"), log, out=out) == 0
    shown = out.getvalue()
    assert shown.count("\n") == 1
    assert "compiling 1/2" in shown
    assert shown.splitlines()[-1].endswith("Building: done (0:00)")
    assert log.read_text().splitlines() == ["[1/2] a", "[2/2] b"]


def test_a_log_gets_few_lines(progress: ModuleType, tmp_path: Path) -> None:
    out = io.StringIO()
    lines = [f"[{number}/900] x" for number in range(1, 901)]
    progress.run("Building", script(*lines), tmp_path / "log", out=out)
    assert out.getvalue() == "Building ...\n  Building: done (0:00)\n"


def test_a_failure_shows_the_end_of_the_log(
    progress: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = script(*(f"line {number}." for number in range(100)), "the cause", status=3)
    assert progress.run("Building", command, tmp_path / "log", out=io.StringIO()) == 3
    errors = capsys.readouterr().err
    assert "  | the cause\n" in errors
    assert "line 3." not in errors
    assert str(tmp_path / "log") in errors


def test_old_pythons_can_read_the_first_file() -> None:
    """They must get as far as the message that they are too old."""
    ast.parse((INSTALLER / "bootstrap.py").read_text(encoding="utf-8"), feature_version=(3, 4))


def test_an_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import bootstrap

    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(bootstrap, "newer_python", lambda: None)
    assert "needs Python 3.11 or newer" in str(bootstrap.main())


def test_make_without_a_target_lists_every_target() -> None:
    done = subprocess.run(
        ["make", "-C", str(ROOT)], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    targets = re.findall(
        r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {"run", "test", "lint", "bench", "clean"} <= set(targets)
    for target in set(targets) - {"help"}:
        assert re.search(rf"^make {target}\b", done.stdout, re.MULTILINE), target
