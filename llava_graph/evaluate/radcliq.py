"""RadCliQ-v1 (Yu et al. 2023, "Evaluating progress in automatic chest X-ray radiology report generation"): four scores in one.

In: four scores of a report. Out: about how many errors a radiologist would find, on a scale of its own; lower is better.
"""

NAMES = ("RadGraph F1", "BERTScore", "CheXbert similarity", "BLEU-2")
MEANS = (0.53792312, 0.61757256, 0.76479421, 0.44738335)
DEVIATIONS = (0.30282584, 0.22430938, 0.25394391, 0.29892717)
WEIGHTS = (-3.77083683e-01, -3.70300100e-01, -2.52616218e-01, 4.31504841e-12)
INTERCEPT = 2.46655256e-10
"""The fitted model of CXR-Report-Metric (`composite_metric_model.pkl`), as RadEval 2.2.1 (MIT) writes its numbers down."""


def radcliq_v1(radgraph: float, bertscore: float, chexbert: float, bleu_2: float) -> float:
    """Of one report, from its published scores in the order of NAMES."""
    values = zip((radgraph, bertscore, chexbert, bleu_2), MEANS, DEVIATIONS, WEIGHTS, strict=True)
    return sum((value - mean) / deviation * weight for value, mean, deviation, weight in values) + INTERCEPT
