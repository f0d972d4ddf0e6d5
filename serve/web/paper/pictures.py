"""The pages of papers on the shelf as pictures: GET /paper-page/ID/NUMBER. Whoever knows the id of a paper may see its pages."""

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from serve.papers import PaperShelf

KEPT_S = 3600
"""s for which a browser keeps a page."""


def page_pictures(shelf: PaperShelf) -> APIRouter:
    """The route. An uploaded paper's id is 128 bits of its hash: it cannot be guessed."""
    router = APIRouter()

    @router.get("/paper-page/{paper_id:path}/{number}")
    def page_picture(paper_id: str, number: int) -> Response:
        file = shelf.page(paper_id, number)
        if file is None:
            return Response("no such page\n", 404, media_type="text/plain")
        return FileResponse(file, media_type="image/webp", headers={"Cache-Control": f"private, max-age={KEPT_S}"})

    return router
