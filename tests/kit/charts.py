"""Loss over steps, for a terminal and as a picture. Plain ASCII, so that every console can show it."""

from collections.abc import Sequence
from pathlib import Path

MARKS = "o*x+"
Curves = dict[str, list[float]]
Level = tuple[str, float] | None


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The cells of a table in columns: the first one to the left, the others to the right.

    >>> print(*aligned([["", "loss"], ["before", "2.5"]]), sep="\\n")
            loss
    before   2.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return lines


def chart(
    curves: Curves, level: Level = None, axes: tuple[str, str] = ("step", "loss"), width: int = 60, height: int = 12
) -> list[str]:
    """All curves in one frame, each with a mark of its own."""
    points = {name: smooth(curve, width) for name, curve in curves.items()}
    values = [value for stretch in points.values() for value in stretch] + ([level[1]] if level else [])
    low, high = min(values), max(values)
    step = (high - low) / (height - 1) or 1.0
    grid = [[" "] * width for _ in range(height)]
    if level:
        grid[round((high - level[1]) / step)] = ["-"] * width
    for mark, stretch in zip(MARKS, points.values(), strict=False):
        for column, value in enumerate(stretch):
            grid[round((high - value) / step)][column] = mark
    labels = {0: f"{high:.2f}", height - 1: f"{low:.2f}"}
    lines = [f"{labels.get(i, ''):>6} |{''.join(row).rstrip()}" for i, row in enumerate(grid)]
    names = "   ".join(f"{mark} {name}" for mark, name in zip(MARKS, curves, strict=False))
    steps = len(next(iter(curves.values())))
    last = f"{axes[0]} {steps}"
    return [f"  {axes[1]}", *lines, f"{'':6} +{'-' * width}", f"{'':8}{last:>{width}}", f"{'':8}{names}"]


def smooth(curve: Sequence[float], points: int) -> list[float]:
    """The curve at `points` places, each the mean of what is around it: a twentieth of the curve, at its ends less."""
    places = [i * (len(curve) - 1) / (points - 1) for i in range(points)]
    means = []
    for place in places:
        reach = min(len(curve) / 40, place, len(curve) - 1 - place)
        around = curve[round(place - reach) : round(place + reach) + 1]
        means.append(sum(around) / len(around))
    return means


def draw(curves: Curves, level: Level, axes: tuple[str, str], title: str, path: Path) -> None:
    from matplotlib.figure import Figure  # slow to import, and needed only here

    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    plot = figure.add_subplot()
    for color, (name, curve) in zip(("#4477aa", "#cc6677", "#228833"), curves.items(), strict=False):
        if len(curve) < 50:
            plot.plot(range(1, len(curve) + 1), curve, "o-", color=color, label=name)
            continue
        plot.plot(curve, color=color, alpha=0.25, linewidth=0.8)
        plot.plot([i * (len(curve) - 1) / 99 for i in range(100)], smooth(curve, 100), color=color, label=name)
    if level:
        plot.axhline(level[1], color="#777777", linestyle="--", label=level[0])
    unit = " (nats a token)" if axes[1] == "loss" else ""
    plot.set(xlabel=axes[0], ylabel=axes[1] + unit)
    plot.set_title(title, wrap=True)
    plot.grid(alpha=0.3)
    plot.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
