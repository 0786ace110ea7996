"""What the figures are drawn with: a card, boxes, arrows, words and heat maps, in one set of colours.

Lengths are pixels of a page that shows the figure 700 wide; y grows downward.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path as Line

IMG = Path(__file__).resolve().parent
WIDTH = 700
PAPER, INK, GREY, FRAME = "#fdfcf9", "#26262b", "#68676e", "#d5d2ca"

# Paul Tol's "bright" scheme, which colour-blind readers can tell apart (https://personal.sron.nl/~pault/)
BLUE, RED, GREEN, YELLOW, PURPLE = "#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377"
CYAN, OCHRE = "#2a9dbf", "#8f7f10"  # darker than Tol's cyan and yellow, for lines and words
KIND = {
    "embedding": BLUE, "attention": RED, "feed-forward": GREEN, "norm": YELLOW, "dropout": PURPLE,
    "residual": CYAN, "linear": "#8a8a92",
}  # fmt: skip

SHARES = LinearSegmentedColormap.from_list("shares", ["#fdfcf9", "#bcd0e4", "#4477aa", "#16324f"])  # from 0 to 1
SIGNED = LinearSegmentedColormap.from_list("signed", ["#2f5f93", "#9dbad7", "#f1efe9", "#f5b1b8", "#c93f52"])

matplotlib.rcParams.update({
    "font.family": "DejaVu Sans", "text.color": INK, "axes.edgecolor": GREY, "axes.labelcolor": INK,
    "axes.facecolor": "none", "xtick.color": GREY, "ytick.color": GREY, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "learnGPT", "path.simplify": False,
})  # fmt: skip

FIGURES: dict[str, Callable[[], None]] = {}


def figure(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """The function below draws img/NAME.png."""
    return lambda draw: FIGURES.setdefault(name, draw)


def tint(color: str, strength: float) -> str:
    """The colour thinned with white: 1 leaves it as it is."""
    red, green, blue = (1 - strength * (1 - part) for part in to_rgb(color))
    return to_hex((red, green, blue))


def points(pixels: float) -> float:
    return pixels * 0.72  # 100 pixels to the inch, 72 points


def card(height: float, title: str, adds: str = "") -> Axes:
    """A sheet with its own light ground, so that it reads the same on a light page and on a dark one."""
    figure = Figure(figsize=(WIDTH / 100, height / 100))
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    look: dict[str, Any] = {"facecolor": PAPER, "edgecolor": FRAME, "linewidth": 0.9}
    rounded(axes, WIDTH / 2, height / 2, WIDTH - 2, height - 2, radius=12, **look)
    words(axes, 26, 34, title, 19, weight="bold", ha="left")
    words(axes, WIDTH - 26, 35, adds, 14, GREY, ha="right")
    return axes


def save(axes: Axes, name: str, svg: bool = False) -> None:
    """img/NAME.png at two pixels to the page's one, and img/NAME.svg beside it where it is a diagram."""
    figure = axes.get_figure(root=True)
    assert figure
    figure.savefig(IMG / f"{name}.png", dpi=200, metadata={"Software": None})
    if svg:
        figure.savefig(IMG / f"{name}.svg", metadata={"Date": None, "Creator": None})


def words(axes: Axes, x: float, y: float, text: str, size: float = 13, color: str = INK, **style: Any) -> None:
    style = {"ha": "center", "va": "center_baseline", "linespacing": 1.35, **style}
    axes.text(x, y, text, fontsize=points(size), color=color, **style)


def code(axes: Axes, x: float, y: float, text: str, size: float = 12.5, color: str = INK, **style: Any) -> None:
    words(axes, x, y, text, size, color, family="DejaVu Sans Mono", **style)


def shape(axes: Axes, x: float, y: float, dims: str) -> None:
    """The shape of a tensor, to the right of the arrow on which it travels."""
    code(axes, x, y, dims, 11.5, GREY, ha="left")


def rounded(axes: Axes, x: float, y: float, width: float, height: float, radius: float = 7, **look: Any) -> None:
    """A rectangle with round corners, centred at (x, y)."""
    style: Any = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, style, **look))


def box(axes: Axes, x: float, y: float, label: str, kind: str, width: float = 120, height: float = 36, new=True):
    """A layer, centred at (x, y): strong colours where it is new, pale ones where the reader knows it already."""
    color = KIND[kind]
    fill, edge = (tint(color, 0.32), color) if new else (tint(color, 0.1), tint(color, 0.5))
    rounded(axes, x, y, width, height, facecolor=fill, edgecolor=edge, linewidth=1.7 if new else 1)
    words(axes, x, y - 1, label, weight="bold" if new else "normal", color=INK if new else GREY)


def gap(axes: Axes, x: float, y: float, width: float, height: float = 36) -> None:
    """The place of a layer that a later version has."""
    rounded(axes, x, y, width, height, facecolor="none", edgecolor=FRAME, linestyle=(0, (4, 3)))


def area(axes: Axes, corners: Sequence[tuple[float, float]], kind: str, strength: float = 0.32) -> None:
    """A polygon in a thin shade of the kind's colour."""
    fill, edge = tint(KIND[kind], strength), KIND[kind]
    axes.add_patch(Polygon(corners, facecolor=fill, edgecolor=edge, linewidth=1.4, joinstyle="round"))


def arrow(axes: Axes, *corners: tuple[float, float], color: str = INK, width: float = 1.3, head: bool = True) -> None:
    """A line through the corners, which are rounded, with a head at its end."""
    path: list[tuple[float, float]] = [corners[0]]
    codes: list[Any] = [Line.MOVETO]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        path += [_toward(corner, before), corner, _toward(corner, after)]
        codes += [Line.LINETO, Line.CURVE3, Line.CURVE3]
    style: Any = "-|>,head_length=5,head_width=2.6" if head else "-"
    line = Line([*path, corners[-1]], [*codes, Line.LINETO])
    axes.add_patch(FancyArrowPatch(path=line, arrowstyle=style, color=color, linewidth=width, joinstyle="miter"))


def _toward(corner: tuple[float, float], other: tuple[float, float], radius: float = 9) -> tuple[float, float]:
    way = np.subtract(other, corner)
    x, y = corner + way * min(1, radius / max(1e-9, float(np.hypot(*way))))
    return float(x), float(y)


def plus(axes: Axes, x: float, y: float, kind: str = "residual", new: bool = True) -> None:
    color = KIND[kind] if new else tint(KIND[kind], 0.6)
    axes.add_patch(Circle((x, y), 11, facecolor=PAPER, edgecolor=color, linewidth=1.8 if new else 1.2, zorder=3))
    for dx, dy in ((5.5, 0), (0, 5.5)):
        axes.plot([x - dx, x + dx], [y - dy, y + dy], color=color, linewidth=1.8 if new else 1.2, zorder=4)


def panel(sheet: Axes, x: float, y: float, width: float, height: float, title: str = "", **settings: Any) -> Axes:
    """Axes for data, at pixels of the sheet."""
    total = sheet.get_ylim()[0]
    place = (x / WIDTH, 1 - (y + height) / total, width / WIDTH, height / total)
    axes = sheet.figure.add_axes(place, **settings)
    axes.tick_params(labelsize=points(11.5), length=3, width=0.8)
    axes.xaxis.label.set_fontsize(points(12.5))
    axes.yaxis.label.set_fontsize(points(12.5))
    if title:
        axes.set_title(title, fontsize=points(13.5), pad=9)
    return axes


def heat(
    axes: Axes,
    matrix: Any,
    cells: Any = None,
    low: float = 0,
    high: float = 1,
    cmap: Any = SHARES,
    size: float = 13,
    gamma: float = 1,
) -> Any:
    """A matrix in colours; `cells` holds the text for each of its places. Places that are NaN stay empty."""
    values = np.asarray(matrix, dtype=float)
    norm = PowerNorm(gamma, low, high)
    image = axes.imshow(values, cmap=cmap, norm=norm, aspect="auto", interpolation="nearest")
    axes.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    if cells is not None:
        axes.grid(which="minor", color=PAPER, linewidth=2)
        for (row, column), value in np.ndenumerate(values):
            r, g, b, _ = image.cmap(image.norm(value))
            dark = 0.3 * r + 0.6 * g + 0.1 * b < 0.55 and np.isfinite(value)
            words(axes, column, row, cells[row][column], size, PAPER if dark else INK)
    return image


def ticks(axes: Axes, columns: Sequence[str] = (), rows: Sequence[str] = ()) -> None:
    """A label at each column and row of a heat map; none without arguments."""
    axes.set_xticks(range(len(columns)), columns, fontsize=points(12.5), color=INK)
    axes.set_yticks(range(len(rows)), rows, fontsize=points(12.5), color=INK)


def colors(sheet: Axes, image: Any, x: float, y: float, width: float, height: float, values: Sequence[float]) -> None:
    """Which colour stands for which number."""
    bar = sheet.figure.colorbar(image, cax=panel(sheet, x, y, width, height), ticks=values)
    bar.set_ticks(values, labels=[f"{value:g}" for value in values])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=points(11.5))
