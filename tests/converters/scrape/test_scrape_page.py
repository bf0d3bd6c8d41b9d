"""docs/scrape.md shows the record as it is."""

from __future__ import annotations

import ast
from pathlib import Path

from converters.scrape import posts
from converters.scrape.posts import Post

PAGE = Path(__file__).resolve().parents[3] / "docs" / "scrape.md"


def table() -> list[str]:
    """A row for each field of Post, from its annotations and docstrings."""
    module = ast.parse(Path(posts.__file__).read_text(encoding="utf-8"))
    struct = next(
        node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Post"
    )
    kind = next(
        ast.unparse(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Kind"
    )
    lines = []
    fields = [node for node in struct.body if isinstance(node, ast.AnnAssign)]
    for field in fields:
        behind = struct.body[struct.body.index(field) + 1 :]
        words = ""
        if behind and isinstance(behind[0], ast.Expr):
            words = " ".join(str(ast.literal_eval(behind[0].value)).split())
        declared = (
            kind if ast.unparse(field.annotation) == "Kind" else ast.unparse(field.annotation)
        )
        declared = declared.replace(" | ", " or ")
        lines.append(f"| `{ast.unparse(field.target)}` | `{declared}` | {words} |")
    return lines


def test_the_page_has_every_field_of_the_record() -> None:
    lines = table()
    assert len(lines) == len(Post.__struct_fields__)
    shown = PAGE.read_text(encoding="utf-8").split("## The record")[1].splitlines()
    assert [line for line in shown if line.startswith("| `")] == lines


if __name__ == "__main__":
    print("\n".join(table()))
