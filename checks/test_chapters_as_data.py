"""course/book.py: a chapter's Markdown, taken apart for `python -m course hint` and its like."""

from pathlib import Path

import pytest

from course import book
from training.errors import UserError

CHAPTER = """# 5. Attention

## The idea
Some text.
```text
## not a heading
```

## Your TODO
TODO 5

## Hints
### TODO 5
1. Begin with the shapes,
   which are `(B, T, D)`.
2. A product:
   ```python
   1. / 2
   ```

### TODO 5-2: more
1. Another.

## Questions
1. Why?
   <details><summary>Answer</summary>

   Because.

   - Indeed.
   </details>
2. Is that
   all?
   <details><summary>Answer</summary>

   Yes.
   </details>
"""


def test_sections_are_found_by_their_headings_and_fences_are_passed_over():
    found = book.sections(CHAPTER)
    assert list(found) == ["The idea", "Your TODO", "Hints", "Questions"]
    assert found["The idea"].endswith("```text\n## not a heading\n```")


def test_hints_are_those_of_their_todo_alone():
    assert book.hints(CHAPTER, "5") == [
        "Begin with the shapes,\nwhich are `(B, T, D)`.",
        "A product:\n```python\n1. / 2\n```",
    ]
    assert book.hints(CHAPTER, "5-2") == ["Another."]
    assert book.hints(CHAPTER, "6") == []


def test_questions_come_with_the_answers_that_the_page_folds_away():
    assert book.questions(CHAPTER) == [("Why?", "Because.\n\n- Indeed."), ("Is that\nall?", "Yes.")]


def test_korean_chapters_have_their_own_headings():
    korean = CHAPTER.replace("## Hints", "## 힌트").replace("## Questions", "## 질문")
    assert len(book.hints(korean, "5", "ko")) == len(book.questions(korean, "ko")) == 2
    assert book.hints(korean, "5", "en") == []


def test_a_missing_chapter_is_named_with_the_way_to_get_it_back(tmp_path: Path):
    with pytest.raises(UserError, match="book/ko/05-attention.md is not there; git checkout"):
        book.read_chapter("05-attention.md", "ko", tmp_path)
