"""`python -m benchmarks [NAME ...]`: run the named measurements, or all of them."""

from __future__ import annotations

import importlib
import sys

MEASUREMENTS = (
    "start",
    "guard",
    "chat",
    "replies",
    "seq2seq_vs_torch",
    "rule_matching",
    "dump_reading",
    "history_search",
    "serve_guard",
)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
        return 2
    for name in names or MEASUREMENTS:
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
