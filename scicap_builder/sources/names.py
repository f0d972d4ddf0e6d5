"""What names of figures and images say: "1001.0025v1-Figure2-1.png" (SciCap), "32432162_F1" (PMC), "VIDEO_roi_UUID" (Quilt)."""

import re
from dataclasses import dataclass
from typing import Any

from llava_graph.record import OcrLine, Paper
from scicap_builder.arxiv_id import id_of_name
from scicap_builder.mentions import parse_label

_FIGURE = re.compile(r"(?P<paper>.+?v\d+)-Figure(?P<number>[\w.\-]+?)-(?P<copy>\d+)(?:\.\w+)?$")
_VIDEO = re.compile(r"(?P<video>.+?)_(?:roi|image)_[0-9a-f-]{8,}", re.IGNORECASE)
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Named:
    """What SciCap's name of a figure says."""

    figure: str
    """The end of a record's id: "1801.01974v2#fig10"; the name itself where it is of another form."""
    paper: str = ""
    """ "arxiv:1801.01974v2"."""
    label: str = ""
    """ "Figure 10"."""

    @property
    def base(self) -> str:
        """The arXiv id without its version."""
        return self.paper.removeprefix("arxiv:").rpartition("v")[0]


def scicap_figure(name: str) -> Named:
    """ "1801.01974v2-Figure10-1.png" -> figure 10 of arxiv:1801.01974v2; a second figure 10 is "#fig10-2", as our builder's."""
    found = _FIGURE.match(name)
    if found is None:
        return Named(name.removesuffix(".png"))
    paper, number, copy = arxiv_paper(found["paper"]), found["number"], found["copy"]
    again = f"-{copy}" if int(copy) > 1 else ""
    return Named(f"{paper.removeprefix('arxiv:')}#fig{number}{again}", paper, f"Figure {number}")


def arxiv_paper(name: str) -> str:
    """ "1001.0025v1" or "cs0102003v1" -> "arxiv:…" as our builder names the paper; another name stays as it is."""
    found = id_of_name(name)
    return f"arxiv:{found}" if found else name


def pmc_paper(pair_id: str) -> Paper:
    """The paper of a LLaVA-Med pair: "32432162_F1" is a figure of the article with the PubMed id 32432162."""
    pmid = pair_id.partition("_")[0]
    return Paper(id=f"pmid:{pmid}" if pmid.isdigit() else "")


def quilt_paper(image: str) -> Paper:
    """The video of a Quilt image stands for its paper, so that no video is in two splits."""
    found = _VIDEO.match(image.rpartition("/")[2])
    return Paper(id=f"youtube:{found['video']}" if found else "")


def parted(caption: str, label: str = "") -> tuple[str, str]:
    """(label, caption) of "Figure 2: Impact of …"; without a label in the caption, `label` and all of it."""
    found = parse_label(caption)
    if found is None:
        return label, caption.strip()
    rest = caption[found.end :].strip()
    # "Figure 3 shows …" is a sentence, not a label with a caption.
    return found.text, rest if found.separator or not rest[:1].islower() else caption.strip()


def words_in(values: Any, source: str) -> tuple[OcrLine, ...]:
    """Texts without a place -> lines whose box is the whole image: all that is known of where they stand."""
    if not isinstance(values, list):
        return ()
    words = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    return tuple(OcrLine(text=word, box=WHOLE, source=source) for word in words)


DOMAINS = {"chest_xray": "radiograph", "ct_scan": "ct", "mri": "mri", "histology": "pathology", "gross": "gross"}
"""LLaVA-Med's domains -> our kinds."""


def domain_kind(domain: Any) -> str:
    """The kind of {"chest_xray": false, "mri": true, …} or "mri"; empty where several are true (a compound figure), or none."""
    if isinstance(domain, str):
        return DOMAINS.get(domain.lower().strip(), "")
    true = [kind for name, kind in DOMAINS.items() if isinstance(domain, dict) and domain.get(name) is True]
    return true[0] if len(true) == 1 else ""
