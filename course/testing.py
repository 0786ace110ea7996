"""How a stage's test is run by a program that reads the result."""


def pytest_arguments(test: str, *, solutions: bool = False) -> list[str]:
    """From the course's root, with nothing kept for a later run."""
    return [test, "-q", "-p", "no:cacheprovider", *(["--solutions"] if solutions else [])]
