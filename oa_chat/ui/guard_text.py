"""What the guard panel says, as content. Pure; no widgets."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content

from oa_chat.conversation import Turn
from oa_chat.events import Sending
from oa_chat.policy import compose_sent, guideline_of, one_rule
from oa_chat.printable import printable
from oa_chat.ui.texts import RULE, SENT, excerpt, one_line
from oa_chat.ui.wording import (
    SHORT_WORDS,
    STYLES,
    flag_line,
    flag_words,
    mark,
    outcome,
    reply_outcome,
)
from oa_chat.verdict import Severity, Verdict
from oa_chat.wording import SOURCES, SYMBOLS, certainty_words, language_words, percent, stage_lines


@dataclass(frozen=True, slots=True)
class Report:
    """What is known about one message."""

    verdict: Verdict | None = None
    done: str = ""
    """What was done with the message, in words."""
    sending: Sending | None = None
    note: str = ""
    """What is going on while there is no verdict."""
    title: str = ""
    """Which turn this is, if it is not the newest."""
    why: str = ""
    """Which policy decided, and what decided."""
    said: Severity | None = None
    """Which level the user said would have been right."""
    reply: Verdict | None = None
    """What the guard says about the reply."""
    reply_done: str = ""
    """What was done with the reply, in words."""
    guideline: str = ""
    """The rule that was sent along, as sent; empty if there is none."""

    @property
    def replaced(self) -> bool:
        """Whether what was sent along is not the verdict's own rule: a policy's, for instance."""
        own = one_rule(self.verdict.rule) if self.verdict else ""
        return bool(self.guideline) and not (own and self.guideline.startswith(own))


def report_of(turn: Turn, sending: Sending | None = None, title: str = "") -> Report:
    """What is known about a turn that has ended."""
    return Report(
        turn.verdict,
        outcome(turn),
        sending,
        title=title,
        why=turn.reason if turn.verdict and turn.verdict.readable else "",
        reply=reply_verdict(turn),
        reply_done=reply_outcome(turn),
        guideline=guideline_of(turn.sent or "", turn.user),
    )


def reply_verdict(turn: Turn) -> Verdict | None:
    """The verdict on the reply; on the last try if all of them were withdrawn."""
    if turn.reply_verdict or turn.reply or not turn.withdrawn:
        return turn.reply_verdict
    return turn.withdrawn[-1].verdicts[-1] if turn.withdrawn[-1].verdicts else None


def headline(report: Report) -> Content:
    """Flag, certainty and what was done."""
    verdict = report.verdict
    if verdict is None and report.note:
        return Content.styled(report.note, "$quiet")
    symbol, style = mark(verdict)
    words = flag_words(verdict)
    lines = [Content.styled(report.title, "$accent")] if report.title else []
    lines += [Content.assemble((f"{symbol} ", style), (words, f"{style} bold"))]
    if verdict and (certainty := certainty_words(verdict)):
        lines.append(Content.styled(f"{certainty} certain", "$quiet"))
    if verdict and not verdict.readable:
        lines.append(Content(printable(verdict.failure or "the guard gave no verdict")))
    if report.done:
        lines.append(Content.assemble(("→ ", "$quiet"), report.done))
    if report.why:
        lines.append(Content.styled(printable(report.why), "$quiet"))
    if report.said is not None:
        lines.append(Content.assemble(("you said: ", "$accent"), _level(report.said)))
    return Content("\n").join(lines)


def _level(level: Severity) -> tuple[str, str]:
    return f"{SYMBOLS[level]} {level.words}", STYLES[level]


def bars(verdict: Verdict | None, columns: int) -> Content:
    """The five probabilities as bars with numbers; the given level stands out."""
    if verdict is None or verdict.probabilities is None:
        return Content()
    room = max(4, columns - 2 - 14 - 6)
    lines = []
    for level in Severity:
        share = verdict.probabilities[level]
        given = level is verdict.severity
        filled = min(room, max(round(share * room), 1 if share >= 0.01 else 0))
        text = "bold" if given else "$quiet"
        lines.append(
            Content.assemble(
                (f"{SYMBOLS[level]} ", STYLES[level]),
                (f"{SHORT_WORDS[level]:<14}", text),
                ("━" * filled, STYLES[level]),
                ("─" * (room - filled), "$faint"),
                (f"{percent(share):>6}", text),
            )
        )
    return Content("\n").join(lines)


def rule(report: Report) -> Content:
    """The rule of thumb and where it comes from; another one, if that was sent in its place."""
    verdict = report.verdict
    if report.replaced:
        return Content.assemble(
            ("Rule that was sent along\n", "$quiet"), (excerpt(report.guideline, RULE), "italic")
        )
    if verdict is None or not verdict.rule:
        return Content()
    parts = [
        ("Rule of thumb\n", "$quiet"),
        (excerpt(verdict.rule, RULE), "italic"),
    ]
    if source := SOURCES.get(verdict.rule_source, ""):
        parts.append((f"\n{source}", "$quiet"))
    return Content.assemble(*parts)


def judged_by(verdict: Verdict | None) -> Content:
    """Which guard, how fast, and in how many pieces; of two guards what each said and cost."""
    if verdict is None:
        return Content()
    words = f"{printable(verdict.guard)} · {milliseconds(verdict.latency_ms)}"
    if verdict.windows > 1:
        words += f" · read in {verdict.windows} pieces, the worst counts"
    words += "".join(f"\n{line}" for line in stage_lines(verdict))
    if about := [name for name in verdict.categories if name != "general"]:
        words += f"\nabout: {printable(', '.join(about).replace('_', ' '))}"
    if language := language_words(verdict):
        words += f"\nlanguage: {language}"
    return Content.styled(words, "$quiet")


def reply_block(report: Report) -> Content:
    """What the guard says about the reply: flag, certainty, what was done, the rule."""
    verdict = report.reply
    if verdict is None:
        return Content()
    symbol, style = mark(verdict)
    words = Content.assemble((f"{symbol} ", style), (flag_words(verdict), f"{style} bold"))
    if certainty := certainty_words(verdict):
        words = Content.assemble(words, (f"  {certainty} certain", "$quiet"))
    lines = [Content.styled("The reply", "$quiet"), words]
    if not verdict.readable:
        lines.append(Content(printable(verdict.failure or "the guard gave no verdict")))
    if report.reply_done:
        lines.append(Content.assemble(("→ ", "$quiet"), report.reply_done))
    if verdict.rule:
        lines.append(Content.styled(one_line(verdict.rule), "italic"))
    return Content("\n").join(lines)


def milliseconds(time: float) -> str:
    """A short time in words."""
    return f"{time:,.0f} ms" if time < 10_000 else f"{time / 1000:,.0f} s"


def sent_title(sending: Sending | None) -> Content:
    """The title of what was sent."""
    if sending is None:
        return Content("What was sent")
    return Content(f"What was sent · {sending.prompt_tokens:,} tokens")


def sent_text(sending: Sending | None) -> Content:
    """The newest turn exactly as the model sees it, and what came from the cache."""
    if sending is None:
        return Content.styled("Nothing was sent for this message.", "$quiet")
    facts = f"{sending.cached_tokens:,} of them came from the cache"
    if sending.skipped_turns:
        turns = "turn is" if sending.skipped_turns == 1 else "turns are"
        facts += f"\nthe {sending.skipped_turns:,} oldest {turns} no longer seen"
    before, guideline, after = split_at_guideline(sending)
    return Content.assemble(
        (f"{facts}\n\n", "$quiet"),
        excerpt(before, SENT),
        (excerpt(guideline, SENT), "$accent"),
        excerpt(after, SENT),
    )


def split_at_guideline(sending: Sending) -> tuple[str, str, str]:
    """What the model sees before the guideline, the guideline, and what comes behind it.

    The guideline is known by its place, the end of the user's turn. It is never searched for: a
    user can type what looks like one.
    """
    seen = sending.seen or sending.sent
    turn = sending.sent.strip()  # templates trim
    guideline = compose_sent("", sending.guideline).strip()
    start = seen.rfind(turn)
    if not guideline or start < 0 or not turn.endswith(guideline):
        return seen, "", ""
    end = start + len(turn)
    return seen[: end - len(guideline)], guideline, seen[end:]


def folded(report: Report) -> Content:
    """The panel on one line, for narrow terminals."""
    if report.verdict is None and report.note:
        return Content.styled(report.note, "$quiet")
    verdict = report.verdict
    if verdict is not None and not verdict.readable:
        failure = verdict.failure or "the guard gave no verdict"
        return Content.assemble(flag_line(verdict, ""), (f" · {printable(failure)}", "$quiet"))
    title = f"{report.title}: " if report.title else ""
    if report.said is not None:
        title += f"you said: {report.said.words} · "
    line = flag_line(verdict, report.done)
    used = report.guideline if report.replaced else verdict.rule if verdict else ""
    rule_words = f" · {one_line(used)}" if used else ""
    reply = _short_reply(report.reply)
    return Content.assemble((title, "$accent"), line, *reply, (rule_words, "$foreground"))


def _short_reply(verdict: Verdict | None) -> list[tuple[str, str]]:
    """The flag of the reply in as few cells as can be: a plain one is its symbol alone."""
    if verdict is None:
        return []
    symbol, style = mark(verdict)
    words = f"{symbol} {flag_words(verdict)}" if verdict.flagged else symbol
    return [(" · reply ", "$quiet"), (words, style)]
