"""The page to look inside a model: its numbers are the model's, and a browser shows them as it says."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from course.commands import look
from course.models import build_model
from course.pages import inside
from course.pages.attention import attention_weights
from course.stages import STAGES
from gpt.head_v1 import HeadVer1
from gpt.head_v2 import HeadVer2
from gpt.head_v3 import HeadVer3
from gpt.head_v4 import HeadVer4
from gpt.multi_head_v1 import MultiHeadVer1
from gpt.multi_head_v2 import MultiHeadVer2
from training.config import make_config
from training.report import Run
from training.sampling import next_token_probabilities
from training.tokenizer import BPETokenizer, CharTokenizer, Tokenizer

TEXT = "O the mask, the mask!\nWho </script> wears it? Ah, <b>you</b> & I.\n"
PROMPT = "O the mask,\nthe mask!"
CHROMIUM = Path("/usr/bin/chromium")
V, T = 11, 7


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def make_run(root: Path, stage: int, tokenizer: Tokenizer | None = None, **model: int) -> Path:
    """The folder of a run with a model that learned nothing, but has what it says in its files."""
    torch.manual_seed(stage)
    sizes = {"n_layers": 2, "n_heads": 2, "embed_size": 16, "block_size": 24, "dropout": 0.1} | model
    config = make_config({"model": sizes, "train": {"iterations": 30}, "sample": {"prompt": "O", "length": 20}}, {})
    tokenizer = tokenizer or CharTokenizer.from_text(TEXT)
    run = Run.create(root, f"stage{stage}", config, tokenizer, {"stage": stage, "solutions": True})
    run.save_weights(build_model(stage, tokenizer.vocab_size, config.model))
    steps = [
        {"iteration": 10 * n, "loss": 4 - n / 10} | ({"validation_loss": 3.5} if n == 3 else {}) for n in (1, 2, 3)
    ]
    lines = [json.dumps(step) for step in steps]
    (run.folder / "metrics.jsonl").write_text("\n".join([*lines, '{"iteration": 4']), encoding="utf-8")
    samples = (
        "--- iteration 10, 1 s, validation loss 3.9 ---\nO <i>\n\n--- iteration 30, 2 s, validation loss 3.5 ---\nO!\n"
    )
    (run.folder / "samples.txt").write_text(samples, encoding="utf-8")
    return run.folder


# The weights of the heads


def bare(head: nn.Module) -> nn.Module:
    """A model of nothing but the head, on one-hot tokens."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.contextualizer = head

        def forward(self, indices: torch.Tensor) -> torch.Tensor:
            return self.contextualizer(nn.functional.one_hot(indices, V).float())

    return Model()


TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])


def test_the_weights_of_a_head_are_those_that_it_keeps():
    head = HeadVer4(T, V, 4)
    (weights,) = attention_weights(bare(head), TOKENS)
    assert torch.equal(weights, head.wei)
    del head.wei
    head.forward = lambda x: nn.Module.__getattr__(head, "value")(x)  # one that keeps nothing
    (again,) = attention_weights(bare(head), TOKENS)
    torch.testing.assert_close(again, weights)


def test_the_weights_of_all_heads_at_once_are_those_of_the_heads_one_by_one():
    torch.manual_seed(0)
    one, all_ = MultiHeadVer1(T, 12, 3), MultiHeadVer2(T, 12, 3)
    for name in ("query", "key", "value"):
        joined = torch.cat([3 * getattr(head, name).weight.data for head in one.heads])
        getattr(all_, name).weight.data = joined
        for head, part in zip(one.heads, joined.split(4), strict=True):
            getattr(head, name).weight.data = part
    embedding = nn.Embedding(V, 12)
    (first,), (second,) = (attention_weights(nn.Sequential(embedding, m), TOKENS) for m in (one, all_))
    assert first.shape == (3, T, T)
    assert (first[0] - first[1]).abs().max() > 0.1
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("head", [HeadVer1, HeadVer2, HeadVer3])
def test_the_weights_of_an_average_are_equal_shares_of_the_past(head: type[nn.Module]):
    (weights,) = attention_weights(bare(head()), TOKENS)
    torch.testing.assert_close(weights[0], torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None])


def test_every_layer_gives_the_weights_of_its_own_input():
    config = make_config(
        {"model": {"n_layers": 3, "n_heads": 2, "embed_size": 16}, "train": {"iterations": 1}}, {}
    ).model
    model = build_model(10, V, config).eval()
    weights = attention_weights(model, TOKENS)
    assert [w.shape for w in weights] == [(2, T, T)] * 3
    x = model.token_embedding_table(TOKENS) + model.pos_embedding_table(torch.arange(T))
    for block, got in zip(model.contextualizer, weights, strict=True):
        normed = block.ln1(x)
        q, k = (layer(normed).view(T, 2, 8).transpose(0, 1) for layer in (block.head.query, block.head.key))
        scores = q @ k.mT / 8**0.5 - 1e9 * torch.ones(T, T).triu(1)
        torch.testing.assert_close(got, scores.softmax(dim=-1))
        x = block(x)


# The other numbers


class Fixed(nn.Module):
    """Logits from a table, mixed over the whole text or over the past alone."""

    def __init__(self, sees_the_future: bool):
        super().__init__()
        self.table = nn.Embedding(V, V)
        self.mask = torch.ones(T, T) if sees_the_future else torch.ones(T, T).tril()

    def forward(self, indices: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.mask @ self.table(indices), None


@pytest.mark.parametrize("sees_the_future", [False, True])
def test_the_probe_says_what_moves_and_whether_the_future_is_seen(sees_the_future: bool):
    torch.manual_seed(1)
    model = Fixed(sees_the_future)
    logits, _ = model(TOKENS)
    found = inside.probe(model, TOKENS, logits)
    assert found["causal"] is not sees_the_future
    for place, other in enumerate(found["others"]):
        assert other != TOKENS[0, place]
        changed = TOKENS.clone()
        changed[0, place] = other
        moved = (model(changed)[0].softmax(-1) - logits.softmax(-1)).abs().sum(-1)[0] / 2
        torch.testing.assert_close(torch.tensor(found["moved"][place]) / 1000, moved, rtol=0, atol=6e-4)
    after_first = (logits[0, 2].masked_fill(torch.arange(V) == TOKENS[0, 3], -torch.inf)).argmax()
    assert found["others"][3] == after_first


def test_a_vocabulary_of_one_token_has_nothing_to_probe():
    assert inside.probe(nn.Identity(), torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, 1)) is None


def test_a_large_vocabulary_is_kept_for_the_last_tokens_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inside, "LOGITS", 900)
    tokenizer = BPETokenizer.from_text(TEXT * 3, 270)
    data = inside.look_inside(make_run(tmp_path, 10, tokenizer), TEXT)
    assert len(data["logits"]) == 3
    assert len(data["tokens"]) == 24
    assert data["dropped"] == len(tokenizer.encode(TEXT)) - 24


def test_the_curve_is_thinned_out_and_a_cut_off_line_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = inside.training(make_run(tmp_path, 1))
    assert found["loss"] == [[10, 3.9], [20, 3.8], [30, 3.7]]
    assert found["validation"] == [[30, 3.5]]
    assert found["samples"][0] == ["iteration 10, 1 s, validation loss 3.9", "O <i>"]
    monkeypatch.setattr(inside, "POINTS", 2)
    assert inside.training(next(tmp_path.iterdir()))["loss"] == [[20, 3.85], [30, 3.7]]
    assert inside.training(tmp_path) == {"loss": [], "validation": [], "samples": []}


# The command


def test_the_page_holds_all_in_itself_and_is_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = make_run(tmp_path, 10, n_layers=4, n_heads=4, block_size=64)
    assert look.main([str(folder), "--prompt", TEXT]) == 0
    page = (folder / "look.html").read_text(encoding="utf-8")
    assert "look.html is ready" in capsys.readouterr().out
    assert 64 in {len(heads[0]) for heads in json.loads(re.search(r"const data = (.*);\n", page)[1])["attention"]}
    assert len(page.encode()) < 400_000  # of the 3 MB that it may take
    assert not re.search(r"\b(src|href)\s*=|url\(|@import|fetch\(|https?:", page)
    assert page.count("</script>") == 1  # none from the vocabulary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "'nowhere' is not the folder of a run"),
        (["--prompt", ""], "the prompt is empty; give it at least one character (--prompt)"),
        (["--prompt", "~"], "the training text has no '~'; it is made of "),
    ],
)
def test_bad_input_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str):
    from course.__main__ import main

    monkeypatch.setattr(look, "ROOT", tmp_path)
    make_run(tmp_path / "runs", 1)
    with pytest.raises(look.UserError, match=re.escape(message)):
        look.main(arguments)
    assert main(["look", *arguments]) == 2


def test_without_a_run_the_way_to_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(look, "ROOT", tmp_path)
    with pytest.raises(look.UserError, match=r"no trained model in runs/ yet; python \S*main.py trains one"):
        look.main([])


def test_without_arguments_it_is_the_newest_run_and_a_text_of_the_models_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(look, "ROOT", tmp_path)
    make_run(tmp_path / "runs", 5)
    newest = make_run(tmp_path / "runs", 7)
    look.main([])
    assert (newest / "look.html").exists()


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (.ci/requirements.txt)")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no browser {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=options)
        yield browser
        browser.close()


class Page:
    """The page in a browser, and what its console said."""

    def __init__(self, browser: Any, file: Path, width: int = 1180, scheme: str = "light"):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(file.resolve().as_uri())

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def rows(self, table: str) -> list[list[str]]:
        return [row.split("\t")[:3] for row in self.page.locator(f"{table} tbody tr").all_inner_texts()]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = make_run(tmp_path, 10)
    look.main([str(folder), "--prompt", PROMPT])
    return folder / "look.html"


@pytest.fixture
def shown(browser: Any, written: Path) -> Iterator[Page]:
    page = Page(browser, written)
    yield page
    assert page.said == []
    page.context.close()


def the_data(written: Path) -> dict[str, Any]:
    return json.loads(re.search(r"const data = (.*);\n", written.read_text(encoding="utf-8"))[1])


def share(text: str) -> float:
    return float(text.removesuffix(" %")) / 100


@pytest.mark.parametrize("stage", [stage.number for stage in STAGES])
def test_every_stages_model_has_a_page_without_an_error(browser: Any, tmp_path: Path, stage: int):
    folder = make_run(tmp_path, stage)
    look.main([str(folder), "--prompt", PROMPT])
    page = Page(browser, folder / "look.html")
    assert page.said == []
    assert f"stage {stage}, {STAGES[stage - 1].title}" in page.text("#about")
    assert page.page.locator("#tokens .token").count() == len(PROMPT)
    note = page.text("#attention-note")
    kind = "no attention" if stage == 1 else "learns nothing" if stage < 5 else "Each picture is a head"
    assert kind in note
    assert page.page.locator(".head").count() == {1: 0, 7: 2, 8: 4, 9: 4, 10: 4}.get(stage, 1)
    assert ("does not know places" in page.text("#positions-note")) == (stage < 6)
    assert "does not see the future" in page.text("#probe-verdict")
    assert "validation loss fell to 3.500 in 30 iterations" in str(page.page.get_attribute("#loss", "aria-label"))
    page.context.close()


def test_pointing_at_a_token_shows_where_the_chosen_head_looks(shown: Page, written: Path):
    data = the_data(written)
    shown.page.locator("#tokens .token").nth(8).hover()
    assert "Where s (place 8) looks, layer 1, head 1" in shown.text("#attention-caption")
    rows = shown.rows("#attention-table")
    weights = data["attention"][0][0][8]
    places = [int(place) for _, place, _ in rows]
    assert places == sorted(range(9), key=lambda place: (-weights[place], -place))[:8]
    assert all(share(text) == pytest.approx(weights[int(place)] / 1000, abs=6e-3) for _, place, text in rows)
    assert all(token == PROMPT[int(place)].replace(" ", "␣") for token, place, _ in rows)
    shown.page.get_by_label("layer 2, head 2").check()
    assert "Where s (place 8) looks, layer 2, head 2" not in shown.text("#attention-caption")  # the mouse has left
    shown.page.locator("#tokens .token").nth(8).click()
    shown.page.mouse.move(0, 0)
    assert "Where s (place 8) looks, layer 2, head 2" in shown.text("#attention-caption")
    assert [int(row[1]) for row in shown.rows("#attention-table")][0] == max(
        range(9), key=lambda place: (data["attention"][1][1][8][place], place)
    )
    assert "In layer 2, head 2, s at place 8 looks most at" in shown.text("#said")


def test_the_temperature_acts_at_once_and_its_probabilities_are_right(shown: Page, written: Path):
    data = the_data(written)
    logits = torch.tensor(data["logits"][-1]) / 100
    assert shown.page.input_value("#temperature") == "0.8"
    for temperature in (0.8, 0.1, 2.0):
        shown.page.locator("#temperature").fill(str(temperature))
        want = next_token_probabilities(logits, temperature).sort(descending=True)
        rows = shown.rows("#next-table")
        assert len(rows) == 10
        assert [share(text) for _, text, *_ in rows] == pytest.approx(want.values[:10].tolist(), abs=6e-3)
        assert rows[0][0] == {" ": "␣", "\n": "⏎"}.get(best := data["vocabulary"][want.indices[0]], best)
        assert shown.text("#temperature-value") == f"{temperature:.2f}"
        choices = (-(want.values * want.values.clamp_min(1e-30).log()).sum()).exp()
        assert f"between {choices:.1f} equally likely" in shown.text("#undecided")


def test_keys_walk_along_the_tokens_and_over_the_heads(shown: Page):
    tokens = shown.page.locator("#tokens .token")
    assert [n for n in range(tokens.count()) if tokens.nth(n).get_attribute("tabindex") == "0"] == [len(PROMPT) - 1]
    shown.page.keyboard.press("Tab")
    for key, place in (("ArrowLeft", 19), ("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1), ("End", 20)):
        shown.page.keyboard.press(key)
        assert f"(place {place})" in shown.text("#next-caption"), key
    assert tokens.nth(20).get_attribute("aria-label") == "!, place 20"
    shown.page.keyboard.press("Tab")
    shown.page.keyboard.press("ArrowDown")
    assert "layer 1, head 2" in shown.text("#attention-caption")


def test_changing_a_token_fills_the_places_whose_prediction_moves(shown: Page, written: Path):
    data = the_data(written)
    shown.page.locator("#probe-tokens .token").nth(4).hover()
    filled = [
        float(value)
        for value in shown.page.eval_on_selector_all(
            "#probe-tokens .token", "tokens => tokens.map(token => token.style.getPropertyValue('--filled'))"
        )
    ]
    assert [f**2 for f in filled] == pytest.approx([m / 1000 for m in data["probe"]["moved"][4]], abs=1e-6)
    assert filled[:4] == [0, 0, 0, 0]
    assert filled[4] > 0
    other = data["vocabulary"][data["probe"]["others"][4]]
    assert f"e at place 4 becomes {other}" in shown.text("#probe-said").replace("␣", " ")


def test_places_and_samples_follow_their_sliders(shown: Page, written: Path):
    similar = the_data(written)["positions"]["similarity"][5]
    shown.page.locator("#position").fill("5")
    best = max((s, -i) for i, s in enumerate(similar) if i != 5)
    assert f"Most alike place 5: {-best[1]} ({best[0] / 100:.2f})" in shown.text("#positions-said")
    assert shown.text("#sample-text") == "O!"
    shown.page.locator("#sample").fill("0")
    assert shown.text("#sample-text") == "O <i>"
    assert "iteration 10" in shown.text("#sample-title")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1180, 390])
def test_it_is_there_at_once_in_both_colour_schemes_and_fits_a_phone(
    browser: Any, written: Path, tmp_path: Path, width: int, scheme: str
):
    page = Page(browser, written, width, scheme)
    assert page.said == []
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    paint = page.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
    assert paint < 5000  # milliseconds; about 200 where nothing else runs
    background = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 300) == (scheme == "dark")
    ratio = page.page.evaluate(CONTRAST)
    assert ratio >= 4.5, f"the faintest text has a contrast of {ratio:.2f}"
    page.page.screenshot(path=tmp_path / f"look-{scheme}-{width}.png", full_page=True)
    page.context.close()


CONTRAST = """() => {  // the smallest ratio by WCAG 2.1 between the colours of text and of what is behind it
  const light = (c) => c.map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const c = numbers(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c.slice(0, 3);
    }
  };
  const ratios = [...document.querySelectorAll("p, h1, h2, h3, td, th, label, output, caption, summary")].map((e) => {
    const [a, b] = [light(numbers(getComputedStyle(e).color).slice(0, 3)), light(behind(e))].sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  });
  return Math.min(...ratios);
}"""


def test_it_speaks_korean(browser: Any, tmp_path: Path):
    from course.messages import choose_language

    folder = make_run(tmp_path, 10)
    choose_language(["--lang", "ko"])
    try:
        look.main([str(folder), "--prompt", PROMPT])
    finally:
        choose_language([])
    page = Page(browser, folder / "look.html")
    assert page.said == []
    assert page.text("h1") == "모델 안 들여다보기"
    assert page.page.get_attribute("html", "lang") == "ko"
    page.context.close()
