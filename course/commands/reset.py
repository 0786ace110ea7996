"""Put a TODO back as it came. What was there before is kept."""

from training.console import Parser
from training.errors import UserError

from ..learner.backups import keep, new_folder
from ..learner.regions import find_region, read_source, replace_region, write_source
from ..learner.standing import PACKAGE, find_todo
from ..messages import say
from ..scaffold import fresh_folder, scaffold_text
from ..stages import ROOT, Todo
from ..terminal import here


def main(argv: list[str]) -> int:
    parser = Parser("python -m course reset", say("reset_help"))
    parser.add_argument("todo", metavar="N[-M]", help=say("reset_todo_help"))
    standing, todo = find_todo(parser.parse_args(argv).todo)
    numbers = [t.number for t in standing.stage.todos]
    if argv[0] not in numbers:
        raise UserError(say("reset_which", stage=standing.stage.number, numbers=", ".join(numbers)))
    reset(todo)
    return 0


def reset(todo: Todo) -> None:
    path = PACKAGE / todo.file
    file = here(path)
    if not path.exists():
        write_source(path, as_it_came(todo.file))
        print(say("reset_file_back", file=file))
        return
    text = read_source(path)
    region = find_region(text, todo.number)
    new = replace_region(text, region, region.waiting) if region else as_it_came(todo.file)
    if new == text:
        print(say("reset_nothing", todo=todo.number, file=file))
        return
    kept = keep(path, new_folder(f"reset-{todo.number}"))
    write_source(path, new)
    print(say("reset_done" if region else "reset_whole", todo=todo.number, file=file))
    print(say("reset_kept", file=here(kept)))


def as_it_came(name: str) -> str:
    """A file of gpt/ before the learner wrote in it: made from the finished one, or, where a release has no finished
    ones, from the copy that it has in its place. Raises UserError if there is neither."""
    finished, fresh = ROOT / "solutions" / "gpt" / name, fresh_folder(ROOT) / name
    if finished.exists():
        return scaffold_text(finished.read_text(encoding="utf-8"), name)
    if fresh.exists():
        return fresh.read_text(encoding="utf-8")
    raise UserError(say("reset_no_source", file=f"gpt/{name}"))
