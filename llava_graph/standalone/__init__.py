"""HTML pages that are one file: their frame, look, script, pictures and policy (the builder's report, explained papers)."""

from llava_graph.standalone.page import arxiv_page, standalone_page
from llava_graph.standalone.pictures import FIGURE_SIDES, Budget, Mark, Picture, mark, picture_of, webp

__all__ = ["FIGURE_SIDES", "Budget", "Mark", "Picture", "arxiv_page", "mark", "picture_of", "standalone_page", "webp"]
