"""The page of `look`: look.html with the numbers in it as JSON."""

import json
from pathlib import Path

from ..messages import TEXTS, language

TEMPLATE = Path(__file__).with_name("look.html")
DATA = "/* data */ null"  # what stands in the template in the place of the numbers


def render(data: dict) -> str:
    """The page. In the JSON, < is written as an escape, so that no text can end the script that it stands in."""
    index = 1 if language() == "ko" else 0
    texts = {key.removeprefix("page_"): pair[index] for key, pair in TEXTS.items() if key.startswith("page_")}
    content = json.dumps({**data, "language": language(), "texts": texts}, ensure_ascii=False, separators=(",", ":"))
    return TEMPLATE.read_text(encoding="utf-8").replace(DATA, content.replace("<", "\\u003c"))
