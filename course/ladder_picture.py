"""The ladder as a page (ladder.html, filled in) and as a picture: a rung for each stage, the last one on top.

A bar is as long as the bits per character that the model saves, beside guessing blindly.
"""

import math
from html import escape
from pathlib import Path

from .ladder import Ladder, Rung
from .messages import language, say

TEMPLATE = Path(__file__).with_name("ladder.html")


def end_of_axis(ladder: Ladder) -> float:
    """The bits at the right end: a round number below all rungs."""
    return math.floor(2 * min(ladder.bits_of_pairs, *(rung.bits for rung in ladder.rungs)) - 0.2) / 2


def share(ladder: Ladder, bits: float) -> float:
    """How far along the axis: 0 for guessing blindly, 1 at its right end; what is worse than blind is at 0, too."""
    return max(0.0, (ladder.bits_blindly - bits) / (ladder.bits_blindly - end_of_axis(ladder)))


def words(ladder: Ladder) -> dict[str, str]:
    first, best = ladder.rungs[0], min(ladder.rungs, key=lambda rung: rung.bits)
    title = say("ladder_title_all") if len(ladder.rungs) > 1 else say("ladder_title_one")
    lead = say("ladder_lead", stages=len(ladder.rungs), seconds=f"{ladder.seconds:g}")
    floor = say("ladder_floor", bits=f"{ladder.bits_of_pairs:.2f}", blindly=f"{ladder.bits_blindly:.2f}")
    return {
        "language": language(),
        "title": title,
        "lead": lead,
        "floor": floor,
        "honest": say("ladder_honest"),
        "first": say("ladder_at", stage=first.stage),
        "best": say("ladder_at", stage=best.stage),
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
    parts["axis"] = _axis(ladder)
    text = TEMPLATE.read_text(encoding="utf-8")
    for key, part in parts.items():
        text = text.replace("{{" + key + "}}", part)
    return text


def _rung(ladder: Ladder, rung: Rung) -> str:
    along, floor = f"{share(ladder, rung.bits):.2%}", f"{share(ladder, ladder.bits_of_pairs):.2%}"
    figures = say("ladder_figures", parameters=f"{rung.parameters:,}", steps=f"{rung.steps:,}",
                  speed=f"{rung.tokens_per_second:,.0f}", loss=f"{rung.loss:.3f}")  # fmt: skip
    return f"""<li>
<div class="name"><span>{rung.stage}</span> {escape(rung.title)}</div>
<div class="strip">
<div class="floor" style="left: {floor}"></div>
<div class="bar" style="width: {along}"></div>
<div class="value" style="left: {along}">{rung.bits:.2f}</div>
</div>
<div><blockquote>{escape(rung.sample)}</blockquote><div class="figures">{escape(figures)}</div></div>
</li>"""


def _axis(ladder: Ladder) -> str:
    floor = f"{share(ladder, ladder.bits_of_pairs):.2%}"
    limit = escape(f"{say('ladder_limit')} {ladder.bits_of_pairs:.2f}")
    return f"""<li class="axis">
<div></div>
<div class="strip">
<span style="left: 0">{ladder.bits_blindly:.2f}</span>
<div class="floor" style="left: {floor}"></div>
<span class="limit" style="left: {floor}; top: 18px">{limit}</span>
</div>
<div>{escape(say("ladder_axis"))}</div>
</li>"""


# ---- the picture


def draw(ladder: Ladder, path: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names

    paper, ink, soft, one, two = "#fbfaf7", "#23262b", "#626770", "#0f766e", "#b45328"
    rows = len(ladder.rungs)
    korean = ("Noto Sans CJK KR", "Apple SD Gothic Neo", "Malgun Gothic", "NanumGothic")
    there = [name for name in korean if name in get_font_names()][:1]
    with matplotlib.rc_context({"font.family": ["DejaVu Sans", *there]}):
        height = 2.3 + 0.62 * rows
        figure = Figure(figsize=(12, height), dpi=150, facecolor=paper)
        said = words(ladder)
        figure.text(0.03, 1 - 0.42 / height, said["title"], fontsize=19, fontweight="bold", color=ink, va="center")
        figure.text(0.03, 1 - 0.8 / height, said["lead"], fontsize=11, color=soft, va="center")
        bottom, top = 0.85 / height, 1 - 1.15 / height
        plot = figure.add_axes((0.285, bottom, 0.30, top - bottom), facecolor="none")
        plot.set_xlim(ladder.bits_blindly, end_of_axis(ladder))
        plot.set_ylim(0.4, rows + 0.6)
        for place, rung in enumerate(ladder.rungs, 1):
            plot.barh(
                place, rung.bits - ladder.bits_blindly, left=ladder.bits_blindly, height=0.3, color=one, alpha=0.8
            )
            number = f"{rung.bits:.2f}", (min(rung.bits, ladder.bits_blindly), place)
            plot.annotate(*number, (6, 0), textcoords="offset points", va="center", fontweight="bold", color=ink)
            y = bottom + (top - bottom) * (place - 0.4) / (rows + 0.2)
            figure.text(0.052, y, str(rung.stage), fontsize=11.5, color=soft, va="center", ha="right")
            figure.text(0.062, y, rung.title, fontsize=11.5, fontweight="bold", color=ink, va="center")
            line = rung.sample if len(rung.sample) <= 54 else rung.sample[:53] + "..."
            figure.text(
                0.62, y, line.replace("$", r"\$"), fontsize=9.5, family="DejaVu Sans Mono", color=ink, va="center"
            )
        plot.axvline(ladder.bits_of_pairs, color=two, linestyle="--", linewidth=1.4, zorder=0)
        limit = f"{say('ladder_limit')} {ladder.bits_of_pairs:.2f}"
        plot.annotate(limit, (ladder.bits_of_pairs, 0.4), xytext=(0, -22), textcoords="offset points", ha="center",
                      va="top", fontsize=9, color=two)  # fmt: skip
        plot.set_xlabel(say("ladder_axis"), color=soft, fontsize=9.5, labelpad=16)
        plot.tick_params(axis="x", colors=soft, labelsize=9)
        plot.yaxis.set_visible(False)
        for side in ("top", "right", "left"):
            plot.spines[side].set_visible(False)
        plot.spines["bottom"].set_color(soft)
        figure.savefig(path)
