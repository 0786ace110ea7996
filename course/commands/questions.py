"""A chapter's questions: each, then after a key, its answer."""

from training.console import Parser
from training.errors import UserError

from ..book import questions
from ..keys import Keys
from ..learner.standing import find_todo
from ..messages import say
from ..reading import find_chapter, print_markdown
from ..terminal import console


def main(argv: list[str]) -> int:
    parser = Parser("python -m course questions", say("questions_help"))
    parser.add_argument("chapter", nargs="?", metavar="N", help=say("chapter_help"))
    number = parser.parse_args(argv).chapter or str(find_todo(None)[0].stage.number)
    asked = questions(*find_chapter(number))
    if not asked:
        raise UserError(say("questions_none", chapter=number))
    out = console()
    with Keys() as keys:
        for n, item in enumerate(asked, 1):
            out.print(f"\n{say('question', number=n, there=len(asked))}", style="bold")
            print_markdown(out, item.question)
            if not pause(keys, say("questions_answer")):
                return 0
            out.print()
            print_markdown(out, item.answer)
            if n < len(asked) and not pause(keys, say("questions_next")):
                return 0
    return 0


def pause(keys: Keys, text: str) -> bool:
    """Wait for a key where there is a keyboard. Returns whether to go on."""
    if keys.terminal:
        print(f"\n{text} ", end="", flush=True)
        key = keys.read()
        print()
        return key != "q"
    return True
