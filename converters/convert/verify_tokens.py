"""Whether llama.cpp cuts text into the same token ids as the checkpoint's own tokenizer.

Untrusted text is compared, as the app reads it: a typed control token is letters. The special
tokens themselves are compared in trusted text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.convert.corpus import EVERYDAY, NASTY
from converters.convert.report import Check, Report

MOST_ODD = 0.19
"""The share of the nasty texts that may differ. Of 33, up to 4 do for sound tokenizers; which ones,
and why, is in docs/convert.md."""
_SHOWN = 6


def compare_tokens(
    report: Report, ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]
) -> None:
    """Compare ids of `EVERYDAY` and then `NASTY`."""
    texts = (*EVERYDAY, *NASTY)
    rows = list(zip(texts, ours, theirs, strict=True))
    for name, part, most in (
        ("token ids, everyday texts", rows[: len(EVERYDAY)], 0.0),
        ("token ids, nasty texts", rows[len(EVERYDAY) :], MOST_ODD),
    ):
        # The same pieces in another order score the same ("!!" and "!", "!" and "!!"): a tie.
        wrong = [row for row in part if sorted(row[1]) != sorted(row[2])]
        ties = sum(list(row[1]) != list(row[2]) for row in part) - len(wrong)
        report.checks.append(
            Check(
                name,
                f"{len(wrong)} of {len(part)} differ" + (f", {ties} tied" if ties else ""),
                f"at most {int(most * len(part))}",
                len(wrong) <= most * len(part),
                tuple(_described(*row) for row in wrong[:_SHOWN]),
            )
        )


def compare_added(
    report: Report, added: Mapping[str, int], ours: Mapping[str, Sequence[int]]
) -> None:
    """Compare the special tokens, each a text of its own."""
    wrong = [text for text, number in added.items() if list(ours[text]) != [number]]
    report.checks.append(
        Check(
            "special tokens",
            f"{len(wrong)} of {len(added)} differ",
            "none",
            not wrong,
            tuple(f"{text}: {list(ours[text])[:8]}, not {added[text]}" for text in wrong[:_SHOWN]),
        )
    )


def _described(text: str, ours: Sequence[int], theirs: Sequence[int]) -> str:
    same = next(
        (n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
        min(len(ours), len(theirs)),
    )
    window = slice(max(0, same - 1), same + 4)
    return (
        f"{text[:40]!r}, from token {same}:"
        f" llama.cpp {list(ours)[window]}, tokenizer {list(theirs)[window]}"
    )
