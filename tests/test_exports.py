"""An export is whole, and nothing in the text gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from oa_chat.conversation import Conversation, StopReason, Turn
from oa_chat.errors import UsageError
from oa_chat.exports import FORMATS
from oa_chat.exports.html_page import html_page
from oa_chat.exports.markdown import markdown
from oa_chat.exports.writing import write_export
from oa_chat.policy import Action
from oa_chat.store import Store
from oa_chat.verdict import Severity, Verdict, unreadable

DATE = "2026-01-31T09:30:00.000+00:00"
FLAG = Verdict(
    severity=Severity.CAUTION,
    guard="a guard",
    probabilities=(0.1, 0.1, 0.1, 0.6, 0.1),
    rule="Be kind <b>now</b>.",
    rule_source="rulebook",
)


def talk(user: str = "hi", reply: str = "Hello!", title: str = "A talk") -> Conversation:
    turn = Turn(
        id=1,
        user=user,
        sent=user,
        reply=reply,
        verdicts=(FLAG,),
        action=Action.NUDGE,
        stop_reason=StopReason.COMPLETE,
        created=DATE,
        model="tiny",
    )
    return Conversation(1, title, "", (turn,))


def front_matter(page: str) -> tuple[dict[str, object], str]:
    _, head, body = page.split("---\n", 2)
    return yaml.safe_load(head), body


def test_markdown_has_front_matter_text_and_flags() -> None:
    head, body = front_matter(markdown(talk(reply="**Hello**")))
    assert head == {
        "title": "A talk", "date": DATE, "model": "tiny", "guard": "a guard", "messages": 2,
    }  # fmt: skip
    page = MarkdownIt("commonmark").render(body)
    assert "<h1>A talk</h1>" in page
    assert '<pre><code class="language-text">hi\n</code></pre>' in page
    assert "<blockquote>\n<p><strong>Hello</strong></p>\n</blockquote>" in page
    for line in (
        "Flag: ● needs caution (60 %)",
        "Rule: Be kind &lt;b&gt;now&lt;/b&gt;. (from the rulebook)",
        "Action: sent with a guideline",
    ):
        assert f"<li>{line}</li>" in page


HOSTILE = [
    "---\ntitle: mine\n---",
    "```\n# out\n```",
    "````text\n```\n~~~",
    '"quoted": \\ # [x]\n- y',
    "<!-- open",
    "<script>alert(1)</script>",
    "# heading\n\n> quote\n\n---",
    "\x1b[2J\x9b31m\u202e\u2028## You",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_in_its_place_in_markdown(text: str) -> None:
    head, body = front_matter(markdown(talk(text, text, text)))
    assert set(head) == {"title", "date", "model", "guard", "messages"}
    tokens = MarkdownIt("commonmark").parse(body)
    top = [token.type for token in tokens if token.level == 0 and token.nesting >= 0]
    expected = ["heading_open"] * 2 + ["fence", "bullet_list_open", "heading_open"]
    assert top == [*expected, "blockquote_open"]
    assert not any(control in body for control in "\x1b\x9b\u202e\u2028")


@given(st.text(), st.text(), st.text(alphabet="`~>#-=<!\n\t [](){}*_:\"'\\ab"))
def test_no_text_breaks_markdown(user: str, reply: str, strange: str) -> None:
    for one, two in ((user, reply), (strange, strange)):
        head, body = front_matter(markdown(talk(one, f"x{two}", one)))
        assert head["messages"] == 2
        tokens = MarkdownIt("commonmark").parse(body)
        top = [token.type for token in tokens if token.level == 0 and token.nesting >= 0]
        assert top.count("fence") == 1
        assert top[-1] == "blockquote_open"


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("text", [*HOSTILE, '"><img src=x onerror=alert(1)>', "</style>&amp;"])
def test_text_stays_text_in_html(text: str) -> None:
    plain, hostile = Tags(html_page(talk())), Tags(html_page(talk(text, text, text)))
    assert hostile.tags == plain.tags
    assert hostile.attributes == plain.attributes
    assert hostile.text.count(text) >= 2 or not text.isprintable()


def test_the_page_allows_its_own_style_and_nothing_else() -> None:
    page = html_page(talk())
    style = re.search("<style>(.*?)</style>", page, re.DOTALL)
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page)
    assert style is not None
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1].split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "prefers-color-scheme: dark" in style[1]
    assert not {"script", "img", "link", "iframe"} & set(Tags(page).tags)
    assert "url(" not in style[1]
    assert "● needs caution (60 %)" in page


def test_what_was_not_sent_says_why() -> None:
    turn = Turn(id=1, user="hm", verdicts=(unreadable("g", "it\ndied"),))
    blocked = Turn(id=2, user="no", stop_reason=StopReason.BLOCKED)
    for page in (markdown, html_page):
        text = page(Conversation(1, "", "Be brief.", (turn, blocked)))
        for part in ("? no verdict: it died", "cut off here", "the policy blocked it", "Be brief."):
            assert part in text


def test_a_file_is_replaced_only_when_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "talk.md"
    write_export(path, "one ☂\n", replace=False)
    with pytest.raises(UsageError, match="exists already") as caught:
        write_export(path, "two", replace=False)
    assert "--force" in caught.value.hint
    assert path.read_bytes() == "one ☂\n".encode()
    write_export(path, "two", replace=True)
    assert path.read_text() == "two"
    with pytest.raises(UsageError, match="folder"):
        write_export(tmp_path, "x", replace=True)
    with pytest.raises(UsageError, match="cannot be written"):
        write_export(tmp_path / "no" / "x", "x", replace=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["talk.md"]


def test_the_program_writes_what_the_functions_say(tmp_path: Path) -> None:
    store = Store(tmp_path / "conversations.sqlite3")
    store.add_turn(store.new_conversation().id, "hello ☂")
    conversation = store.conversation(1)
    command = [sys.executable, "-m", "oa_chat", "history", "export", "1"]
    command += ["--data-dir", str(tmp_path)]
    for name, written in FORMATS.items():
        out = tmp_path / f"talk.{name}"
        done = subprocess.run(
            [*command, "--format", name, "--out", str(out)], capture_output=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, b"")
        assert out.read_text(encoding="utf-8") == written(conversation)
    again = subprocess.run([*command, "--out", str(out)], capture_output=True, check=False)
    assert again.returncode == 2
    piped = subprocess.run(command, capture_output=True, check=False)
    assert piped.stdout.decode() == markdown(conversation)
