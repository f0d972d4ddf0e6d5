"""Explained figures as documents: what the paper and the model wrote is read as it was written, in all three forms."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from browsing import running_chromium
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llava_graph.errors import RecordError
from llava_graph.explained import (
    Answer,
    ExplainedFigure,
    ExplainedPaper,
    from_json,
    to_html,
    to_json,
    to_markdown,
    with_evidence,
)
from llava_graph.explained.as_markdown import escape
from llava_graph.explained.wording import alt_text
from llava_graph.record import Dropped, Figure, OcrLine, Panel, Paper, Table

EVIL = (
    "</script><script>alert(1)</script> <img src=x onerror=alert(2)> \"'>& ![i](http://e.vil/a.png) [l](javascript:a) "
    "<http://e.vil> https://e.vil www.e.vil a@e.vil `c` ~~s~~ $x$ <details> {{ 7 * 7 }} {% raw %} ${8*8}"
)
CC_BY = "http://creativecommons.org/licenses/by/4.0/"
PAPER = Paper(id="arxiv:1801.00001v1", title="Ants", page=3, licence=CC_BY)


@pytest.fixture(scope="module")
def ants(png) -> ExplainedFigure:
    """A figure whose explanation has two sections, a list and a number that stands nowhere."""
    figure = Figure(
        id="arxiv:1801.00001v1#fig1",
        image=png,
        width=120,
        height=80,
        kind="chart",
        label="Figure 1",
        caption="Growth of the colony over time in three gardens.",
        mentions=("As Figure 1 shows, the colony grows until the tenth week.", "Again, Figure 1 is meant."),
        ocr=(OcrLine(text="Week", box=(0.4, 0.9, 0.6, 1.0), role="x-axis"),),
        table=Table(header=("week", "ants"), rows=(("1", "20"),)),
        paper=PAPER,
        licence=CC_BY,
    )
    text = (
        "## What is plotted\nGrowth of the **colony** over time in three gardens.\n\n- weeks on the x-axis\n- ants\n\n"
        "## Caveats\nThe colony grows until the tenth week. It then reaches 93.5 thousand ants."
    )
    answer = Answer(
        question="Explain this figure to a student (medium).",
        text=text,
        model="parrot",
        about="It repeats.",
        finish_reason="length",
        prompt_tokens=100,
        completion_tokens=1234,
        seconds=3.14,
    )
    return ExplainedFigure(
        figure=figure,
        answers=(answer,),
        prompt="Caption: Growth.\nExplain this figure.",
        created="2026-01-02T03:04:05+00:00",
        versions=("llava-graph 0.1.0",),
    )


@pytest.fixture(scope="module")
def evil(png) -> ExplainedFigure:
    """A figure whose every text is markup."""
    figure = Figure(
        id=f"arxiv:{EVIL}#fig1",
        image=png,
        kind=EVIL,
        label=EVIL,
        caption=EVIL,
        mentions=(EVIL, EVIL),
        ocr=(OcrLine(text=EVIL, box=(0, 0, 1, 1)),),
        panels=(Panel(letter=EVIL, caption=EVIL),),
        table=Table(header=(EVIL,), rows=((EVIL,),)),
        paper=Paper(id=f"arxiv:{EVIL}", title=EVIL, licence=EVIL),
        licence=EVIL,
    )
    answer = Answer(
        question=EVIL, text=f"## Caveats\n{EVIL}\n\n- {EVIL}\n\n| {EVIL} |\n\n# {EVIL}", model=EVIL, about=EVIL
    )
    return ExplainedFigure(figure=figure, answers=(answer,), prompt=EVIL, region=(0.1, 0.1, 0.5, 0.5), versions=(EVIL,))


@pytest.fixture(scope="module")
def paper(ants, evil) -> ExplainedPaper:
    broken = ExplainedFigure(
        figure=Figure(id="local:b#fig2", image=b"none", label="Figure 2", paper=Paper(id="local:b"))
    )
    return ExplainedPaper(
        paper=Paper(title="A folder"),
        figures=(ants, evil, broken),
        dropped=(Dropped(item=EVIL, reason="bad-image", detail=EVIL),),
        options={"level": "student", "question": EVIL},
    )


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: dict[str, int] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(" ".join(data.split()))

    def values(self, name: str) -> list[str]:
        return [value for _, known, value in self.attributes if known == name]


def test_no_text_becomes_markup_and_none_is_lost(paper):
    page = Page(to_html(paper))
    assert page.tags["script"] == 1
    assert page.tags["img"] == 5  # two figures: a thumbnail and a picture each; and the enlarged one
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not [
        value for value in page.values("href") if not value.startswith(("#", "https://arxiv.org/abs/1801.00001v1"))
    ]
    flat = " ".join(EVIL.split())
    for place in ("licence", "asked about", "not found"):
        assert any(place in text for text in page.texts)
    # title, label, caption, mentions, text line, prompt, question, drop, …
    assert sum(flat in text for text in page.texts) >= 14


def test_the_page_needs_nothing_from_elsewhere(paper):
    text = to_html(paper)
    page = Page(text)
    assert all(value.startswith("data:image/") for value in page.values("src"))
    assert {"link", "iframe", "object", "embed", "base", "form"} & set(page.tags) <= {"form"}
    assert page.values("method") == ["dialog"]  # closes the enlarged picture
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_what_the_paper_says_stands_apart_from_what_the_model_says(ants):
    text = to_html(ants)
    model, source = text.index('aria-label="What the model says"'), text.index('aria-label="What the paper says"')
    assert (
        model < text.index("thousand ants") < source < text.index("the colony grows until the tenth week.</blockquote>")
    )
    assert "cut at the longest answer allowed" in text
    assert "1,234 tokens in 3.1 s" in text
    assert "licence: CC-BY-4.0" in text
    assert f'alt="{alt_text(ants.figure)}"' in text
    assert "Figure 1 (chart): Growth of the colony" in alt_text(ants.figure)


def test_chips_lead_to_what_bears_a_sentence_out_and_the_rest_is_marked(ants):
    text = to_html(ants)
    page = Page(text)
    targets = [value[1:] for value in page.values("href") if value.startswith("#f1-")]
    assert {"f1-caption", "f1-p1"} <= set(targets)
    assert set(targets) <= set(page.values("id"))
    assert re.search(r'<mark class="unfound" title="This number stands nowhere[^"]*">93\.5', text)
    assert "not found</span>" in text
    assert text.count("<h4>") == 2
    assert "<b>colony</b>" in text
    assert page.tags["ul"] == 2  # the list of the answer, and the text in the figure


def test_a_figure_without_any_words_is_not_marked_as_unfounded(ants):
    alone = replace(ants, figure=Figure(id="a", image=ants.figure.image))
    assert "not found" not in to_html(alone)
    assert "not found" not in to_markdown(alone)


def test_a_medical_figure_carries_its_warning(ants):
    radiograph = replace(ants, figure=replace(ants.figure, kind="radiograph"))
    for text in (to_html(radiograph), to_markdown(radiograph)):
        assert "Not a diagnosis" in text
    assert "Not a diagnosis" not in to_html(ants)


def test_pictures_keep_within_their_room(paper):
    small = to_html(paper, picture_bytes=3000)
    assert len(small) < len(to_html(paper)) + 1
    assert "left out, the page is full" in to_html(paper, picture_bytes=10)
    assert "No picture: not an image we read" in small


@pytest.mark.parametrize("kind", ["figure", "paper"])
def test_json_reads_back_as_what_was_written(kind, ants, paper):
    explained = ants if kind == "figure" else paper
    back = from_json(to_json(explained))
    if kind == "figure":
        assert back == with_evidence(ants)
        assert back.answers[0].sentences
    else:
        assert back == replace(paper, figures=tuple(map(with_evidence, paper.figures)))
    assert from_json(to_json(back)) == back
    small = json.loads(to_json(explained, pictures=False))
    rows = [small] if kind == "figure" else small["figures"]
    assert all(row["figure"]["image"]["bytes"] is None for row in rows)
    assert from_json(json.dumps(small))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "no explained figure"),
        ('{"kind": "explained-figure", "format": 9}', "form 9"),
        ('{"kind": "explained-figure", "format": 1}', "needs a `figure`"),
        ('{"kind": "explained-figure", "format": 1, "figure": {"id": "a", "captoin": ""}}', "captoin.*Did you mean"),
        ('{"kind": "explained-figure", "format": 1, "figure": {"id": "a", "image": {"bytes": "?"}}}', "no base64"),
        ('{"kind": "explained-figure", "format": 1, "figure": {"id": "a"}, "answers": [{"text": "x"}]}', "question"),
        ('{"kind": "explained-paper", "format": 1, "figures": {}}', "must be a list"),
        ('{"kind": "explained-paper", "format": 1, "options": {"a": []}}', "plain values"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_wrong_json_is_refused_by_name(text, words):
    with pytest.raises(RecordError, match=words):
        from_json(text, "x.json")


GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@pytest.mark.parametrize("form", [to_html, to_markdown, to_json])
def test_no_document_commands_the_terminal_that_shows_it(form, ants):
    evil = "A \x1b[31m\x07 \x9b31m\u202e\u2066 \ud800curve\n\tB"
    answer = replace(ants.answers[0], question=evil, text=f"{evil}\n\n```\n{evil}\n```", model=evil, about=evil)
    figure = replace(ants.figure, caption=evil, mentions=(evil,))
    written = form(replace(ants, figure=figure, answers=(answer,), prompt=evil))
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\ud800"} & set(written)
    written.encode()
    if form is to_json:
        assert from_json(written).figure.caption == evil


def rendered(markdown: str) -> Page:
    return Page(GITHUB.render(markdown))


def test_markdown_shows_every_text_as_it_was_written(evil, paper):
    page = rendered(to_markdown(paper))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.tags.get("a", 0) == 1  # arXiv's page of the ants
    assert page.tags["details"] == 2  # what the model was given, twice
    assert page.tags.get("s", 0) == 0
    flat = " ".join(EVIL.split())
    assert sum(flat in text for text in page.texts) >= 8
    pictures = rendered(to_markdown(evil, images={evil.figure.id: "report.pictures/a b.png"}))
    assert pictures.values("src") == ["report.pictures/a%20b.png"]
    assert flat in " ".join(pictures.values("alt")[0].split()) or EVIL[:60] in pictures.values("alt")[0]


@given(st.text(alphabet="ab1 .-+=#>*_`~[]()<>!|&\\\n\t:/@$", max_size=40))
def test_an_escaped_text_is_a_text(text):
    page = rendered("> " + escape(text).replace("\n", "\n> "))
    assert set(page.tags) <= {"blockquote", "p", "br"}
    shown = "".join("".join(page.texts).split())
    assert shown == "".join(text.split())


def test_markdown_says_what_bears_a_sentence_out(ants):
    text = to_markdown(ants)
    assert "Growth of the **colony** over time in three gardens. \\[caption" in text
    assert "93.5 thousand (?) ants. \\[not found\\]" in text or "93.5 (?)" in text
    assert "> As Figure 1 shows, the colony grows until the tenth week." in text
    assert "- weeks on the x-axis" in text
    assert "licence: CC-BY-4.0" in text
    assert "```text\nCaption: Growth.\nExplain this figure.\n```" in text


@pytest.fixture(scope="module")
def chromium():
    with running_chromium() as browser:
        yield browser


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_in_a_browser_chips_lead_on_and_nothing_overflows(paper, chromium, tmp_path, width, scheme):
    (tmp_path / "r.html").write_text(to_html(paper), encoding="utf-8")
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    told, asked = [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: told.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "r.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#f1 a.source-chip", has_text="¶ 1").first.click()
    assert page.url.endswith("#f1-p1")
    assert page.locator("#f1-p1:target").is_visible()
    page.locator("nav a").nth(1).click()
    assert page.url.endswith("#f2")
    page.locator("#f1 .zoom").click()
    assert page.locator("dialog[open]").is_visible()
    page.keyboard.press("Escape")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert told == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
    context.close()


def test_the_picture_is_the_figures_own(ants):
    (address, *_) = [value for value in Page(to_html(ants)).values("src") if value]
    assert base64.b64decode(address.partition(",")[2])[8:12] == b"WEBP"
