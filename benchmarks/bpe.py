"""How fast byte-pair encoding is learned, how that grows with the text, and whether all agree on merges and ids.

    python benchmarks/bpe.py speed [--data PATH]     1,000 merges: recounting, ours, and Hugging Face's tokenizers
    python benchmarks/bpe.py growth [--data PATH]    1,000 merges on 100 KB to 50 MB: seconds, and memory at its peak
    python benchmarks/bpe.py equal [--data PATH]     merges on both texts; ids on their lines and 10,000 random strings

The first text is tiny Shakespeare, or the one at PATH, and the second is input.txt.

speed    recounting is bpe_basic.py, the textbook version, and a version of it that recounts the distinct words only:
         minutes, so each is done once. Ours and tokenizers take turns: the median of their times, and the range.
growth   a text smaller than the first one is its beginning. A larger one is the text and copies of it; in each copy
         the words but for the 1,000 most frequent ones have their vowels exchanged for other vowels and their
         consonants for other consonants, differently each time, so that distinct words go on coming. Each measurement
         is a process of its own; Linux and macOS tell its memory.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from training import bpe, bpe_basic  # noqa: E402
from training.bpe_basic import Pair, byte_ids, merged, words  # noqa: E402
from training.tokenizer import BPETokenizer  # noqa: E402

Encoder = Callable[[str], list[int]]

N_MERGES = 1000
SIZES = [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 50_000_000]


def ours(text: str, n_merges: int = N_MERGES) -> list[Pair]:
    return [(merge.left, merge.right) for merge in bpe.learn(text, n_merges)]


def theirs(text: str, n_merges: int = N_MERGES) -> list[Pair]:
    return BPETokenizer.from_text(text, 256 + n_merges).merges


def recounting(text: str) -> list[Pair]:
    return [(merge.left, merge.right) for merge in bpe_basic.learn(text, N_MERGES)]


def recounting_distinct_words(text: str) -> list[Pair]:
    counts = Counter(words(text))
    tokens, times = [byte_ids(word) for word in counts], list(counts.values())
    merges: list[Pair] = []
    for new in range(256, 256 + N_MERGES):
        pairs: Counter[Pair] = Counter()
        for word, n in zip(tokens, times, strict=True):
            for pair in pairwise(word):
                pairs[pair] += n
        merges.append(min(pairs, key=lambda pair: (-pairs[pair], pair)))
        tokens = [merged(word, merges[-1], new) for word in tokens]
    return merges


def timed(learn: Callable[[str], list[Pair]], text: str) -> tuple[float, list[Pair]]:
    start = time.perf_counter()
    merges = learn(text)
    return time.perf_counter() - start, merges


def speed(text: str, turns: int) -> None:
    theirs(text[:1000])  # imports tokenizers
    turned: dict[str, list[float]] = {"ours": [], "tokenizers": []}
    for _ in range(turns):
        for name, learn in (("ours", ours), ("tokenizers", theirs)):
            turned[name].append(timed(learn, text)[0])
    reference = statistics.median(turned["ours"])
    expected = ours(text)
    print(f"{N_MERGES:,} merges, seconds")
    for name, learn in (
        ("recounting the text (bpe_basic.py)", recounting),
        ("recounting the distinct words", recounting_distinct_words),
    ):
        seconds, merges = timed(learn, text)
        print(
            f"{name:36}{seconds:8.2f}{seconds / reference:8.1f} times ours{'' if merges == expected else ', DIFFERENT'}"
        )
    for name, times in turned.items():
        median, spread = statistics.median(times), f"{min(times):.2f}-{max(times):.2f}, {turns} turns"
        print(f"{name:36}{median:8.2f}{median / reference:8.2f} times ours ({spread})")


def enlarged(text: str, size: int) -> str:
    """See the module's docstring."""
    tokens = words(text)
    frequent = {word for word, _ in Counter(tokens).most_common(1000)}
    copies, length, seed = [text], len(text), 1
    while length < size:
        rng = random.Random(seed)
        exchange: dict[int, str] = {}
        for letters in ("aeiou", "bcdfghjklmnpqrstvwxyz"):
            for a, b in zip(letters, rng.sample(letters, len(letters)), strict=True):
                exchange |= {ord(a): b, ord(a.upper()): b.upper()}
        copies.append("".join(word if word in frequent else word.translate(exchange) for word in tokens))
        length += len(copies[-1])
        seed += 1
    return "".join(copies)[:size]


def growth(text: str) -> None:
    print(f"{N_MERGES:,} merges: seconds, first to count the words, then to learn; memory at the peak, text included\n")
    print(f"{'':38}|{'ours':>32}{'':8}|{'tokenizers':>14}")
    print(f"{'bytes':>12}{'words':>13}{'distinct':>11}  |{'count':>7}{'learn':>8}{'us a distinct word':>20}", end="")
    print(f"{'MB':>5} |{'all':>9}{'MB':>7}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "text.txt"
        for size in SIZES:
            file.write_text(enlarged(text, size), encoding="utf-8")
            one, other = (
                json.loads(subprocess.check_output([sys.executable, __file__, who, f"--data={file}"]))
                for who in ("_ours", "_theirs")
            )
            learning = one["seconds"] - one["count"]
            print(f"{size:12,}{one['words']:13,}{one['distinct']:11,}  |{one['count']:7.2f}{learning:8.2f}", end="")
            print(f"{1e6 * learning / one['distinct']:20.0f}{one['megabytes']:5.0f} |", end="")
            print(f"{other['seconds']:9.2f}{other['megabytes']:7.0f}", flush=True)


def measure(learn: Callable[[str], list[Pair]], text: str) -> None:
    import resource

    seconds, _ = timed(learn, text)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    start = time.perf_counter()
    counts: Counter[str] = Counter()
    for part in bpe.parts(text):
        counts.update(words(part))
    count = time.perf_counter() - start
    result = {"seconds": seconds, "count": count, "megabytes": peak / 1e6}
    print(json.dumps(result | {"words": counts.total(), "distinct": len(counts)}))


def equal(texts: dict[str, str]) -> None:
    import tiktoken

    for name, text in texts.items():
        for n_merges in (300, 1000, 5000):
            merges = ours(text, n_merges)
            print(f"{name}: {n_merges:,} merges {'equal' if merges == theirs(text, n_merges) else 'DIFFERENT'}")
            a, b = bpe.BPE(merges), BPETokenizer(merges)
            c = tiktoken.Encoding("ours", pat_str=bpe_basic.WORD.pattern, mergeable_ranks=a.ranks(), special_tokens={})

            def same_ids(string: str, encoders: tuple[Encoder, ...] = (a.encode, b.encode, c.encode_ordinary)) -> bool:
                ids = [encode(string) for encode in encoders]
                return ids[0] == ids[1] == ids[2]

            lines = text.splitlines(keepends=True)
            different = sum(not same_ids(line) for line in lines)
            print(f"{name}: ids of {len(lines):,} lines, {different} different", flush=True)
        print(f"{name}: ids of {draw_strings(same_ids):,} random strings equal", flush=True)  # at 5,000 merges


def draw_strings(same_ids: Callable[[str], bool]) -> int:
    """How many strings were compared; an error with the shortest one that is encoded differently."""
    from hypothesis import HealthCheck, given, settings

    from checks.test_bpe import texts

    drawn = 0

    @given(texts)
    @settings(max_examples=10_000, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def compare(string: str) -> None:
        nonlocal drawn
        drawn += 1
        assert same_ids(string)

    compare()
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "growth", "equal", "_ours", "_theirs"], metavar="speed|growth|equal")
    parser.add_argument("--data", default="tinyshakespeare", metavar="PATH")
    parser.add_argument("--turns", type=int, default=5, help="speed: how often ours and tokenizers are timed")
    args = parser.parse_args()
    path = Path(args.data)
    if not path.exists():
        from training.data import find_text  # takes PyTorch along, whose memory is not to be counted

        path = find_text(args.data)
    text = path.read_text(encoding="utf-8")
    if args.what == "speed":
        speed(text, args.turns)
    elif args.what == "growth":
        growth(text)
    elif args.what == "equal":
        equal({path.name: text, "input.txt": (ROOT / "input.txt").read_text(encoding="utf-8")})
    else:
        measure(ours if args.what == "_ours" else theirs, text)


if __name__ == "__main__":
    main()
