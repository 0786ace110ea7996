"""How stage tests are run by a program that reads the result."""


def pytest_arguments(*tests: str, solutions: bool = False) -> list[str]:
    """From the course's root, with nothing kept for a later run."""
    return [*tests, "-q", "-p", "no:cacheprovider", *(["--solutions"] if solutions else [])]
