"""The figures of the book: python img/draw.py [NAME ...]

Draws img/NAME.png for each NAME, or all of them; diagrams as SVG, too. The same machine draws the same bytes again.
ladder.png and BPE.png are not from here: python -m course ladder and python main_bpe.py draw them.
"""

import importlib
import sys
from pathlib import Path

from pen import FIGURES

ROOT = Path(__file__).resolve().parent.parent


def main(names: list[str]) -> int:
    sys.path[:0] = [str(ROOT / "solutions"), str(ROOT)]
    importlib.import_module("diagrams")
    importlib.import_module("charts")
    for name in names or FIGURES:
        if name not in FIGURES:
            print(f"error: there is no figure '{name}'; there are {', '.join(FIGURES)}", file=sys.stderr)
            return 2
        FIGURES[name]()
        print(f"img/{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
