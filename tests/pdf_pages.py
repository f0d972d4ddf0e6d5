"""Writes small PDFs for tests: text in standard fonts, boxes, lines and pictures at given places, without any library.

All positions are pt from the top left corner of the page.
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path

FONTS = {
    "regular": "Courier",
    "bold": "Courier-Bold",
    "italic": "Courier-Oblique",
    "sans": "Helvetica",
    "signs": "CMEX10",
}
ENCODINGS = {
    "CMEX10": "/Encoding << /Type /Encoding /Differences [16 /parenleftBig /parenrightBig 80 /summationtext 112 /radicalbig] >>"
    f" /FirstChar 0 /LastChar 127 /Widths [{'1000 ' * 128}] /FontDescriptor << /Type /FontDescriptor /FontName /CMEX10"
    " /Flags 4 /FontBBox [0 -3000 1500 800] /ItalicAngle 0 /Ascent 40 /Descent -600 /CapHeight 0 /StemV 47 >>"
}
"""Names of TeX's glyphs, which say nothing of Unicode."""
WORD_WIDTH = 0.6
"""em per character of Courier: for wrapping and justified edges."""
BODY = (
    "The quick brown fox jumps over the lazy dog while seven wizards mix a potion of uncommon strength and the crowd "
    "looks on in silence because nobody has ever seen such a thing before in this small town by the river where people "
    "gather every evening to talk about the weather and the harvest and the prices of things that they cannot afford"
)


@dataclass
class PdfPage:
    """One page that is drawn piece by piece."""

    width: float = 595
    height: float = 842
    rotate: int = 0
    content: list[str] = field(default_factory=list)
    pictures: list[tuple[str, bytes]] = field(default_factory=list)

    def text(
        self, x: float, y: float, string: str, size: float = 10, font: str = "regular", *, angle: int = 0, gray=0.0
    ):
        """A line of text whose baseline begins at (x, y)."""
        escaped = string.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        turn = {0: "1 0 0 1", 90: "0 1 -1 0", 270: "0 -1 1 0"}[angle]
        name = list(FONTS).index(font)
        self.content.append(f"{gray} g BT /F{name} {size} Tf {turn} {x} {self.height - y} Tm ({escaped}) Tj ET 0 g")
        return self

    def paragraph(
        self, x: float, y: float, width: float, string: str, size: float = 10, *, indent: float = 0.0
    ) -> float:
        """Text set line by line, stretched to `width`; gives y of the next line's baseline."""
        lines: list[list[str]] = [[]]
        room = (width - indent) / (WORD_WIDTH * size)
        for word in string.split():
            if lines[-1] and len(" ".join([*lines[-1], word])) > room:
                lines.append([])
                room = width / (WORD_WIDTH * size)
            lines[-1].append(word)
        for place, line in enumerate(lines):
            start = x + (indent if place == 0 else 0)
            self._set(start, y, x + width - start, line, size, justify=place < len(lines) - 1)
            y += 1.2 * size
        return y

    def _set(self, x: float, y: float, width: float, words: list[str], size: float, *, justify: bool) -> None:
        used = sum(len(word) for word in words) * WORD_WIDTH * size
        gap = (width - used) / max(1, len(words) - 1) if justify else WORD_WIDTH * size
        for word in words:
            self.text(x, y, word, size)
            x += len(word) * WORD_WIDTH * size + gap

    def body(self, x: float, y: float, width: float, lines: int, *, start: str = "", size: float = 10) -> float:
        """About `lines` lines of running text that begins with `start`."""
        words = start.split() + BODY.split() * 9
        count = int(lines * width / (WORD_WIDTH * size))
        text = ""
        for word in words:
            if len(text) + len(word) > count:
                break
            text += word + " "
        return self.paragraph(x, y, width, text.strip() + ".", size)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, *, fill: float | None = None):
        """A drawn box; `fill` 0..1 is a grey level."""
        place = f"{x0} {self.height - y1} {x1 - x0} {y1 - y0} re"
        self.content.append(f"{fill} g {place} f 0 g" if fill is not None else f"{place} S")
        return self

    def plot(self, x0: float, y0: float, x1: float, y1: float):
        """Something like a chart: a frame, a curve, tick labels and axis titles inside the box."""
        self.rectangle(x0 + 16, y0, x1, y1 - 25)
        steps = [
            f"{x0 + 16 + i * (x1 - x0 - 16) / 10} {self.height - (y0 + 10 + (i * 37 % 11) * (y1 - y0 - 50) / 11)}"
            for i in range(11)
        ]
        self.content.append(f"{steps[0]} m " + " ".join(f"{step} l" for step in steps[1:]) + " S")
        for i in range(5):
            self.text(x0 + 16 + i * (x1 - x0 - 24) / 5, y1 - 14, str(i * 10), 7, "sans")
        self.text((x0 + x1) / 2 - 15, y1 - 3, "time (s)", 7, "sans")
        self.text(x0 + 8, (y0 + y1) / 2, "value", 7, "sans", angle=90)
        return self

    def picture(
        self, x0: float, y0: float, x1: float, y1: float, image: tuple[str, bytes] | None = None, *, turn: str = ""
    ):
        """An embedded raster image: (entries of its dictionary, stream), or 8 x 8 grey pixels; `turn` acts on the unit square."""
        pixels = zlib.compress(bytes((31 * i) % 200 for i in range(64)))
        grey = "/Width 8 /Height 8 /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode"
        self.pictures.append(image or (grey, pixels))
        place = f"{x1 - x0} 0 0 {y1 - y0} {x0} {self.height - y1} cm"
        self.content.append(f"q {place} {turn} /Im{len(self.pictures) - 1} Do Q")
        return self

    def raw(self, operators: str):
        self.content.append(operators)
        return self


def pdf_bytes(pages: list[PdfPage], *, encrypted: bool = False) -> bytes:
    """The pages as a PDF file; `encrypted` asks for a password that nobody knows."""
    objects: list[bytes] = [b"", b""]
    fonts = " ".join(
        f"/F{i} << /Type /Font /Subtype /Type1 /BaseFont /{name} {ENCODINGS.get(name, '')} >>"
        for i, name in enumerate(FONTS.values())
    )
    kids = []
    for page in pages:
        names = []
        for place, (entries, pixels) in enumerate(page.pictures):
            head = f"<< /Type /XObject /Subtype /Image {entries} /Length {len(pixels)} >> stream\n"
            objects.append(head.encode() + pixels + b"\nendstream")
            names.append(f"/Im{place} {len(objects)} 0 R")
        stream = "\n".join(page.content).encode("latin-1")
        objects.append(f"<< /Length {len(stream)} >> stream\n".encode() + stream + b"\nendstream")
        resources = f"<< /Font << {fonts} >> /XObject << {' '.join(names)} >> >>"
        box = f"/MediaBox [0 0 {page.width} {page.height}] /Rotate {page.rotate}"
        content = len(objects)
        objects.append(f"<< /Type /Page /Parent 2 0 R {box} /Contents {content} 0 R /Resources {resources} >>".encode())
        kids.append(f"{len(objects)} 0 R")
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    data = b"%PDF-1.4\n"
    offsets = []
    for number, item in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n".encode() + item + b"\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'ab' * 32}> /U <{'cd' * 32}> >> /ID [<{'00' * 16}> <{'00' * 16}>]"
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R {lock if encrypted else ''} >>"
    data += (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}\nstartxref\n{len(data)}\n%%EOF\n".encode()
    )
    return data


def write_pdf(path: Path, *pages: PdfPage) -> Path:
    """The pages as a file at `path`."""
    path.write_bytes(pdf_bytes(list(pages)))
    return path
