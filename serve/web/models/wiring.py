"""Which models there are: on every visit, or once."""

from typing import Any

import gradio as gr

from serve.client import ModelClient
from serve.web.models.finding import Models, find_models
from serve.web.options import WebOptions
from serve.web.parts import AT_ONCE, PageParts


def wire_models(page: gr.Blocks, parts: PageParts, client: ModelClient, options: WebOptions) -> None:
    """Look the models up when the page opens, and what a model is when it is chosen."""
    known: list[Models] = []

    async def find(wanted: str | None, request: gr.Request) -> tuple[Any, ...]:
        # As with LLaVA's and FastChat's pages, a link may name the model: /?model=name.
        wanted = wanted or request.query_params.get("model")
        if options.model_list_mode == "once" and known and wanted in (None, "", known[0].chosen):
            models = known[0]
        else:
            models = await find_models(client, wanted or "", last=options.table_model)
            if models.names and not wanted:
                known[:] = [models]
        dropdown = gr.update(choices=list(models.names), value=models.chosen or None, visible=len(models.names) > 1)
        # What a link of the address has to say may stand there already.
        return dropdown, models.line, models.cards, models.banner or gr.skip()

    async def choose(wanted: str | None) -> tuple[str, str]:
        models = await find_models(client, wanted or "", last=options.table_model)
        return models.line, models.banner

    model = parts.models.model
    page.load(find, model, [model, parts.models.line, parts.models.cards, parts.banner], **AT_ONCE)
    model.input(choose, model, [parts.models.line, parts.banner], **AT_ONCE)
