"""All scores of each kind of question. In: items with answers. Out: measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from llava_graph.evaluate import choices, vqa
from llava_graph.evaluate.answered import (
    CAPTION,
    CHAT,
    CHOICE,
    CLOSED,
    EXPLAIN,
    FREE,
    LABEL,
    OPEN,
    REPORT,
    SEVERAL,
    TABLE,
    Pair,
)
from llava_graph.evaluate.bleu import CXR_EPSILON, bleu_counts, coco_bleu, corpus_bleu, cxr_words, nltk_bleu
from llava_graph.evaluate.challenge import normalized, treebank_length
from llava_graph.evaluate.cider import cider_d
from llava_graph.evaluate.instruments import NOTHING, Instruments, measure_with
from llava_graph.evaluate.measure import PUBLISHED, STRICT, Measure, mean, ratio
from llava_graph.evaluate.meteor import meteor_exact_stem
from llava_graph.evaluate.numbers import number_fidelity
from llava_graph.evaluate.rouge import coco_rouge_l, rouge_l, rouge_n
from llava_graph.evaluate.tables import tables
from llava_graph.evaluate.words import caption_words, spaced_words

METEOR = "METEOR (exact, stem)"
ORDERS = (1, 2, 3, 4)
Pairs = Sequence[Pair]


def measure_all(
    pairs: Pairs, instruments: Instruments = NOTHING, failed: dict[str, str] | None = None
) -> list[Measure]:
    """The scores of every kind of question that is there; in `failed` which instruments did not work, and why."""
    found: list[Measure] = []
    for kind, score in BY_KIND.items():
        if some := [pair for pair in pairs if pair.item.kind == kind]:
            found += score(some)
    return [*found, *measure_with(pairs, instruments, {} if failed is None else failed)]


def overlap(pairs: Pairs) -> list[Measure]:
    """What captioning measures, strictly: corpus BLEU, ROUGE with stems, METEOR (exact, stem), CIDEr-D, all on pinned words."""
    answers = [caption_words(pair.text) for pair in pairs]
    references = [caption_words(pair.item.reference) for pair in pairs]
    ids = [pair.item.id for pair in pairs]
    counts = dict(zip(ids, map(bleu_counts, answers, references), strict=True))
    return [
        *(
            Measure(name=f"BLEU-{n}", flavour=STRICT, rows=counts, of_sums=partial(corpus_bleu, order=n))
            for n in ORDERS
        ),
        mean("ROUGE-1", STRICT, _each(pairs, lambda text, to: rouge_n(text, to, 1, stemmed=True).f1)),
        mean("ROUGE-2", STRICT, _each(pairs, lambda text, to: rouge_n(text, to, 2, stemmed=True).f1)),
        mean("ROUGE-L", STRICT, _each(pairs, lambda text, to: rouge_l(text, to, stemmed=True).f1)),
        mean(METEOR, STRICT, dict(zip(ids, map(meteor_exact_stem, answers, references), strict=True))),
        mean("CIDEr-D", STRICT, dict(zip(ids, cider_d(answers, references), strict=True)), scale=10.0),
    ]


def scigraphqa_published(pairs: Pairs) -> list[Measure]:
    """As SciGraphQA's notebooks: pycocoevalcap on untokenized texts, the first question of each dialogue only."""
    first = [pair for pair in pairs if pair.item.turn == 1]
    answers = [spaced_words(pair.text) for pair in first]
    references = [spaced_words(pair.item.reference) for pair in first]
    ids = [pair.item.id for pair in first]
    counts = dict(zip(ids, map(bleu_counts, answers, references), strict=True))
    note = "first question only, words between spaces"
    return [
        *(
            Measure(name=f"BLEU-{n}", flavour=PUBLISHED, rows=counts, of_sums=partial(coco_bleu, order=n), note=note)
            for n in ORDERS
        ),
        mean("ROUGE-L (beta 1.2)", PUBLISHED, _each(first, coco_rouge_l), note=note),
        mean("CIDEr", PUBLISHED, dict(zip(ids, cider_d(answers, references), strict=True)), scale=10.0, note=note),
    ]


def challenge_published(pairs: Pairs) -> list[Measure]:
    """As the SciCap Challenge's notebook: ROUGE with stems, plain and by length, and the mean of sentences' BLEU-4."""
    scores: list[Measure] = []
    scorers: dict[str, Callable[[str, str], float]] = {
        "1": lambda text, to: rouge_n(text, to, 1, stemmed=True).f1,
        "2": lambda text, to: rouge_n(text, to, 2, stemmed=True).f1,
        "L": lambda text, to: rouge_l(text, to, stemmed=True).f1,
    }
    for name, scorer in scorers.items():
        values = _each(pairs, lambda text, to, scorer=scorer: scorer(text.lower(), to.lower()))  # type: ignore[misc]
        rows = {pair.item.id: (values[pair.item.id], treebank_length(pair.text.lower()), 1.0) for pair in pairs}
        scores.append(mean(f"ROUGE-{name}", PUBLISHED, values))
        by_length = partial(normalized, name)
        scores.append(
            Measure(name=f"ROUGE-{name} by length", flavour=PUBLISHED, rows=rows, of_sums=by_length, scale=0.0)
        )
    sentences = _each(pairs, lambda text, to: nltk_bleu(text.lower().split(), to.lower().split()))
    return [*scores, mean("BLEU-4 (sentences)", PUBLISHED, sentences)]


def faithfulness(pairs: Pairs) -> list[Measure]:
    """Numbers that something bears out, of all numbers: in the reference, the caption, the figure's text, table or paragraphs."""
    parts = {}
    for pair in pairs:
        judged = number_fidelity(pair.text, sources_of(pair))
        if judged.numbers:
            parts[pair.item.id] = (float(len(judged.numbers) - len(judged.unsupported)), float(len(judged.numbers)))
    return [ratio("number fidelity", STRICT, parts, note="supported numbers of all; items: answers with a number")]


def sources_of(pair: Pair) -> list[str]:
    """What may bear out a number of an answer."""
    figure = pair.item.figure
    cells = [" ; ".join(row) for row in (figure.table.header, *figure.table.rows)] if figure.table else []
    return [pair.item.reference, figure.caption, *(line.text for line in figure.ocr), *cells, *figure.mentions]


def explanations(pairs: Pairs) -> list[Measure]:
    """Of explanations against the paragraph that cites the figure first, and of other free answers against theirs."""
    return [*overlap(pairs), *faithfulness(pairs)]


def captions(pairs: Pairs) -> list[Measure]:
    """Of captions, as the Challenge scores them and strictly."""
    return [*challenge_published(pairs), *overlap(pairs), *faithfulness(pairs)]


def chats(pairs: Pairs) -> list[Measure]:
    """Of dialogues about a figure: SciGraphQA's published protocol, and all turns."""
    return [*scigraphqa_published(pairs), *overlap(pairs), *faithfulness(pairs)]


def open_questions(pairs: Pairs) -> list[Measure]:
    """Of questions with a short free answer. LLaVA-Med's "open" is published/recall."""
    words = {
        pair.item.id: (vqa.normalize_answer(pair.text), vqa.normalize_answer(pair.item.reference)) for pair in pairs
    }

    def bleu(weights: Sequence[float]) -> Mapping[str, float]:
        return {name: nltk_bleu(mine.split(), theirs.split(), weights) for name, (mine, theirs) in words.items()}

    return [
        mean(
            'open "exact match"',
            PUBLISHED,
            _each(pairs, vqa.published_exact_match),
            note="is none, see docs/evaluate.md",
        ),
        mean("open F1", PUBLISHED, _each(pairs, lambda text, to: vqa.published_f1(text, to)[0])),
        mean("open precision", PUBLISHED, _each(pairs, lambda text, to: vqa.published_f1(text, to)[1])),
        mean("open recall", PUBLISHED, _each(pairs, lambda text, to: vqa.published_f1(text, to)[2])),
        mean(
            "open accuracy, lenient",
            PUBLISHED,
            _each(pairs, vqa.published_inside),
            note="LLaVA-Med run_eval_batch.py",
        ),
        mean("open bleu_score", PUBLISHED, bleu((0.25,) * 4)),
        mean("open bleu_score_1", PUBLISHED, bleu((1, 0, 0, 0))),
        mean("open bleu_score_2", PUBLISHED, bleu((0, 1, 0, 0)), note="precision of bigrams alone"),
        mean("open bleu_score_3", PUBLISHED, bleu((0, 0, 1, 0)), note="precision of trigrams alone"),
        mean("open exact match", STRICT, _each(pairs, vqa.exact_match)),
        mean("open F1", STRICT, _each(pairs, lambda text, to: vqa.token_f1(text, to)[0])),
        mean("open recall", STRICT, _each(pairs, lambda text, to: vqa.token_f1(text, to)[2])),
    ]


def several_answers(pairs: Pairs) -> list[Measure]:
    """Of questions that several people answered: VQA's accuracy, and whether anybody's answer is the answer."""

    def each(score: Callable[[str, Sequence[str]], float]) -> dict[str, float]:
        return {pair.item.id: score(pair.text, pair.item.references or (pair.item.reference,)) for pair in pairs}

    return [
        mean("VQA accuracy", PUBLISHED, each(vqa.published_textvqa), note="TextVQA's, as in LLaVA's m4c_evaluator.py"),
        mean("VQA accuracy", STRICT, each(vqa.accuracy_of_several)),
        mean(
            "exact match with any answer",
            STRICT,
            each(lambda text, to: max(vqa.exact_match(text, reference) for reference in to)),
        ),
    ]


def closed_questions(pairs: Pairs) -> list[Measure]:
    """Of yes/no questions and, in SLAKE, of questions with a choice."""
    yes_no = [pair for pair in pairs if vqa.is_yes_no(pair.item.reference)]
    return [
        _closed_of_run_eval(pairs),
        mean(
            "closed accuracy, lenient",
            PUBLISHED,
            _each(pairs, vqa.published_inside),
            note="LLaVA-Med run_eval_batch.py",
        ),
        mean(
            "closed accuracy, TinyLLaVA-Med",
            PUBLISHED,
            _each(pairs, vqa.published_closed_tiny),
            note="TinyLLaVA-Med-F run_eval.py",
        ),
        mean(
            "closed accuracy, Quilt",
            PUBLISHED,
            _each(yes_no, vqa.published_closed_quilt),
            note="Quilt-LLaVA quilt_eval.py",
        ),
        mean("closed accuracy", STRICT, _each(pairs, vqa.closed_accuracy)),
        mean(
            "closed without yes or no",
            STRICT,
            _each(yes_no, lambda text, _: float(not vqa.said_yes_no(text))),
            note="counted as wrong",
        ),
    ]


def _closed_of_run_eval(pairs: Pairs) -> Measure:
    """LLaVA-Med's mean over what it counts; 0, as there, where it counts nothing."""
    hits = {pair.item.id: vqa.published_closed(pair.text, pair.item.reference) for pair in pairs}
    rows = {name: (0.0, 0.0) if hit is None else (hit, 1.0) for name, hit in hits.items()}
    left_out = sum(hit is None for hit in hits.values())
    return Measure(
        name="closed accuracy",
        flavour=PUBLISHED,
        rows=rows,
        of_sums=lambda sums: sums[0] / sums[1] if sums[1] else 0.0,
        note=f"LLaVA-Med run_eval.py, which leaves {left_out} wrong answers out",
    )


def choice_questions(pairs: Pairs) -> list[Measure]:
    """Of questions with lettered choices; the reference begins with the right letter."""
    published = {pair.item.id: choices.published_letter(pair.text) for pair in pairs}
    listed = {pair.item.id: choices.listed_choices(pair.item.question or "") for pair in pairs}
    strict = {pair.item.id: choices.said_letter(pair.text, listed[pair.item.id]) for pair in pairs}
    right = {pair.item.id: pair.item.reference.strip()[:1] for pair in pairs}
    return [
        mean("choice accuracy", PUBLISHED, {name: float(said == right[name]) for name, said in published.items()}),
        mean("choice not read", PUBLISHED, {name: float(not said) for name, said in published.items()}),
        mean(
            "choice accuracy, PA-LLaVA",
            PUBLISHED,
            {
                pair.item.id: float(choices.published_letter_pa_llava(pair.text.strip()) == right[pair.item.id].upper())
                for pair in pairs
            },
            note="all before the first colon",
        ),
        mean("choice accuracy", STRICT, {name: float(said == right[name]) for name, said in strict.items()}),
        mean(
            "choice not read", STRICT, {name: float(not said) for name, said in strict.items()}, note="counted as wrong"
        ),
    ]


def labels(pairs: Pairs) -> list[Measure]:
    """Of zero-shot classification. Labels are those of the references; an answer that names none of them is wrong, and counted.

    Published: the answer is the label, letter for letter. PA-LLaVA's script stops at the first that is not.
    """
    names = sorted({pair.item.reference.strip() for pair in pairs})
    place = {name: number for number, name in enumerate(names)}
    rows: dict[str, dict[str, tuple[float, ...]]] = {PUBLISHED: {}, STRICT: {}}
    unread: dict[str, dict[str, float]] = {PUBLISHED: {}, STRICT: {}}
    for pair in pairs:
        truth = place[pair.item.reference.strip()]
        readings = {PUBLISHED: pair.text.strip(), STRICT: choices.said_label(pair.text, names)}
        for flavour, said in readings.items():
            rows[flavour][pair.item.id] = _hit_row(truth, place.get(said), len(names))
            unread[flavour][pair.item.id] = float(said not in place)
    notes = {PUBLISHED: "PA-LLaVA's raises KeyError", STRICT: "names no label, or several"}
    found = []
    for flavour, one in rows.items():
        measure = partial(Measure, flavour=flavour, rows=one)
        found += [
            measure(name="accuracy", of_sums=accuracy_of_sums),
            measure(name="micro F1", of_sums=micro_f1_of_sums, note="= accuracy where every answer names a label"),
            measure(name="macro F1", of_sums=macro_f1_of_sums),
            mean("answers on which the script stops" if flavour == PUBLISHED else "label not read", flavour, unread[flavour],
                 note=notes[flavour]),
        ]  # fmt: skip
    for number, name in enumerate(names):
        for score, of_sums in BY_CLASS.items():
            found.append(
                Measure(
                    name=f"{score}: {name}", flavour=STRICT, rows=rows[STRICT], of_sums=partial(of_sums, number=number)
                )
            )
    return found


def _hit_row(truth: int, said: int | None, classes: int) -> tuple[float, ...]:
    """Right answers, answers and truths, class by class, behind each other."""
    row = [0.0] * (3 * classes)
    if said is not None:
        row[said] = float(said == truth)
        row[classes + said] = 1.0
    row[2 * classes + truth] = 1.0
    return tuple(row)


def accuracy_of_sums(sums: Sequence[float]) -> float:
    """Right answers of all items; an answer that names no label is wrong."""
    classes = len(sums) // 3
    return sum(sums[:classes]) / sum(sums[2 * classes :])


def micro_f1_of_sums(sums: Sequence[float]) -> float:
    """Right answers of labels that were said and labels that are true, all classes together."""
    classes = len(sums) // 3
    return 2 * sum(sums[:classes]) / sum(sums[classes:])


def class_precision(sums: Sequence[float], number: int) -> float:
    """Of one class. Raises ZeroDivisionError where nobody says it."""
    return sums[number] / sums[len(sums) // 3 + number]


def class_recall(sums: Sequence[float], number: int) -> float:
    """Of one class."""
    return sums[number] / sums[2 * len(sums) // 3 + number]


def class_f1(sums: Sequence[float], number: int) -> float:
    """Of one class."""
    classes = len(sums) // 3
    return 2 * sums[number] / (sums[classes + number] + sums[2 * classes + number])


BY_CLASS: dict[str, Callable[..., float]] = {"precision": class_precision, "recall": class_recall, "F1": class_f1}


def macro_f1_of_sums(sums: Sequence[float]) -> float:
    """Mean of the classes' F1, over the classes that occur."""
    classes = len(sums) // 3
    hits, said, true = sums[:classes], sums[classes : 2 * classes], sums[2 * classes :]
    scores = [2 * hit / (mine + theirs) for hit, mine, theirs in zip(hits, said, true, strict=True) if theirs]
    return sum(scores) / len(scores)


def reports(pairs: Pairs) -> list[Measure]:
    """Of radiology reports: BLEU of sentences as CXR-Report-Metric computes BLEU-2 and the X-ray system BLEU-1 to 4."""

    def bleu(order: int) -> Mapping[str, float]:
        weights = (1 / order,) * order
        return _each(pairs, lambda text, to: nltk_bleu(cxr_words(text), cxr_words(to), weights, epsilon=CXR_EPSILON))

    return [
        *(mean(f"BLEU-{order}", PUBLISHED, bleu(order), note="mean of reports") for order in ORDERS),
        *overlap(pairs),
    ]


def _each(pairs: Iterable[Pair], score: Callable[[str, str], float]) -> dict[str, float]:
    return {pair.item.id: score(pair.text, pair.item.reference) for pair in pairs}


BY_KIND: dict[str, Callable[[Pairs], list[Measure]]] = {
    EXPLAIN: explanations,
    CAPTION: captions,
    CHAT: chats,
    FREE: explanations,
    OPEN: open_questions,
    CLOSED: closed_questions,
    CHOICE: choice_questions,
    LABEL: labels,
    REPORT: reports,
    TABLE: tables,
    SEVERAL: several_answers,
}
