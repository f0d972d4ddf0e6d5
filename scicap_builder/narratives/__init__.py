"""Localized narratives (Quilt-LLaVA, Seyfioglu et al. 2023): teaching videos and their speech as figure records with boxes.

frames -> stable segments -> median image, cursor trace -> clusters -> boxes of what was said -> records
video.py  segments.py        cursor.py                     clusters.py  text.py                  read.py, build.py
"""

from scicap_builder.narratives.text import Narrated, read_narrative, write_narrative

__all__ = ["Narrated", "read_narrative", "write_narrative"]
