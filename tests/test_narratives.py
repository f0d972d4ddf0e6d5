"""Localized narratives from rendered videos whose truth is known: segments, cursor, boxes, records; and all that a folder can hold."""

import json
import multiprocessing
import re
import shlex
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from benchmarks.narrated_videos import Slide, Visit, draw_cursor, render, tissue
from llava_graph.dataset import read_dataset, read_dropped
from llava_graph.errors import DatasetError, InputError, MissingExtra, SampleRefused
from llava_graph.images import open_image
from llava_graph.prompt import build_sample
from llava_graph.region import crop
from scicap_builder.cli import app
from scicap_builder.narratives import build as building
from scicap_builder.narratives import read_narrative
from scicap_builder.narratives.build import build_narratives, list_videos
from scicap_builder.narratives.clusters import ClusterOptions
from scicap_builder.narratives.command import narratives_summary, read_box
from scicap_builder.narratives.cursor import CursorOptions, cursor_trace, find_spots
from scicap_builder.narratives.options import DEFAULT_NARRATIVES, NarrativeOptions, VideoJob
from scicap_builder.narratives.own_time import overlap
from scicap_builder.narratives.read import read_video
from scicap_builder.narratives.segments import SegmentOptions, alike, crop_ssim, median, other_images, stable_segments
from scicap_builder.narratives.video import Frame, Spans, read_frames, video_facts
from scicap_builder.workers import Failure

SIZE = (320, 240)
LEFT, RIGHT, LOW = (0.08, 0.1, 0.42, 0.5), (0.58, 0.3, 0.92, 0.72), (0.3, 0.5, 0.7, 0.9)
SLIDES = [
    Slide(1, (Visit(LEFT, ("these crypts are lined by tall columnar cells",)), Visit(RIGHT, ("here the stroma holds many lymphocytes",)))),
    Slide(2, (Visit(LOW, ("one large vessel with a thick wall",)),)),
]  # fmt: skip
OWN_TIME = NarrativeOptions(clusters=ClusterOptions(boxes="own-time"))


class HereAndNow:
    """Works a video off in this process, at once: what tests give in place of worker processes."""

    def __init__(self, function=read_video):
        self.function, self.ready, self.given = function, [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    busy = property(lambda self: len(self.ready))
    free = property(lambda self: not self.ready)

    def give(self, job):
        self.given.append(job.key)
        self.ready.append((job, self.function(job)))

    def results(self, patience_s):
        ready, self.ready = self.ready, []
        return ready


def build(videos, out, options=DEFAULT_NARRATIVES, **more):
    return build_narratives([Path(video) for video in videos], out, options, engine=HereAndNow(), **more)


@pytest.fixture(scope="module")
def lecture(tmp_path_factory):
    """(path, what is said on each slide with its region) of a video with grain, two slides, three regions."""
    path = tmp_path_factory.mktemp("videos") / "lecture.mp4"
    return path, render(path, SLIDES, size=SIZE)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The path of a video of one slide, a little over the 3 s that a segment needs."""
    path = tmp_path_factory.mktemp("videos") / "short.mp4"
    render(path, [Slide(4, (Visit(LOW, ("one large vessel", "with a thick wall of muscle")),))], size=SIZE)
    return path


@pytest.fixture(scope="module")
def segments(lecture):
    return list(stable_segments(read_frames(lecture[0], 5.0)))


def job(path, options=DEFAULT_NARRATIVES, transcript=None):
    return VideoJob(
        key="video:lecture", video=path, transcript=transcript or path.with_suffix(".json"), options=options
    )


def test_frames_are_those_of_the_span_at_the_rate_that_is_asked_for(lecture):
    path, _ = lecture
    whole = [frame.time for frame in read_frames(path, 5.0)]
    assert np.allclose(np.diff(whole), 0.2)
    assert len(whole) == pytest.approx(video_facts(path).seconds * 5, abs=1)
    spans = Spans(read_frames(path, 5.0))
    for start, end in ((0.9, 1.9), (1.9, 3.9), (3.9, 3.95), (4.3, 4.7), (5.0, 5.0)):
        part = [frame.time for frame in spans.span(start, end)]
        assert part == [time for time in whole if start <= time < end]
        assert len(part) == round((end - start) * 5)
    rest = [frame.time for frame in spans.span(5.0, 1e9)]
    assert rest == [time for time in whole if time >= 5.0], "the frame that ended a span begins the next one"
    assert len(list(Spans(read_frames(path, 50.0)).span(0.95, 1.95))) == 10, "a video has no more frames than it has"


def test_a_stable_segment_is_a_slide_without_its_cursor(lecture, segments):
    _, truth = lecture
    assert len(segments) == len(truth)
    for segment, said in zip(segments, truth, strict=True):
        assert segment.start == pytest.approx(said[0].start - 0.2, abs=0.21)
        assert segment.end == pytest.approx(said[-1].end, abs=0.21)
    for segment, slide in zip(segments, SLIDES, strict=True):
        clean = tissue(SIZE, slide.seed)[..., ::-1].astype(int)
        assert np.quantile(np.abs(segment.image.astype(int) - clean), 0.99) < 25, "grain and compression, nothing else"
        assert not len(cursor_trace([Frame(0.0, segment.image)], np.ascontiguousarray(clean.astype(np.uint8))))


def moving(step, count=30, grain=1.5):
    """Frames, 5/s, of a background that moves by `step` px each."""
    wide = tissue((520, 240), 7)[..., ::-1]
    rng = np.random.default_rng(0)
    for number in range(count):
        begin = int(step * number)
        frame = wide[:, begin : begin + 320] + rng.normal(0, grain, (240, 320, 3))
        yield Frame(number / 5, np.clip(frame, 0, 255).astype(np.uint8))


def test_a_background_that_creeps_is_not_stable():
    assert [(one.start, one.end) for one in stable_segments(moving(0))] == [(0.0, pytest.approx(6.0))]
    for step in (0.5, 1, 3):
        assert not list(stable_segments(moving(step)))


def test_a_short_disturbance_does_not_end_a_segment_and_a_short_segment_is_none():
    frames = list(moving(0))
    black = np.zeros_like(frames[0].pixels)
    for number in (9, 20, 21):
        frames[number] = Frame(frames[number].time, black)
    (whole,) = stable_segments(frames)
    assert whole.end - whole.start == pytest.approx(6.0)
    assert whole.image.min() > 0, "the median leaves it out"
    assert not list(stable_segments(frames[:14]))
    parts = list(stable_segments(frames, SegmentOptions(max_seconds=4.0)))
    assert [(one.start, one.end) for one in parts] == [(0.0, 3.0), (3.0, pytest.approx(6.0))]
    assert parts[0].image is parts[1].image


def test_key_frames_that_make_the_picture_anew_do_not_part_it():
    """What H.264 does: every 2 s the grain is another one, and stays."""
    still = tissue(SIZE, 9)[..., ::-1].astype(float)
    rng = np.random.default_rng(0)
    grains = [rng.normal(0, 5, (240, 320, 1)) for _ in range(5)]
    frames = [Frame(n / 5, np.clip(still + grains[n // 10], 0, 255).astype(np.uint8)) for n in range(50)]
    assert crop_ssim(frames[9].pixels, frames[10].pixels, SegmentOptions(), rng) < 0.98
    assert [(one.start, one.end) for one in stable_segments(frames)] == [(0.0, pytest.approx(10.0))]


def test_a_line_that_is_added_to_a_slide_makes_another_picture():
    slide = np.full((240, 320, 3), 250, np.uint8)
    slide[40:60, 30:280:4] = 20
    more = slide.copy()
    more[100:120, 30:280:4] = 20
    frames = [Frame(n / 5, slide if n < 20 else more) for n in range(40)]
    assert [round(one.start, 3) for one in stable_segments(frames)] == [0.0, 4.0]


def test_no_more_frames_are_held_than_the_median_needs():
    alive = weakref.WeakSet()
    most = 0

    class Pixels(np.ndarray):
        __hash__ = object.__hash__

    def frames():
        nonlocal most
        for number in range(400):
            pixels = np.zeros((80, 80, 3), np.uint8).view(Pixels)
            alive.add(pixels)
            most = max(most, len(alive))
            yield Frame(number / 5, pixels)

    assert len(list(stable_segments(frames(), SegmentOptions(max_seconds=100.0)))) == 1
    assert most <= SegmentOptions().median_frames + 4


def test_the_median_is_numpys_of_an_odd_number_of_frames():
    frames = list(np.random.default_rng(3).integers(0, 255, (7, 130, 20, 3), dtype=np.uint8))
    assert np.array_equal(median(frames), np.median(frames, axis=0))


def test_the_cursor_is_followed(lecture, segments):
    path, truth = lecture
    again = Spans(read_frames(path, 5.0))
    for segment, said in zip(segments, truth, strict=True):
        trace = cursor_trace(again.span(segment.start, segment.end), segment.image)
        assert len(trace) >= 0.95 * (segment.end - segment.start) * 5
        for one in said:
            points = trace[(trace[:, 2] >= one.start) & (trace[:, 2] <= one.end), :2]
            box = (*points.min(axis=0), *points.max(axis=0))
            assert overlap(box, one.box) > 0.6, "off by half a cursor"


def test_a_cursor_that_rested_in_the_median_does_not_hold_the_trace():
    image = np.full((240, 320, 3), 180, np.uint8)
    ghosted = image.copy()
    ghosted[100:116, 50:62] = 0  # the larger one

    def frame(number, left, top):
        pixels = image.copy()
        pixels[top : top + 12, left : left + 8] = 0
        return Frame(number / 5, pixels)

    frames = [frame(number, 120 + 5 * number, 30 + 3 * number) for number in range(30)]
    trace = cursor_trace(frames, ghosted)
    assert np.allclose(trace[:, 0] * 320, [124 + 5 * number for number in range(30)], atol=1)
    assert not len(cursor_trace([Frame(0.0, 255 - image)], image)), "another background is no cursor"
    speck = image.copy()
    speck[50, 60] = speck[90, 200] = 0
    assert not len(find_spots(speck, image, CursorOptions())), "nor is a speck, however far it grows to join others"


def test_frames_are_alike_above_the_published_similarity():
    rng = np.random.default_rng(0)
    one = tissue(SIZE, 9)[..., ::-1]
    other = np.clip(one + rng.normal(0, 9, one.shape), 0, 255).astype(np.uint8)
    found = [crop_ssim(one, other, SegmentOptions(), rng) for _ in range(20)]
    assert 0.93 < min(found) < max(found) < 0.98
    assert not alike(one, other, SegmentOptions(), rng)
    assert alike(one, other, SegmentOptions(ssim=0.93), rng)


def test_an_utterance_belongs_where_its_middle_is(short, tmp_path):
    words = tmp_path / "words.srt"
    words.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nin the video\n\n2\n00:00:02,000 --> 00:00:30,000\nmostly after it\n"
    )
    done = read_video(job(short, transcript=words))
    assert done.counts == {"utterances": 2, "outside segments": 1, "bad entries": 0}
    assert [read_narrative(figure.turns[1].text)[0].text for figure in done.figures] == ["in the video"]


@pytest.mark.parametrize("options", [DEFAULT_NARRATIVES, OWN_TIME], ids=["clusters", "own-time"])
def test_a_video_becomes_records_with_boxes_where_the_cursor_was(lecture, options):
    path, truth = lecture
    done = read_video(job(path, options))
    assert [figure.source for figure in done.figures] == ["narratives/boxes"] * 2
    assert not done.dropped
    assert done.counts == {"utterances": 3, "outside segments": 0, "bad entries": 0}
    found = {part.text: part.box for figure in done.figures for part in read_narrative(figure.turns[1].text)}
    for one in (one for said in truth for one in said):
        assert overlap(found[one.text], one.box) > 0.5
    first = done.figures[0]
    assert first.id == "video:lecture#0.0-6.6s"
    assert (first.kind, first.paper.id, first.caption) == ("pathology", "video:lecture", "")
    assert open_image(first.image).size == SIZE == (first.width, first.height)
    box = read_narrative(first.turns[1].text)[0].box
    part = crop(first, box)
    assert part.width / part.height == pytest.approx((box[2] - box[0]) * 320 / ((box[3] - box[1]) * 240), abs=0.05)
    assert build_sample(first)[-1]["content"][0]["text"].startswith("these crypts"), "the trainer takes it"


def test_without_a_cursor_there_are_words_without_boxes(tmp_path):
    still = np.repeat(tissue(SIZE, 5)[None], 40, axis=0)
    path = written(tmp_path / "still.avi", still)
    said(path, ("a picture and nobody who points", 0.5, 3.0))
    (figure,) = read_video(job(path)).figures
    assert figure.source == "narratives/plain"
    assert figure.turns[1].text == "a picture and nobody who points"
    assert "[x1" not in figure.turns[0].text


def test_where_nothing_stands_still_the_different_images_are_taken(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (90, 240, 320, 3), dtype=np.uint8)
    path = written(tmp_path / "moving.avi", noise)
    said(path, ("all of this moves", 0.5, 2.0), ("and this too", 4.0, 5.0))
    done = read_video(job(path))
    assert {figure.source for figure in done.figures} == {"narratives/unstable"}
    assert [figure.turns[1].text for figure in done.figures] == ["all of this moves", "and this too"]
    without = read_video(job(path, replace(DEFAULT_NARRATIVES, fallback=False)))
    assert not without.figures
    assert [item.reason for item in without.dropped] == ["no-stable-segment"]


def test_a_long_video_that_never_stands_still_has_no_record_of_all_its_words():
    frames = [Frame(float(time), np.full((64, 64, 3), 9, np.uint8)) for time in range(0, 100, 3)]
    parts = list(other_images(frames))
    assert (len(parts), parts[0].start, parts[-1].end) == (4, 0.0, 102.0)
    assert all(part.end - part.start == pytest.approx(25.5) for part in parts)


def test_slides_of_a_frame_each_last_until_the_next_one():
    """As screen recordings of a variable rate have them; the last ones too."""
    shown = [(0.0, 1), (20.0, 2), (50.0, 3), (75.0, 4), (90.0, 4)]
    frames = [Frame(time, tissue(SIZE, seed)) for time, seed in shown]
    parts = list(stable_segments(frames, SegmentOptions(max_seconds=60.0)))
    assert [(one.start, one.end) for one in parts] == [(0, 20), (20, 50), (50, 75), (75, 105)]


def test_the_cursor_is_found_at_a_variable_rate(tmp_path):
    """Every cluster of the WebM begins at three times its time: OpenCV, which counts frames, finds nothing where it is sent there."""
    frames = np.repeat(tissue(SIZE, 5)[None], 70, axis=0)
    for number, frame in enumerate(frames):
        right = 0.4 * (number >= 40)
        draw_cursor(frame, (0.25 + right + 0.15 * np.sin(number / 5), 0.3 + 0.18 * np.cos(number / 4)))
    path = written(tmp_path / "lecture.webm", frames, fourcc="VP80")
    data = bytearray(path.read_bytes())
    clusters = [found.end() for found in re.finditer(rb"\x1f\x43\xb6\x75[\x00-\xff]{2,3}\xe7\x82", data)]
    for at in clusters:
        data[at : at + 2] = (3 * int.from_bytes(data[at : at + 2], "big")).to_bytes(2, "big")
    path.write_bytes(data)
    assert len(clusters) > 3
    said(path, ("the gland at the left is dilated", 0.0, 9.0), ("and the stroma at the right holds cells", 12.5, 20.0))
    figures = read_video(job(path, replace(OWN_TIME, segments=SegmentOptions(max_seconds=11.0)))).figures
    boxes = [part.box for figure in figures for part in read_narrative(figure.turns[1].text)]
    assert [round(box[0] / 0.4) for box in boxes] == [0, 1]
    assert all(box[2] - box[0] > 0.2 for box in boxes)


def test_a_damaged_frame_costs_itself(tmp_path):
    path = written(tmp_path / "damaged.avi", np.repeat(tissue(SIZE, 5)[None], 40, axis=0))
    data = bytearray(path.read_bytes())
    frames = [found.end() for found in re.finditer(rb"00dc", data)][1:]  # the first is in the header
    for at in (frames[10], frames[11], frames[25]):
        size = int.from_bytes(data[at : at + 4], "little")
        data[at + 4 : at + 4 + size] = bytes(size)
    path.write_bytes(data)
    times = [frame.time for frame in read_frames(path, 10.0)]
    assert len(times) == 37
    assert times[-1] == pytest.approx(3.9)


def camera(path):
    """A slide with a cursor over LEFT, and in the lower right corner 6 % of it a picture that moves all the time."""
    rng = np.random.default_rng(0)
    width, height = SIZE
    frames = np.repeat(tissue(SIZE, 5)[None], 50, axis=0)
    for number, frame in enumerate(frames):
        frame[height * 3 // 4 :, width * 3 // 4 :] = (
            rng.integers(0, 255, (6, 8, 3), np.uint8).repeat(10, 0).repeat(10, 1)
        )
        draw_cursor(frame, (0.25 + 0.15 * np.sin(number / 5), 0.3 + 0.18 * np.cos(number / 4)))
    return written(path, frames)


def test_a_camera_picture_can_be_hidden(tmp_path):
    path = camera(tmp_path / "lecture.avi")
    said(path, ("the gland at the left is dilated", 0.5, 4.5))
    assert {figure.source for figure in read_video(job(path)).figures} == {"narratives/unstable"}
    (figure,) = read_video(job(path, replace(DEFAULT_NARRATIVES, hidden=((0.75, 0.75, 1, 1),)))).figures
    (part,) = read_narrative(figure.turns[1].text)
    assert overlap(part.box, (0.1, 0.12, 0.4, 0.48)) > 0.6
    assert np.asarray(open_image(figure.image))[180:, 240:].max() == 0
    asked = ["narratives", str(path), "--out", str(tmp_path / "o"), "--hide"]
    assert "no part of a frame: (0.9, 0.0, 0.1, 1.0)" in str(CliRunner().invoke(app, [*asked, "0.9,0,0.1,1"]).exception)
    with pytest.raises(InputError, match=r"--hide takes x1,y1,x2,y2 in 0..1, got '0.5,0.5'"):
        read_box("0.5,0.5")


def test_a_transcript_of_other_times_is_told_by_name(short, tmp_path):
    words = tmp_path / "words.srt"
    words.write_text("1\n01:00:01,000 --> 01:00:02,000\nan hour late\n")
    done = read_video(job(short, transcript=words))
    assert not done.figures
    (told,) = [item for item in done.dropped if item.reason == "bad-transcript"]
    assert "it begins at 3601 s, when the video has ended" in told.detail


@pytest.mark.parametrize("head", [b"GIF89a", b"G\nc=IN IP4 10.0.0.1\n", b"v=0\nc=IN IP4 10.0.0.1\n", b""])
def test_what_only_begins_like_a_video_is_none(head, tmp_path):
    (tmp_path / "a.mp4").write_bytes(head + bytes(200) if head else b"")
    with pytest.raises(SampleRefused, match="no video") as refused:
        list(read_frames(tmp_path / "a.mp4", 5.0))
    assert refused.value.reason == "not-a-video"


def written(path, frames, fps=10.0, fourcc="MJPG"):
    """A video of these BGR frames."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*fourcc), fps, SIZE)
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def said(path, *utterances):
    rows = [{"text": text, "start": start, "end": end} for text, start, end in utterances]
    path.with_suffix(".json").write_text(json.dumps({"segments": rows}))


@pytest.fixture
def folder(short, tmp_path):
    """Videos of every sort: good ones, one cut off, some that are none, one of which nothing is said."""
    path = short
    data, words = path.read_bytes(), path.with_suffix(".json").read_text()
    (tmp_path / "a").mkdir()
    for name in ("a/good.mp4", "good.mp4"):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).with_suffix(".json").write_text(words)
    (tmp_path / "silent.mp4").write_bytes(data)
    (tmp_path / "muddled.mp4").write_bytes(data)
    (tmp_path / "muddled.en.json").write_text("{")
    (tmp_path / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n")
    (tmp_path / "playlist.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nWords\n")
    (tmp_path / "headless.mp4").write_bytes(data[: len(data) // 2])
    (tmp_path / "headless.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nWords\n")
    whole = written(tmp_path / "cut.avi", np.repeat(tissue(SIZE, 5)[None], 100, axis=0))
    said(whole, ("all is well so far", 1.0, 3.0), ("and this is lost", 8.0, 9.0))
    cut = whole.read_bytes()
    whole.write_bytes(cut[: int(0.55 * len(cut))])
    return tmp_path


def test_a_folder_of_videos_becomes_a_data_set_and_every_failure_has_its_reason(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "narratives"
    done = build([folder], out, replace(DEFAULT_NARRATIVES, licence="CC BY 4.0"))
    figures = list(read_dataset(out))
    reasons = {item.item: item.reason for item in read_dropped(out)}
    assert reasons == {
        "video:silent": "no-transcript",
        "video:muddled": "bad-transcript",
        "video:playlist": "not-a-video",
        "video:headless": "video-broken",
        "video:cut": "cut-off",
    }
    assert sorted(figure.paper.id for figure in figures) == ["video:a/good", "video:cut", "video:good"]
    assert {figure.licence for figure in figures} == {"CC BY 4.0"}
    assert (done.videos, done.summary.keys, done.counts["utterances"]) == (7, 7, 6)
    assert done.counts["outside segments"] == 1, "what was said after the cut"
    card = (out / "README.md").read_text()
    assert "Localized narratives made of videos" in card
    assert "by hash of the video" in card


def test_a_killed_run_goes_on_with_the_next_video(short, tmp_path):
    path = short
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.mp4").write_bytes(path.read_bytes())
        (tmp_path / f"{name}.json").write_text(path.with_suffix(".json").read_text())
    out = tmp_path / "out"

    def killed_at_three(job):
        if job.key == "video:three" and not out.with_suffix(".again").exists():
            raise KeyboardInterrupt
        return read_video(job)

    with pytest.raises(KeyboardInterrupt):
        build_narratives([tmp_path], out, engine=HereAndNow(killed_at_three))
    engine = HereAndNow()
    done = build_narratives([tmp_path], out, engine=engine)
    assert engine.given == ["video:three", "video:two"], "the first is there already; they go by name"
    assert (done.summary.figures, done.counts["utterances"]) == (3, 6)
    again = HereAndNow()
    assert build_narratives([tmp_path], out, engine=again).summary == done.summary
    assert not again.given
    with pytest.raises(DatasetError, match="begun with other options"):
        build([tmp_path], out, OWN_TIME)
    assert done.stale == ()
    said(tmp_path / "one.mp4", ("words that were put right", 0.5, 2.0))
    mended = build([tmp_path], out)
    assert (mended.summary, mended.stale) == (done.summary, ("video:one",))
    assert "not read again, though the transcript is new: video:one" in narratives_summary(mended).plain
    (tmp_path / "one.mp4").write_bytes(b"another")
    with pytest.raises(DatasetError, match="video:one is not the file that was read before"):
        build([tmp_path], out)


def test_a_video_that_takes_its_process_with_it_costs_itself(lecture, tmp_path):
    def crash(job):
        return Failure(reason="crashed", detail="the process died twice (SIGSEGV)")

    done = build_narratives([lecture[0]], tmp_path / "out", engine=HereAndNow(crash))
    assert done.summary.dropped == {"crashed": 1}

    def useless(job):
        return Failure(reason="failed", error=MissingExtra("sklearn", "narratives", needed_for="narratives"))

    with pytest.raises(MissingExtra, match=r"llava-graph\[narratives\]"):
        build_narratives([lecture[0]], tmp_path / "other", engine=HereAndNow(useless))


def test_the_command_reads_videos_in_processes(lecture, tmp_path):
    path, _ = lecture
    out = tmp_path / "out"
    asked = ["narratives", str(path), "--asr", str(path.with_suffix(".json")), "--out", str(out), "--prefix", "youtube"]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    assert "1 of 1 videos read: 2 narratives (boxes 2)" in answer.output
    assert "in transcripts: utterances 3, outside segments 0, bad entries 0" in answer.output
    assert {figure.paper.id for figure in read_dataset(out)} == {"youtube:lecture"}
    assert not multiprocessing.active_children()


def test_what_is_asked_for_in_vain_is_said(lecture, tmp_path, monkeypatch):
    path, _ = lecture
    for videos, words, more in (
        ([tmp_path], "holds no video", {}),
        ([tmp_path / "x.mp4"], "no such video", {}),
        ([path, path.with_suffix(".json")], "one transcript for 2 videos", {"transcripts": path.with_suffix(".json")}),
        ([path], "no such transcript", {"transcripts": tmp_path / "x"}),
    ):
        with pytest.raises(InputError, match=words):
            build(videos, tmp_path / "out", **more)
    for wrong in ({"rate": 0.0}, {"prefix": "a:b"}, {"label": "tissue"}, {"workers": 0}):
        with pytest.raises(InputError):
            NarrativeOptions(**wrong)
    with pytest.raises(InputError, match="Did you mean 'published'"):
        ClusterOptions(weighting="publishd")
    monkeypatch.setitem(building.EXTRA_OF, "no_such_package", "narratives")
    monkeypatch.setattr(building, "PACKAGES", ("no_such_package",))
    with pytest.raises(
        MissingExtra, match=r"needs the package 'no_such_package'\. pip install 'llava-graph\[narratives\]'"
    ):
        build([path], tmp_path / "out")


def test_transcripts_are_found_by_name(tmp_path):
    for name in (
        "v/x.1.mp4",
        "v/deep/y.mkv",
        "v/z.mp4",
        "v/z.webm",
        "t/x.1.en.vtt",
        "t/y.srt",
        "t/deep/y.json",
        "t/z.txt",
        "v/w.mp4",
        *(f"t/w.{middle}" for middle in ("info.json", "live_chat.json", "part2.vtt", "de.vtt", "en-orig.vtt")),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    jobs = list_videos([tmp_path / "v", tmp_path / "v/z.mp4"], tmp_path / "t", DEFAULT_NARRATIVES)
    found = {one.key: one.transcript and one.transcript.relative_to(tmp_path).as_posix() for one in jobs}
    assert found == {
        "video:deep/y": "t/deep/y.json",
        "video:x.1": "t/x.1.en.vtt",
        "video:z": None,
        "video:z.webm": None,
        "video:w": "t/w.en-orig.vtt",
    }
    (tmp_path / "t/w.en-orig.vtt").unlink()
    assert (
        list_videos([tmp_path / "v/w.mp4"], tmp_path / "t", DEFAULT_NARRATIVES)[0].transcript == tmp_path / "t/w.de.vtt"
    )
    (tmp_path / "t/w.de.vtt").unlink()
    assert list_videos([tmp_path / "v/w.mp4"], tmp_path / "t", DEFAULT_NARRATIVES)[0].transcript is None


def test_the_page_of_the_documentation_has_the_commands_and_defaults_that_there_are():
    page = (Path(__file__).parent.parent / "docs" / "narratives.md").read_text()
    commands = [shlex.split(line) for line in re.findall(r"^    scicap_builder (.+)$", page, re.MULTILINE)]
    assert {name for name, *_ in commands} == {"narratives", "import"}
    known = get_command(app).commands
    for name, *rest in commands:
        known[name].make_context(name, rest)
    defaults = {option.name: option.default for option in known["narratives"].params}
    for name, value in re.findall(r"^\| `--(boxes|weighting|match) ([\w-]+)`", page, re.MULTILINE):
        assert defaults[name] == value
