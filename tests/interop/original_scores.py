"""Numbers of the original packages on the tiny encoders: `python original_scores.py OUT.json` in an environment with
bert-score 0.3.13, transformers 4.57.6, f1chexbert 0.0.2 and scikit-learn. What it wrote is tests/fixtures/model_scores.json.
"""

import json
import sys
import tempfile
from pathlib import Path

import bert_score
import f1chexbert.f1chexbert as chexbert
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import classification_report
from transformers import BertTokenizer

sys.path.insert(0, str(Path(__file__).parent.parent))
from tiny_encoders import chexbert_weights, write_bert, write_roberta

PAIRS = [
    ("the lung is clear", "the lung is clear"),
    ("There is a small effusion.", "the lung is clear, no effusion"),
    ("", "the lung is clear"),
    ("the effusion", ""),
    ("  padded\n text ", "padded text"),
    ("Die Lunge ist frei; größer: 3 µm, 肺は正常", "the lung is clear"),
    ("the lung " * 30, "the lung is clear " * 20),
    ("x", "the effusion is the effusion is the effusion"),
]
REPORTS = [
    "No acute process. The lungs are clear.",
    "There is a small left pleural effusion,\n  right lower lobe opacity.",
    "",
    "heart size normal " * 400,
    "Pneumothorax",
    "edema of the lungs and unknownword",
    "the right upper lobe is clear . no effusions",
    "a small pneumothorax , no edema",
]


def main() -> None:
    """Measure and write."""
    place = Path(tempfile.mkdtemp())
    roberta = str(write_roberta(place / "roberta"))
    answers, references = ([pair[side] for pair in PAIRS] for side in (0, 1))
    bert = {}
    for layer in (1, 3):
        scores = bert_score.score(
            answers, references, model_type=roberta, num_layers=layer, batch_size=256, device="cpu"
        )
        bert[layer] = torch.stack(scores, dim=-1).tolist()
    (place / "baseline.tsv").write_text("LAYER,P,R,F\n" + "".join(f"{layer},0.1,0.2,0.{layer}\n" for layer in range(9)))
    told = {"rescale_with_baseline": True, "lang": "en", "baseline_path": str(place / "baseline.tsv")}
    scores = bert_score.score(answers, references, model_type=roberta, num_layers=3, device="cpu", **told)
    bert["3, rescaled by 0.3"] = scores[2].tolist()
    folder = write_bert(place / "bert")
    labeler = chexbert.bert_labeler(pretrain_path=str(folder)).eval()
    weights = {name.replace("module.", ""): value for name, value in chexbert_weights(folder).items()}
    labeler.load_state_dict(weights, strict=False)
    tokenizer = BertTokenizer.from_pretrained(folder)
    embeddings, labels = [], []
    for ids in chexbert.tokenize(pd.Series(REPORTS), tokenizer):
        batch = torch.LongTensor([ids])
        mask = chexbert.generate_attention_masks(batch, [len(ids)], "cpu")
        with torch.no_grad():
            hidden = labeler.bert(batch, attention_mask=mask)[0][0, 0]
            embeddings.append([round(value, 6) for value in hidden.tolist()])
            classes = [head.argmax(dim=1).item() for head in labeler(batch, mask)]
        labels.append([int(one in (1, 3)) for one in classes])
    half = len(REPORTS) // 2
    names = [str(number) for number in range(14)]
    truth, said = np.array(labels[:half]), np.array(labels[half:])
    five = [1, 4, 5, 7, 9]
    reports = {
        "14": classification_report(truth, said, target_names=names, output_dict=True, zero_division=0),
        "5": classification_report(truth[:, five], said[:, five], output_dict=True, zero_division=0),
    }
    f1 = {
        size: {kind: report[f"{kind} avg"]["f1-score"] for kind in ("micro", "macro")}
        for size, report in reports.items()
    }
    found = {
        "pairs": PAIRS, "bert_score": bert, "reports": REPORTS, "embeddings": embeddings, "labels": labels, "label_f1": f1,
    }  # fmt: skip
    Path(sys.argv[1]).write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
