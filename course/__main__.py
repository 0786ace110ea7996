"""python -m course: the commands around the course."""

import argparse
import sys

from . import scaffold
from .stages import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m course", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("scaffold", help="make gpt/ from solutions/gpt/ (for contributors)")
    command.add_argument("--check", action="store_true", help="change nothing; exit with 1 if they are out of step")
    args = parser.parse_args()

    try:
        changed = scaffold.differing() if args.check else scaffold.write()
    except scaffold.ScaffoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in changed:
        print(f"{'out of step' if args.check else 'written'}: {path.relative_to(ROOT).as_posix()}")
    if args.check and changed:
        print("python -m course scaffold brings gpt/ in step with solutions/gpt/ (and overwrites what you wrote there)")
        return 1
    print("gpt/ is in step with solutions/gpt/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
