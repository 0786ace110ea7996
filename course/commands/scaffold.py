"""Make gpt/ from solutions/gpt/, or say whether both are in step."""

import argparse

from ..learner.backups import keep, new_folder
from ..scaffold import differing, write
from ..stages import ROOT


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m course scaffold", description="Make gpt/ from solutions/gpt/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if they are out of step")
    args = parser.parse_args(argv)
    changed = differing()
    folder = new_folder("scaffold")
    for path in changed:
        name = path.relative_to(ROOT).as_posix()
        if args.check:
            print(f"out of step: {name}")
        elif path.exists():
            print(f"written: {name} (as it was: {keep(path, folder).relative_to(ROOT).as_posix()})")
        else:
            print(f"written: {name}")
    if args.check and changed:
        print("python -m course scaffold brings gpt/ in step with solutions/gpt/ (and puts what you wrote there aside)")
        return 1
    write()
    print("gpt/ is in step with solutions/gpt/")
    return 0
