"""The big signs of formulas, which many PDFs give without Unicode: roots, sums and brackets that else read as letters. Pure.

Codes: the encoding OMX of cmex10 (D. E. Knuth, The TeXbook, appendix F).
"""

import re

OMX_FONT = re.compile(r"(?:^|\+)(?:(?:CM|EU|TX|PX)EX|LMMathExtension)", re.I)
"""Names of its fonts: Computer Modern, Euler, txfonts, pxfonts and Latin Modern."""
OMX = (
    r"()[]⌊⌋⌈⌉{}⟨⟩|‖/\()()[]⌊⌋⌈⌉{}⟨⟩/\()[]⌊⌋⌈⌉{}⟨⟩/\/\()[][][]{}{}{}{|()||⟨⟩"
    "⊔⊔∮∮⊙⊙⊕⊕⊗⊗∑∏∫∪∩⊎∧∨∑∏∫∪∩⊎∧∨∐∐ˆˆˆ˜˜˜[]⌊⌋⌈⌉{}√√√√√√√‖↑↓{}{}⇑⇓"
)
"""The sign of each of the 128 codes."""


def has_big_signs(font: str) -> bool:
    """Whether the PostScript name `font` is one of these fonts'."""
    return OMX_FONT.search(font) is not None


def big_sign(code: int) -> str:
    """The sign at `code` of such a font."""
    return OMX[code] if code < len(OMX) else chr(code)
