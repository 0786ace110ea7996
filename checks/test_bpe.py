"""Byte-pair encoding: the textbook version, the fast one, Hugging Face's tokenizers and tiktoken agree."""

import doctest
import json
import unicodedata

import pytest
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import training.tokenizer
from checks.conftest import ROOT
from training import bpe, bpe_basic
from training.bpe import BPE, parts, replace
from training.bpe_basic import WORD, Merge, words
from training.errors import UserError
from training.tokenizer import BPETokenizer, CharTokenizer, decode_stream, load_tokenizer

TEXT = (ROOT / "input.txt").read_text(encoding="utf-8")
KOREAN = "사과를 먹는 아이가 바다를 본다. 바다는 아이를 보지 않는다. 아이는 다시 사과를 먹는다.\n" * 20
A, B, C, D, SPACE = (bpe_basic.BYTE_IDS[ord(c)] for c in "abcd ")

# Characters that this Python's Unicode assigns. (tokenizers and tiktoken have Unicode 16, and regex a newer one, by
# which some thousand letters, as of Sidetic, are letters here, and there not yet.)
anything = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=40)
wordy = st.text(st.sampled_from("aehtrsdl'' \n\t1٣é한다를않😀!\N{NO-BREAK SPACE}"), max_size=40)
excerpts = st.builds(lambda i, n: (TEXT + KOREAN)[i : i + n], st.integers(0, len(TEXT + KOREAN)), st.integers(0, 60))
texts = st.lists(st.one_of(anything, wordy, excerpts), max_size=4).map("".join)

LEARNERS = pytest.mark.parametrize("learn", [bpe_basic.learn, bpe.learn], ids=["basic", "fast"])


def pairs(merges) -> list[tuple[int, int]]:
    return [(merge.left, merge.right) for merge in merges]


@pytest.fixture(scope="module")
def ours() -> BPE:
    return BPE(pairs(bpe.learn(TEXT + KOREAN * 50, 1500)), specials=["<end>", "<end>>", "<pause here>"])


@pytest.fixture(scope="module")
def theirs(ours: BPE) -> BPETokenizer:
    return BPETokenizer(ours.merges, ours.specials)


@pytest.fixture(scope="module")
def in_tiktoken(ours: BPE) -> tiktoken.Encoding:
    specials = {name: 1756 + i for i, name in enumerate(ours.specials)}
    return tiktoken.Encoding("ours", pat_str=WORD.pattern, mergeable_ranks=ours.ranks(), special_tokens=specials)


@pytest.mark.parametrize("module", [bpe_basic, bpe, training.tokenizer])
def test_the_examples_in_the_docstrings_are_true(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


# Learning


@LEARNERS
def test_merges_are_those_worked_by_hand(learn):
    # The words abab, " ab", " cd" have ab three times, which is merged first, and then four pairs once each:
    # c d (66, 67), space ab (220, 256), space c (220, 66) until cd is merged, ab ab (256, 256).
    ab, cd = 256, 257
    assert list(learn("abab ab cd", 100)) == [
        Merge(A, B, 3, 3), Merge(C, D, 1, 1), Merge(SPACE, ab, 1, 1), Merge(SPACE, cd, 1, 1), Merge(ab, ab, 1, 1),
    ]  # fmt: skip


@LEARNERS
def test_equally_frequent_pairs_are_merged_in_the_order_of_their_ids(learn):
    assert pairs(learn("cd ab", 3)) == [(A, B), (C, D), (SPACE, 256)]


@LEARNERS
def test_three_of_a_kind_count_as_two_pairs_but_one_is_replaced(learn):
    assert list(learn("aaa", 1)) == [Merge(A, A, 2, 1)]
    assert list(learn("aaaaa", 3)) == [Merge(A, A, 4, 2), Merge(256, A, 1, 1), Merge(256, 257, 1, 1)]


@LEARNERS
def test_no_merge_goes_across_words(learn):
    assert list(learn("a1!a1!a1!", 10)) == []


@LEARNERS
@pytest.mark.parametrize(
    ("text", "n_merges", "found"),
    [("", 5, 0), ("a", 5, 0), ("a b c", 0, 0), ("abc abc", 5, 3), (b"\xff\xfe\xff\xfe", 9, 2)],
)
def test_learning_stops_where_the_text_has_no_pairs_left(learn, text: str | bytes, n_merges: int, found: int):
    assert len(list(learn(text, n_merges))) == found


@given(st.one_of(wordy, anything))
def test_the_fast_version_learns_what_the_textbook_version_learns(text: str):
    assert list(bpe.learn(text, 1000)) == list(bpe_basic.learn(text, 1000))


def test_the_fast_version_learns_what_the_textbook_version_learns_on_a_longer_text():
    text = TEXT[:10_000] + KOREAN
    assert list(bpe.learn(text, 200)) == list(bpe_basic.learn(text, 200))


@pytest.mark.parametrize("n_merges", [300, 1000, 5000])
def test_merges_of_the_play_are_those_of_tokenizers(n_merges: int):
    assert BPETokenizer.from_text(TEXT, 256 + n_merges).merges == pairs(bpe.learn(TEXT, n_merges))


@given(texts, st.integers(0, 60))
@settings(max_examples=50)
def test_merges_of_any_text_are_those_of_tokenizers(text: str, n_merges: int):
    assert BPETokenizer.from_text(text, 256 + n_merges).merges == pairs(bpe.learn(text, n_merges))


def test_learning_looks_at_few_words_where_recounting_looks_at_all(monkeypatch: pytest.MonkeyPatch):
    looks = 0

    def counted(*args):
        nonlocal looks
        looks += 1
        return replace(*args)

    monkeypatch.setattr(bpe, "replace", counted)
    text = TEXT[:50_000]
    n_merges = len(list(bpe.learn(text, 10**9)))
    distinct = set(words(text))
    n_bytes = sum(len(word.encode()) for word in distinct)
    assert looks < 3 * n_bytes < n_merges * len(distinct) / 100


# Words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't, they'll", ["I", " don", "'t", ",", " they", "'ll"]),
        ("it's we're I've I'm he'd", ["it", "'s", " we", "'re", " I", "'ve", " I", "'m", " he", "'d"]),
        ("DON'T 'tis", ["DON", "'", "T", " '", "tis"]),
        ("a  b", ["a", " ", " b"]),
        ("a\n\n b\t c  ", ["a", "\n\n", " b", "\t", " c", "  "]),
        ("x2 = 10%!?", ["x", "2", " =", " 10", "%!?"]),
        ("바다를 본다. 3개", ["바다를", " 본다", ".", " 3", "개"]),
        ("été Ⅷ ½ ٣", ["été", " Ⅷ", " ½", " ٣"]),
        ("hi😀😀 there", ["hi", "😀😀", " there"]),
    ],
)
def test_words_are_as_gpt_2_cuts_them(text: str, expected: list[str]):
    assert words(text) == expected


@given(texts, st.integers(1, 20))
def test_parts_have_the_words_of_the_whole_text(text: str, size: int):
    assert [word for part in parts(text, size) for word in words(part)] == words(text)
    assert "".join(words(text)) == text


# Ids


@given(text=texts)
@settings(max_examples=300)
def test_any_text_gets_the_ids_that_tokenizers_and_tiktoken_give_it(
    ours: BPE, theirs: BPETokenizer, text: str, in_tiktoken: tiktoken.Encoding
):
    ids = ours.encode(text)
    assert ids == theirs.encode(text) == in_tiktoken.encode_ordinary(text)
    assert ours.decode(ids) == theirs.decode(ids) == text


@given(text=texts)
@settings(max_examples=30)
def test_any_text_gets_the_ids_of_the_textbook_version(ours: BPE, text: str):
    assert ours.encode(text) == bpe_basic.encode(text, ours.merges)
    assert bpe_basic.decode(ours.encode(text), ours.merges) == text


def test_every_line_of_the_play_gets_the_ids_that_tokenizers_and_tiktoken_give_it(
    ours: BPE, theirs: BPETokenizer, in_tiktoken: tiktoken.Encoding
):
    for line in TEXT.splitlines(keepends=True):
        assert ours.encode(line) == theirs.encode(line) == in_tiktoken.encode_ordinary(line)


def test_the_whole_play_gets_the_ids_of_its_words(ours: BPE, theirs: BPETokenizer, in_tiktoken: tiktoken.Encoding):
    assert ours.encode(TEXT) == theirs.encode(TEXT) == in_tiktoken.encode_ordinary(TEXT)


@pytest.mark.parametrize("kind", [BPE, BPETokenizer])
@given(content=st.one_of(st.binary(max_size=60), st.builds(lambda a, b: a.encode() + b, texts, st.binary(max_size=9))))
@settings(max_examples=100)
def test_any_string_of_bytes_comes_back_as_it_was(ours: BPE, theirs: BPETokenizer, kind: type, content: bytes):
    tokenizer = ours if kind is BPE else theirs
    assert tokenizer.decode_bytes(tokenizer.encode(content)) == content


def test_korean_has_tokens_for_its_words_and_comes_back_as_it_was(ours: BPE, theirs: BPETokenizer):
    assert len(ours.encode(" 바다를")) == 1
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, KOREAN)
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text, "nothing is normalized"
    assert len(ours.encode("뷁")) == 3, "a syllable that was never seen is its three bytes"


def test_each_token_is_made_by_one_pair_only(ours: BPE):
    assert len(ours.ranks()) == 256 + len(ours.merges)
    assert sorted(ours.ranks().values()) == list(range(256 + len(ours.merges)))


@pytest.mark.parametrize("wrong", [-1, 1759, 10**9])
def test_an_id_that_is_none_is_named(ours: BPE, theirs: BPETokenizer, wrong: int):
    assert ours.vocab_size == 1759
    for tokenizer in (ours, theirs):
        with pytest.raises(UserError, match=f"no token {wrong}; the ids go from 0 to 1758"):
            tokenizer.decode([64, wrong])


def test_half_of_a_surrogate_pair_is_named(ours: BPE, theirs: BPETokenizer):
    for tokenizer in (ours, theirs):
        with pytest.raises(UserError, match=r"\\ud83d"):
            tokenizer.encode("a \ud83d b")


# Special tokens


def test_a_special_token_in_the_text_is_text(ours: BPE, theirs: BPETokenizer, in_tiktoken: tiktoken.Encoding):
    text = "so it goes<end>"
    ids = ours.encode(text)
    assert max(ids) < 256 + len(ours.merges)
    assert ids == theirs.encode(text) == in_tiktoken.encode_ordinary(text)
    assert ours.decode(ids) == text


@pytest.mark.parametrize("text", ["<end>", "a<end>b <end>> c<pause here> 's<end", "<end><end>>>", "no special"])
def test_special_tokens_are_found_where_the_text_may_hold_them(ours: BPE, theirs: BPETokenizer, text: str):
    ids = ours.encode(text, specials=True)
    assert ids == theirs.encode(text, specials=True)
    assert ours.decode(ids) == theirs.decode(ids) == text
    counts = [ids.count(i) for i in range(1756, 1759)]
    assert counts == [text.replace("<end>>", "").count("<end>"), text.count("<end>>"), text.count("<pause here>")]


def test_special_tokens_have_their_ids_in_tiktoken(ours: BPE, in_tiktoken: tiktoken.Encoding):
    text = "a<end>b <pause here> c"
    assert in_tiktoken.encode(text, allowed_special="all") == ours.encode(text, specials=True)


def test_a_special_token_does_not_cut_a_text_that_may_not_hold_it(ours: BPE):
    for kind in (BPE, BPETokenizer):
        tokenizer = kind(ours.merges, specials=["y o"])
        assert tokenizer.encode("not only one") == ours.encode("not only one")
        assert tokenizer.encode("not only one", specials=True) != ours.encode("not only one")


@pytest.mark.parametrize("specials", [[""], ["<a>", "<a>"]])
def test_special_tokens_that_cannot_be_told_apart_are_refused(specials: list[str]):
    with pytest.raises(UserError, match="special tokens have to be different"):
        BPE([], specials)


def test_a_special_token_that_is_spelled_as_another_token_is_refused():
    with pytest.raises(UserError, match="'a'.*spelled as another token"):
        BPETokenizer([], ["<end>", "a"])


# Files and streams


def test_what_is_saved_loads_here_and_in_tokenizers(theirs: BPETokenizer):
    again = load_tokenizer(theirs.to_json())
    assert isinstance(again, BPETokenizer)
    assert (again.merges, again.specials, again.tokens) == (theirs.merges, theirs.specials, theirs.tokens)
    elsewhere = tokenizers.Tokenizer.from_str(theirs.to_json())
    text = TEXT[:2000] + KOREAN + "<end>"
    ids = theirs.encode(text, specials=True)
    assert elsewhere.encode(text).ids == ids
    assert elsewhere.decode(ids, skip_special_tokens=False) == text


def test_characters_are_saved_as_before():
    again = load_tokenizer(CharTokenizer.from_text("he\nllo 가").to_json())
    assert isinstance(again, CharTokenizer)
    assert again.characters == list("\n ehlo가")


def break_vocabulary(content: dict) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


BROKEN = {
    "ids exchanged": break_vocabulary,
    "a merge lost": lambda content: content["model"]["merges"].pop(),
    "a merge of nothing known": lambda content: content["model"]["merges"].append(["xyz", "q"]),
    "merges too early": lambda content: content["model"]["merges"].reverse(),
    "no model": lambda content: content.pop("model"),
}


@pytest.mark.parametrize("breakage", BROKEN)
def test_a_tokenizer_file_that_is_damaged_is_an_error(theirs: BPETokenizer, breakage: str):
    content = json.loads(theirs.to_json())
    BROKEN[breakage](content)
    with pytest.raises((ValueError, TypeError, LookupError)):
        load_tokenizer(json.dumps(content))


@given(ids=st.lists(st.integers(0, 1758), max_size=30))
def test_a_stream_of_tokens_adds_up_to_their_text(theirs: BPETokenizer, ids: list[int]):
    assert "".join(decode_stream(theirs, ids)) == theirs.decode(ids)


def test_a_stream_shows_characters_when_they_are_whole():
    tokenizer = BPETokenizer([])
    ids = tokenizer.encode("a뷁é")
    assert len(ids) == 6
    assert list(decode_stream(tokenizer, ids)) == ["a", "뷁", "é"]
    assert list(decode_stream(tokenizer, ids[:3])) == ["a", "\N{REPLACEMENT CHARACTER}"]
    seen: list[str] = []
    for i, piece in zip([1, 4, 6], decode_stream(tokenizer, iter(ids)), strict=True):
        seen.append(piece)
        assert "".join(seen) == tokenizer.decode(ids[:i])
