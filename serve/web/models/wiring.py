"""Which models there are: on every visit, or once; and again when one that is asked is not there."""

from typing import Any

import gradio as gr

from llava_graph.errors import ServeError
from serve.client import ModelClient
from serve.web.banner import banner
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
        # What a link of the address has to say may stand there already.
        return *shown(models), models.banner or _not_found(request.query_params.get("model"), models) or gr.skip()

    async def again(chosen: str | None) -> tuple[Any, ...]:
        """When an answer begins: a page may have been opened before there was a model, or outlive the one it knew."""
        try:
            if chosen and chosen in await client.models():
                return gr.skip(), gr.skip(), gr.skip()
        except ServeError:
            pass  # the answer says so
        models = await find_models(client, chosen or "", last=options.table_model)
        # Without any model the choice stays, so that the answer can say which one has gone.
        return shown(models) if models.names else (gr.skip(), models.line, gr.skip())

    def shown(models: Models) -> tuple[Any, ...]:
        dropdown = gr.update(choices=list(models.names), value=models.chosen or None, visible=len(models.names) > 1)
        return dropdown, models.line, models.cards

    async def choose(wanted: str | None) -> tuple[Any, str, str]:
        models = await find_models(client, wanted or "", last=options.table_model)
        # The field of the choice takes any text.
        served = gr.skip() if not models.chosen or wanted == models.chosen else models.chosen
        return served, models.line, models.banner or _not_found(wanted, models)

    model, talk = parts.models.model, parts.conversation
    page.load(find, model, [model, parts.models.line, parts.models.cards, parts.banner], **AT_ONCE)
    model.input(choose, model, [model, parts.models.line, parts.banner], **AT_ONCE)
    asked = (talk.explain.click, talk.ask.click, talk.question.submit, talk.chat.ask_suggested, talk.chat.ask_again)
    for event in asked:
        event(again, model, [model, parts.models.line, parts.models.cards], **AT_ONCE)


def _not_found(wanted: str | None, models: Models) -> str:
    if not wanted or not models.names or wanted in models.names:
        return ""
    return banner(f"the model {wanted!r} is not served here", f"{models.chosen} answers instead.")
