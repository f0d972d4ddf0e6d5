"""Scientific charts with known data as figure records: the first training data of the packaged model."""

from scicap_builder.charts.corpus import make_figure, write_charts

__all__ = ["make_figure", "write_charts"]
