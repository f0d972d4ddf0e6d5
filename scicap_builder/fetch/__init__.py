"""The polite arXiv client: checked ids in; metadata, licence, source and PDF out, from a cache on disk or the network."""

from scicap_builder.fetch.arxiv_client import ArxivClient, Metadata
from scicap_builder.fetch.http import DEFAULTS, FetchOptions, is_passing
from scicap_builder.fetch.pace import SYSTEM_CLOCK, Clock, Pace

__all__ = ["DEFAULTS", "SYSTEM_CLOCK", "ArxivClient", "Clock", "FetchOptions", "Metadata", "Pace", "is_passing"]
