"""What records are made of: one module for each kind of source, and the registry of them."""

from __future__ import annotations

from converters.prepare.sources.base import SourceKind
from converters.prepare.sources.dump import DUMP
from converters.prepare.sources.pack import PACK
from converters.prepare.sources.posts import POSTS
from converters.prepare.sources.prosocial import PROSOCIAL
from converters.prepare.sources.table import TABLE

SOURCES: dict[str, SourceKind] = {
    "dump": DUMP,
    "pack": PACK,
    "posts": POSTS,
    "prosocial": PROSOCIAL,
    "table": TABLE,
}
