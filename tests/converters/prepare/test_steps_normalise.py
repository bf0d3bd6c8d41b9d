from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.prepare.draft import KEEP, Draft
from converters.prepare.steps.normalise import EMPTY, TANGLED, Normalise, NormaliseSettings

MARKED = st.text(
    st.sampled_from("ab 1\n\t>!<*_~^`#[]()\\&;ltgamp/:.hw-|\u200d\u200b\u0301\ufeff\u2028é"),
    max_size=60,
)


def draft_of(text: str, **rest: object) -> Draft:
    values: dict[str, object] = {
        "id": "1", "source": "s", "thread": "t", "licence": "", "kind": "", "context": [],
        "labels": (), "rules": (),
    }  # fmt: skip
    return Draft(text=text, **(values | rest))  # type: ignore[arg-type]


def normalised(text: str, **settings: object) -> str | None:
    return Normalise(NormaliseSettings(**settings)).text(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Plain text, as it is (really).", "Plain text, as it is (really)."),
        ("cafe\u0301", "café"),
        ("a\u200bb\ufeff c\u0000d\u00ade", "ab cde"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d👧 x\u200d y", "👩\u200d👧 x y"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("a\u00a0b\t c   d ", "a b c d"),
        ("up\n\n\n\n\ndown", "up\n\ndown"),
        ("salt &amp; pepper &lt;3 &amp;amp; &quot;x&quot;", 'salt & pepper <3 & "x"'),
        ("a **bold** and *soft* ***both*** word", "a bold and soft both word"),
        ("an _inner_ snake_case_name and __init__", "an inner snake_case_name and init"),
        ("2 * 3 * 4 = 24, 2*3*4, f**k, s***, ****", "2 * 3 * 4 = 24, 2*3*4, f**k, s***, ****"),
        ("~~gone~~ about ~5 ~", "gone about ~5 ~"),
        ("# Title\n#hashtag", "Title\n#hashtag"),
        ("look >!he dies!< there", "look he dies there"),
        ("^(tiny words) x^2 ^up", "tiny words x^2 up"),
        ("faces >:( ^_^ >_< ¯\\\\\\_(ツ)\\_/¯", "faces >:( ^_^ >_< ¯_(ツ)_/¯"),
        (">:( is a face", ">:( is a face"),
        ("&gt; their words\n\nmy words", "my words"),
        ("use `code` or\n```py\nx = 1\n```", "use code or\nx = 1"),
        ("see [the page](https://example.org/a_(b)) now", "see the page now"),
        ("[sic](loud) and [1]", "[sic](loud) and [1]"),
        ("![gif](giphy|abc) [](https://example.org)", "gif <url>"),
        ("go https://example.org/a?b=c, or (www.example.org).", "go <url>, or (<url>)."),
        ("https://example.org/x_(y)). and/or example.org/path", "<url>). and/or <url>"),
        ("https://example.org https://example.net, go", "<url>, go"),
        ("mail me@www.example.org", "mail me@www.example.org"),
        ("soooooooo good!!!!!!!! 1000000000", "soooo good!!!! 1000000000"),
        ("top\n***\n- - -\nend", "top\n\nend"),
        ("ask /u/somebody in /r/help", "ask /u/somebody in /r/help"),
    ],
)
def test_one_way_of_writing(text: str, wanted: str) -> None:
    assert normalised(text) == wanted


def test_settings_keep_or_remove() -> None:
    text = "&gt;&gt; theirs\n&gt; more\nmine `x = 1` https://example.org **b** zzzzzzz"
    assert normalised(text, quotes="keep") == "theirs\nmore\nmine x = 1 <url> b zzzz"
    assert normalised(text, code="remove", urls=False) == "mine https://example.org b zzzz"
    assert normalised("**b** `c`", markdown=False) == "**b** `c`"
    assert normalised("zzzzzzz!!!!!!", longest_run=2) == "zz!!"
    assert normalised("zzzzzzz", longest_run=0) == "zzzzzzz"


def test_turns_and_rules_are_rewritten_too() -> None:
    draft = draft_of(
        "*hi*",
        context=[("user", "a &amp; b"), ("assistant", "&gt; only a quote")],
        rules=("_be_ kind",),
    )
    assert Normalise(NormaliseSettings()).apply(draft) == KEEP
    assert (draft.text, draft.context, draft.rules) == ("hi", [("user", "a & b")], ("be kind",))


@pytest.mark.parametrize("text", ["", " \n\u200b", "&gt; only a quote", "```\n```"])
def test_what_vanishes_is_dropped(text: str) -> None:
    draft = draft_of(text)
    assert Normalise(NormaliseSettings(code="remove")).apply(draft) == EMPTY == "nothing left"


def test_markup_without_end_is_dropped() -> None:
    text = "&" + "amp;" * 40 + "lt;"
    assert Normalise(NormaliseSettings()).apply(draft_of(text)) == TANGLED == "tangled markup"


@given(st.one_of(MARKED, st.text(max_size=80)))
def test_twice_is_once_and_nothing_raises(text: str) -> None:
    once = normalised(text)
    if once is not None:
        assert normalised(once) == once
        assert "\r" not in once
        assert once == once.strip()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["*a ", "_a ", "[", "](", "`a", ">!", "\\", "a.", "^(", "> "])
def test_long_texts_of_marks_end(unit: str) -> None:
    text = unit * 4_000
    result = normalised(text)
    assert result is None or len(result) <= len(text)
