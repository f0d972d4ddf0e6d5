"""Published figures of arXiv's papers (SciCap, SciCap+, SciCap Challenge) with what their papers say of them."""

from scicap_builder.pairing.driver import Paired, PairOptions, pair
from scicap_builder.pairing.notes import Note, PairingReport, read_notes

__all__ = ["Note", "PairOptions", "Paired", "PairingReport", "pair", "read_notes"]
