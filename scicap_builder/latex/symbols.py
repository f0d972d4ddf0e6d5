"""What single TeX commands look like as Unicode: symbols (pylatexenc's table), accents, and which arguments are text."""

import re
from functools import cache

ACCENTS = {
    "'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303", "=": "\u0304", ".": "\u0307", "u": "\u0306",
    "v": "\u030c", "H": "\u030b", "r": "\u030a", "c": "\u0327", "k": "\u0328", "d": "\u0323", "b": "\u0331",
}  # fmt: skip
MATH_ACCENTS = {
    "hat": "\u0302", "widehat": "\u0302", "tilde": "\u0303", "widetilde": "\u0303", "bar": "\u0304", "overline": "\u0304",
    "vec": "\u20d7", "dot": "\u0307", "ddot": "\u0308", "check": "\u030c", "breve": "\u0306", "acute": "\u0301",
    "grave": "\u0300",
}  # fmt: skip

DROPPED = {
    "label": 1, "vspace": 1, "hspace": 1, "setlength": 2, "addtolength": 2, "color": 1, "index": 1, "glsadd": 1, "phantom": 1,
    "vphantom": 1, "hphantom": 1, "pagestyle": 1, "thispagestyle": 1, "bibliographystyle": 1, "bibliography": 1, "thanks": 1,
    "includegraphics": 1, "setcounter": 2, "addtocounter": 2, "refstepcounter": 1, "stepcounter": 1, "fontsize": 2, "input": 1,
    "pagenumbering": 1, "renewcommand": 2, "captionsetup": 1, "addcontentsline": 3, "markboth": 2, "markright": 1, "nocite": 1,
    "definecolor": 3, "newcounter": 1, "linespread": 1, "graphicspath": 1, "hypersetup": 1, "footnotemark": 0, "todo": 1,
    "cmidrule": 1, "cline": 1, "rule": 2, "usepackage": 1, "documentclass": 1, "selectlanguage": 1, "enlargethispage": 1,
    "tikzset": 1, "sisetup": 1, "pgfplotsset": 1, "hyphenation": 1, "hypertarget": 1, "phantomsection": 0, "vadjust": 1,
    "pageref": 1, "cpageref": 1, "orcidlink": 1, "orcid": 1, "includesvg": 1, "epsfig": 1, "psfig": 1, "epsfbox": 1, "newpage": 0,
    "plotone": 1, "plottwo": 2, "numberwithin": 2, "counterwithin": 2, "LoadClass": 1,
    "cellcolor": 1, "rowcolor": 1, "sout": 1, "deleted": 1,
    "DIFdel": 1, "tnoteref": 1, "subcaption": 1,
}  # fmt: skip
"""Commands without text of their own -> how many arguments go with them."""

KEPT = {
    "textcolor": (2, 1), "href": (2, 1), "colorbox": (2, 1), "fcolorbox": (3, 2), "texorpdfstring": (2, 0), "multicolumn": (3, 2),
    "multirow": (3, 2), "raisebox": (2, 1), "parbox": (2, 1), "resizebox": (3, 2), "scalebox": (2, 1), "rotatebox": (2, 1),
    "foreignlanguage": (2, 1), "hyperlink": (2, 1), "adjustbox": (2, 1), "tooltip": (2, 0), "stackrel": (2, 1),
    "overset": (2, 1), "underset": (2, 1), "raisebox*": (2, 1), "mintinline": (2, 1), "begingroup": (0, 0), "textls": (1, 0),
    "replaced": (2, 0), "resizebox*": (3, 2), "hyperref": (1, 0), "DIFadd": (1, 0),
    "makebox": (1, 0), "framebox": (1, 0), "isotope": (1, 0),
}  # fmt: skip
"""Commands with several arguments of which one is text -> (how many, which)."""

CITES = re.compile(
    r"^(?:[Cc]ite(?:p|t|alp|alt|author|year|yearpar|num|text|url|title|s)?|[a-z]*cites?|(?:paren|text|auto|foot|smart|super)cite[s]?|citeauthor|onlinecite|shortcite[A-Z]?|newcite|citeNP|citeN|citeA|nocite)$"
)
NAMES = {
    "figurename": "Figure", "tablename": "Table", "sectionname": "Section", "equationname": "Equation", "LaTeX": "LaTeX",
    "TeX": "TeX", "BibTeX": "BibTeX", "LaTeXe": "LaTeX2e", "today": "", "newline": " ", "linebreak": " ", "textbackslash": "\\",
    "slash": "/", "degree": "°", "celsius": "°C", "degreeCelsius": "°C", "textmu": "µ", "micro": "µ", "angstrom": "Å", "S": "§",
    "P": "¶", "quad": " ", "qquad": " ", "enspace": " ", "thinspace": " ", "enskip": " ", "nobreakspace": " ", "space": " ",
    "textquotesingle": "'", "textasciitilde": "~", "textasciicircum": "^", "textunderscore": "_", "textbar": "|", "ldots": "…",
    "dots": "…", "textellipsis": "…", "textrightarrow": "→", "cdot": "·", "colon": ":", "lt": "<", "gt": ">", "prime": "′",
    "mid": "|", "vert": "|", "Vert": "‖", "lvert": "|", "rvert": "|", "lVert": "‖", "rVert": "‖", "lbrace": "{", "rbrace": "}",
    "backslash": "\\", "setminus": "∖", "hbar": "ħ", "ell": "ℓ", "textsuperscript": "", "and": ", ", "textdagger": "†",
    "cmark": "✓", "xmark": "✗", "checkmark": "✓", "percent": "%", "ding": "", "bigcirc": "○", "triangleq": "≜", "coloneqq": "≔",
    "argmin": "argmin", "argmax": "argmax", "lesssim": "≲", "gtrsim": "≳", "textmd": "", "textup": "", "textnormal": "",
    "emph": "", "textbf": "", "textit": "", "texttt": "", "textsf": "", "textrm": "", "textsc": "", "textsl": "", "text": "",
    "mbox": "", "hbox": "", "fbox": "", "underline": "", "uline": "", "footnote": "", "url": "", "path": "",
    "arcsec": "″", "arcmin": "′", "farcs": "″.", "farcm": "′.", "fdg": "°.", "fs": "s.", "degr": "°", "micron": "µm", "sun": "⊙",
    "earth": "⊕", "copyright": "©", "pounds": "£", "euro": "€", "texteuro": "€", "ohm": "Ω", "textohm": "Ω",
    "num": "", "SI": "", "qty": "", "si": "", "unit": "", "ang": "", "eqref": "", "autoref": "", "cref": "", "Cref": "",
}  # fmt: skip
"""Commands that pylatexenc's table lacks or spells otherwise; an empty text means that the command is handled elsewhere."""

LETTERS_BLACKBOARD = dict(zip("CHNPQRZE1", "ℂℍℕℙℚℝℤ𝔼𝟙", strict=True))


@cache
def symbol_table() -> dict[str, str]:
    """Command name without backslash -> its text."""
    from pylatexenc.latex2text import get_default_latex_context_db

    table: dict[str, str] = {}
    for macro in get_default_latex_context_db().iter_macro_specs():
        text = macro.simplify_repl
        if isinstance(text, str) and "%" not in text and not text.startswith("<"):
            table.setdefault(macro.macroname, text)
    return table | NAMES


def is_known(name: str) -> bool:
    r"""Whether `\name` (with its backslash) is a command that this reader turns into text or leaves out on purpose."""
    bare = name[1:]
    return (
        bare in NAMES
        or bare in DROPPED
        or bare in KEPT
        or bare in MATH_ACCENTS
        or bool(CITES.match(bare))
        or bare in symbol_table()
    )
