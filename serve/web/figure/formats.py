"""What a file is that cannot be opened, for people: its first bytes and its name in, words out."""

TAKEN = (
    "Figures: PNG, JPEG, WebP, GIF, BMP or TIFF, at least 8 pixels a side. "
    "Papers: a PDF, LaTeX as .tar.gz or .tex, or an HTML page."
)
ZIP = "a ZIP archive"
_ENDINGS = {
    ".docx": "a Word document",
    ".doc": "a Word document",
    ".pptx": "a PowerPoint presentation",
    ".xlsx": "an Excel table",
    ".odt": "an OpenDocument text",
    ".heic": "a HEIC picture",
    ".heif": "a HEIC picture",
    ".avif": "an AVIF picture",
    ".svg": "an SVG drawing",
    ".eps": "an EPS drawing",
    ".ico": "an icon",
    ".zip": ZIP,
    ".txt": "a text file",
    ".md": "a text file",
    ".csv": "a table of text",
}
_BRANDS = {b"heic": ".heic", b"heix": ".heic", b"mif1": ".heic", b"avif": ".avif"}
"""Of ISO media files, behind "ftyp" -> the ending that says the same."""


def format_of(data: bytes, name: str = "") -> str:
    """ "a Word document"; empty for what is not known, or is a format of pictures that are taken."""
    by_name = next((told for ending, told in _ENDINGS.items() if name.lower().endswith(ending)), "")
    if data[4:8] == b"ftyp":
        return _ENDINGS.get(_BRANDS.get(data[8:12], ""), "a film")
    if data.startswith(b"PK\x03\x04"):
        return by_name or ZIP
    if data.startswith(b"\0\0\1\0"):
        return _ENDINGS[".ico"]
    if b"<svg" in data[:2048]:
        return _ENDINGS[".svg"]
    if data.startswith((b"\x89PNG", b"\xff\xd8", b"GIF8", b"BM", b"II", b"MM", b"RIFF")):
        return ""  # what is wrong with it is told by who tried to open it
    return by_name
