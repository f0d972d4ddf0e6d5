"""Reads a log folder with FastChat's own analysis scripts and prints what they find, as JSON: run by FastChat's Python.

python read_log.py LOGDIR

Three things are stood in for: tiktoken (it downloads its vocabulary), the language detector (compiled), and `fastchat.model`
(it imports torch). None of them reads a line.
"""

import json
import sys
import types
from pathlib import Path


def module(name: str, **members: object) -> types.ModuleType:
    """A module that holds `members`."""
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(members)
    return sys.modules[name]


class Words:
    """Counts words."""

    def encode(self, text: str, **options: object) -> list[str]:
        return text.split()


module("tiktoken", encoding_for_model=lambda name: Words())
module("fastchat.model")
module("fastchat.model.model_registry", get_model_info=None)

import pandas  # noqa: E402
from fastchat.serve.monitor import basic_stats, clean_battle_data, clean_chat_data, elo_analysis  # noqa: E402


def language(text: str) -> str:
    """FastChat's detector takes a string and nothing else."""
    if not isinstance(text, str):
        raise TypeError(type(text))
    return "English"


def chats(file: str, kind: str) -> list[dict]:
    """Conversations of one kind of line. In the published 0.2.36 the script calls a function of its own with too few arguments;
    it was put right, and taken apart, since."""
    if hasattr(clean_chat_data, "process_data"):
        rows = clean_chat_data.get_action_type_data(file, kind)
        return [clean_chat_data.process_data(row, kind).get("result") for row in rows]
    clean_chat_data.replace_model_name = lambda name, tstamp=0: clean_battle_data.replace_model_name(name, tstamp)
    return clean_chat_data.clean_chat_data([file], kind)


def main(folder: Path) -> dict:
    """Everything that the scripts find."""
    clean_battle_data.detect_language = clean_chat_data.detect_language = language
    (file,) = map(str, folder.glob("*-conv.json"))
    battles = clean_battle_data.clean_battle_data([file], [])
    table = pandas.DataFrame(battles)
    rows = basic_stats.load_log_files(file)
    rate = getattr(elo_analysis, "compute_bt", None) or elo_analysis.compute_elo_mle_with_tie
    return {
        "lines": len(rows),
        "anonymous": len(basic_stats.get_anony_vote_df(pandas.DataFrame(rows))),
        "battles": [[one["model_a"], one["model_b"], one["winner"], one["anony"], one["judge"]] for one in battles],
        "ratings": {name: float(value) for name, value in dict(rate(table)).items()},
        "chats": {kind: chats(file, kind) for kind in ("chat", "upvote", "downvote", "leftvote", "rightvote")},
    }


if __name__ == "__main__":
    found = main(Path(sys.argv[1]))
    sys.stdout.write("FOUND " + json.dumps(found) + "\n")
