"""The places in expanded TeX where numbering, floats and labels happen: one pattern for a single pass."""

import re

from scicap_builder.latex.counters import SECTIONS
from scicap_builder.latex.floats import SUB_COMMANDS
from scicap_builder.latex.tokens import VERBATIM

EVENTS = re.compile(
    VERBATIM + r"|\\(?P<edge>begin|end)\s*\{(?P<env>[^{}\\]*)\}"
    r"|\\(?P<caption>caption|captionof|figcaption|tabcaption|topcaption|bottomcaption|tablecaption|tcaption|fcaption|captionbox)(?P<star>\*?)(?![A-Za-z@])"
    rf"|\\(?P<sub>{'|'.join(sorted(SUB_COMMANDS))})\*?(?![A-Za-z@])"
    rf"|\\(?P<section>{'|'.join(SECTIONS)})(?P<section_star>\*?)(?![A-Za-z@])"
    r"|\\label\s*(?:\[[^\]]*\])?\s*\{(?P<label>[^{}]*)\}"
    r"|\\(?P<count>setcounter|addtocounter)\s*\{\s*(?P<counter>[A-Za-z*]+)\s*\}\s*\{\s*(?P<value>-?\d+)\s*\}"
    r"|\\(?P<step>refstepcounter|stepcounter)\s*\{\s*(?P<stepped>[A-Za-z*]+)\s*\}"
    r"|\\(?P<within>numberwithin|counterwithin|counterwithout|@addtoreset)(?P<within_star>\*?)\s*\{(?P<child>[A-Za-z]+)\}\s*\{(?P<parent>[A-Za-z]+)\}"
    r"|\\(?:renewcommand|[gex]?def)\s*\{?\\(?P<format>the[A-Za-z]+|(?:figure|table)name|[a-z]+autorefname)\}?(?=\s*\{)"
    r"|\\(?:sp)?newtheorem(?P<theorem>\*?)\s*\{"
    r"|\\(?P<cref>crefname|Crefname)\s*\{(?P<creftype>[^{}]*)\}\s*\{(?P<one>[^{}]*)\}\s*\{(?P<many>[^{}]*)\}"
    r"|\\(?P<newfloat>newfloat|DeclareFloatingEnvironment)\s*(?:\[(?P<floatoptions>[^\]]*)\])?\s*\{(?P<floattype>[^{}]*)\}"
    r"|\\floatname\s*\{(?P<renamed>[^{}]*)\}\s*\{(?P<floatname>[^{}]*)\}"
    r"|\\figurenum\s*\{(?P<figurenum>[^{}]*)\}|\\floatconts\s*\{(?P<floatconts>[^{}]*)\}"
    r"|\\(?:left|right|boxed)?fig\s*\{[^{}]*\}\s*\{[^{}]*\}(?P<gridfigure>)(?=\s*\{)"
    r"|\\(?P<ownappendix>appendixsetup)(?=\s*\{)"
    r"|\\(?P<other>appendix|appendices|restartappendixnumbering|ContinuedFloat|item)(?![A-Za-z@])",
    re.DOTALL,
)

CAPTION_KINDS = {
    "figcaption": "figure",
    "fcaption": "figure",
    "tabcaption": "table",
    "tablecaption": "table",
    "tcaption": "table",
}
"""What a caption command outside of floats captions."""
