"""Words of a text as they are compared: content words by stem and trend, names, quotes. Text in, values out."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

TOKEN = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
SPECIES = re.compile(r"[A-Z]\. ")
"""What stands before the second name of a species: O. sanctum."""
QUOTED = re.compile(r"“([^”\n]{2,80})”|\"([^\"\n]{2,80})\"|‘([^’\n]{3,80})’(?!\w)|`([^`\n]{2,80})`")

_STOP = """a an the this that these those it its they them their there here he she we our us you your i me my one ones who
    which what
    whose whom where when while why how and or but nor so yet if then than as at by for from in into of off on onto out over to
    toward up upon with within between among about against during through across along per via is are was were be been being am
    do does did done doing has have had having can could may might must shall should will would ought not no nor only also too
    very more most much many some any all each every both either neither other others another same such own again further
    once just even still already well however thus therefore hence moreover furthermore additionally finally overall
    notably clearly especially particularly generally typically mainly mostly roughly approximately nearly almost around
    rather quite s t e g i d al etc vs eg ie et cf ca ll re ve"""
STOP = frozenset(_STOP.split())
"""Words that carry no content of their own."""

_TALK = """figure fig figures image picture plot plots plotted chart charts graph graphs panel panels caption text paper author
    authors show shows showed shown showing illustrate illustrates illustrated depict depicts depicted display displays displayed
    present presents presented represent represents represented indicate indicates indicated indicating suggest suggests
    suggesting suggested see seen visible given note noted noting observe observed describe describes described report reports
    reported find finds found according respectively reader read reading left mean means meaning using used use uses
    refer refers compare compared comparing comparison relative different difference contain contains include includes
    including appear appears provide provides demonstrate demonstrates demonstrated reveal reveals revealed highlight
    highlights state states stated claim claims look looks looking value values label labeled labelled labels called named
    corresponding axis axes legend curve curves line lines bars series tick ticks"""
TALK = frozenset(_TALK.split())
"""Words with which every answer speaks of figures: that they are not in the text given says nothing."""

TRENDS = {
    "rise": "rise rises rose risen rising increase increases increased increasing grow grows grew grown growing growth "
    "climb climbs climbed climbing upward upwards",
    "fall": "fall falls fell fallen falling decrease decreases decreased decreasing decline declines declined declining "
    "drop drops dropped dropping reduce reduces reduced reducing reduction shrink shrinks downward downwards",
    "high": "high higher highest large larger largest great greater greatest big bigger biggest maximum maximal max",
    "low": "low lower lowest small smaller smallest least minimum minimal min less fewer fewest",
    "good": "better best superior outperform outperforms outperformed improve improves improved improving improvement",
    "bad": "worse worst inferior underperform underperforms underperformed degrade degrades degraded worsen worsens worsened",
    "fast": "fast faster fastest quick quicker quickly rapid rapidly",
    "slow": "slow slower slowest slowly",
    "early": "early earlier earliest",
    "late": "late later latest",
    "before": "before preceding",
    "after": "after subsequent afterwards",
    "above": "above exceed exceeds exceeded exceeding",
    "below": "below beneath under",
    "positive": "positive positively",
    "negative": "negative negatively",
    "constant": "constant flat stable unchanged steady plateau plateaus",
    "similar": "similar similarly comparable alike identical equal",
    "vertical": "vertical vertically",
    "horizontal": "horizontal horizontally",
}
"""What says the same of a curve or a comparison, under one name."""
OPPOSITES = (
    ("rise", "fall"),
    ("high", "low"),
    ("good", "bad"),
    ("fast", "slow"),
    ("early", "late"),
    ("before", "after"),
    ("above", "below"),
    ("positive", "negative"),
    ("vertical", "horizontal"),
)
OPPOSITE_OF = {one.upper(): other.upper() for pair in OPPOSITES for one, other in (pair, pair[::-1])}
_NEGATIONS = "not no never neither nor without none cannot hardly fails failed lack lacks lacking"
NEGATIONS = frozenset(_NEGATIONS.split())

HEDGES = re.compile(
    r"(?:about|around|roughly|approximately|approx\.?|nearly|almost|some|circa|ca\.|[~≈∼])\s*$", re.IGNORECASE
)
"""What stands before a number that is not meant to the last digit."""

TREND_KEYS = frozenset(name.upper() for name in TRENDS)
"""What `key_of` gives for such words."""
_TREND_OF = {word: trend for trend, words in TRENDS.items() for word in words.split()}


@dataclass(frozen=True, slots=True)
class Word:
    """A word that is compared."""

    key: str
    """Its stem, or the trend that it tells."""
    start: int
    end: int
    is_name: bool = False
    """Written as names are: capitals inside a sentence, or letters and digits mixed."""


def words_of(text: str, start: int = 0, end: int | None = None) -> Iterator[Word]:
    """The content words of a sentence that stands at `start` … `end` of `text`."""
    first = True
    for match in TOKEN.finditer(text, start, len(text) if end is None else end):
        token = match[0]
        key = key_of(token)
        if key:
            yield Word(
                key,
                match.start(),
                match.end(),
                _is_name(token, first=first, before=text[max(0, match.start() - 3) : match.start()]),
            )
        first = False


def _is_name(token: str, *, first: bool, before: str) -> bool:
    if SPECIES.fullmatch(before) and token.isalpha():
        return True
    capitals = sum(letter.isupper() for letter in token)
    if not capitals or token[0].isdigit():
        return False
    if capitals > 1 or any(letter.isdigit() for letter in token):
        return len(token) > 1 and token.casefold() not in TALK
    begins = first or before.rstrip()[-1:] in (":", ";", "|", "(", "—", "“", '"', "*", "•")
    return token[0].isupper() and len(token) > 1 and not begins and token.casefold() not in TALK | STOP


def is_negated(text: str) -> bool:
    """Whether a sentence denies something."""
    return any(token[0].casefold() in NEGATIONS or token[0].endswith(("n't", "n’t")) for token in TOKEN.finditer(text))


@lru_cache(maxsize=50_000)
def key_of(token: str) -> str:
    """What a word is compared by; empty for one without content (a number is compared as a number)."""
    word = unicodedata.normalize("NFKC", token).casefold().replace("’", "'")
    word = word.removesuffix("'s")
    if word in _TREND_OF:
        return _TREND_OF[word].upper()
    if word in STOP or word in TALK or word.isdigit() or (len(word) == 1 and word.isascii()):
        return ""
    return stem(word)


def stem(word: str) -> str:
    """A word without its plural, -ed, -ing, -ly and final e: light, so that different words stay different."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and re.search("[aeiouy]", word[: -len(ending)]):
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
