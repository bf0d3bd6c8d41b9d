"""`oa-chat evaluate` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from oa_chat.cli import run
from oa_chat.verdict import LABELS

WriteRows = Callable[[str, list[dict[str, Any]]], Path]


def evaluate(*arguments: str | Path) -> int:
    return run(["evaluate", *map(str, arguments)])


@pytest.fixture
def dev(write_rows: WriteRows) -> Path:
    rows = [
        {"text": f"{text} {more}", "labels": levels}
        for text, levels in (
            ("i like tea", [LABELS[0]]),
            ("burn the bread", [LABELS[0], LABELS[1]]),
            ("i hate you", [LABELS[3], LABELS[4]]),
            ("cut my friend", [LABELS[4]]),
        )
        for more in ("", "today", "never", "slowly", "gently", "down")
    ]
    return write_rows("dev.jsonl", rows)


def test_tables_on_standard_output(
    gguf_guard: Path, small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(gguf_guard, "--set", f"small={small_set}", "--latency", "5") == 0
    shown = capsys.readouterr().out
    for title in ("Five levels", "Flagged or not", "Ranking", "Calibration", "Time"):
        assert title in shown
    assert "No temperature was fitted" in shown
    assert all(len(line.rstrip()) <= 100 for line in shown.splitlines())


def test_a_folder_with_everything(
    gguf_guard: Path, small_set: Path, dev: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    asked = (gguf_guard, "--set", f"small={small_set}", "--dev", f"d={dev}", "--out", out)
    assert evaluate(*asked, "--latency", "3") == 0
    results = json.loads((out / "results.json").read_text())
    (model,) = results["models"]
    got = model["sets"]["small"]
    assert got["harmful"] == got["harmless"] == 10
    assert model["temperature"]["sets"] == ["d"]
    assert {"levels", "levels after", "flag", "flag after"} == set(got["calibration"])
    assert sum(map(sum, got["levels"]["confusion"])) == 20
    flagged = got["flagged"]["recall"]
    assert flagged["low"] <= flagged["value"] <= flagged["high"]
    assert {part["by"] for part in got["slices"]} == {"category"}
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 20
    assert len({line["text_sha256"] for line in lines}) > 4
    assert not any("text" in line for line in lines)
    for name in ("precision_recall", "reliability", "confusion", "thresholds"):
        with Image.open(out / "plots" / f"{name}.png") as picture:
            assert picture.width > 300
    latency = json.loads((out / "latency.json").read_text())["tiny-guard"]
    assert 0 < latency["p50_ms"] <= latency["p95_ms"]


def test_the_card_is_one_of_the_hubs(gguf_guard: Path, small_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert evaluate(gguf_guard, "--set", f"small={small_set}", "--out", out, "--latency", "0") == 0
    card = ModelCard.load(out / "README.md")
    assert card.data.model_name == "tiny-guard"
    results = {one.metric_type: one for one in card.data.eval_results or []}
    wanted = json.loads((out / "results.json").read_text())["models"][0]["sets"]["small"]
    assert results["accuracy"].metric_value == pytest.approx(
        wanted["levels"]["accuracy"]["value"], abs=1e-4
    )
    assert results["f1"].dataset_name == "small"
    assert "## Limits" in card.text
    assert "No dev file was given" in card.text
    assert not (out / "latency.json").exists()


def test_two_runs_write_the_same_but_for_times(
    gguf_guard: Path, small_set: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        assert evaluate(gguf_guard, "--set", f"s={small_set}", "--out", tmp_path / name) == 0
    first, second = (
        {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in (tmp_path / name).rglob("*")
            if file.is_file() and file.name != "latency.json"
        }
        for name in ("one", "two")
    )
    assert len(first) == 8
    assert first == second


def test_models_are_compared(
    gguf_guard: Path, checkpoint: Path, small_set: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    asked = (gguf_guard, checkpoint, "--set", f"s={small_set}", "--out", out, "--latency", "2")
    assert evaluate(*asked) == 0
    table = (out / "compare.md").read_text()
    assert "s: tiny-guard" in table
    assert "s: tiny-checkpoint" in table
    assert (out / "tiny-guard" / "README.md").is_file()
    assert (out / "tiny-checkpoint" / "plots" / "confusion.png").is_file()
    assert set(json.loads((out / "latency.json").read_text())) == {"tiny-guard", "tiny-checkpoint"}


def test_json_alone_on_standard_output(
    gguf_guard: Path, small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (gguf_guard, "--set", f"s={small_set}", "--json", "--limit", "8", "--latency", "0")
    assert evaluate(*asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sets"]["s"] == found["sets"]["s"] | {"rows": 20, "used": 8}
    assert found["models"][0]["sets"]["s"]["rows"] == 8
    assert found["latency"] == {}


@pytest.mark.parametrize("unsafe", [True, False])
def test_a_one_sided_set_shows_a_dash_and_says_why(
    gguf_guard: Path, write_rows: WriteRows, capsys: pytest.CaptureFixture[str], unsafe: bool
) -> None:
    rows = [{"text": text, "unsafe": unsafe} for text in ("hello", "i like tea", "burn bread")]
    path = write_rows("one.jsonl", rows)
    assert evaluate(gguf_guard, "--set", f"s={path}", "--json", "--latency", "0") == 0
    found = json.loads(capsys.readouterr().out)["models"][0]["sets"]["s"]
    reason = "every message is " + ("harmful" if unsafe else "harmless")
    assert found["ranking"]["harm"]["auprc"] == {"value": None, "why": reason}
    assert found["levels"] is None
    assert evaluate(gguf_guard, "--set", f"s={path}", "--latency", "0") == 0
    assert "–" in capsys.readouterr().out


def test_rules_of_two_authors(
    write_rows: WriteRows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows("r.jsonl", [{"text": "I stole a bike", "rule": "You shouldn't steal."}])
    out = tmp_path / "out"
    asked = ("rulebook", "rule-writer", "--rules", "--set", f"s={path}", "--out", out)
    assert evaluate(*asked) == 0
    assert "s: rule writer" in capsys.readouterr().out
    found = json.loads((out / "rules.json").read_text())
    assert [one["name"] for one in found["models"]] == ["rulebook", "rule writer"]
    assert "token F1" in (out / "rules.md").read_text()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    code = evaluate(*arguments)
    return code, capsys.readouterr().err


def test_wrong_usage_is_told_before_anything_is_loaded(
    gguf_guard: Path, small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = f"s={small_set}"
    assert refused(capsys, gguf_guard)[0] == 2
    code, words = refused(capsys, gguf_guard, "--set", str(small_set))
    assert (code, "not of the form NAME=FILE" in words) == (2, True)
    code, words = refused(capsys, gguf_guard, "--set", pair, "--dev", f"d={small_set}")
    assert (code, "both as --dev d and as --set s" in words) == (2, True)
    (tmp_path / "file").write_text("")
    code, words = refused(capsys, gguf_guard, "--set", pair, "--out", tmp_path / "file")
    assert (code, "cannot be written to" in words) == (2, True)
    code, words = refused(capsys, gguf_guard, gguf_guard, "--set", pair)
    assert (code, "twice" in words) == (2, True)
    code, words = refused(capsys, "starter", "--set", pair)
    assert (code, "is not a guard" in words) == (4, True)


def test_names_with_markup_and_escapes_stay_text(
    gguf_guard: Path, write_rows: WriteRows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"text": "hello", "unsafe": False, "category": "[red]x|y[/red]"},
        {"text": "burn my house down", "unsafe": True, "category": "\x1b[31mz"},
    ]
    path, out = write_rows("odd.jsonl", rows * 10), tmp_path / "out"  # cards show 10 or more
    asked = (gguf_guard, "--set", f"[bold]s={path}", "--out", out, "--latency", "0")
    assert evaluate(*asked) == 0
    assert "[bold]s" in capsys.readouterr().out
    card = (out / "README.md").read_text()
    assert r"\[red\]x\|y\[/red\]" in card
    assert "\x1b" not in card
