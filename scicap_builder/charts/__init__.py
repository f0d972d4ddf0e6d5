"""Scientific charts with known data as figure records: the training data of the packaged model and of its tests."""

from scicap_builder.charts.corpus import CorpusOptions, make_figure, make_sheet, write_charts

__all__ = ["CorpusOptions", "make_figure", "make_sheet", "write_charts"]
