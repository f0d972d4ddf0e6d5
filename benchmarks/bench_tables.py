"""How DePlot's published tables are read: sound, mended or refused, and how many prompts come out byte for byte.

    python -m benchmarks.bench_tables vjuly23_with_deplot_llava_eval.jsonl vjuly23_without_deplot_llava_eval.jsonl

Both files are in findalexli/LLaVA-Graph, evaluation/llava-13-llamav2-deplot/eval_prompts/ (CC BY-NC 4.0).
"""

import json
import sys
from collections import Counter
from pathlib import Path

from llava_graph.errors import TableRefused
from llava_graph.prompt import HISTORIC_TABLE, PromptOptions, build_messages
from llava_graph.record import Figure
from llava_graph.tables.linearised import read_table

SHOWN = PromptOptions(style="scigraphqa", max_context_tokens=100_000)


def main(files: list[str]) -> None:
    """Read every table and print the counts."""
    if len(files) != 2:
        sys.exit("the prompts with and without DePlot are needed: see the top of benchmarks/bench_tables.py")
    counts: Counter[str] = Counter()
    both = [[json.loads(line)["text"] for line in Path(name).read_text().splitlines()] for name in files]
    for prompt, question in zip(*both, strict=True):
        linear = prompt.removeprefix(HISTORIC_TABLE).removesuffix(question)
        counts["prompts"] += 1
        rows = [row.strip() for row in linear.split("<0x0A>")]
        counts["with a repeated row"] += len(set(rows)) < len(rows)
        try:
            found = read_table(linear, keep_ragged=False)
        except TableRefused as error:
            counts[error.reason] += 1
            continue
        counts["mended" if found.repairs else "read as they are"] += 1
        counts.update(repair.reason for repair in found.repairs)
        (message,) = build_messages(Figure(id="x", table=found.table), question, SHOWN)
        counts["byte for byte"] += message["content"][-1]["text"] == prompt
    for name, count in counts.most_common():
        print(f"{count:5d}  {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
