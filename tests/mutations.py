"""Damages papers in the ways that disks, networks, bad programs and bad people damage them. Same seed, same damage."""

import gzip
import io
import random
import re
import tarfile
from collections.abc import Callable

from arxiv_server import tar_gz


def flips(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 5, 50, 500))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))]


def spliced(data: bytes, chance: random.Random) -> bytes:
    """A piece of the file once more, somewhere else."""
    start, place = chance.randrange(len(data)), chance.randrange(len(data))
    return data[:place] + data[start : start + chance.choice((20, 500, 20_000))] + data[place:]


def hole(data: bytes, chance: random.Random) -> bytes:
    """A block of zeros, as a broken disk leaves it."""
    start, size = chance.randrange(len(data)), chance.choice((16, 512, 4096))
    return data[:start] + bytes(size) + data[start + size :]


def objects_swapped(data: bytes, chance: random.Random) -> bytes:
    """References and headers of objects that name another one: circles of pages, pictures that are fonts."""
    numbers = sorted({int(found[1]) for found in re.finditer(rb"(\d+) 0 (?:obj|R)", data)}) or [1]

    def other(found: re.Match[bytes]) -> bytes:
        return found[0] if chance.random() > 0.1 else b"%d 0 %s" % (chance.choice(numbers), found[2])

    return re.sub(rb"(\d+) 0 (obj|R)\b", other, data)


def xref_swapped(data: bytes, chance: random.Random) -> bytes:
    offsets = [found.span() for found in re.finditer(rb"\d{10} 00000 n", data)]
    changed = bytearray(data)
    for _ in range(min(4, len(offsets) // 2)):
        (a, b), (c, d) = chance.sample(offsets, 2)
        changed[a:b], changed[c:d] = data[c:d], data[a:b]
    return (
        bytes(changed) if offsets else re.sub(rb"startxref\s+\d+", b"startxref\n%d" % chance.randrange(len(data)), data)
    )


def numbers_grown(data: bytes, chance: random.Random) -> bytes:
    """Lengths, sizes and counts that nobody can have."""
    names = rb"(/(?:Length|Width|Height|Count|Size|Columns|BitsPerComponent|Rotate|First|N)\s+)(\d+)"
    huge = (b"0", b"-1", b"99999", b"2147483647", b"4294967296", b"99999999999999999999")
    return re.sub(names, lambda found: found[1] + (chance.choice(huge) if chance.random() < 0.3 else found[2]), data)


def boxes_grown(data: bytes, chance: random.Random) -> bytes:
    box = chance.choice((b"0 0 1e9 1e9", b"0 0 0 0", b"-5e8 -5e8 5e8 5e8", b"0 0 nan 1", b"0 0 14400 14400"))
    return re.sub(rb"/MediaBox\s*\[[^\]]*\]", b"/MediaBox [" + box + b"]", data)


def nested(data: bytes, chance: random.Random) -> bytes:
    """Brackets a hundred thousand deep, within the first dictionary of a page."""
    depth = chance.choice((600, 100_000))
    deep = chance.choice((b"[" * depth + b"]" * depth, b"<</A " * depth + b">>" * depth))
    return data.replace(b"/Type /Page ", b"/Type /Page /Deep " + deep + b" ", 1).replace(
        b"/Type/Page/", b"/Type/Page/Deep " + deep + b"/", 1
    )


def streams_forged(data: bytes, chance: random.Random) -> bytes:
    """Object streams that extend themselves or claim a million objects, and drawing without end."""
    forged = (
        b"<< /Type /ObjStm /N 1000000 /First 10 /Extends 9001 0 R /Length 20 >> stream\n1 0 2 3 4 5 6 7 8 9 \nendstream"
    )
    draw = b"q " * chance.choice((50, 200_000)) + b"/Im0 Do " * 1000
    changed = data.replace(b"endobj\n", b"endobj\n9001 0 obj\n" + forged + b"\nendobj\n", 1)
    return re.sub(rb"stream\n(?=[^\n]* g BT)", lambda _: b"stream\n" + draw, changed, count=1)


PDF = {
    act.__name__: act
    for act in (
        flips, truncated, spliced, hole, objects_swapped, xref_swapped, numbers_grown, boxes_grown, nested, streams_forged,
    )
}  # fmt: skip


def unpacked(data: bytes) -> bytes:
    return gzip.decompress(data)


def gz_damaged(data: bytes, chance: random.Random) -> bytes:
    return chance.choice((flips, truncated, spliced, hole))(data, chance)


def tar_damaged(data: bytes, chance: random.Random) -> bytes:
    return gzip.compress(chance.choice((flips, truncated, spliced, hole))(unpacked(data), chance), 1)


def tar_forged(data: bytes, chance: random.Random) -> bytes:
    """Members that claim another size, kind or name."""
    tar = bytearray(unpacked(data))
    place = chance.choice(
        ((124, b"77777777777\0"), (156, chance.choice((b"1", b"2", b"5", b"S", b"x"))), (0, b"../../up\0"))
    )
    tar[place[0] : place[0] + len(place[1])] = place[1]
    tar[148:156] = b"        "
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    return gzip.compress(bytes(tar), 1)


def tex_damaged(data: bytes, chance: random.Random) -> bytes:
    return _tex_changed(data, lambda text: chance.choice((flips, truncated, spliced, hole))(text, chance))


def braces_lost(data: bytes, chance: random.Random) -> bytes:
    return _tex_changed(
        data, lambda text: re.sub(rb"[{}$\\%]", lambda found: b"" if chance.random() < 0.05 else found[0], text)
    )


def macros_forged(data: bytes, chance: random.Random) -> bytes:
    """Macros that never end, double themselves, include themselves, or hold a hundred thousand braces."""
    chain = b"".join(b"\\def\\m%c{\\m%c\\m%c}" % (96 + n, 97 + n, 97 + n) for n in range(1, 25)) + b"\\def\\my{x}\\ma"
    forged = chance.choice((
        rb"\def\a{\a\a}\a", chain, rb"\newcommand{\x}[1]{\x{#1#1}}\x{y}", rb"\input{main}\include{main}",
        b"{" * 100_000, b"\\begin{figure}" * 3000, b"$" * 99_999, b"\\left(" * 20_000, rb"\let\begin\end \let\end\begin",
        rb"\def\caption#1{\section{#1}\caption{#1}}", rb"\loop\iftrue\repeat", b"\\ref{" * 5000,
    ))  # fmt: skip
    return _tex_changed(data, lambda text: text.replace(b"\\begin{document}", b"\\begin{document}" + forged, 1))


ARCHIVE = {act.__name__: act for act in (gz_damaged, tar_damaged, tar_forged, tex_damaged, braces_lost, macros_forged)}


def mutants(pdfs: list[bytes], archives: list[bytes], count: int, seed: int) -> list[tuple[str, bytes]]:
    """`count` damaged papers as (file name, bytes); every kind of damage in turn. Names tell the damage: 0007-nested.pdf."""
    kinds: list[tuple[str, Callable[[bytes, random.Random], bytes], list[bytes], str]] = [
        *((name, act, pdfs, "pdf") for name, act in PDF.items()),
        *((name, act, archives, "tar.gz") for name, act in ARCHIVE.items()),
    ]
    made = []
    for number in range(count):
        name, act, seeds, ending = kinds[number % len(kinds)]
        chance = random.Random(f"{seed}-{number}")
        made.append((f"{number:04d}-{name}.{ending}", act(chance.choice(seeds), chance)))
    return made


def _tex_changed(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The archive with its largest .tex changed."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
    main = max((name for name in files if name.endswith(".tex")), key=lambda name: len(files[name]))
    return tar_gz(files | {main: change(files[main]) or b" "})
