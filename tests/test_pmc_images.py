"""LLaVA-Med's images from a local server with PubMed Central's paths: what is asked for, kept, written down, and taken up again."""

import io
import json
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from published_sets import jpeg, llava, put

from llava_graph.command import run
from llava_graph.dataset import read_dataset
from llava_graph.errors import AccessDenied, DatasetError, FetchError
from scicap_builder.cli import app
from scicap_builder.fetch.pace import Clock
from scicap_builder.sources import source_of
from scicap_builder.sources.importing import import_source
from scicap_builder.sources.pmc_images import LEDGER, fetch_images, pmc_options

PATIENT = Clock(sleep=lambda _: None)


def tar_gz(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@contextmanager
def serving(files):
    """path -> bytes, or a status; `asked` collects the paths."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = files.get(self.path, 404)
            self.send_response(body if isinstance(body, int) else 200)
            self.send_header("Content-Length", str(0 if isinstance(body, int) else len(body)))
            self.end_headers()
            self.wfile.write(b"" if isinstance(body, int) else body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def address(archive, pair, member, host="ftp.ncbi.nlm.nih.gov"):
    return {
        "pair_id": pair,
        "pmc_tar_url": f"https://{host}/pub/pmc/oa_package/{archive}.tar.gz",
        "image_file_path": member,
    }


ONE = tar_gz(
    {
        "PMC1/a.jpg": jpeg(1),
        "PMC1/b.jpg": jpeg(2),
        "PMC1/other.jpg": jpeg(3),
        "PMC1/paper.pdf": b"%PDF",
        "../out.jpg": jpeg(4),
    }
)
TWO = tar_gz({"PMC2/c.jpg": b"no image", "PMC2/d.jpg": jpeg(5)})
BIG = tar_gz({"PMC5/g.jpg": jpeg(6), "PMC5/noise.bin": bytes(range(256)) * 4000, "PMC5/h.jpg": jpeg(7)})
FILES = {
    "/pub/pmc/oa_package/PMC1.tar.gz": ONE,
    "/pub/pmc/oa_package/PMC2.tar.gz": TWO,
    "/pub/pmc/oa_package/PMC5.tar.gz": BIG[: len(BIG) // 2],
}


@pytest.fixture
def root(tmp_path):
    pairs = ("11_F1", "12_F1", "13_F1", "14_F1", "15_F1", "16_F1", "17_F1", "18_F1")
    put(
        tmp_path,
        "llava_med_instruct_10k.json",
        [llava(pair, f"{pair}.jpg", "What is it?", "A scan.") for pair in pairs],
    )
    put(tmp_path, "llava_med_image_urls.jsonl", [
        address("PMC1", "11_F1", "PMC1/a.jpg"), address("PMC2", "12_F1", "PMC2/c.jpg"), address("PMC1", "13_F1", "PMC1/b.jpg"),
        address("PMC2", "14_F1", "PMC2/gone.jpg"), address("PMC3", "15_F1", "PMC3/e.jpg"), address("PMC4", "16_F1", "x", "example.org"),
        address("PMC5", "17_F1", "PMC5/h.jpg"), address("PMC9", "99_F1", "PMC9/not_wanted.jpg"),
    ])  # fmt: skip
    return tmp_path


def fetched(root, url, **more):
    return fetch_images(
        root, replace(pmc_options(url), cache=root / "cache", delay_s=0, tries=2), clock=PATIENT, **more
    )


def test_only_wanted_images_are_kept_and_every_pair_is_accounted_for(root):
    with serving(FILES) as (url, asked):
        done = fetched(root, url)
    assert sorted(path.name for path in (root / "images").iterdir()) == ["11_F1.jpg", "13_F1.jpg"]
    assert (root / "images" / "13_F1.jpg").read_bytes() == jpeg(2)
    assert done.counts == {
        "saved": 2, "image-broken": 1, "not-in-archive": 1, "archive-not-found": 1, "other-host": 1, "broken-archive": 1, "no-address": 1,
    }  # fmt: skip
    assert (done.wanted, done.there, done.later, done.left) == (8, 0, 0, 0)
    assert sorted(asked) == [f"/pub/pmc/oa_package/PMC{number}.tar.gz" for number in (1, 2, 3, 5)], (
        "each once, no unwanted one"
    )
    assert not (root.parent / "out.jpg").exists()


def test_nothing_is_asked_twice_unless_wished(root):
    with serving(FILES) as (url, asked):
        fetched(root, url)
        asked.clear()
        again = fetched(root, url)
        assert asked == []
        assert (again.there, again.counts["saved"], again.left) == (2, 0, 0)
        fetched(root, url, retry=True)
        assert len(asked) == 3, "the archives of images that were not found"


def test_a_stopped_run_goes_on(root):
    with serving(FILES) as (url, asked):
        first = fetched(root, url, archives=1)
        assert first.left == 4
        with (root / LEDGER).open("a") as file:
            file.write('{"archive": "/pub/pmc/oa_pack')  # killed while it wrote
        (root / "images" / "11_F1.jpg").unlink()
        second = fetched(root, url)
    assert second.there == 1
    assert (second.counts["saved"], second.left) == (1, 0), "an image that was removed is fetched again"
    assert asked.count("/pub/pmc/oa_package/PMC2.tar.gz") == 1
    for line in (root / LEDGER).read_text().split("\n"):
        if line and "oa_pack" not in line[-10:]:
            json.loads(line)


def test_a_silent_server_costs_nothing_for_good_and_a_forbidding_one_stops(root):
    with serving({**FILES, "/pub/pmc/oa_package/PMC1.tar.gz": 503}) as (url, _):
        done = fetched(root, url)
        assert (done.later, done.left) == (2, 0)
    with serving(FILES) as (url, _):
        assert fetched(root, url).counts["saved"] == 2
    (root / LEDGER).unlink()
    with serving(dict.fromkeys(FILES, 403)) as (url, asked):
        with pytest.raises(AccessDenied, match=r"ftp\.ncbi"):
            fetched(root, url)
        assert len(asked) == 1
    many = [address(f"PMC{number}", f"{number}_F1", "x.jpg") for number in range(20, 40)]
    put(root, "llava_med_image_urls.jsonl", many)
    put(
        root,
        "llava_med_instruct_10k.json",
        [llava(row["pair_id"], f"{row['pair_id']}.jpg", "What?", "This.") for row in many],
    )
    down = dict.fromkeys((f"/pub/pmc/oa_package/PMC{number}.tar.gz" for number in range(20, 40)), 503)
    with serving(down) as (url, asked), pytest.raises(FetchError, match="busy"):
        fetched(root, url)
    assert len(asked) == 10, "five archives, two tries each"


def test_without_its_files_nothing_is_asked(tmp_path, root):
    (root / "llava_med_image_urls.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"llava_med_image_urls\.jsonl is missing"):
        fetched(root, "http://127.0.0.1:9")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="is missing"):
        fetched(tmp_path / "empty", "http://127.0.0.1:9")


def test_the_command_and_then_the_import(root, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    with serving(FILES) as (url, _), pytest.raises(SystemExit) as ended:
        run(app, ["images", "--root", str(root), "--base-url", url, "--archives", "1"])
    assert ended.value.code == 0
    assert "8 images wanted: 0 were there, saved 2" in capsys.readouterr().out
    from scicap_builder.sources.contract import ImportOptions

    done = import_source(source_of("llava-med-instruct"), root, tmp_path / "out", ImportOptions(subset="10k"))
    assert sorted(figure.id for figure in read_dataset(tmp_path / "out")) == [
        "llava-med-instruct:11_F1",
        "llava-med-instruct:13_F1",
    ]
    assert done.integrity.dropped == {"image-missing": 6}
