"""What a verification found: lines of what, measured, limit; printed as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from oa_chat.printable import printable


@dataclass(frozen=True, slots=True)
class Check:
    """One measured thing. Without a limit it is told, not judged."""

    what: str
    measured: str
    limit: str = ""
    ok: bool = True
    details: tuple[str, ...] = ()
    """Examples of what went wrong."""


@dataclass(slots=True)
class Report:
    """All checks of a conversion."""

    checks: list[Check] = field(default_factory=list)

    @property
    def failed(self) -> list[Check]:
        """What is beyond its limit."""
        return [check for check in self.checks if not check.ok]

    def at_most(self, what: str, value: float, limit: float) -> None:
        """Add a number that must not be above a limit (nor be no number)."""
        self.checks.append(Check(what, f"{value:.3g}", f"at most {limit:g}", value <= limit))


def print_report(report: Report, title: str) -> None:
    """Print the table to standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)), title_justify="left")
    for column in ("check", "measured", "limit", ""):
        table.add_column(column)
    for check in report.checks:
        verdict = ("ok" if check.ok else "FAILED") if check.limit else ""
        cells = (check.what, check.measured, check.limit, verdict)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console = Console(soft_wrap=True)
    console.print(table)
    for check in report.checks:
        for line in check.details:
            console.print(Text(f"  {printable(check.what)}: {printable(line)}"))
