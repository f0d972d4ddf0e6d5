"""The shelf of opened papers: an arXiv id or a file in, its figures out, kept on disk so that the next reader has them at once.

options.py   limits, with their reasons
shelf.py     PaperShelf: open, paper, figure; what is kept and what goes first
opening.py   one opening under way, shared by all who wait for it
obtaining.py from what a person wrote to files on this machine: arXiv politely, an upload by its bytes
reading.py   reading a paper in a process of its own, under limits of time and memory
pages.py     its pages as pictures
places.py    on which page its paragraphs stand
entry.py     one paper as it lies on the shelf
room.py      what leaves the shelf, and when
"""

from serve.papers.options import ShelfOptions
from serve.papers.shelf import PaperShelf

__all__ = ["PaperShelf", "ShelfOptions"]
