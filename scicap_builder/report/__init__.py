"""One HTML page that shows a data set: totals with plots, and papers with their pages, figures, paragraphs and drops."""

from scicap_builder.report.write import DEFAULT_REPORT, Report, ReportOptions, write_report

__all__ = ["DEFAULT_REPORT", "Report", "ReportOptions", "write_report"]
