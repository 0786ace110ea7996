"""The course map, and the diagrams of every GPT, block and head. Those of a family share one layout, and what is new
in a version stands out, so that to leaf through them is to see it grow.
"""

import textwrap

from pen import GREY, INK, KIND, area, arrow, box, card, code, figure, gap, plus, save, shape, tint, words

from course.stages import STAGES

# The course map

ADDS = (
    ("embedding", "the last character\nforetells the next"),
    ("attention", "every token\nsees its past"),
    ("attention", "the same,\nwithout a loop"),
    ("attention", "the same, ready\nto be learned"),
    ("attention", "each token learns\nwhere to look"),
    ("embedding", "order matters"),
    ("attention", "to look for several\nthings at once"),
    ("feed-forward", "to think, and to\nstack deep"),
    ("norm", "deep stacks\nlearn well"),
    ("dropout", "less is learned\nby heart"),
)


@figure("week1")
def week1() -> None:
    page = card(408, "Ten stages to a GPT", "what each of them adds")
    left, right, step = 82, 618, 134
    rows = [96, 276]
    above, below = rows
    path = [(left, above), (684, above), (684, 219), (16, 219), (16, below), (right + 52, below)]
    arrow(page, *path, color=GREY, width=2)
    for stage, (kind, adds) in zip(STAGES, ADDS, strict=True):
        x, y = left + step * ((stage.number - 1) % 5), rows[(stage.number - 1) // 5]
        box(page, x, y, str(stage.number), kind, 40, 40)
        lines = textwrap.wrap(stage.title, 14)
        words(page, x, y + 30, "\n".join(lines), 12, weight="bold", va="top")
        words(page, x, y + 35 + 16 * len(lines), adds, 12, GREY, va="top")
    save(page, "week1", svg=True)


# A GPT, from indices to logits


def gpt(version: int, adds: str, notes: dict[str, str], new: set[str]) -> None:
    """`notes` has a word on each part that this version has; those in `new` stand out."""
    page = card(472, f"GPTVer{version}", adds)
    x = 190
    places = {"token_embedding_table": 130, "+": 192, "contextualizer": 254, "ln_f": 316, "lm_head": 378}
    kinds = {"contextualizer": "attention", "ln_f": "norm", "lm_head": "linear"}
    code(page, x, 76, "indices", 13.5)
    code(page, x, 440, "logits", 13.5)
    words(page, 330, 440, "softmax: what may come next.  With targets: the loss.", 12.5, GREY, ha="left")
    dims, top = "(B, T)", 88
    for name, y in places.items():
        if name not in notes:
            if name != "+":
                gap(page, x, y, 190)
            continue
        half = 12 if name == "+" else 18
        arrow(page, (x, top), (x, y - half))
        shape(page, x + 10, top + 13, dims)
        dims, top = "(B, T, V)" if version == 1 or name == "lm_head" else "(B, T, C)", y + half
        if name == "+":
            table = "pos_table" if version == 3 else "pos_embedding_table"
            plus(page, x, y, "embedding", name in new)
            box(page, 420, y, table, "embedding", 180, 36, name in new)
            arrow(page, (330, y), (x + 13, y))
            code(page, 297, y - 11, "(T, C)", 11.5, GREY)
            words(page, 524, y, notes[name], 13, INK if name in new else GREY, ha="left")
        else:
            box(page, x, y, name, kinds.get(name, "embedding"), 190, 36, name in new)
            words(page, 330, y, notes[name], 13, INK if name in new else GREY, ha="left")
    arrow(page, (x, top), (x, 428))
    shape(page, x + 10, top + 13, dims)
    save(page, f"GPTVer{version}", svg=True)


TOKENS = {"token_embedding_table": "V × C: a vector for each token of the vocabulary"}
SCORES = {"lm_head": "C → V: a score for each token of the vocabulary"}


@figure("GPTVer1")
def gpt_ver_1() -> None:
    notes = {"token_embedding_table": "V × V: row i scores what may follow token i"}
    gpt(1, "looks at the last token alone", notes, set(notes))


@figure("GPTVer2")
def gpt_ver_2() -> None:
    notes = TOKENS | {"contextualizer": "each token looks at its past"} | SCORES
    gpt(2, "looks at the context", notes, set(notes))


@figure("GPTVer3")
def gpt_ver_3() -> None:
    notes = TOKENS | {"+": "sines and cosines,\nnot learned", "contextualizer": "one head: HeadVer4"} | SCORES
    gpt(3, "knows the order of the tokens", notes, {"+"})


@figure("GPTVer4")
def gpt_ver_4() -> None:
    notes = {"+": "learned,\nblock_size × C", "contextualizer": "several heads; from stage 8 on, blocks of them"}
    notes |= {"ln_f": "LayerNorm: keeps what comes at a steady size"}
    gpt(4, "learns its positions", TOKENS | notes | SCORES, {"+", "ln_f"})


# Inside a contextualizer


@figure("MultiHeadVer1")
def multi_head_ver_1() -> None:
    page = card(400, "MultiHeadVer1", "small heads, one after another")
    code(page, 350, 78, "x", 14)
    shape(page, 366, 78, "(B, T, C)")
    for head in range(4):
        x, left = 116 + 156 * head, 46 + 152 * head
        arrow(page, (350, 90), (350, 106), (x, 106), (x, 124))
        box(page, x, 144, "HeadVer4", "attention", 124, 40)
        arrow(page, (x, 164), (x, 222))
        shape(page, x + 9, 190, "(B, T, D)")
        area(page, [(left, 224), (left + 152, 224), (left + 152, 250), (left, 250)], "attention", 0.12 + 0.13 * head)
        words(page, left + 76, 237, f"head {head + 1}", 12)
    arrow(page, (350, 250), (350, 290))
    shape(page, 360, 268, "(B, T, C)")
    words(page, 470, 268, "side by side: C = H · D", 13, GREY, ha="left")
    box(page, 350, 308, "proj", "linear", 124)
    words(page, 470, 308, "lets the heads' findings meet", 13, GREY, ha="left")
    arrow(page, (350, 326), (350, 362))
    shape(page, 360, 343, "(B, T, C)")
    save(page, "MultiHeadVer1", svg=True)


@figure("Multi-Head Attention")
def multi_head_attention() -> None:
    page = card(560, "Multi-head attention", "MultiHeadVer2: all heads at once")
    code(page, 270, 78, "x", 14)
    shape(page, 286, 78, "(B, T, C)")
    for behind in (3, 2, 1, 0):
        shift = 8 * behind
        left, top, right, bottom = 40 + shift, 214 - shift, 500 + shift, 448 - shift
        area(page, [(left, top), (right, top), (right, bottom), (left, bottom)], "attention", 0.07 + 0.04 * behind)
    for name, x in {"query": 130, "key": 270, "value": 430}.items():
        fork = [(270, 104), (x, 104)] if x != 270 else []
        arrow(page, (270, 90), *fork, (x, 124))
        box(page, x, 141, name, "linear", 110, 34)
        arrow(page, (x, 158), (x, 394 if name == "value" else 226))
        shape(page, x + 9, 174, "(B, H, T, D)")
    for y, step in ((244, "q kᵀ / √D"), (298, "mask"), (352, "softmax")):
        box(page, 200, y, step, "attention", 200, 36)
        arrow(page, (200, y + 18), (200, 280 if y == 244 else 334 if y == 298 else 394))
        shape(page, 210, y + 27, "(B, H, T, T)")
    box(page, 270, 412, "weights × values", "attention", 420, 36)
    arrow(page, (270, 430), (270, 474))
    shape(page, 280, 460, "(B, T, C)")
    box(page, 270, 492, "proj", "linear", 110, 34)
    arrow(page, (270, 509), (270, 540))
    shape(page, 280, 523, "(B, T, C)")
    for y, note in {
        141: "a layer each, C → C",
        174: "cut into H heads,\nD = C / H wide",
        298: "no token sees\nits future",
        352: "each row sums to 1",
        460: "heads side by side",
        492: "lets them meet",
    }.items():
        words(page, 552, y, note, 12, GREY, ha="left")
    save(page, "Multi-Head Attention", svg=True)


@figure("FeedForward")
def feed_forward() -> None:
    page = card(300, "FeedForward", "each token by itself, at every place the same")
    middle, narrow, wide = 160, 22, 88
    arrow(page, (24, middle), (104, middle))
    arrow(page, (596, middle), (676, middle))
    for start, end, before, after, label in (
        (104, 258, narrow, wide, "Linear\nC → 4C"),
        (268, 432, wide, wide, "ReLU\nmax(0, · )"),
        (442, 596, wide, narrow, "Linear\n4C → C"),
    ):
        corners = [(start, -before), (end, -after), (end, after), (start, before)]
        area(page, [(x, middle + y) for x, y in corners], "feed-forward", 0.15 if label.startswith("ReLU") else 0.32)
        words(page, (start + end) / 2, middle, label, 14, weight="bold")
    for x, dims in ((60, "(B, T, C)"), (263, "(B, T, 4C)"), (437, "(B, T, 4C)"), (638, "(B, T, C)")):
        code(page, x, middle - 16 if dims == "(B, T, C)" else middle + 106, dims, 11.5, GREY)
    save(page, "FeedForward", svg=True)


def branches(version: int, adds: str, new: set[str]) -> None:
    """A block: the stream of x at the left, and beside it a branch for the head and one for the feed-forward layer."""
    page = card(388, f"BlockVer{version}", adds)
    stream, residual = 92, version >= 2
    color = KIND["residual"] if "residual" in new else tint(KIND["residual"], 0.7)
    code(page, stream, 78, "x", 14)
    code(page, stream, 362, "y", 14)
    top = 90
    for y, name, short, kind in ((130, "head", "head", "attention"), (254, "feed-forward", "ffwd", "feed-forward")):
        number, before, after = (1, "x", "x1") if name == "head" else (2, "x1", "y")
        steps = [("LayerNorm", "norm", f"ln{number}", 250)] if version >= 3 else []
        steps += [(name, kind, short, 400)]
        steps += [("dropout", "dropout", f"dropout{number}", 550)] if version >= 4 else []
        below, way, formula = y + 62, [(stream, top), (stream, y)], before
        if residual:
            way = [(stream, y - 9), (stream, y)]
        for label, step_kind, function, x in steps:
            arrow(page, *way, (x - 61, y))
            box(page, x, y, label, step_kind, 122, 36, label in new)
            way, formula = [(x + 61, y)], f"{function}({formula})"
        way += [(652, y), (652, below)]
        if residual:
            arrow(page, *way, (stream + 12, below))
            arrow(page, (stream, top), (stream, below - 12), color=color, width=2.8)
            plus(page, stream, below, new="residual" in new)
            formula, top = f"{before} + {formula}", below + 12
        else:
            arrow(page, *way, (stream, below), (stream, below + 16), head=False)
            top = below + 16
        code(page, 400, below - 12, f"{after} = {formula}")
    arrow(page, (stream, top), (stream, 350), color=color if residual else INK, width=2.8 if residual else 1.3)
    for y in (78, 220, 362):
        shape(page, stream + 16, y, "(B, T, C)")
    save(page, f"BlockVer{version}", svg=True)


@figure("BlockVer1")
def block_ver_1() -> None:
    branches(1, "gather, then think", {"head", "feed-forward"})


@figure("BlockVer2")
def block_ver_2() -> None:
    branches(2, "adds to x what each branch makes of it", {"residual"})


@figure("BlockVer3")
def block_ver_3() -> None:
    branches(3, "normalizes what each branch gets", {"LayerNorm"})


@figure("BlockVer4")
def block_ver_4() -> None:
    branches(4, "drops some of what each branch gives", {"dropout"})
