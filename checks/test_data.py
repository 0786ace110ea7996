"""Text to tokens to batches."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from training.data import (
    DOWNLOADS,
    Batches,
    Download,
    download,
    find_text,
    read_text,
    sample_batch,
    split,
    to_tokens,
    windows,
)
from training.errors import UserError
from training.tokenizer import CharTokenizer


@given(st.text())
def test_any_text_is_encoded_and_decoded_without_loss(text: str):
    tokenizer = CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert set(ids) == set(range(tokenizer.vocab_size))


def test_unknown_characters_are_named_once_each():
    with pytest.raises(UserError) as error:
        CharTokenizer.from_text("abc").encode("a\N{EURO SIGN}z\N{EURO SIGN}")
    assert "'\N{EURO SIGN}' 'z'" in str(error.value)


def test_a_text_keeps_its_characters_but_for_windows_line_ends_and_the_byte_order_mark(tmp_path: Path):
    path = tmp_path / "text.txt"
    path.write_bytes("\N{ZERO WIDTH NO-BREAK SPACE}하나\r\ntwo\n".encode())
    assert read_text(path) == "하나\ntwo\n"


def test_the_split_keeps_the_order_and_every_character():
    assert split("0123456789" * 10, validation=0.1) == ("0123456789" * 9, "0123456789")


def test_a_text_needs_one_token_more_than_the_context():
    tokenizer = CharTokenizer("ab")
    assert to_tokens("abbaa", tokenizer, block_size=4, part="training").tolist() == [0, 1, 1, 0, 0]
    with pytest.raises(UserError, match="the training part of the text has 4 tokens, .* --model.block_size 3"):
        to_tokens("abba", tokenizer, block_size=4, part="training")


def test_targets_are_the_inputs_one_place_further():
    x, y = sample_batch(torch.arange(50), batch_size=400, block_size=7, generator=torch.Generator().manual_seed(0))
    assert x.shape == y.shape == (400, 7)
    assert torch.equal(y, x + 1)
    assert torch.equal(x, x[:, :1] + torch.arange(7))
    assert (x.min(), y.max()) == (0, 49), "the first and the last token are drawn, too"


def test_random_batches_depend_on_the_generator_alone():
    def batch(seed: int) -> torch.Tensor:
        torch.manual_seed(torch.seed())
        return sample_batch(torch.arange(1000), 8, 4, torch.Generator().manual_seed(seed))[0]

    assert torch.equal(batch(3), batch(3))
    assert not torch.equal(batch(3), batch(4))


@given(
    length=st.integers(2, 60),
    block_size=st.integers(1, 20),
    batch_size=st.integers(1, 5),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 3),
)
def test_an_epoch_has_windows_side_by_side_each_once(
    length: int, block_size: int, batch_size: int, seed: int, epoch: int
):
    assume(length > block_size)
    batches = Batches(torch.arange(length), batch_size, block_size, seed)
    n = batches.per_epoch
    rows = [
        (a, b)
        for number in range(epoch * n // batch_size, (epoch + 1) * n // batch_size + 1)
        for a, b in zip(*batches[number], strict=True)
    ][epoch * n % batch_size :][:n]
    assert all(torch.equal(y, x + 1) for x, y in rows)
    starts = sorted(x[0].item() for x, _ in rows)
    assert starts == list(range(starts[0], starts[0] + n * block_size, block_size))
    left_out = length - 1 - n * block_size
    assert 0 <= left_out < 2 * block_size


def test_each_epoch_cuts_and_shuffles_anew():
    batches = Batches(torch.arange(1001), batch_size=100, block_size=10, seed=1)
    starts = [batches[number][0][:, 0] for number in range(3)]
    assert batches.per_epoch == 99
    assert all(s.diff().min() < 0 for s in starts), "shuffled"
    assert len({tuple(s.tolist()) for s in starts}) == len({s.min().item() % 10 for s in starts}) == 3


def test_batches_depend_on_seed_and_number_alone():
    tokens = torch.arange(100)
    batches = Batches(tokens, batch_size=7, block_size=4, seed=1)
    there_and_back = [batches[number][0] for number in (0, 9, 3, 0)]
    assert torch.equal(there_and_back[0], there_and_back[3])
    assert torch.equal(there_and_back[1], Batches(tokens, batch_size=7, block_size=4, seed=1)[9][0])
    assert not torch.equal(there_and_back[0], Batches(tokens, batch_size=7, block_size=4, seed=2)[0][0])


def test_two_batches_are_the_halves_of_one_that_is_twice_as_large():
    tokens = torch.arange(100)
    small, large = (Batches(tokens, batch_size=size, block_size=4, seed=1) for size in (5, 10))
    assert torch.equal(torch.cat([small[6][0], small[7][0]]), large[3][0])


@given(length=st.integers(2, 60), block_size=st.integers(1, 20), batch_size=st.integers(1, 5))
def test_windows_have_each_token_but_the_first_as_a_target_exactly_once(length: int, block_size: int, batch_size: int):
    tokens = torch.arange(length)
    pairs = list(windows(tokens, batch_size, block_size))
    targets = torch.cat([y.flatten() for _, y in pairs])
    assert targets.tolist() == list(range(1, length))
    assert all(torch.equal(y, x + 1) and x.shape[0] <= batch_size and x.shape[1] <= block_size for x, y in pairs)


CONTENT = b"HOB:\nTwo hens, a kettle.\n" * 10


class Server(http.server.BaseHTTPRequestHandler):
    requests = 0
    cut_short = False

    def do_GET(self) -> None:
        Server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:50] if Server.cut_short else CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def source() -> Iterator[Download]:
    Server.requests, Server.cut_short = 0, False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/text"
        yield Download(url, hashlib.sha256(CONTENT).hexdigest())
        server.shutdown()


def test_a_text_is_downloaded_once(source: Download, tmp_path: Path):
    target = tmp_path / "cache" / "text.txt"
    for _ in range(2):
        assert download(source, target).read_bytes() == CONTENT
    assert Server.requests == 1


def test_a_damaged_copy_in_the_cache_is_fetched_again(source: Download, tmp_path: Path):
    target = tmp_path / "text.txt"
    target.write_bytes(CONTENT[:30])
    assert download(source, target).read_bytes() == CONTENT


def test_a_transfer_that_breaks_off_leaves_nothing_behind(source: Download, tmp_path: Path):
    Server.cut_short = True
    with pytest.raises(UserError, match=r"--data input\.txt"):
        download(source, tmp_path / "cache" / "text.txt", timeout=2)
    assert not (tmp_path / "cache").exists()
    Server.cut_short = False
    assert download(source, tmp_path / "cache" / "text.txt").read_bytes() == CONTENT


def test_a_text_that_is_not_the_expected_one_is_refused(source: Download, tmp_path: Path):
    with pytest.raises(UserError, match="sha256 differs"):
        download(Download(source.url, "0" * 64), tmp_path / "text.txt")
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_alternative_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot be reached .*--data input\.txt"):
        download(Download("http://127.0.0.1:9/text", "0" * 64), tmp_path / "text.txt", timeout=2)


def test_a_known_text_is_looked_for_in_the_cache(source: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("training.data.CACHE", tmp_path)
    monkeypatch.setitem(DOWNLOADS, "tinyshakespeare", source)
    assert find_text("tinyshakespeare") == tmp_path / "tinyshakespeare.txt"
    assert find_text("other.txt") == Path("other.txt")
