"""What the commands say, in the learner's language. The texts are messages.json: key -> [English, Korean]."""

import json
import os
import sys
from pathlib import Path

from training.errors import UserError

from .book import LANGUAGES

TEXTS: dict[str, list[str]] = json.loads(Path(__file__).with_name("messages.json").read_text(encoding="utf-8"))
WINDOWS_KOREAN = 0x12  # the primary language in the low ten bits of a Windows language identifier
_chosen: list[str] = []


def choose_language(argv: list[str]) -> list[str]:
    """Take --lang out of the arguments; without it, the language is that of the system. Returns the others."""
    rest, wanted = [], None
    words = iter(argv)
    for word in words:
        if word == "--lang":
            wanted = next(words, "")
        elif word.startswith("--lang="):
            wanted = word.removeprefix("--lang=")
        else:
            rest.append(word)
    if wanted not in (None, *LANGUAGES):
        raise UserError(f"there is no language '{wanted}'; the course speaks {' and '.join(LANGUAGES)} (--lang)")
    _chosen[:] = [wanted] if wanted else []
    return rest


def language() -> str:
    return _chosen[0] if _chosen else "ko" if _system_is_korean() else "en"


def say(key: str, **values: object) -> str:
    return TEXTS[key][LANGUAGES.index(language())].format(**values)


def _system_is_korean() -> bool:
    """By the environment, as POSIX ranks it; without a word there, by the language of Windows."""
    names = [name for variable in ("LC_ALL", "LC_MESSAGES", "LANG") if (name := os.environ.get(variable))]
    if sys.platform == "win32" and not names:
        import ctypes

        return ctypes.windll.kernel32.GetUserDefaultUILanguage() & 0x3FF == WINDOWS_KOREAN
    return names[:1] != [] and names[0].startswith("ko")
