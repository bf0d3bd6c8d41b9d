"""`oa-chat convert` as a user runs it, and a llama.cpp checkout that it hands work to."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from oa_chat.cli import run
from oa_chat.engine import causal
from oa_chat.engine.gguf_header import read_header
from oa_chat.engine.own_keys import own_keys
from oa_chat.engine.protocol import Load
from tests.converters.convert import checkpoints


def edit(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_verified_guard_judges_in_the_app(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    out = tmp_path / "guard.gguf"
    assert run(["convert", str(folder), str(out)]) == 0
    said = capfd.readouterr()
    assert "Verification of checkpoint" in said.out
    assert "FAILED" not in said.out
    assert str(out) in said.out
    assert "writing q8_0" in said.err
    assert run(["check", "--guard", str(out), "--json", "We walk home."]) == 0
    verdict = json.loads(capfd.readouterr().out)
    assert verdict["text"] == "We walk home."
    assert len(verdict["probabilities"]) == 5


@pytest.mark.parametrize(
    "marks", [("<cls>", "<ctx>", "<sep>"), ("<|prompter|>", "<|assistant|>", "<sep>")]
)
def test_a_t5_guard_is_asked_in_its_dialect(
    marks: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Random weights give no label, which the guard must say; it must not be the format's fault."""
    folder = checkpoints.t5(tmp_path / "checkpoint", marks=marks)
    out = tmp_path / "guard.gguf"
    assert run(["convert", str(folder), str(out), "--quant", "bf16"]) == 0
    capfd.readouterr()
    assert run(["check", "--guard", str(out), "--json", "hello"]) == 6
    assert "not a label" in json.loads(capfd.readouterr().out)["failure"]


def test_an_unverified_file_is_announced_and_doctor_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    out = tmp_path / "guard.gguf"
    assert run(["convert", str(folder), str(out), "--no-verify"]) == 0
    said = capfd.readouterr()
    assert "NOT VERIFIED" in said.err
    assert "Verification" not in said.out
    run(["doctor", "--guard", str(out)])
    assert "converted with --no-verify" in capfd.readouterr().out


def test_failures_are_told_with_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "x.gguf")
    assert run(["convert", str(tmp_path / "nothing"), out]) == 9
    assert "There is no" in capfd.readouterr().err
    folder = checkpoints.bert(tmp_path / "checkpoint")
    tables = load_file(folder / "model.safetensors")
    del tables["bert.pooler.dense.weight"]
    save_file(tables, folder / "model.safetensors")
    assert run(["convert", str(folder), out]) == 9
    assert "the weights have no bert.pooler.dense.weight" in capfd.readouterr().err
    assert run(["convert", str(folder), out, "--quant", "q3"]) == 2
    (tmp_path / "text.bin").write_text("hello there")
    assert run(["convert", str(tmp_path / "text.bin"), out]) == 9
    assert "no LLaMA file" in capfd.readouterr().err
    assert not Path(out).exists()


def test_inputs_that_are_no_checkpoint_are_told_apart(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.gguf"
    gguf = tmp_path / "done.gguf"
    gguf.write_bytes(b"GGUF" + bytes(64))
    assert run(["convert", str(gguf), str(out)]) == 9
    assert "is a GGUF file already" in capfd.readouterr().err
    assert run(["convert", "someone/model-of-a-hub", str(out)]) == 9
    assert "has to be downloaded first" in capfd.readouterr().err
    folder = checkpoints.bert(tmp_path / "checkpoint")
    (folder / "tokenizer.json").unlink()
    assert run(["convert", str(folder), str(out)]) == 9
    said = capfd.readouterr().err
    assert "holds no tokenizer.json" in said
    assert "save_pretrained" in said
    assert not out.exists()


def test_a_place_that_takes_no_file_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    (tmp_path / "file").write_text("in the way")
    assert run(["convert", str(folder), str(tmp_path / "file" / "x.gguf")]) == 9
    said = capfd.readouterr().err
    assert "x.gguf cannot be written" in said
    assert "Nothing was left behind" in said


def test_markup_in_a_name_is_mere_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = checkpoints.bert(tmp_path / "[red]x")
    assert run(["convert", str(folder), str(tmp_path / "m.gguf")]) == 0
    assert "Verification of [red]x" in capfd.readouterr().out


def test_help_is_quick_and_needs_no_training_stack() -> None:
    code = (
        "import sys; from oa_chat.cli import run; run(['convert', '--help']);"
        "print([m for m in ('torch', 'numpy', 'gguf', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--embeddings-quant" in done.stdout
    assert done.stdout.endswith("[]\n")


# ---------------------------------------------------------------- a checkout of llama.cpp


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A stand-in that takes the real script's options and writes a real GGUF of a tiny llama."""
    folder = tmp_path / "llama.cpp"
    (folder / "gguf-py").mkdir(parents=True)
    made = checkpoints.llama(tmp_path / "made")
    root = Path(__file__).resolve().parents[3]
    script = f"""
        import argparse, pathlib, sys
        sys.path.insert(0, {str(root)!r})
        parser = argparse.ArgumentParser()
        parser.add_argument("model", type=pathlib.Path)
        parser.add_argument("--outfile", type=pathlib.Path)
        parser.add_argument("--outtype", choices=["f32", "f16", "bf16", "q8_0", "auto"])
        options = parser.parse_args()
        assert (options.model / "config.json").is_file()
        if (options.model / "strange").exists():
            sys.exit("ERROR:hf-to-gguf:Model StrangeForCausalLM is not supported")
        from converters.convert.convert import Options, Watcher, convert_checkpoint
        unverified = Options(options.outtype, verify=False)
        convert_checkpoint(pathlib.Path({str(made)!r}), options.outfile, unverified, Watcher())
    """
    (folder / "convert_hf_to_gguf.py").write_text(textwrap.dedent(script))
    return folder


@pytest.mark.parametrize(("quant", "file_type"), [("q8_0", 7), ("q5_0", 8)])
def test_other_architectures_go_to_the_checkout(
    quant: str,
    file_type: int,
    checkout: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    other = checkpoints.llama(tmp_path / "other")
    edit(other, architectures=["OtherForCausalLM"])
    out = tmp_path / "other.gguf"
    line = ["convert", str(other), str(out), "--quant", quant]
    assert run(line) == 9
    assert "--llama-cpp" in capfd.readouterr().err
    assert run([*line, "--llama-cpp", str(checkout)]) == 0
    assert "NOT VERIFIED" in capfd.readouterr().err
    header = read_header(out)
    assert (header.architecture, header.file_type) == ("llama", file_type)
    assert own_keys(header).verified is False
    runner = causal.load(Load(id=1, path=str(out), kind="causal"), lambda _: None)
    assert runner.info.has_template
    assert "no-verify" in runner.info.note
    runner.close()
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


def test_known_architectures_are_ours_even_with_a_checkout(
    checkout: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoints.bert(tmp_path / "checkpoint")
    (folder / "strange").touch()
    line = ["convert", str(folder), str(tmp_path / "x.gguf"), "--llama-cpp", str(checkout)]
    assert run(line) == 0
    assert "Verification of checkpoint" in capfd.readouterr().out


def test_the_scripts_errors_are_shown(
    checkout: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = checkpoints.llama(tmp_path / "other")
    edit(other, architectures=["StrangeForCausalLM"])
    (other / "strange").touch()
    out = tmp_path / "other.gguf"
    line = ["convert", str(other), str(out), "--llama-cpp"]
    assert run([*line, str(checkout)]) == 9
    assert "StrangeForCausalLM is not supported" in capfd.readouterr().err
    assert run([*line, str(tmp_path)]) == 9
    assert "no checkout of llama.cpp" in capfd.readouterr().err
    assert not out.exists()
