"""Right versions that are written differently from solutions/: the stage tests have to accept every one of them.

They are functions that stand in for a method, as the mistakes in tests/mistakes do. They give answers away, and so
they live here and not in tests/.
"""

from collections.abc import Callable
from typing import Any

RIGHT_VERSIONS: list[tuple[str, Callable[..., Any]]] = []


def right(todo: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        RIGHT_VERSIONS.append((todo, function))
        return function

    return add
