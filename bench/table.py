"""Results as Markdown."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column to the left, the others, which are figures, to the right."""
    every = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(heads))]
    rule = [f"{'-' * width}:" for width in widths]
    rule[0] = "-" * (widths[0] + 1)
    lines = [f"| {' | '.join(_padded(row, widths))} |" for row in every]
    return "\n".join([lines[0], f"|{'|'.join(f'-{each}' for each in rule)}|", *lines[1:]])


def milliseconds(seconds: float) -> str:
    """With three digits that count, more or less."""
    value = seconds * 1000
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        row[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
    ]
