"""Guards of the first three causal families that tests make: the makers' forms, our own words."""

from __future__ import annotations

from pathlib import Path

from tests.models.deciding_llama import write_deciding_gguf

LLAMA_3 = (
    "{% if messages|length % 2 == 0 %}{% set role = 'Agent' %}{% else %}{% set role = 'User' %}"
    "{% endif %}{{ '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\\n\\nTask: Look at'"
    " ' the ' + role + ' messages.\\n\\n<BEGIN UNSAFE CONTENT CATEGORIES>\\nS1: Harm.\\n<END"
    " UNSAFE CONTENT CATEGORIES>\\n\\n<BEGIN CONVERSATION>\\n\\n' }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% set role = 'User' if message['role'] == 'user' else 'Agent' %}"
    "{{ role + ': ' + message['content'].strip() + '\\n\\n' }}{% endfor %}"
    "{{ '<END CONVERSATION>\\n\\nOnly the last ' + role + ' message counts.\\n - First line must"
    " read \\'safe\\' or \\'unsafe\\'.<|eot_id|><|start_header_id|>assistant<|end_header_id|>' }}"
)
"""The shape of Llama Guard 3 8B's: contents are strings, roles alternate, no blank at the end."""
LLAMA_3_PARTS = LLAMA_3.replace(
    "{{ role + ': ' + message['content'].strip() + '\\n\\n' }}",
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ role + ': ' + part['text'] | trim + '\\n\\n' }}{% endfor %}",
)
"""The shape of Llama Guard 3 1B's and 4's: contents are lists of parts."""
QWEN = (
    "{% set last = messages[-1] %}{% set who = 'ASSISTANT' if last.role == 'assistant' else 'USER'"
    " %}{{ '<|im_start|>user\\nJudge the last ' + who + '. **Safety: Controversial** is between."
    "\\n<BEGIN UNSAFE CONTENT CATEGORIES>\\nViolent.\\n<END UNSAFE CONTENT CATEGORIES>\\n"
    "<BEGIN CONVERSATION>\\n' }}{% for message in messages %}"
    "{{ message.role | upper + ': ' + message.content + '\\n\\n' }}{% endfor %}"
    "{{ '<END CONVERSATION><|im_end|>\\n<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}"
)
LLAMA_MARKS = ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>")


def llama_guard(folder: Path, template: str = LLAMA_3, context: int = 4096) -> Path:
    """Says S10 (hate) about whatever has a "!"."""
    return write_deciding_gguf(
        folder / "guard-1.gguf",
        name="Llama Guard 3 1B",
        template=template,
        controls=LLAMA_MARKS,
        calm={"s": 3},
        alarmed={"u": 4, "0": 3, "1": 2.5, "<|eot_id|>": 2},
        context=context,
    )


def qwen3guard(folder: Path) -> Path:
    """Says "Suicide & Self-Harm" about whatever has a "!"."""
    return write_deciding_gguf(
        folder / "guard-2.gguf",
        name="Qwen3Guard-Gen-0.6B",
        template=QWEN,
        controls=("<|im_end|>", "<|im_start|>"),
        words=(" Safe", " Unsafe", " Controversial"),
        calm={" Safe": 3, " Controversial": 2.7},
        alarmed={" Unsafe": 4, "S": 3, "u": 2.5, "<|im_end|>": 2, "N": 1},
    )


def shieldgemma(folder: Path) -> Path:
    """Says that all policies are violated by whatever has a "!"."""
    return write_deciding_gguf(
        folder / "guard-3.gguf",
        name="shieldgemma-2b",
        template="",
        controls=("<eos>", "<start_of_turn>", "<end_of_turn>"),
        words=("Yes", "No"),
        calm={"No": 3, "Yes": 2.9},
        alarmed={"Yes": 3},
    )
