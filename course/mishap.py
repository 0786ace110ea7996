"""An error that arose in the learner's code, in a sentence."""

import traceback
from pathlib import Path

from .stages import ROOT, STAGES


def where_in_gpt(error: BaseException) -> str | None:
    """'gpt/block_v3.py, line 27: TypeError: ...' and the test that says more; None for an error of another origin.

    The line is the innermost of the learner's, or the one where Python could not read the file.
    """
    if isinstance(error, SyntaxError):
        places = [(error.filename, error.lineno)]
    else:
        places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    for filename, line in reversed(places):
        path = Path(filename or "")
        if path.parent == ROOT / "gpt":
            tests = [stage.test for stage in STAGES for todo in stage.todos if todo.file == path.name]
            first = str(error).strip().partition("\n")[0]
            more = f"\nThe stage's test says more: pytest {tests[0]} -s -vv" if tests else ""
            return f"gpt/{path.name}, line {line}: {type(error).__name__}: {first}{more}"
    return None
