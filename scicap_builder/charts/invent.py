"""Names that no list holds: series (acronyms, codes, settings, coined words, words of all sciences) and quantities.

A model must read these. What it can know by heart it does not learn to copy: with 1,000 listed names and 100 words in new
combination it named nine of ten axes of such charts, and four of ten of charts with other words (docs/packaged_model.md).

In: a random generator. Out: names.
"""

from functools import cache
from pathlib import Path

import numpy as np

from scicap_builder.charts.chart import pick
from scicap_builder.charts.vocabulary import Field, Quantity, words

Families = tuple[tuple[str, ...], ...]
INVENTED_SHARE = 0.7
"""Share of charts whose series or categories no vocabulary lists."""

_QUALITIES = words("""mean; median; total; relative; normalized; effective; peak; residual; cumulative; average; absolute;
    specific; apparent; expected; estimated; measured; corrected; weighted; initial; final; minimum; maximum; local; global;
    daily; annual; nominal; critical; optimal; observed; scaled; log; differential; spectral; thermal; optical; lateral;
    surface; internal; external; static; dynamic; marginal; joint; partial; net; gross; raw; smoothed; predicted""")
_THINGS = words("""drift; retention; coverage; latency; overlap; density; flux; gain; offset; delay; strain; recall; precision;
    regret; entropy; loading; occupancy; turnover; porosity; curvature; mobility; roughness; elongation; attenuation; variance;
    likelihood; distance; score; index; rate; ratio; width; height; length; mass; charge; torque; speed; acceleration; slope;
    amplitude; phase; depth; thickness; area; volume; weight; power; error; bias; margin; confidence; diversity; similarity;
    abundance; prevalence; exposure; intensity; coherence; visibility; yield; capacity; demand; supply; cost; utility; effort;
    duration; lifetime; period; count; frequency; dose; level; fraction; probability; threshold; budget; window size; batch size;
    grid spacing; step size; bin number; node degree; hop count; beam current; flow speed; rank; order; iteration; generation""")
_UNITS = ("", "", "", "", "%", "s", "ms", "h", "m", "mm", "µm", "nm", "km", "kg", "g", "K", "°C", "V", "mA", "W", "kW", "Hz",
          "MHz", "eV", "Pa", "bar", "dB", "a.u.", "mol/L", "m/s", "J", "N", "T", "rad", "px", "bits", "pc", "$")  # fmt: skip


def invent_quantity(rng: np.random.Generator, like: Quantity) -> Quantity:
    """A quantity of the range of `like` under a name that no list holds: words in new combination, or coined ones."""
    thing = _THINGS[rng.integers(len(_THINGS))]
    style = rng.random()
    if style < 0.5:
        name = _some_words(rng)
    elif style < 0.65:
        name = f"{_coined(rng, '')} {thing}"
    elif style < 0.75:
        name = f"{_THINGS[rng.integers(len(_THINGS))]} {thing}"
    else:
        name = f"{_QUALITIES[rng.integers(len(_QUALITIES))]} {thing}"
    return Quantity(name[0].upper() + name[1:], _UNITS[rng.integers(len(_UNITS))], like.low, like.high, like.log)


_CONSONANTS, _VOWELS = "bcdfgklmnprstvz", "aeiou"
_SETTINGS = ("k", "n", "d", "T", "α", "β", "λ", "m", "p", "q", "σ")
_AMOUNTS = (" mM", " °C", " K", " %", "%", " days", " h", " nm", " V", "x", " GHz", " kg", " mg", "k", " years")
_HEADS = ("Group", "Model", "Method", "Sample", "Site", "Team", "Phase", "Type", "Zone", "Mode", "Line", "Case")
_ENDINGS = ("Net", "Former", "GAN", "-Opt", " v2", "+", "-X", " method", " model", "Flow")


def invent_or_pick(rng: np.random.Generator, field: Field, families: Families, count: int) -> tuple[str, ...]:
    """At most `count` different names: invented ones, or members of one family in its order."""
    if rng.random() < INVENTED_SHARE:
        return invent_names(rng, count, phrases=field.known)
    family = pick(rng, families)
    count = min(count, len(family))
    return tuple(family[index] for index in sorted(rng.choice(len(family), size=count, replace=False)))


def invent_names(rng: np.random.Generator, count: int, *, phrases: bool = True) -> tuple[str, ...]:
    """`count` different names of one style that no vocabulary lists: settings, amounts, codes, acronyms, coined words."""
    style = int(rng.integers(8 if phrases else 7))
    if style == 0:
        symbol = _SETTINGS[rng.integers(len(_SETTINGS))]
        step = float(rng.choice([0.1, 0.25, 0.5, 1, 2, 5, 10]))
        first = int(rng.integers(1, 6))
        form = ("{} = {:g}", "{}={:g}")[rng.integers(2)]
        return tuple(form.format(symbol, step * (first + index)) for index in range(count))
    if style == 1:
        unit = _AMOUNTS[rng.integers(len(_AMOUNTS))]
        step = float(rng.choice([0.1, 0.5, 1, 2, 5, 10, 20, 50]))
        first = int(rng.integers(0, 6))
        return tuple(f"{step * (first + index):g}{unit}" for index in range(count))
    names: list[str] = []
    stem = _letters(rng, 1)
    while len(names) < count:
        name = (_code, _acronym, _coined, _worded, _worded, _phrase)[style - 2](rng, stem)
        if name not in names:
            names.append(name)
    return tuple(names)


def _letters(rng: np.random.Generator, count: int) -> str:
    return "".join(chr(65 + int(rng.integers(26))) for _ in range(count))


def _code(rng: np.random.Generator, stem: str) -> str:
    return f"{stem}{rng.integers(1, 100)}"


def _acronym(rng: np.random.Generator, stem: str) -> str:  # noqa: ARG001  (one signature for all styles)
    return _letters(rng, int(rng.integers(2, 5))) + (_pick_ending(rng) if rng.random() < 0.4 else "")


@cache
def known_words() -> tuple[str, ...]:
    """Words that occur in several of the openly licensed papers that the project is tested on (words alone, no text)."""
    return tuple(Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split())


def _some_words(rng: np.random.Generator) -> str:
    """One to three words of any science, or a blend of two: "vascular yield", "spectroration"."""
    listed = known_words()
    chosen = [listed[rng.integers(len(listed))] for _ in range(int(rng.choice([1, 2, 2, 3])))]
    if rng.random() < 0.3:
        head, tail = listed[rng.integers(len(listed))], listed[rng.integers(len(listed))]
        chosen[-1] = head[: int(rng.integers(2, 6))] + tail[-int(rng.integers(3, 7)) :]
    return " ".join(chosen)


def _worded(rng: np.random.Generator, stem: str) -> str:  # noqa: ARG001
    name = _some_words(rng)
    return name[0].upper() + name[1:] if rng.random() < 0.7 else name


def _coined(rng: np.random.Generator, stem: str) -> str:  # noqa: ARG001
    syllables = [
        _CONSONANTS[rng.integers(len(_CONSONANTS))] + _VOWELS[rng.integers(len(_VOWELS))]
        for _ in range(int(rng.integers(2, 4)))
    ]
    return "".join(syllables).capitalize() + (_pick_ending(rng) if rng.random() < 0.3 else "")


def _phrase(rng: np.random.Generator, stem: str) -> str:
    """Two words, of which one at least is known: "Weighted drift", "Local Tabe", "Group Loru"."""
    first = pick(rng, _QUALITIES) if rng.random() < 0.7 else pick(rng, _HEADS)
    second = pick(rng, _THINGS) if rng.random() < 0.5 else _coined(rng, stem)
    return f"{first[0].upper()}{first[1:]} {second}"


def _pick_ending(rng: np.random.Generator) -> str:
    return _ENDINGS[rng.integers(len(_ENDINGS))]
