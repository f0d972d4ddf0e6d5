"""What answers without understanding: the caption said again, the figure's text said again, and names put into a template.

In: an item. Out: an answer a question.
"""

import re

from benchmarks.packaged_items import Item
from llava_graph.record import Figure
from scicap_builder.charts.question import Question

NO_WORDS = "(nothing)"


def echo_caption(item: Item) -> list[str]:
    """The caption, whatever is asked."""
    return [item.figure.caption or NO_WORDS] * len(item.questions)


def echo_text(item: Item) -> list[str]:
    """The text in the figure, line by line, whatever is asked."""
    return ["\n".join(line.text for line in item.figure.ocr) or NO_WORDS] * len(item.questions)


def fill_template(item: Item) -> list[str]:
    """Names from the roles of the text, the usual answer for everything else; it never looks at the picture."""
    return [_answer(item.figure, question) for question in item.questions]


def _answer(figure: Figure, question: Question) -> str:
    panel = re.match(r"(?:In panel|In|Panel) \(?(\w)\)?", question.text)
    letter = panel[1].lower() if panel else ""
    x, y = _first(figure, "x-axis", letter), _first(figure, "y-axis", letter)
    legend = _all(figure, "legend", letter)
    ticks = [line for line in _all(figure, "x-tick", letter) if not re.fullmatch(r"[-−\d.,%]+", line)]
    usual = {
        "explain": f"The figure shows a line chart of {y} as a function of {x} for {_list(legend)}.",
        "type": "It is a line chart.",
        "x-axis": f"The x-axis shows {x}.",
        "y-axis": f"The y-axis shows {y}.",
        "names": f"The chart compares {_list(legend)}.",
        "categories": f"The categories are {_list(ticks)}.",
        "count": f"There are {('no', 'one', 'two', 'three', 'four', 'five')[min(len(legend) or 1, 5)]}.",
        "trend": "It increases.",
        "crossing": "They do not cross.",
        "best": (legend or [""])[0],
    }
    middle = _all(figure, "y-tick", letter)
    number = middle[len(middle) // 2] if middle else ""
    first = (ticks or [""])[0]
    return usual.get(question.kind, f"{first} with about {number}." if question.kind != "value" else f"About {number}.")


def _all(figure: Figure, role: str, letter: str) -> list[str]:
    return [line.text for line in figure.ocr if line.role == role and (not letter or line.panel.lower() == letter)]


def _first(figure: Figure, role: str, letter: str) -> str:
    return next(iter(_all(figure, role, letter)), "")


def _list(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


BASELINES = {"caption echoed": echo_caption, "text echoed": echo_text, "template of names": fill_template}
