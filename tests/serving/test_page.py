"""The page about the service says what is so: its examples run, its fields are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from oa_chat.serving import asked, connection, listener
from tests.serving.running import SEED, Service, service
from tests.test_import_hygiene import NATIVE, SCREEN, TRAINING, loaded_by

PAGE = (Path(__file__).parents[2] / "docs" / "serve-guard.md").read_text(encoding="utf-8")
SERVER = "http://127.0.0.1:8642"


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    with service() as started:
        yield started


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def fields(heading: str) -> set[str]:
    table = PAGE.split(heading)[1].split("|---|---|\n")[1].split("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_the_curl_example(served: Service) -> None:
    words = shlex.split(block("bash").replace("\\\n", " "))
    assert words[0] == "curl"
    assert words[1].startswith(SERVER)
    options = dict(zip(words[2::2], words[3::2], strict=True))
    name, value = options["-H"].split(": ")
    url = words[1].replace(SERVER, served.url)
    answer = httpx2.post(url, content=options["-d"], headers={name: value})
    assert [result["flagged"] for result in answer.json()["results"]] == [False, True]


def test_the_python_example(served: Service, capsys: pytest.CaptureFixture[str]) -> None:
    code = block("python")
    assert SERVER in code
    exec(compile(code.replace(SERVER, served.url), "example", "exec"), {})
    reply, told = capsys.readouterr().out.rstrip("\n").rsplit("\n", 1)
    assert reply
    assert told.startswith("nudge ")


def test_the_tables_name_every_field(served: Service) -> None:
    judged = served.post("/v1/moderations", {"input": SEED}).json()["results"][0]["oa_chat"]
    assert fields("## Our fields") == set(judged)
    completed = served.chat(SEED, max_tokens=4).json()["oa_chat"]
    assert fields("A completion has these as well") == set(completed) - set(judged)


def test_the_limits_are_the_limits() -> None:
    assert f"{connection.MOST_BYTES:,} bytes" in PAGE
    assert f"| texts in one moderation | {asked.MOST_INPUTS} |" in PAGE
    assert f"| messages in one conversation | {asked.MOST_MESSAGES} |" in PAGE
    assert f"| connections | {listener._CONNECTIONS};" in PAGE
    assert f"within {listener._HEADER_SECONDS:.0f} seconds" in PAGE


def test_the_service_loads_no_native_code_and_help_does_not_load_it() -> None:
    modules = loaded_by("import oa_chat.serving.app, oa_chat.serving.listener")
    assert not modules & (NATIVE | TRAINING | SCREEN)
    assert {"starlette", "uvicorn"} <= modules
    stack = {"starlette", "uvicorn", "httpx2"}
    assert not loaded_by("import oa_chat.commands.serve_guard") & stack
    assert not loaded_by("import oa_chat.assembly, oa_chat.session") & stack
