"""input.txt is what its description says. Its figures, beside those of tiny Shakespeare: README.md."""

import gzip
import re
from collections import Counter

import pytest

from checks.conftest import ROOT


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "input.txt").read_text(encoding="utf-8")


def test_its_size_and_its_characters(text: str):
    assert len(text) >= 400_000
    assert text.isascii()
    assert len(set(text)) <= 70


def test_it_is_as_rich_as_the_classic_text(text: str):
    """tiny Shakespeare: gzip ratio 2.57, and 10,577 distinct words in the first 300,000 characters."""
    assert len(text) / len(gzip.compress(text.encode(), 9)) <= 2.75
    assert len(set(text[:300_000].split())) >= 10_500


def test_its_layout_is_speaker_speech_blank_line(text: str):
    assert text.endswith("\n")
    for speech in text.strip("\n").split("\n\n"):
        speaker, *lines = speech.split("\n")
        assert re.fullmatch(r"[A-Z][A-Za-z' -]*:", speaker), speech
        assert lines, speech
        assert all(line == line.strip() != "" and len(line) <= 80 for line in lines), speech


def test_no_passage_is_said_twice(text: str):
    """No twelve words in a row come back, but for what is sung again."""
    words = re.findall(r"[a-z']+", text.lower())
    passages = Counter(zip(*(words[i:] for i in range(12)), strict=False))
    again = {" ".join(passage) for passage, count in passages.items() if count > 1}
    assert len(again) <= 40, sorted(again)[:5]
