"""How good rules of thumb are: an author's rules against the gold ones, and by themselves.

chrF (Popovic 2015) and BLEU-4 (Papineni et al. 2002) over the whole set as sacrebleu computes
them, token F1 as in SQuAD (best of the gold rules of a row), and what needs no gold: the share of
general fallbacks, of empty and of distinct rules, and the length. None of them says whether a rule
fits: that takes reading.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from converters.evaluate.intervals import RESAMPLES, Figure, figures
from converters.evaluate.judges import BATCH, Judge, JudgeInfo, Loop
from converters.evaluate.latency import percentile
from converters.evaluate.progress import progress
from converters.evaluate.samples import LabelledSet, Sample
from converters.evaluate.tables import Grid, number
from converters.extras import require
from converters.provenance import sha256_of
from oa_chat import catalog
from oa_chat.engine.gguf_header import read_header
from oa_chat.engine.process import Engine
from oa_chat.guards.authors import Authored, RuleAuthor, RulebookAuthor, WriterAuthor
from oa_chat.rulebook import Rulebook
from oa_chat.verdict import Severity

RULEBOOK = "rulebook"
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


@dataclass(frozen=True, slots=True)
class Ruled:
    """A rule that was written for a sample."""

    text: str
    source: str
    milliseconds: float


class RuleMaker(Protocol):
    """Writes rules for samples, one after another."""

    @property
    def info(self) -> JudgeInfo:
        """What it is."""
        ...

    def rules(self, samples: Sequence[Sample]) -> list[Ruled]:
        """One rule a sample. Raises OaChatError."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class AuthorRules:
    """The app's authors: the rulebook, or a writing model with the rulebook behind it."""

    def __init__(self, wanted: str, *, threads: int = 0) -> None:
        """`wanted` is "rulebook", a model's name or a causal GGUF."""
        rulebook = RulebookAuthor(Rulebook.load)
        self._author: RuleAuthor = rulebook
        self.info = JudgeInfo(RULEBOOK, "", "rulebook", "rules", 0)
        if wanted != RULEBOOK:
            path = catalog.path_of(wanted)
            size = read_header(path).size_bytes
            name = catalog.title_of(wanted)
            self.info = JudgeInfo(name, sha256_of(path), "rule writer", "GGUF", size)
            self._engine = Engine(path, "causal", threads=threads)
            self._author = WriterAuthor(self._engine, rulebook)
        self._loop = Loop()

    def rules(self, samples: Sequence[Sample]) -> list[Ruled]:
        """One rule a sample, as the app would show it."""
        return self._loop.run(self._rules(samples))

    async def _rules(self, samples: Sequence[Sample]) -> list[Ruled]:
        if self.info.sha256:
            # The author itself would quietly hand over to the rulebook for good.
            await self._engine.load()
        await self._author.load()
        found = []
        for sample in samples:
            started = time.perf_counter()
            written: Authored = await self._author.rule(sample.text, severity_of(sample))
            taken = (time.perf_counter() - started) * 1000
            found.append(Ruled(written.text, written.source, taken))
        return found

    def close(self) -> None:
        """End the writer's process."""
        try:
            self._loop.run(self._author.close())
        finally:
            self._loop.close()


class GuardRules:
    """A guard that writes its own rules (the T5 family). What it calls casual gets none."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.info = judge.info

    def rules(self, samples: Sequence[Sample]) -> list[Ruled]:
        """One rule a sample."""
        found = []
        for sample in samples:
            started = time.perf_counter()
            (one,) = self._judge.judge([sample.messages])
            taken = (time.perf_counter() - started) * 1000
            found.append(Ruled(one.rule, "model" if one.rule else "", taken))
        return found

    def close(self) -> None:
        """Free the guard."""
        self._judge.close()


def is_author(wanted: str) -> bool:
    """Whether this is one of the app's authors, and no guard. Raises ModelError."""
    if wanted == RULEBOOK:
        return True
    path = catalog.path_of(wanted)
    return not path.is_dir() and _writes_text(path)


def _writes_text(path: Path) -> bool:
    header = read_header(path)
    return not header.labels and not header.architecture.startswith("t5")


def severity_of(sample: Sample) -> Severity:
    """What the author is told: the worst level of the row, "needs caution" if it has none."""
    worst = max(sample.levels, default=Severity.CAUTION)
    return max(worst, Severity.POSSIBLY)


@dataclass(frozen=True, slots=True)
class RuleReport:
    """An author on a set."""

    data: LabelledSet
    rows: int
    chrf: float
    """0 to 100."""
    bleu: float
    """0 to 100."""
    token_f1: Figure
    general: float
    """Share of rules that are a level's general one."""
    empty: float
    distinct: float
    """Different rules out of all rules."""
    words: float
    """Mean length."""
    sources: tuple[tuple[str, int], ...]
    p50_ms: float
    p95_ms: float

    def fields(self) -> dict[str, Any]:
        """For JSON, without the times."""
        return {
            "rows": self.rows,
            "chrf": round(self.chrf, 4),
            "bleu": round(self.bleu, 4),
            "token_f1": self.token_f1.fields(),
            "general_share": round(self.general, 6),
            "empty_share": round(self.empty, 6),
            "distinct_share": round(self.distinct, 6),
            "mean_words": round(self.words, 4),
            "sources": dict(self.sources),
        }


def rule_report(
    data: LabelledSet, ruled: Sequence[Ruled], resamples: int = RESAMPLES
) -> RuleReport:
    """Everything about an author on a set; each sample has one gold rule at least."""
    require("train", "numpy", "sacrebleu")
    import numpy as np
    import sacrebleu

    texts = [one.text for one in ruled]
    gold = [sample.rules for sample in data.samples]
    most = max(map(len, gold))
    # sacrebleu wants as many references for each row, None where there is none.
    references = [[one[at] if at < len(one) else None for one in gold] for at in range(most)]
    scores = np.array([best_f1(text, one) for text, one in zip(texts, gold, strict=True)])
    token_f1 = figures(
        lambda weights: {"f1": weights @ scores / weights.sum(axis=1)},
        len(scores),
        resamples=resamples,
    )["f1"]
    written = [text for text in texts if text.strip()]
    times = [one.milliseconds for one in ruled]
    sources = Counter(one.source or "none" for one in ruled)
    return RuleReport(
        data=data,
        rows=len(ruled),
        chrf=float(sacrebleu.corpus_chrf(texts, references).score),
        bleu=float(sacrebleu.corpus_bleu(texts, references).score),
        token_f1=token_f1,
        general=sources["general"] / len(ruled),
        empty=1 - len(written) / len(ruled),
        distinct=len({" ".join(words_of(text)) for text in written}) / max(1, len(written)),
        words=sum(len(words_of(text)) for text in written) / max(1, len(written)),
        sources=tuple(sorted(sources.items())),
        p50_ms=percentile(times, 0.5),
        p95_ms=percentile(times, 0.95),
    )


def write_rules(maker: RuleMaker, data: LabelledSet) -> list[Ruled]:
    """The rules of a maker for a set, with progress."""
    found: list[Ruled] = []
    with progress(f"{maker.info.name} on {data.name}", len(data.samples)) as advance:
        for start in range(0, len(data.samples), BATCH):
            found += maker.rules(data.samples[start : start + BATCH])
            advance(len(data.samples[start : start + BATCH]))
    return found


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def best_f1(text: str, gold: Sequence[str]) -> float:
    """The best token F1 of a rule against its gold rules."""
    return max(_f1(words_of(text), words_of(one)) for one in gold)


def _f1(given: Sequence[str], wanted: Sequence[str]) -> float:
    shared = sum((Counter(given) & Counter(wanted)).values())
    return 2 * shared / (len(given) + len(wanted)) if shared else 0.0


def rule_grid(reports: Sequence[tuple[str, RuleReport]]) -> Grid:
    """One row an author and set."""
    rows = tuple(
        (
            f"{one.data.name}: {name}",
            str(one.rows),
            f"{one.chrf:.1f}",
            f"{one.bleu:.1f}",
            number(one.token_f1, interval=True),
            f"{one.general:.0%}",
            f"{one.empty:.0%}",
            f"{one.distinct:.0%}",
            f"{one.words:.1f}",
            f"{one.p50_ms:.1f} / {one.p95_ms:.1f}",
        )
        for name, one in reports
    )
    head = (
        *("", "rows", "chrF", "BLEU-4", "token F1", "general", "empty", "distinct", "words"),
        "ms p50 / p95",
    )
    note = "Whether a rule fits takes reading: these numbers only say how near it is to the gold."
    return Grid("Rules of thumb", head, rows, note)
