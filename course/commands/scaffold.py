"""Make gpt/ from solutions/gpt/, or say whether both are in step."""

import argparse

from ..scaffold import differing, write
from ..stages import ROOT


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m course scaffold", description="Make gpt/ from solutions/gpt/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if they are out of step")
    args = parser.parse_args(argv)
    changed = differing() if args.check else write()
    for path in changed:
        print(f"{'out of step' if args.check else 'written'}: {path.relative_to(ROOT).as_posix()}")
    if args.check and changed:
        print("python -m course scaffold brings gpt/ in step with solutions/gpt/ (and overwrites what you wrote there)")
        return 1
    print("gpt/ is in step with solutions/gpt/")
    return 0
