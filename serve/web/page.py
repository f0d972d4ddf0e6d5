"""The page: where each panel stands, and the order in which they are wired. In: a client that reaches the models.

    header   brand, models/ (the model line)
    paper/          the paper bar: an arXiv id, what is being done, the paper's figures
    banner   what went wrong (banner.py); medical.py: that this is no medical device
    left     figure/        drop zone, viewer with boxes, lines, examples
             context/       caption, paragraphs, what the model is given
             table/         the data of the chart
    right    conversation/  Explain, answers, question, Ask and Stop
             sharing/       export, link, votes, the log's switch
             compare/       with and without the text; two figures
             arena/         two models compared blind
             models/        the settings of answers

One panel is one package: `parts.py` (a frozen dataclass of its components, and what builds them), `wiring.py` (what happens
when somebody acts), pure logic beside them, and its .html, .js and .css (every .css below serve/web is loaded).

* `parts.py` here holds all panels' components. `PageParts.given` names those that say what the model is given: a panel that
  adds one (a region, paragraphs) adds a field to `session.OnPage`, which turns them into a figure (`OnPage.now`).
* `session.py` is what one visitor has in front of them; `look.py` is what is drawn after each step of the conversation.
* A figure that arrives (upload, example, paper) is an event; `build_page` hands all of them to the conversation, whose
  Clear ends them.
* Text of papers, figures and answers never becomes HTML: `html.escape` here, `textContent` in the browser.
"""

import gradio as gr

from serve.client import ModelClient
from serve.papers import PaperShelf
from serve.web.arena.parts import build_arena
from serve.web.arena.wiring import wire_arena
from serve.web.compare.parts import build_compare
from serve.web.compare.wiring import wire_compare
from serve.web.context.parts import build_context
from serve.web.context.wiring import wire_context
from serve.web.conversation.parts import build_conversation
from serve.web.conversation.wiring import wire_conversation, wire_ends
from serve.web.figure.opening import ReadText
from serve.web.figure.parts import build_figure
from serve.web.figure.reading import RegionReader
from serve.web.figure.wiring import wire_figures
from serve.web.medical import build_medical, wire_medical
from serve.web.models.parts import build_model_line, build_models
from serve.web.models.wiring import wire_models
from serve.web.options import WebOptions
from serve.web.paper.opening import picked
from serve.web.paper.parts import build_paper
from serve.web.paper.wiring import wire_paper
from serve.web.parts import PageParts
from serve.web.session import Session
from serve.web.sharing.parts import build_sharing
from serve.web.sharing.recording import Recorder
from serve.web.sharing.wiring import wire_sharing
from serve.web.table.parts import build_table
from serve.web.table.wiring import wire_table

TITLE = "LLaVA-Graph"
HEADER = f"""<div class="brand"><h1>{TITLE}</h1><p>Explains figures from scientific papers.</p></div>"""
UPLOADS = "Uploaded pictures are deleted after an hour, uploaded papers a day after they were last used."
WRONG = "A model can be wrong; check what it says against the figure."
PRIVACY = f"Figures and questions go to the model above and are not kept. {UPLOADS} {WRONG}"
PRIVACY_WITH_LOG = (
    "Figures and questions go to the model above. They are kept only if you agree (Log, under the conversation). "
    f"{UPLOADS} {WRONG}"
)
UPLOADS_KEPT_S = 3600


def build_page(
    client: ModelClient, options: WebOptions, read: ReadText, recorder: Recorder, shelf: PaperShelf
) -> gr.Blocks:
    """The page. Everything it shows of a visitor lives in that visitor's own state."""
    with gr.Blocks(
        title=f"{TITLE}: figures explained",
        analytics_enabled=False,
        delete_cache=(UPLOADS_KEPT_S, UPLOADS_KEPT_S),
        fill_width=True,
    ) as page:
        parts, medical = _arrange(PRIVACY_WITH_LOG if recorder.on else PRIVACY, options)
        wire_models(page, parts, client, options)
        wire_paper(parts, shelf)
        if not options.medical:
            wire_medical(parts, medical)
        reader = RegionReader(read)
        wire_context(parts, client, reader, shelf)
        answers = wire_conversation(parts, client, options, reader)
        taking = wire_figures(parts, read, lambda figure_id: picked(shelf, figure_id, read), answers)
        wire_ends(parts, answers, taking)
        wire_table(parts, client, options)
        wire_sharing(page, parts, recorder, answers)
        wire_compare(page, parts, client, options, reader)
        wire_arena(page, parts, client, options, recorder)
    return page


def _arrange(privacy: str, options: WebOptions) -> tuple[PageParts, gr.HTML]:
    """The panels in their places."""
    session = gr.State(Session())
    with gr.Row(elem_id="header"):
        gr.HTML(HEADER, elem_id="brand", padding=False)
        model_line = build_model_line()
    paper = build_paper()
    banner = gr.HTML("", elem_id="banner", padding=False)
    medical = build_medical(always=options.medical)
    with gr.Row(elem_id="columns", equal_height=False):
        with gr.Column(scale=5, min_width=320, elem_id="left"):
            figure = build_figure(options.max_file_bytes)
            context = build_context()
            table = build_table(options.table_model)
        with gr.Column(scale=6, min_width=320, elem_id="right"):
            conversation = build_conversation()
            sharing = build_sharing()
            with gr.Column(elem_id="tools"):
                compare = build_compare()
                arena = build_arena()
                models = build_models(model_line)
    gr.HTML(f"<p>{privacy}</p>", elem_id="privacy", padding=False)
    return PageParts(
        session, banner, models, paper, figure, context, table, conversation, sharing, compare, arena
    ), medical
