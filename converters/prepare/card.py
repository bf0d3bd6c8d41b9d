"""What people read about a dataset: the card, the table of drops, the plot and the samples.

The card has the hub's form (https://huggingface.co/docs/hub/datasets-cards): YAML metadata, then
Markdown. Everything that comes from records is data and is escaped.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from converters.extras import require
from converters.prepare.manifest import Manifest
from converters.prepare.outputs import Census
from converters.prepare.recipe import SPLITS
from converters.provenance import replacing
from oa_chat.printable import printable
from oa_chat.verdict import LABELS, Severity

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_LARGER = ((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))
_LONGEST_SAMPLE = 1_000
_WARNING = (
    "**Content warning.** Data for safety models holds hateful, violent, sexual and suicidal "
    "text. That is its purpose."
)
_NAMED_SHARE = 0.001
"""Of the records: languages from here on stand in the card's metadata; the table has all."""
_MOST_SOURCES = 60
"""Rows of the table of sources; scraped data may have a source for each subreddit."""
_COLOURS = {"train": "#4477aa", "validation": "#ddaa33", "test": "#bb5566"}
"""Paul Tol's high-contrast scheme, which colour-blind readers can tell apart."""


def write_drops(folder: Path, drops: Mapping[str, Mapping[str, int]]) -> None:
    """drops.csv: step, reason, count; steps in the order in which they ran."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("step", "reason", "count"))
    for step, reasons in drops.items():
        for reason, count in reasons.items():
            writer.writerow((step, reason, count))
    _write(folder / "drops.csv", text.getvalue())


def write_samples(folder: Path, lines: Sequence[str]) -> None:
    """samples.md: some records as people read them."""
    parts = ["# Samples\n"]
    parts.append("The first records in the order of their hashes: nobody chose them.\n")
    for number, line in enumerate(lines, start=1):
        parts.append(_sample(number, json.loads(line)))
    _write(folder / "samples.md", "\n".join(parts))


def _sample(number: int, record: Mapping[str, object]) -> str:
    turns = record["context"] if isinstance(record["context"], list) else []
    rules = record["rules"] if isinstance(record["rules"], list) else []
    labels = record["labels"] if isinstance(record["labels"], list) else []
    said = [f"> *{escaped(turn['role'])}:* {_quoted(turn['content'])}\n>" for turn in turns]
    weak = " (weak)" if record["weak"] else ""
    facts = [
        f"- level: {escaped(_levels(labels)) or 'none'}{weak}",
        *(f"- rule: {escaped(rule)}" for rule in rules),
        f"- source: {escaped(str(record['source']))}",
        f"- licence: {escaped(str(record['licence']))}",
        f"- language: {escaped(str(record['lang'])) or 'not looked at'}",
    ]
    text = _quoted(str(record["text"]))
    return "\n".join((f"## {number}\n", *said, f"> {text}\n", *facts, ""))


def _quoted(text: str) -> str:
    if len(text) > _LONGEST_SAMPLE:
        text = f"{text[:_LONGEST_SAMPLE]} […]"
    return escaped(text).replace("\n", "\n> ")


def escaped(text: str) -> str:
    """Text from others as Markdown that shows it and does nothing else."""
    inline = re.sub(r"([\\`*_\[\]<>#|~&:@$])", r"\\\1", printable(text))
    # Lists and underlined headings begin a line.
    return re.sub(r"(?m)^(\s*)([-+=]|\d+(?=[.)]))", _block_mark, inline)


def _block_mark(found: re.Match[str]) -> str:
    space, mark = found.groups()
    return f"{space}{mark}\\" if mark.isdigit() else f"{space}\\{mark}"


def _levels(labels: Iterable[str]) -> str:
    return " or ".join(Severity.from_label(label).words for label in labels)


def write_plot(folder: Path, labels: Mapping[str, Mapping[str, int]]) -> None:
    """labels.png: how many records of each split have which levels."""
    require("data", "matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = _label_order(labels)
    figure = Figure(figsize=(8, 1.2 + 0.35 * max(1, len(names))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    left = [0] * len(names)
    for split in SPLITS:
        counts = [labels.get(split, {}).get(name, 0) for name in names]
        axes.barh(range(len(names)), counts, left=left, color=_COLOURS[split], label=split)
        left = [before + count for before, count in zip(left, counts, strict=True)]
    axes.set_yticks(range(len(names)), [_shown(name) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("records")
    axes.legend()
    with replacing(folder / "labels.png") as part:
        # Without metadata, so that the bytes depend on the counts alone.
        figure.savefig(part, format="png", dpi=100, metadata={"Software": None})


def _shown(name: str) -> str:
    """Levels in few words: a run of three or more by its ends, so that the bars have room."""
    labels = _split(name)
    places = [LABELS.index(label) for label in labels]
    if len(places) > 2 and places[-1] - places[0] == len(places) - 1:
        return f"{_levels(labels[:1])} … {_levels(labels[-1:])}"
    return _levels(labels) or "no level"


def _split(name: str) -> list[str]:
    return [label for label in name.split(",") if label]


def _label_order(labels: Mapping[str, Mapping[str, int]]) -> list[str]:
    names = {name for counts in labels.values() for name in counts}
    return sorted(names, key=lambda name: [LABELS.index(label) for label in _split(name)])


def write_card(folder: Path, manifest: Manifest, census: Census) -> None:
    """README.md: the dataset card."""
    recipe = manifest.recipe
    title = str(recipe.get("title") or manifest.name)
    parts = [
        _metadata(manifest, census, title),
        f"# {escaped(title)}\n",
        str(recipe.get("description") or "").strip() + "\n",
        f"{_WARNING}\n",
        f"Made by `oa-chat prepare` from the recipe `{manifest.name}`: see manifest.json.\n",
        _splits(census),
        _sources(census),
        _labels(manifest, census),
        _languages(census),
        _changes(manifest),
        _columns(),
    ]
    _write(folder / "README.md", "\n".join(parts))


def _metadata(manifest: Manifest, census: Census, title: str) -> str:
    licences = sorted({licence for _, licence in census.sources})
    total = sum(census.splits.values())
    # Fewer are as likely slips of the identification.
    often = [lang for lang, count in census.languages.items() if count >= total * _NAMED_SHARE]
    languages = sorted(lang for lang in often if lang and lang != "und")
    # JSON strings are YAML too, whatever text is in them.
    lines = ["---", f"pretty_name: {json.dumps(title, ensure_ascii=False)}"]
    lines.append(f"license: {_licence_tag(licences)}")
    if licences:
        lines.append(f"license_name: {json.dumps(', '.join(licences), ensure_ascii=False)}")
    if languages:
        lines += ["language:", *(f"- {json.dumps(lang)}" for lang in languages)]
    lines += ["task_categories:", "- text-classification", "size_categories:", f"- {_size(total)}"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in SPLITS:
        if census.splits[split]:
            lines += [f"  - split: {split}", f"    path: {split}.parquet"]
    lines += ["tags:", "- oa-chat", "- safety", f"- recipe-{manifest.name}", "---", ""]
    return "\n".join(lines)


def _licence_tag(licences: Sequence[str]) -> str:
    """The hub knows one licence in small letters; a mixture is "other"."""
    known = {"cc-by-4.0", "cc-by-3.0", "cc0-1.0", "mit", "apache-2.0", "odc-by", "cc-by-sa-3.0"}
    only = licences[0].lower() if len(licences) == 1 else ""
    return only if only in known else "other"


def _size(total: int) -> str:
    return next((name for bound, name in (*_SIZES, *_LARGER) if total < bound), "n>1T")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join((*lines, ""))


def _splits(census: Census) -> str:
    rows = [(split, census.splits[split]) for split in SPLITS]
    text = (
        "No conversation spans two splits; near duplicates were removed before records were dealt "
        "out. Each file is there as Parquet and as JSON Lines.\n"
    )
    return f"## Splits\n\n{_table(('split', 'records'), rows)}\n{text}"


def _sources(census: Census) -> str:
    ranked = sorted(census.sources.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        (escaped(source), escaped(licence), count)
        for (source, licence), count in ranked[:_MOST_SOURCES]
    ]
    more = len(ranked) - len(rows)
    rest = f"\nand {more} smaller ones.\n" if more else ""
    return f"## Sources and licences\n\n{_table(('source', 'licence', 'records'), rows)}{rest}"


def _labels(manifest: Manifest, census: Census) -> str:
    rows = [
        (
            _levels(_split(name)) or "no level",
            *(manifest.labels.get(split, {}).get(name, 0) for split in SPLITS),
        )
        for name in _label_order(manifest.labels)
    ]
    text = (
        "Several levels joined by *or* are a partial label: one of them is right. "
        f"{census.weak} records have a *weak* label, inherited from a matching example. "
        f"{census.rules} records have a rule of thumb.\n"
    )
    plot = "![How many records have which level](labels.png)\n"
    return f"## Labels\n\n{_table(('level', *SPLITS), rows)}\n{text}\n{plot}"


def _languages(census: Census) -> str:
    ranked = sorted(census.languages.items(), key=lambda item: (-item[1], item[0]))
    rows = [(escaped(lang) or "not looked at", count) for lang, count in ranked]
    text = "`und` is undecided: too short or too mixed to tell.\n"
    return f"## Languages\n\n{_table(('language', 'records'), rows)}\n{text}"


def _changes(manifest: Manifest) -> str:
    scrubbed = [(escaped(kind), count) for kind, count in manifest.scrubbed.items()]
    steps = ", ".join(f"`{name}`" for name in manifest.recipe.get("steps", {})) or "none"
    drops = [
        (escaped(step), escaped(reason), count)
        for step, reasons in manifest.drops.items()
        for reason, count in reasons.items()
    ]
    return "\n".join(
        (
            f"## What was done\n\nSteps: {steps}.\n",
            "Personal data were replaced by placeholders of their kind:\n"
            if scrubbed
            else "No personal data were replaced.\n",
            _table(("kind", "spans"), scrubbed) if scrubbed else "",
            "Dropped:\n",
            _table(("step", "reason", "records"), drops),
        )
    )


def _columns() -> str:
    rows = [
        ("text", "the newest user message"),
        ("context", "earlier turns (role, content), oldest first"),
        ("labels", "the levels that may be right"),
        ("rules", "rules of thumb"),
        ("lang", "ISO 639 code"),
        ("source, licence, id, thread, kind", "where the record is from"),
        ("weak, score", "whether the level was inherited, and how well the example matched"),
        ("weight", "how much the record counts in a training"),
    ]
    return f"## Columns\n\n{_table(('column', 'meaning'), rows)}"


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_bytes(text.encode("utf-8", "replace"))
