"""ROUGE by length, as the SciCap Challenge 2023 scores captions. In: mean scores and mean length. Out: times what chance gives.

A long caption shares words with any other by chance. The Challenge divides a mean ROUGE by that of random sentences of the same
mean length, read off a table with straight lines between its points and beyond its ends.
"""

import re
from collections.abc import Sequence

LENGTHS = (
    3.9826927517, 5.9549255862, 7.9076051135, 9.81988077, 11.6670102227, 13.4282499633, 15.0784735196, 16.6026847751,
    18.0075526354, 19.2746489221, 20.4229391885, 21.4450618191, 22.3082453452, 23.1111106446, 28.2587921661, 55.718749344,
    81.5821532778, 105.2805852348, 126.637654023, 145.7091626608, 162.4257730011, 177.1731711413, 190.1122798547, 201.4505573165,
)  # fmt: skip
"""Words."""
CHANCE = {
    "1": (
        0.0682902912, 0.0978827539, 0.1224228823, 0.1420500099, 0.15667295, 0.1688965384, 0.1782539613, 0.1855030362,
        0.1913154379, 0.1960990131, 0.1993243852, 0.2024686698, 0.204501986, 0.2062906734, 0.2123504881, 0.2515012516,
        0.2560368626, 0.2501756483, 0.2424150409, 0.2348272003, 0.2280278165, 0.2224555269, 0.2179352276, 0.2142724833,
    ),
    "2": (
        0.0144407758, 0.0249529835, 0.0347267516, 0.0427076786, 0.0485375859, 0.0535693814, 0.0572324993, 0.0602716788,
        0.0628290212, 0.0649507089, 0.0661721408, 0.0678942278, 0.0688855871, 0.0697352193, 0.0736741358, 0.0946583707,
        0.1034647258, 0.1066520132, 0.1083127966, 0.1088493736, 0.1086376524, 0.1083631105, 0.1080597696, 0.1077033711,
    ),
    "L": (
        0.0638302511, 0.0885365378, 0.1080729605, 0.1226784665, 0.13304084, 0.1412546317, 0.1473504772, 0.1517939352,
        0.1552496947, 0.1581296506, 0.1597121746, 0.1616429679, 0.162688815, 0.163630746, 0.1666532163, 0.1846472648,
        0.1836643033, 0.1785305626, 0.1737320905, 0.1693876728, 0.1657265038, 0.162906589, 0.1606680241, 0.1588698335,
    ),
}  # fmt: skip
"""ROUGE-1, -2 and -L (F1) of random sentences of so many words: the Challenge's `Scicap_evaluation.ipynb`."""
TREEBANK = re.compile(
    r"\.{2,}|--+|can(?=not\b)|\w+(?=n['’]t\b)|n['’]t\b|['’](?:s|re|ve|ll|d|m)\b"
    r"|(?:[^\W\d_]\.)+[^\W\d_]\.|\d+(?:[.,]\d+)*(?:[\w\-/]*\w)?|[^\W\d](?:[\w\-./]*\w)?|[^\w\s]"
)


def by_chance(name: str, length: float) -> float:
    """ROUGE-`name` ("1", "2", "L") of random sentences of `length` words."""
    scores = CHANCE[name]
    place = min(max(sum(point <= length for point in LENGTHS) - 1, 0), len(LENGTHS) - 2)
    before, after = LENGTHS[place], LENGTHS[place + 1]
    return scores[place] + (scores[place + 1] - scores[place]) * (length - before) / (after - before)


def normalized(name: str, sums: Sequence[float]) -> float:
    """From the sums over all answers of ROUGE, words and answers. Raises ZeroDivisionError for no answers."""
    score, words, count = sums
    return score / count / by_chance(name, words / count)


def treebank_length(text: str) -> int:
    """Words and signs, about as NLTK's `word_tokenize` counts them (its sentence splitter needs a download, this does not)."""
    return len(TREEBANK.findall(text))
