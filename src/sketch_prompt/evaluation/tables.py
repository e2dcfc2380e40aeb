"""One table for a document: as Markdown, LaTeX, CSV, or for a terminal."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table as RichTable
from rich.text import Text

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


@dataclass(frozen=True)
class Table:
    """Texts in rows, under a title.

    Attributes:
        title: What the table is about. Empty for a table without heading.
        header: Names of the columns.
        rows: Each as long as the header.
        numbers_from: The first column of numbers, which are aligned right.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers_from: int = 1

    def to_markdown(self) -> str:
        """The table, below its title as a heading."""
        numbers = len(self.header) - self.numbers_from
        cells = ([cell.replace("|", r"\|").replace("\n", " ") for cell in row] for row in self.rows)
        lines = [f"## {self.title}", ""] if self.title else []
        lines.append(f"| {' | '.join(self.header)} |")
        lines += ["|" + " --- |" * self.numbers_from + " ---: |" * numbers]
        lines += [f"| {' | '.join(row)} |" for row in cells]
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        """A `table` with a `tabular` in it, for the package booktabs."""
        columns = "l" * self.numbers_from + "r" * (len(self.header) - self.numbers_from)
        lines = [r"\begin{table}", rf"\caption{{{latex(self.title)}}}", r"\centering"]
        lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(self.header), r"\midrule"]
        lines += [_latex_row(row) for row in self.rows]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"

    def to_rich(self) -> RichTable:
        """A rich renderable."""
        table = RichTable(title=self.title, title_justify="left", padding=(0, 1))
        for place, name in enumerate(self.header):
            table.add_column(name, justify="right" if place >= self.numbers_from else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table


def latex(text: str) -> str:
    """A text as LaTeX prints it."""
    return "".join(_LATEX.get(character, character) for character in text)


def to_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows of values, comma-separated."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([header, *rows])
    return buffer.getvalue()


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(latex, cells)) + r" \\"
