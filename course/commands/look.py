"""A page to look inside a trained model: attention, next tokens, positions, what depends on what, and the training.

It is look.html with the numbers in it as JSON; it needs neither a network nor a server.
"""

import webbrowser
from pathlib import Path

from training.console import Parser
from training.errors import UserError

from ..messages import say
from ..pages.look_page import render
from ..stages import ROOT
from ..terminal import here


def main(argv: list[str]) -> int:
    parser = Parser("python -m course look", say("look_help"))
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help=say("look_run_help"))
    parser.add_argument("--prompt", metavar="TEXT", help=say("look_prompt_help"))
    parser.add_argument("--output", type=Path, metavar="FILE", help=say("look_output_help"))
    parser.add_argument("--open", action="store_true", help=say("look_open_help"))
    args = parser.parse_args(argv)
    folder = args.run or newest_run()
    if args.prompt == "":
        raise UserError(say("look_empty"))

    from ..pages.inside import look_inside

    page = args.output or folder / "look.html"
    page.write_text(render(look_inside(folder, args.prompt)), encoding="utf-8", newline="\n")
    print(say("look_done", file=here(page.resolve())))
    if args.open:
        webbrowser.open(page.resolve().as_uri())
    return 0


def newest_run() -> Path:
    """The run whose weights are the newest. Raises UserError if there is none."""
    weights = [(path.stat().st_mtime, path.parent) for path in (ROOT / "runs").glob("*/model.safetensors")]
    if not weights:
        raise UserError(say("look_no_run", command=f"python {here('main.py')}"))
    return max(weights)[1]
