"""Compiles the papers of this folder and writes beside each what LaTeX printed: `python tests/latex_papers/truth.py` (needs TeX Live).

NAME.json: `labels` (from the .aux file, as \\ref prints them), `figures` (from the .lof file, sorted; empty where the class
writes none) and `printed` (sentences of the PDF that run from "As printed:" to "done.").
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pypdfium2

HERE = Path(__file__).parent
_LABEL = re.compile(r"\\newlabel\{([^{}]*)\}\{\{((?:[^{}]|\{[^{}]*\})*)\}")
_FIGURE = re.compile(r"\\@writefile\{lof\}\{\\contentsline \{figure\}\{\\numberline \{([^{}]*)\}")
_MACHINERY = re.compile(r"@|^(?:TotPages|LastBibItem|FirstPage|LastPage|jmlr.*|.*start|.*end)$")


def truth(source: Path) -> dict[str, object]:
    """Labels, figure numbers and printed sentences of one paper, as LaTeX has them after three runs."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            command = [
                "pdflatex",
                "-interaction=nonstopmode",
                "-no-shell-escape",
                "-output-directory",
                folder,
                source.name,
            ]
            subprocess.run(command, cwd=source.parent, capture_output=True, timeout=120, check=False)
        aux = (Path(folder) / f"{source.stem}.aux").read_text(errors="replace")
        document = pypdfium2.PdfDocument(str(Path(folder) / f"{source.stem}.pdf"))
        text = " ".join(page.get_textpage().get_text_range() for page in document)
        document.close()
    labels = {key: _plain(number) for key, number in _LABEL.findall(aux) if not _MACHINERY.search(key)}
    lines = re.findall(r"As printed: .*?done\.", re.sub(r"\s+", " ", text.replace("\ufffe", "").replace("\x02", "")))
    return {"labels": labels, "figures": sorted(map(_plain, _FIGURE.findall(aux))), "printed": lines}


def _plain(number: str) -> str:
    number = re.sub(r"\\hbox\s*|\\mbox\s*|\\nobreakspace\s*|[{}]|\\,", "", number.replace("~", " ").replace(r"\ ", " "))
    return re.sub(r"\\[@a-z]+|[\s$()]|subfigure", "", number)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.tex")):
        found = truth(HERE / f"{name}.tex")
        (HERE / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
