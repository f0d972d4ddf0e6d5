"""Answers to questions about medical images, against short references. In: texts. Out: 0..1.

`published_…` are number for number what the scripts of LLaVA-Med 1.0 and Quilt-LLaVA compute, mistakes included; the others do
what their name says.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from llava_graph.evaluate.rouge import split_words

SIGNS = ';/[]"{}()=+\\_-><@`,?!'
DIGITS_COMMA = re.compile(r"\d,\d")
PERIOD = re.compile(r"(?!<=\d)\.(?!\d)")
"""The scripts' own slip: "(?!<=" is no look-behind, so that every period goes which no digit follows."""
MOST_PERIODS = 32
"""re.UNICODE (32) stands in the place of the count of replacements."""
NUMBER_WORDS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip
ARTICLES = ("a", "an", "the")
CONTRACTED = (
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's isn't it'd "
    "it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't somebody'll "
    "somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's they'd they'll they're "
    "they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd who'll who's who've "
    "why'll why're why's won't would've wouldn't y'all you'd you'll you're you've"
)
TWICE_CONTRACTED = (
    "couldn't've hadn't've he'd've it'd've mightn't've 'ow's'at she'd've shouldn't've somebody'd've someone'd've something'd've "
    "there'd've they'd've we'd've wouldn't've y'all'll y'all'd've you'd've who'd've"
)
CONTRACTIONS = {
    **{word.replace("'", ""): word for word in CONTRACTED.split()},
    **{
        word[:at] + word[at + 1 :]: word
        for word in TWICE_CONTRACTED.split()
        for at, sign in enumerate(word)
        if sign == "'"
    },
    "somebody'd": "somebodyd",
}
"""The scripts' table, slips included: what lacks one of its apostrophes -> with all."""
YES_NO = frozenset({"yes", "no"})


def normalize_answer(text: str) -> str:
    """The scripts' `normalize_word`: a sign is dropped where any of its kind stands beside a space, else it becomes a space."""
    text = text.lower()
    crowded = DIGITS_COMMA.search(text) is not None
    plain = text
    for sign in SIGNS:
        dropped = crowded or f"{sign} " in text or f" {sign}" in text
        plain = plain.replace(sign, "" if dropped else " ")
    words = [NUMBER_WORDS.get(word, word) for word in PERIOD.sub("", plain, count=MOST_PERIODS).split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES).replace(",", "")


def published_exact_match(answer: str, reference: str) -> float:
    """What the scripts print as "exact match": the reference's different words that the answer has, by the answer's words.

    A long right answer scores near 0, a wrong one that repeats less scores more.
    """
    mine, theirs = _twice(answer), _twice(reference)
    return sum(word in mine for word in theirs) / mine.total() if mine else 0.0


def published_f1(answer: str, reference: str) -> tuple[float, float, float]:
    """The scripts' F1, precision and recall; LLaVA-Med's "open" is this recall.

    A shared word counts as often as the answer says it, so an answer that repeats one has a higher recall.
    """
    mine, theirs = _twice(answer), _twice(reference)
    shared = sum(count for word, count in mine.items() if word in theirs)
    if not shared:
        return 0.0, 0.0, 0.0
    precision = shared / mine.total()
    recall = shared / (shared + sum(count for word, count in theirs.items() if word not in mine))
    return 2 * precision * recall / (precision + recall), precision, recall


def published_closed(answer: str, reference: str) -> float | None:
    """LLaVA-Med 1.0's yes/no accuracy (`run_eval.py`): 1, 0, or None for what its mean leaves out.

    An answer without "yes" and "no" (anywhere: "normal", "know") is wrong; one with either is right if the reference stands in
    it, else it is not counted at all, so that "yes" to everything has 100 %.
    """
    mine, theirs = normalize_answer(answer), normalize_answer(reference)
    if "yes" not in mine and "no" not in mine:
        return 0.0
    return 1.0 if theirs in mine else None


def published_inside(answer: str, reference: str) -> float:
    """Accuracy of its `run_eval_batch.py`, of closed and of open questions: the reference stands somewhere in the answer."""
    return float(normalize_answer(reference) in normalize_answer(answer))


def published_closed_tiny(answer: str, reference: str) -> float:
    """TinyLLaVA-Med-F's yes/no accuracy: the same of the texts as they are, so that "none" and "an" are not rewritten."""
    return float(reference.lower() in answer.lower())


def published_closed_quilt(answer: str, reference: str) -> float:
    """Quilt-LLaVA's yes/no accuracy: an answer with the word no or not says no, all others, the empty one too, say yes."""
    words = normalize_answer(answer).split(" ")
    return float(("no" if "not" in words or "no" in words else "yes") == reference.strip().lower())


def published_textvqa(answer: str, references: Sequence[str]) -> float:
    """TextVQA's accuracy (MMF's evaluator, LLaVA's `m4c_evaluator.py`): of each nine of ten people, a third for each who gave the
    answer, at most 1; the mean over the ten. Texts go through `normalize_answer`, commas and question marks gone first.
    """
    mine, given = _textvqa_words(answer), [_textvqa_words(reference) for reference in references]
    return vqa_accuracy(given.count(mine), len(given))


def _textvqa_words(text: str) -> str:
    plain = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    return normalize_answer(plain.replace("\n", " ").replace("\t", " ").strip())


def vqa_accuracy(same: int, people: int) -> float:
    """VQA's accuracy of an answer that `same` of `people` gave (Antol et al. 2015; each one left out once).

    Fewer than four people cannot agree enough: there it is whether anybody gave the answer.
    """
    if people < 4:
        return float(same > 0)
    return (same * min(1.0, (same - 1) / 3) + (people - same) * min(1.0, same / 3)) / people if same else 0.0


def accuracy_of_several(answer: str, references: Sequence[str]) -> float:
    """The same accuracy with `exact_match` as what is the same: nothing but case, punctuation and articles aside."""
    return vqa_accuracy(sum(exact_match(answer, reference) > 0 for reference in references), len(references))


def exact_match(answer: str, reference: str) -> float:
    """Whether both have the same words in the same order; case, punctuation and articles aside."""
    return float(_plain(answer) == _plain(reference) != [])


def token_f1(answer: str, reference: str) -> tuple[float, float, float]:
    """F1, precision and recall of words, each as often as both have it (SQuAD's); 0 for empty texts."""
    mine, theirs = Counter(_plain(answer)), Counter(_plain(reference))
    shared = (mine & theirs).total()
    if not shared:
        return 0.0, 0.0, 0.0
    precision, recall = shared / mine.total(), shared / theirs.total()
    return 2 * precision * recall / (precision + recall), precision, recall


def said_yes_no(answer: str) -> str:
    """ "yes" or "no": the first of these words; empty where it says neither. "It is not …" says neither: it may answer either."""
    return next((word for word in split_words(answer) if word in YES_NO), "")


def closed_accuracy(answer: str, reference: str) -> float:
    """Whether a closed question is answered rightly: by its first yes or no, or, of other choices, by the choice itself."""
    theirs = _plain(reference)
    if len(theirs) == 1 and theirs[0] in YES_NO:
        return float(said_yes_no(answer) == theirs[0])
    return exact_match(answer, reference)


def is_yes_no(reference: str) -> bool:
    """Whether a reference is yes or no."""
    return split_words(reference) in (["yes"], ["no"])


class Candidates:
    """Answers that may be right, of which the one nearest to a model's counts: LLaVA-Med's "open accuracy".

    Its candidates are the answers to all open questions of the training set (`train_open_answers.json`: {"0": [answer, …]}).
    """

    def __init__(self, answers: Sequence[str]) -> None:
        """Raises ValueError for none."""
        if not answers:
            raise ValueError("there are no candidates")
        self._normal = [normalize_answer(answer) for answer in answers]
        self._words = [frozenset(answer.split()) for answer in self._normal]
        self._plain = list({tuple(_plain(answer)): None for answer in answers})
        self._with: dict[str, list[int]] = defaultdict(list)
        for place, words in enumerate(self._words):
            for word in words:
                self._with[word].append(place)
        self._plain_with: dict[str, list[int]] = defaultdict(list)
        for place, told in enumerate(self._plain):
            for word in set(told):
                self._plain_with[word].append(place)

    def published_hit(self, answer: str, reference: str) -> float:
        """Whether the candidate with the largest share of its words in the answer is the reference; the first of equals.

        An answer that shares no word with any takes the first candidate, whatever it is; a candidate of one word that the answer
        says beats every longer one that it says but for a word.
        """
        shared = Counter(place for word in _twice(answer) for place in self._with.get(word, ()))
        best = max(shared, key=lambda place: (shared[place] / len(self._words[place]), -place), default=0)
        return float(self._normal[best] == normalize_answer(normalize_answer(reference)))

    def hit(self, answer: str, reference: str) -> float:
        """Whether the reference is the one candidate with the highest F1 of words; without a single best it is a miss."""
        mine = Counter(_plain(answer))
        near = {place for word in mine for place in self._plain_with.get(word, ())}
        scores = {
            place: 2 * (mine & Counter(self._plain[place])).total() / (mine.total() + len(self._plain[place]))
            for place in near
        }
        best = max(scores.values(), default=0.0)
        nearest = [self._plain[place] for place, score in scores.items() if score > best - 1e-12]
        return float(nearest == [tuple(_plain(reference))])

    def has(self, reference: str) -> bool:
        """Whether a reference can be hit at all."""
        return tuple(_plain(reference)) in self._plain


def _twice(text: str) -> Counter[str]:
    """The scripts normalize once before they score and once within."""
    return Counter(normalize_answer(normalize_answer(text)).split())


def _plain(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W_]+(?:[.'-][^\W_]+)*", text.lower()) if word not in ARTICLES]
