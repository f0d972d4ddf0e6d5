"""Boxes of what is said: the published clustering number for number, where it goes wrong, transcripts, the text, Quilt's own traces."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_sets import UUID, write_quilt_cursor

from llava_graph.dataset import read_dataset, read_dropped
from llava_graph.errors import DatasetError, SampleRefused
from scicap_builder.narratives import Narrated, read_narrative, write_narrative
from scicap_builder.narratives.clusters import ClusterOptions, cluster, cluster_count, clustered, features, merge_short
from scicap_builder.narratives.localize import localize
from scicap_builder.narratives.speech import Utterance, read_speech
from scicap_builder.sources import importing, quilt_cursor, source_of
from scicap_builder.sources.contract import ImportOptions
from scicap_builder.sources.importing import import_source

PUBLISHED = ClusterOptions(weighting="published", match="end")
ROWS = json.loads((Path(__file__).parent / "fixtures" / "quilt_clusters.json").read_text())
"""Made-up traces, and what Quilt-LLaVA's `cluster_singlerow` writes for them with its k-means seeded."""


@pytest.mark.parametrize("row", ROWS)
def test_the_published_weighting_gives_what_the_published_script_writes(row):
    options = ClusterOptions(
        weighting="published", match="end", words_uttered=row["words_uttered"], outliers=row["outliers"]
    )
    utterances = [Utterance(*one) for one in row["utterances"]]
    parts = clustered(np.array(row["traces"]), utterances, options, size=tuple(row["size"]))
    assert write_narrative(parts) == row["published"]


def roaming(box, start, seconds, rate=10):
    """A trace that fills a box."""
    left, top, right, bottom = box
    times = np.arange(round(seconds * rate)) / rate
    across, down = 0.5 + 0.5 * np.sin(2 * times), 0.5 + 0.5 * np.cos(2.7 * times)
    return np.stack([left + across * (right - left), top + down * (bottom - top), start + times], axis=1)


LEFT, RIGHT = (0.1, 0.1, 0.4, 0.5), (0.6, 0.4, 0.9, 0.9)
WORDS = "these crypts are lined by tall columnar cells"


def two_places(start, seconds=8.0):
    trace = np.concatenate([roaming(LEFT, start, seconds), roaming(RIGHT, start + seconds, seconds)])
    said = [
        Utterance(WORDS, start, start + seconds),
        Utterance("and here the stroma holds lymphocytes", start + seconds, start + 2 * seconds),
    ]
    return trace, said


def test_published_weights_are_those_of_the_chunk_until_they_vanish():
    """A weight e^(-.2 t) is e^(-.2 t0) times that of the chunk, and k-means does not mind the unit; after half an hour all are 0."""
    for start, same in ((0.0, True), (600.0, True), (1200.0, True), (3600.0, False)):
        trace, said = two_places(start)
        published, chunk = (
            cluster(trace, said, ClusterOptions(weighting=name), count=2) for name in ("published", "chunk")
        )
        assert np.array_equal(published, chunk) == same
    assert features(trace, said, PUBLISHED).max() < 1e-300
    (part,) = clustered(trace, said, PUBLISHED)
    assert part.box == pytest.approx((0.1, 0.1, 0.9, 0.9), abs=0.02), "one box over both places"


@pytest.mark.parametrize("start", [0.0, 3600.0])
def test_weights_scaled_over_the_chunk_part_the_places_whenever_it_begins(start):
    trace, said = two_places(start)
    first, second = clustered(trace, said)
    assert first.text == WORDS
    assert first.box == pytest.approx(LEFT, abs=0.02)
    assert second.box == pytest.approx(RIGHT, abs=0.02)


def test_the_end_of_an_utterance_is_nearer_to_what_comes_next():
    """Published: an utterance of 8 s ends 4 s after the mean time of its own points, and 1 s before that of the next 2 s."""
    trace = np.concatenate([roaming(LEFT, 0.0, 8.0), roaming(RIGHT, 8.0, 2.0, rate=40)])
    said = [Utterance(WORDS, 0.0, 8.0), Utterance("then here", 8.0, 10.0)]
    (wrong,) = clustered(trace, said, ClusterOptions(match="end"), caption=WORDS + " and so on")
    assert wrong.box == pytest.approx(RIGHT, abs=0.1)
    (right,) = clustered(trace, said, ClusterOptions(match="middle"), caption=WORDS + " and so on")
    assert right.box == pytest.approx(LEFT, abs=0.02), "two words join it, and its box stays"


def test_what_fails_in_the_published_script_does_not_here():
    few = np.array([[0.1, 0.1, 0.0]])
    long = Utterance("a b c d e f g h i j k l", 0.0, 1.0)
    assert clustered(few, [long], PUBLISHED) == (Narrated(long.text),), "fewer points than clusters"
    assert merge_short([4, 7], [Utterance("a b", 0, 1), Utterance("c", 1, 2)]) == [4, 4], "all words together are few"
    assert merge_short([4], [Utterance("a", 0, 1)]) == [4]
    assert clustered(np.empty((0, 3)), [long]) == (Narrated(long.text),)


def test_short_clusters_join_the_neighbour_with_more_words():
    words = {n: Utterance(" ".join("w" * n), 0, 1) for n in (1, 5, 6, 7)}
    assert merge_short([0, 1, 2], [words[5], words[1], words[7]]) == [0, 2, 2]
    assert merge_short([0, 1, 2], [words[7], words[1], words[6]]) == [0, 0, 2]
    assert merge_short([3, 1, 2], [words[1], words[5], words[6]]) == [1, 1, 2]
    assert merge_short([3, 1, 2], [words[5], words[6], words[1]]) == [3, 1, 1]


@pytest.mark.parametrize(("words", "count"), [(1, 1), (10, 1), (11, 2), (40, 2), (41, 3), (60, 3), (61, 4), (500, 4)])
def test_words_decide_how_many_clusters_there_are(words, count):
    assert cluster_count("w " * words) == count


@pytest.mark.parametrize("weighting", ["scaled", "published"])
def test_a_cursor_beside_the_image_has_no_box(weighting):
    """Its box is large, and clipped to the image a line."""
    trace = np.array([(1.3 + 0.3 * (n % 2), 0.5 + 0.02 * n, n / 5) for n in range(20)])
    assert localize(trace, [Utterance(WORDS, 0.0, 4.0)], ClusterOptions(weighting=weighting)) == (Narrated(WORDS),)
    inside = trace - (0.9, 0, 0)
    assert localize(inside, [Utterance(WORDS, 0.0, 4.0)], ClusterOptions(weighting=weighting))[0].box


def test_boxes_that_are_too_small_or_too_large_say_nothing():
    said = [Utterance("nothing but this", 0, 4)]
    for box in ((0.4, 0.4, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0)):
        for boxes in ("clusters", "own-time"):
            assert localize(roaming(box, 0, 4), said, ClusterOptions(boxes=boxes)) == (Narrated("nothing but this"),)
    trace = np.concatenate([roaming(LEFT, 0, 4), [[0.85, 0.85, 4.0]]])
    (part,) = clustered(trace, said)
    assert part.box == pytest.approx(LEFT, abs=0.02), "one stray point is an outlier"
    (part,) = clustered(trace, said, ClusterOptions(outliers=False))
    assert part.box[2:] == (0.85, 0.85)


def square(second, left):
    """The corners of a square of 0.35 during one second, twice each."""
    corners = [(left, 0.2), (left + 0.35, 0.2), (left, 0.55), (left + 0.35, 0.55)] * 2
    return [(x, y, second + 0.1 * (number + 1)) for number, (x, y) in enumerate(corners)]


def spoken(second):
    return Utterance(f"the words of second {second}", second, second + 0.95)


def test_by_its_own_time_an_utterance_has_the_box_of_the_points_meanwhile():
    trace, said = two_places(100.0)
    own = ClusterOptions(boxes="own-time")
    still = Utterance("and so on and so on", 116.0, 117.0)
    first, second = localize(trace, [*said, still], own)
    assert (first.text, second.text) == (WORDS, f"{said[1].text} {still.text}"), (
        "words without points join those before"
    )
    assert first.box == pytest.approx(LEFT, abs=0.02)
    assert second.box == pytest.approx(RIGHT, abs=0.02)
    same = [Utterance("this is the first half", 100.0, 104.0), Utterance("this is the other half", 104.0, 108.0)]
    (part,) = localize(trace, same, own)
    assert part.box == pytest.approx(LEFT, abs=0.02), "two boxes of one place are one"
    parts = localize(np.array([*square(0, 0.1), *square(1, 0.15), *square(2, 0.4)]), [spoken(n) for n in range(3)], own)
    assert [round(part.box[0], 2) for part in parts] == [0.1, 0.4], (
        "three quarters in common are one place, a quarter is not"
    )


numbers = st.integers(0, 100).map(lambda number: number / 100)
boxes = st.tuples(numbers, numbers, numbers, numbers).map(
    lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
)
texts = (
    st.text(alphabet="abc [],.09", min_size=1, max_size=20)
    .map(str.strip)
    .filter(lambda text: text and not read_narrative(text)[0].box)
)


@given(st.lists(st.builds(Narrated, texts, boxes), min_size=1, max_size=4))
def test_a_narrative_is_read_back_as_it_was_written(parts):
    assert read_narrative(write_narrative(parts)) == tuple(parts)


def test_a_narrative_has_the_published_form():
    parts = (Narrated("A gland.", (-0.1, 0.2, 0.333, 1.7)), Narrated("Its stroma.", (0.0, 0.155, 0.5, 1.0)))
    text = "A gland. [0.0, 0.2, 0.33, 1.0], Its stroma. [0.0, 0.16, 0.5, 1.0]"
    assert write_narrative(parts) == text
    assert read_narrative("without a box") == (Narrated("without a box"),)
    assert read_narrative("no box of an image [0.5, 0.2, 0.1, 0.3], then") == (
        Narrated("no box of an image [0.5, 0.2, 0.1, 0.3], then"),
    )
    assert read_narrative("") == ()


VTT = """WEBVTT
Kind: captions

00:00:00.080 --> 00:00:02.500 align:start position:0%
\x20
here<00:00:00.500><c> we</c><00:00:01.000><c> see</c>

00:00:02.500 --> 00:00:02.510
here we see
\x20

00:00:02.510 --> 00:01:05.000
here we see
a gland &amp; more

NOTE a comment
"""
SRT = "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i> there\r\n\r\n2\r\n00:00:bad --> x\r\noops\r\n\r\n3\r\n01:00:03,000 --> 01:00:04,000\r\n{\\an8}two\r\nlines\r\n"


@pytest.mark.parametrize(
    ("name", "text", "said", "bad"),
    [
        ("a.vtt", VTT, [("here we see", 0.08, 2.5), ("a gland & more", 2.51, 65.0)], 0),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nyes\n\n00:02.000 --> 00:03.000\nyes\n", [("yes", 1, 2), ("yes", 2, 3)], 0),
        ("a.srt", SRT, [("Hello there", 1, 2.5), ("two lines", 3603, 3604)], 1),
        ("a.json", [{"utterance": " a  gland ", "start_time": 2, "end_time": 3.5}, {"text": "first", "start": "0", "end": 1}],
         [("first", 0, 1), ("a gland", 2, 3.5)], 0),
        ("a.json", {"language": "en", "segments": [{"text": "x", "start": 1, "end": 0}, {"text": "y", "start": 0.0, "end": 2}, 7]},
         [("y", 0, 2)], 2),
        ("a.json", {"text": "y", "chunks": [{"text": "y", "timestamp": [0.5, 2]}, {"text": "z", "timestamp": [2, None]}]},
         [("y", 0.5, 2)], 1),
        ("a.JSON", [{"text": "y", "start": float("nan"), "end": 2}, {"text": "z", "start": 1, "end": 2}], [("z", 1, 2)], 1),
    ],
)  # fmt: skip
def test_a_transcript_is_read_in_the_forms_there_are(name, text, said, bad, tmp_path):
    path = tmp_path / name
    path.write_bytes((text if isinstance(text, str) else json.dumps(text)).encode())
    speech = read_speech(path)
    assert [(one.text, one.start, one.end) for one in speech.utterances] == said
    assert speech.bad == bad


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_transcript_is_read_as_it_was_encoded(encoding, tmp_path):
    (tmp_path / "a.srt").write_bytes("1\r\n00:00:01 --> 0:0:2,5\r\ngrößere Drüsen\r\n".encode(encoding))
    assert read_speech(tmp_path / "a.srt").utterances == (Utterance("größere Drüsen", 1.0, 2.5),)


def test_sounds_are_not_said(tmp_path):
    (tmp_path / "a.vtt").write_text(
        "WEBVTT\n\n00:01.000 --> 00:02.000\n[Music]\n\n00:02.000 --> 00:03.000\n♪ [Applause] a [ __ ] gland [arrow]\n"
    )
    assert [one.text for one in read_speech(tmp_path / "a.vtt").utterances] == ["a gland [arrow]"]


@pytest.mark.parametrize(
    ("name", "text", "reason", "words"),
    [
        ("a.json", "[", "bad-transcript", "is no JSON"),
        ("a.json", '{"words": []}', "bad-transcript", "Write [{utterance"),
        ("a.json", "[]", "no-transcript", "nothing is said"),
        ("a.json", '[{"text": "x"}]', "bad-transcript", "none of its 1 utterances"),
        ("a.srt", "words without times", "no-transcript", "nothing is said"),
        ("a.sub", "x", "bad-transcript", "unknown form '.sub'"),
    ],
)
def test_a_transcript_that_cannot_be_used_says_why(name, text, reason, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(SampleRefused, match=words.replace("[", r"\[")) as refused:
        read_speech(tmp_path / name)
    assert refused.value.reason == reason
    with pytest.raises(SampleRefused) as refused:
        read_speech(tmp_path / "gone.json")
    assert refused.value.reason == "no-transcript"


def imported(root, out, subset=""):
    return import_source(source_of("quilt-cursor"), root, out, ImportOptions(subset=subset))


def test_quilts_traces_become_narratives_without_videos(tmp_path):
    write_quilt_cursor(tmp_path / "root")
    answers = {}
    for subset in ("scaled", "chunk", "published", "own-time", "kept"):
        done = imported(tmp_path / "root", tmp_path / subset, subset)
        figures = list(read_dataset(tmp_path / subset))
        answers[subset] = [figure.turns[1].text for figure in figures]
        assert {figure.paper.id for figure in figures} == {"youtube:VIDEO1"}
        assert {figure.source for figure in figures} == {"quilt-cursor/boxes"}
        reasons = {item.reason for item in read_dropped(tmp_path / subset)}
        assert reasons == ({"image-missing"} if subset == "kept" else {"image-missing", "bad-trace"})
        assert done.integrity.rows == 4
    assert answers["kept"][0].startswith(
        "these crypts are lined by tall columnar cells [0.1, 0.2, 0.29, 0.32], and here"
    )
    assert answers["scaled"] == answers["own-time"] == answers["kept"][:2]


def test_utterances_that_cannot_be_used_are_counted(tmp_path):
    write_quilt_cursor(tmp_path / "root")
    path = tmp_path / "root" / "cursor.parquet"
    row, *_ = pq.read_table(path).to_pylist()
    words = [*row["extended_text_time_asrcorrected"], {"utterance": "no time", "start_time": None, "end_time": None}]
    pq.write_table(pa.Table.from_pylist([row | {"extended_text_time_asrcorrected": json.dumps(words)}]), path)
    assert imported(tmp_path / "root", tmp_path / "out").integrity.repairs == {"bad-utterances": 1}


def test_traces_written_as_text_and_other_names_of_columns_are_read(tmp_path):
    write_quilt_cursor(tmp_path / "root")
    path = tmp_path / "root" / "cursor.parquet"
    rows = pq.read_table(path).to_pylist()[:2]
    for row, dump in zip(rows, (json.dumps, repr), strict=True):
        row["cursor"] = dump(row.pop("traces"))
        row["extended_text_time_asrcorrected"] = dump(row["extended_text_time_asrcorrected"])
        row["image_path"] = dump(row["image_path"])
    pq.write_table(pa.Table.from_pylist(rows), path.with_name("cursor_small.parquet"))
    path.unlink()
    done = imported(tmp_path / "root", tmp_path / "out")
    assert done.integrity.repairs == {}
    for row in rows:
        points = json.loads(row["cursor"].replace("'", '"'))
        row["cursor"] = json.dumps([{**point, "x": 640 * point["x"]} for point in points])
    pq.write_table(pa.Table.from_pylist(rows), path.with_name("cursor_small.parquet"))
    imported(tmp_path / "root", tmp_path / "in_px")
    assert [item.reason for item in read_dropped(tmp_path / "in_px")] == ["bad-trace"] * 2
    assert len({figure.turns for figure in read_dataset(tmp_path / "out")}) == 1
    assert len(list(read_dataset(tmp_path / "out"))) == 2


def test_rows_of_traces_are_read_in_batches_and_an_import_goes_on_within_one(tmp_path, monkeypatch):
    write_quilt_cursor(tmp_path / "root")
    path = tmp_path / "root" / "cursor.parquet"
    rows = pq.read_table(path).to_pylist()
    many = [{**rows[0], "unique_row_id": f"VIDEO1_{number}"} for number in range(7)]
    pq.write_table(pa.Table.from_pylist(many), path)
    monkeypatch.setattr(quilt_cursor, "BATCH_ROWS", 3)
    table = quilt_cursor.TraceRows(path)
    names = [table[index]["unique_row_id"][7:] for index in (0, 1, 5, 6, 2, 2, 4)]
    assert names == ["0", "1", "5", "6", "2", "2", "4"]
    monkeypatch.setattr(importing, "ROWS_PER_SHARD", 2)
    monkeypatch.setattr(importing, "WINDOW", 2)
    write = importing.DatasetWriter.write_shard

    def killed(self, keys, *rest, **more):
        if keys == ["cursor.parquet[4:6]"]:
            raise KeyboardInterrupt
        write(self, keys, *rest, **more)

    with monkeypatch.context() as once:
        once.setattr(importing.DatasetWriter, "write_shard", killed)
        with pytest.raises(KeyboardInterrupt):
            imported(tmp_path / "root", tmp_path / "out")
    imported(tmp_path / "root", tmp_path / "out")
    assert [figure.id for figure in read_dataset(tmp_path / "out")] == [f"quilt-cursor:VIDEO1_{n}" for n in range(7)]


def test_a_table_without_traces_is_refused_by_name(tmp_path):
    pq.write_table(pa.Table.from_pylist([{"unique_row_id": "x", "video_id": UUID}]), tmp_path / "cursor.parquet")
    with pytest.raises(DatasetError, match="has no column 'image_path'"):
        imported(tmp_path, tmp_path / "out")
    (tmp_path / "cursor.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DatasetError, match="cannot be read as parquet"):
        imported(tmp_path, tmp_path / "out")
