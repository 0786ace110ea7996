"""The ladder as a page (ladder.html, filled in) and as a picture: a rung for each stage, the last one on top.

A bar is as long as the bits per character that the model saves, beside guessing blindly.
"""

import math
from html import escape
from pathlib import Path

from ..messages import language, say
from .rungs import Ladder, Rung

TEMPLATE = Path(__file__).with_name("ladder.html")
KOREAN_FONTS = "Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic", "NanumGothic"


def end_of_axis(ladder: Ladder) -> float:
    """The bits at the right end: a round number below all rungs."""
    return math.floor(2 * min(ladder.bits_of_pairs, *(rung.bits for rung in ladder.rungs)) - 0.2) / 2


def share(ladder: Ladder, bits: float) -> float:
    """How far along the axis: 0 for guessing blindly, 1 at its right end; what is worse than blind is at 0, too."""
    return max(0.0, (ladder.bits_blindly - bits) / (ladder.bits_blindly - end_of_axis(ladder)))


def words(ladder: Ladder) -> dict[str, str]:
    first, best = ladder.rungs[0], min(ladder.rungs, key=lambda rung: rung.bits)
    title = say("ladder_title_all") if len(ladder.rungs) > 1 else say("ladder_title_one")
    lead = say("ladder_lead", seconds=f"{ladder.seconds:g}")
    floor = say("ladder_floor", bits=f"{ladder.bits_of_pairs:.2f}", blindly=f"{ladder.bits_blindly:.2f}")
    return {
        "language": language(),
        "title": title,
        "lead": lead,
        "floor": floor,
        "axis_words": say("ladder_axis"),
        "honest": say("ladder_honest"),
        "first": say("ladder_at", stage=first.stage, title=first.title),
        "best": say("ladder_at", stage=best.stage, title=best.title),
        "limit": say("ladder_limit", bits=f"{ladder.bits_of_pairs:.2f}"),
    }


# ---- the page


def page(ladder: Ladder) -> str:
    said = words(ladder)
    first, best = ladder.rungs[0], min(ladder.rungs, key=lambda rung: rung.bits)
    big = [
        ("", f"{ladder.bits_blindly:.2f}", say("ladder_blindly")),
        ("", f"{first.bits:.2f}", said["first"]),
        ("end", f"{best.bits:.2f}", said["best"]),
    ]
    parts = {key: escape(text) for key, text in said.items()}
    parts["big"] = "\n".join(f'<li class="{kind}"><b>{number}</b>{escape(text)}</li>' for kind, number, text in big)
    parts["rungs"] = "\n".join(_rung(ladder, rung) for rung in reversed(ladder.rungs))
    parts["axis"] = _axis(ladder, parts["limit"])
    text = TEMPLATE.read_text(encoding="utf-8")
    for key, part in parts.items():
        text = text.replace("{{" + key + "}}", part)
    return text


def _rung(ladder: Ladder, rung: Rung) -> str:
    along, floor = f"{share(ladder, rung.bits):.2%}", f"{share(ladder, ladder.bits_of_pairs):.2%}"
    figures = say("ladder_figures", parameters=f"{rung.parameters:,}", steps=f"{rung.steps:,}",
                  speed=f"{rung.tokens_per_second:,.0f}", loss=f"{rung.loss:.3f}")  # fmt: skip
    return f"""<li>
<div class="name"><span>{rung.stage}</span><b>{escape(rung.title)}</b></div>
<div class="strip">
<div class="floor" style="left: {floor}"></div>
<div class="bar" style="width: {along}"></div>
<div class="value" style="left: {along}">{rung.bits:.2f}</div>
</div>
<div><blockquote>{escape(rung.sample)}</blockquote><div class="figures">{escape(figures)}</div></div>
</li>"""


def _axis(ladder: Ladder, words: str) -> str:
    """The row above the ladder: where guessing blindly is, and where the dashed line is."""
    floor = f"{share(ladder, ladder.bits_of_pairs):.2%}"
    return f"""<li class="axis">
<div></div>
<div class="strip">
<span class="blindly">{ladder.bits_blindly:.2f}</span>
<div class="floor" style="left: {floor}"></div>
<span class="limit" style="left: {floor}">{words}</span>
</div>
<div></div>
</li>"""


# ---- the picture


def draw(ladder: Ladder, path: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names

    paper, ink, soft, one, two = "#fbfaf7", "#23262b", "#626770", "#0f766e", "#b45328"
    rows, said = len(ladder.rungs), words(ladder)
    height = 2.5 + 0.62 * rows
    bottom, top = 0.75 / height, 1 - 1.55 / height
    korean = [name for name in KOREAN_FONTS if name in get_font_names()][:1]  # the others would be warned of
    with matplotlib.rc_context({"font.family": ["DejaVu Sans", *korean]}):
        figure = Figure(figsize=(12, height), dpi=150, facecolor=paper)
        figure.text(0.03, 1 - 0.42 / height, said["title"], fontsize=19, fontweight="bold", color=ink, va="center")
        figure.text(0.03, 1 - 0.8 / height, said["lead"], fontsize=11, color=soft, va="center")
        plot = figure.add_axes((0.275, bottom, 0.31, top - bottom), facecolor="none")
        plot.set_xlim(ladder.bits_blindly, end_of_axis(ladder))
        plot.set_ylim(0.4, rows + 0.6)
        for place, rung in enumerate(ladder.rungs, 1):
            end = min(rung.bits, ladder.bits_blindly)
            plot.barh(place, end - ladder.bits_blindly, left=ladder.bits_blindly, height=0.3, color=one, alpha=0.8)
            number = plot.annotate(f"{rung.bits:.2f}", (end, place), xytext=(6, 0), textcoords="offset points")
            number.set(va="center", fontweight="bold", color=ink)
            number.set_bbox({"facecolor": paper, "edgecolor": "none", "pad": 1.5})
            y = bottom + (top - bottom) * (place - 0.4) / (rows + 0.2)
            figure.text(0.05, y, str(rung.stage), fontsize=11.5, color=soft, va="center", ha="right")
            figure.text(0.062, y, rung.title, fontsize=11.5, fontweight="bold", color=ink, va="center")
            sample = rung.sample if len(rung.sample) <= 50 else rung.sample[:49] + "..."
            figure.text(0.635, y, sample, fontsize=9.5, family=["DejaVu Sans Mono", *korean], color=ink, va="center",
                        parse_math=False)  # fmt: skip
        plot.axvline(ladder.bits_of_pairs, color=two, linestyle="--", linewidth=1.4, zorder=0)
        plot.annotate(said["limit"], (ladder.bits_of_pairs, rows + 0.6), xytext=(0, 5), textcoords="offset points",
                      ha="center", va="bottom", fontsize=9, color=two)  # fmt: skip
        plot.set_xlabel(say("ladder_axis"), color=soft, fontsize=9.5, labelpad=6)
        plot.tick_params(axis="x", colors=soft, labelsize=9)
        plot.yaxis.set_visible(False)
        for side in ("top", "right", "left"):
            plot.spines[side].set_visible(False)
        plot.spines["bottom"].set_color(soft)
        figure.savefig(path)
