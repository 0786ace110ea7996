"""How byte-pair encoding learns its vocabulary, merge by merge, and what it makes of a sentence.

python main_bpe.py                              learn on input.txt until nothing is left to merge
python main_bpe.py --merges 1000                stop after 1,000 merges
python main_bpe.py --show "We beleive in it"    see how your own sentence fares
python main_bpe.py --text my_text.txt           learn on any UTF-8 text, in any language

The algorithm is in training/bpe_basic.py, in 100 lines; training/bpe.py does the same, much faster.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from training.console import Parser, exit_code
from training.errors import UserError

ROOT = Path(__file__).resolve().parent
SENTENCE = "I don't beleive in ghosts \N{GHOST}"  # with a contraction, a typo and an emoji

Pair = tuple[int, int]


class Curve(NamedTuple):
    """After 0, 1, 2, ... merges: how many different symbols the text is made of, and of how many in all."""

    distinct: list[int]
    length: list[int]

    @property
    def peak(self) -> int:
        """The number of merges after which most different symbols are in use."""
        return self.distinct.index(max(self.distinct))


def main(argv: list[str]) -> int:
    return exit_code(lambda: tell(parse(argv)))


def tell(args: argparse.Namespace) -> int:
    from training.bpe import parts
    from training.bpe_basic import words
    from training.data import read_text

    text = read_text(args.text, option="--text")
    counts = Counter(word for part in parts(text) for word in words(part))
    print(f"{args.text.name}: {len(text):,} characters, {counts.total():,} words, {len(counts):,} of them distinct\n")

    merges, curve = learn_aloud(text, args.merges)
    if len(merges) < args.merges:
        print(f"The text allows {len(merges):,} merges: every word is a single symbol now.")
    first, last, most = curve.distinct[0], curve.distinct[-1], curve.distinct[curve.peak]
    print(f"Distinct symbols in use: {first:,} at first, {most:,} after {curve.peak:,} merges, {last:,} at the end.")
    print(f"Symbols that the text needs: {curve.length[0]:,} at first, {curve.length[-1]:,} at the end.\n")
    show(args.show, merges)
    compare(args.show, text, merges)
    draw(curve, counts, args.text.name, args.figure)
    print(f"\nThe rise and fall of the symbols is drawn in {args.figure.as_posix()}")
    return 0


def learn_aloud(text: str, n_merges: int) -> tuple[list[Pair], Curve]:
    """Learn, print the first twenty merges when they happen, and keep account of the symbols in use."""
    from rich.console import Console
    from rich.progress import Progress

    from training.bpe import learn
    from training.bpe_basic import BYTE_IDS, vocabulary

    uses = Counter({BYTE_IDS[byte]: times for byte, times in Counter(text.encode()).items()})
    curve = Curve([len(uses)], [uses.total()])
    merges: list[Pair] = []
    print("merge    times  the most frequent pair becomes one symbol")
    console = Console(markup=False, highlight=False, emoji=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None if n_merges == sys.maxsize else n_merges)
        for new, merge in enumerate(learn(text, n_merges), start=256):
            merges.append((merge.left, merge.right))
            for symbol in merges[-1]:
                uses[symbol] -= merge.replaced
            uses[new] = merge.replaced
            gone = {symbol for symbol in merges[-1] if not uses[symbol]}
            curve.distinct.append(curve.distinct[-1] + 1 - len(gone))
            curve.length.append(curve.length[-1] - merge.replaced)
            if len(merges) <= 20:
                left, right, both = spell([*merges[-1], new], vocabulary(merges))
                console.print(f"{len(merges):5}{merge.frequency:9,}  '{left}' + '{right}' -> '{both}'", soft_wrap=True)
            bar.update(task, completed=len(merges), description=f"{len(merges):,} merges")
    print()
    return merges, curve


def show(sentence: str, merges: list[Pair]) -> None:
    """The sentence in the symbols of several moments of the learning, and back again."""
    from training.bpe import BPE

    print("Your sentence:")
    for n in sorted({0, 100, 1000, len(merges)}):
        if n <= len(merges):
            tokenizer = BPE(merges[:n])
            ids = tokenizer.encode(sentence)
            print(f"{n:7,} merges, {len(ids):3} symbols  {'|'.join(spell(ids, tokenizer.tokens))}")
    tokenizer = BPE(merges)
    print(f"{'decoded again':24}  {tokenizer.decode(tokenizer.encode(sentence))}\n")


def compare(sentence: str, text: str, merges: list[Pair]) -> None:
    """Each word of the sentence in three vocabularies of the text: its words, its characters, its byte pairs."""
    from rich.console import Console
    from rich.table import Table

    from training.bpe import BPE

    known_words, known_characters = set(text.split()), set(text)
    tokenizer = BPE(merges)
    table = Table("", "word", "characters", "byte pairs", box=None)
    for word in sentence.split():
        unknown = sum(character not in known_characters for character in word)
        pieces = spell(tokenizer.encode(" " + word), tokenizer.tokens)
        table.add_row(
            word,
            "1" if word in known_words else "unknown",
            f"{unknown} unknown" if unknown else str(len(word)),
            f"{len(pieces)}: {'|'.join(pieces)}",
        )
    console = Console(markup=False, highlight=False, emoji=False)
    console.print("How many symbols each vocabulary needs for it:", table)


def draw(curve: Curve, counts: Counter[str], title: str, path: Path) -> None:
    """Both curves, over the merges; dashed, the numbers of words: where every word is one symbol, merging ends."""
    from matplotlib.figure import Figure  # slow to import, and needed only here

    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained", facecolor="#fdfcf9")
    left, right = figure.subplots(1, 2)
    right.set(xscale="log", xlim=(1, max(2, len(curve.length))))
    for axes, numbers, end in ((left, curve.distinct, len(counts)), (right, curve.length, counts.total())):
        axes.axhline(end, color="#888888", linestyle="--")
        axes.plot(numbers, color="#4477aa", linewidth=2)
        axes.set(xlabel="merges", ylim=(0, 1.12 * max(*numbers, end)))
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:,.0f}")
    left.set_title(f"{title}: distinct symbols in use", parse_math=False)
    left.text(0, len(counts), f"{len(counts):,} distinct words", va="bottom")
    peak = curve.peak
    left.plot(peak, curve.distinct[peak], "o", color="#cc6677")
    left.text(peak, 1.02 * curve.distinct[peak], f"{curve.distinct[peak]:,}", ha="center", va="bottom", color="#cc6677")
    right.set_title(f"{title}: symbols that the text needs", parse_math=False)
    right.text(1, counts.total(), f"{counts.total():,} words", va="bottom")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png")
    except OSError as error:
        raise UserError(f"the figure '{path}' cannot be written: {error.strerror}; name another --figure") from None


def spell(ids: Sequence[int], tokens: list[bytes]) -> list[str]:
    """The text of each token, with \\xf0 for a byte that is only part of a character, and \\n for a line break."""
    texts = [tokens[i].decode("utf-8", "backslashreplace") for i in ids]
    return ["".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) for text in texts]


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("python main_bpe.py", __doc__)
    add = parser.add_argument
    add("--text", type=Path, default=ROOT / "input.txt", metavar="PATH", help="the text to learn from: a UTF-8 file")
    add("--merges", type=int, default=sys.maxsize, metavar="N", help="how many merges to learn (all there are)")
    add("--show", default=SENTENCE, metavar="SENTENCE", help="the sentence to encode and to decode")
    add("--figure", type=Path, default=ROOT / "runs" / "BPE.png", metavar="FILE", help="where to draw the symbols")
    args = parser.parse_args(argv)
    if args.merges < 0:
        parser.error(f"--merges {args.merges}: it has to be 0 or more")
    return args


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
