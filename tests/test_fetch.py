"""The arXiv client against a local server that speaks arXiv: manners, failures, cache. No test waits in real time."""

import gzip
import itertools
import json
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from arxiv_server import CUT, DRIP, HANG, NOT_PUBLIC, ArxivServer, FakeClock, Submission, serving, tar_gz

from llava_graph.errors import AccessDenied, FetchError, InputError
from scicap_builder.arxiv_id import parse_arxiv_id
from scicap_builder.fetch import ArxivClient, Clock, FetchOptions, Pace
from scicap_builder.fetch.arxiv_client import parse_licence
from scicap_builder.fetch.harvest import harvest
from scicap_builder.fetch.http import PoliteHttp, default_cache, retry_after, same_site, user_agent
from scicap_builder.metadata import MetadataFile

TEX = b"\\documentclass{article}\\begin{document}Hi\\end{document}"
PDF = b"%PDF-1.5 a paper"
ATTENTION = Submission(
    base="1706.03762",
    latest=7,
    sources={7: tar_gz({"ms.tex": TEX}), 1: tar_gz({"old.tex": TEX})},
    pdfs={7: PDF, 1: PDF},
)
OLD = Submission(base="hep-th/9901001", latest=2, sources={2: gzip.compress(TEX)}, pdfs={2: PDF}, licence="")
PDF_ONLY = Submission(base="2001.00001", sources={1: PDF}, pdfs={1: PDF})
WITHDRAWN = Submission(
    base="2002.00002", latest=2, comment="This paper has been withdrawn by the author", sources={1: b"x"}
)
ALL = [ATTENTION, OLD, PDF_ONLY, WITHDRAWN]


def ids(*texts):
    return [parse_arxiv_id(text) for text in texts]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def server(clock):
    with serving(ALL, clock.now) as running:
        yield running


@pytest.fixture
def client(server, clock, tmp_path):
    with client_for(server, clock, tmp_path) as made:
        yield made


def client_for(server: ArxivServer, clock: FakeClock, cache, **options) -> ArxivClient:
    options = {"read_timeout_s": 0.2, **options}
    fetch = FetchOptions(base_url=server.url, cache=cache, **options)
    return ArxivClient(fetch, clock=Clock(now=clock.now, sleep=clock.sleep))


def test_metadata_names_the_exact_version_and_mends_line_breaks(client):
    asked = ids("1706.03762", "hep-th/9901001v2", "2001.99999")
    found = client.metadata(asked)
    assert list(map(str, found)) == ["1706.03762", "hep-th/9901001v2"]  # an unknown id is silently absent at arXiv
    attention = found[asked[0]]
    assert (str(attention.id), attention.title, attention.abstract) == (
        "1706.03762v7",
        "A Title Over Two Lines",
        "We show something.",
    )
    assert attention.categories == ("cs.CL", "cs.LG")
    assert not attention.withdrawn


def test_a_hundred_papers_are_one_metadata_request(server, clock, tmp_path):
    papers = [Submission(base=f"2101.{number:05d}") for number in range(1, 151)]
    with serving(papers, clock.now) as server, client_for(server, clock, tmp_path) as client:
        found = client.metadata(ids(*(paper.base for paper in papers)))
        assert len(found) == 150
        assert len(server.seen) == 2


def test_one_refused_id_costs_only_itself(client, server):
    asked = ids("1706.03762", "2001.00001")
    bad = ids("2101.00001")[0]
    object.__setattr__(bad, "base", "1234.1234567")  # what our own check would not let pass
    found = client.metadata([asked[0], bad, asked[1]])
    assert list(found) == asked
    assert len(server.seen) == 2


def test_every_kind_of_request_keeps_three_seconds_and_one_connection(client, server):
    [about] = client.metadata(ids("1706.03762")).values()
    client.licence(about.id)
    client.source(about.id)
    client.pdf(about.id)
    times = [request.time for request in server.seen]
    assert len(times) == 4
    assert all(later - earlier >= 3.0 for earlier, later in itertools.pairwise(times))
    assert server.most_at_once == 1


def test_two_clients_on_one_machine_share_the_pace(server, clock, tmp_path):
    with client_for(server, clock, tmp_path) as one, client_for(server, clock, tmp_path) as other:
        one.licence(ids("1706.03762")[0])
        other.licence(ids("2001.00001")[0])
    first, second = (request.time for request in server.seen)
    assert second - first >= 3.0


def test_a_turn_waits_until_the_other_holder_is_done(tmp_path):
    """Two processes are two locks on one file; threads with a Pace each behave the same."""
    order = []
    inside = threading.Event()

    def hold():
        with Pace(tmp_path / "lock", delay_s=0).turn():
            inside.set()
            time.sleep(0.1)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(5)
    with Pace(tmp_path / "lock", delay_s=0).turn():
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_clock_that_was_set_back_does_not_stop_us_for_ever(tmp_path):
    (tmp_path / "lock").write_text("9e9")
    clock = FakeClock()
    with Pace(tmp_path / "lock", clock=Clock(now=clock.now, sleep=clock.sleep)).turn():
        pass
    assert clock.slept == [600]


@pytest.mark.parametrize(("status", "wait"), [(429, 7), (503, 45)])
def test_retry_after_is_kept_to_and_then_it_succeeds(client, server, clock, status, wait):
    server.script["/pdf/1706.03762v7"] = [(status, {"Retry-After": str(wait)})]
    assert client.pdf(ids("1706.03762v7")[0]).read_bytes() == PDF
    first, second = (request.time for request in server.seen)
    assert second - first >= wait


def test_retry_after_can_be_a_date(client, server, clock):
    when = datetime.fromtimestamp(clock.time + 90, UTC)
    server.script["/pdf/1706.03762v7"] = [(503, {"Retry-After": format_datetime(when, usegmt=True)})]
    client.pdf(ids("1706.03762v7")[0])
    first, second = (request.time for request in server.seen)
    assert 89 <= second - first <= 91


def test_without_retry_after_the_waits_grow_and_five_tries_are_the_end(client, server):
    server.script["/pdf/1706.03762v7"] = [(503, {})] * 9
    with pytest.raises(FetchError, match="busy") as caught:
        client.pdf(ids("1706.03762v7")[0])
    assert caught.value.reason == "busy"
    times = [request.time for request in server.seen]
    assert [round(b - a) for a, b in itertools.pairwise(times)] == [10, 20, 40, 40]


def test_a_server_that_asks_for_hours_is_left_alone(client, server):
    server.script["/pdf/1706.03762v7"] = [(503, {"Retry-After": "86400"})]
    with pytest.raises(FetchError) as caught:
        client.pdf(ids("1706.03762v7")[0])
    assert caught.value.reason == "busy"
    assert len(server.seen) == 1


def test_403_is_never_asked_again(client, server):
    server.script["/src/1706.03762v7"] = [(403, {})]
    with pytest.raises(AccessDenied, match="403"):
        client.source(ids("1706.03762v7")[0])
    assert len(server.seen) == 1


def test_a_source_that_its_author_keeps_is_no_refusal(clock, tmp_path):
    kept = Submission(base="0704.0945", latest=2, sources={2: NOT_PUBLIC}, pdfs={2: PDF})
    with serving([kept], clock.now) as server, client_for(server, clock, tmp_path) as client:
        with pytest.raises(FetchError) as caught:
            client.source(ids("0704.0945v2")[0])
        assert not isinstance(caught.value, AccessDenied)
        assert caught.value.reason == "source-not-public"
        assert client.pdf(ids("0704.0945v2")[0]).read_bytes() == PDF
        assert len(server.seen) == 2


def test_redirects_on_the_site_are_followed_and_take_their_turn(client, server):
    server.script["/src/1706.03762v7"] = [(301, {"Location": "/e-print/1706.03762v7"})]
    assert client.source(ids("1706.03762v7")[0]).read_bytes() == ATTENTION.sources[7]
    assert server.paths() == ["/src/1706.03762v7", "/e-print/1706.03762v7", "/src/1706.03762v7"]
    times = [request.time for request in server.seen]
    assert all(b - a >= 3 for a, b in itertools.pairwise(times))


def test_redirects_to_elsewhere_and_in_circles_are_refused(client, server):
    server.script["/pdf/1706.03762v7"] = [(301, {"Location": "http://localhost:1/x"})]
    with pytest.raises(FetchError, match="sends us away"):
        client.pdf(ids("1706.03762v7")[0])
    server.script["/pdf/1706.03762v1"] = [(302, {"Location": "/pdf/1706.03762v1"})] * 9
    with pytest.raises(FetchError, match="redirects"):
        client.pdf(ids("1706.03762v1")[0])


@pytest.mark.parametrize(
    ("url", "target", "stays"),
    [
        ("https://export.arxiv.org/a", "https://arxiv.org/b", True),
        ("https://export.arxiv.org/oai2", "https://oaipmh.arxiv.org/oai", True),
        ("https://export.arxiv.org/a", "http://arxiv.org/b", False),
        ("https://export.arxiv.org/a", "https://evilarxiv.org/b", False),
        ("https://export.arxiv.org/a", "https://arxiv.org.evil.com/b", False),
        ("http://127.0.0.1:5/a", "http://127.0.0.1:6/b", False),
    ],
)
def test_same_site(url, target, stays):
    assert same_site(url, target) is stays


def test_a_hung_connection_times_out_and_is_tried_again(client, server):
    server.script["/pdf/1706.03762v7"] = [(HANG, {})]
    assert client.pdf(ids("1706.03762v7")[0]).read_bytes() == PDF
    assert len(server.seen) == 2


def test_a_server_that_hangs_each_time_is_given_up(client, server):
    server.script["/pdf/1706.03762v7"] = [(HANG, {})] * 5
    with pytest.raises(FetchError) as caught:
        client.pdf(ids("1706.03762v7")[0])
    assert caught.value.reason == "timeout"


def test_metadata_hangs_no_longer_than_any_other_request(client, server):
    server.script["/api/query"] = [(HANG, {}), (429, {"Retry-After": "5"})]
    assert len(client.metadata(ids("1706.03762"))) == 1
    assert len(server.seen) == 3


def test_a_body_that_never_ends_meets_the_deadline(server, tmp_path):
    fetch = FetchOptions(base_url=server.url, cache=tmp_path, deadline_s=0.1, delay_s=0)
    server.script["/pdf/1706.03762v7"] = [(DRIP, {})]
    with ArxivClient(fetch) as client, pytest.raises(FetchError) as caught:
        client.pdf(ids("1706.03762v7")[0])
    assert caught.value.reason == "too-slow"


def test_a_body_that_is_cut_off_is_fetched_again(client, server):
    server.script["/pdf/1706.03762v7"] = [(CUT, {})]
    assert client.pdf(ids("1706.03762v7")[0]).read_bytes() == PDF


def test_more_than_the_size_limit_is_refused_and_leaves_nothing(server, clock, tmp_path):
    with client_for(server, clock, tmp_path, max_bytes=10) as client:
        with pytest.raises(FetchError) as caught:
            client.pdf(ids("1706.03762v7")[0])
        assert caught.value.reason == "too-big"
    assert not [file for file in (tmp_path / "papers").rglob("*") if file.is_file()]


def test_a_second_look_needs_no_request(server, clock, tmp_path):
    with client_for(server, clock, tmp_path) as client:
        arxiv = ids("hep-th/9901001v2")[0]
        for _ in range(2):
            client.metadata([arxiv])
            client.licence(arxiv)
            assert client.source(arxiv).read_bytes() == OLD.sources[2]
            assert client.pdf(arxiv).read_bytes() == PDF
    assert len(server.seen) == 4
    assert (tmp_path / "papers" / "hep-th9901001v2" / "paper.pdf").is_file()


def test_refresh_asks_by_etag_and_keeps_what_is_unchanged(server, clock, tmp_path):
    arxiv = ids("1706.03762v7")[0]
    with client_for(server, clock, tmp_path) as client:
        before = client.pdf(arxiv).stat().st_mtime_ns
    with client_for(server, clock, tmp_path, refresh=True) as client:
        assert client.pdf(arxiv).stat().st_mtime_ns == before
    assert server.seen[1].headers["If-None-Match"]


def test_half_a_download_is_no_cache_entry(server, clock, tmp_path):
    folder = tmp_path / "papers" / "1706.03762v7"
    folder.mkdir(parents=True)
    (folder / "paper.pdf").write_bytes(b"%PDF half, of a killed process without its notes")
    with client_for(server, clock, tmp_path) as client:
        assert client.pdf(ids("1706.03762v7")[0]).read_bytes() == PDF


def test_404_has_a_reason(client):
    with pytest.raises(FetchError) as caught:
        client.source(ids("2002.00002v2")[0])
    assert caught.value.reason == "no-source"
    with pytest.raises(FetchError) as caught:
        client.pdf(ids("2002.00002v2")[0])
    assert caught.value.reason == "no-pdf"
    [about] = client.metadata(ids("2002.00002")).values()
    assert about.withdrawn


def test_a_page_instead_of_a_pdf_is_not_kept(client, server, tmp_path):
    server.script["/pdf/1706.03762v7"] = [(200, {})]
    with pytest.raises(FetchError, match="page instead"):
        client.pdf(ids("1706.03762v7")[0])
    assert client.pdf(ids("1706.03762v7")[0]).read_bytes() == PDF


def test_licence(client):
    assert client.licence(ids("1706.03762v7")[0]) == "http://creativecommons.org/licenses/by/4.0/"
    assert client.licence(ids("hep-th/9901001")[0]) == ""
    assert client.licence(ids("2001.99999")[0]) == ""


def test_a_catalogue_that_has_moved_is_asked_where_it_is(client, server):
    client._oai_url = f"{server.url}/old-oai"
    server.script["/old-oai"] = [(301, {"Location": "/oai2?verb=GetRecord&identifier=oai:arXiv.org:1706.03762"})]
    for arxiv in ids("1706.03762", "2001.00001"):
        assert client.licence(arxiv).endswith("/by/4.0/")
    assert [path.partition("?")[0] for path in server.paths()] == ["/old-oai", "/oai2", "/oai2"]


def harvested(server, clock, tmp_path, **asked):
    fetch = FetchOptions(base_url=server.url, cache=tmp_path / "cache")
    with PoliteHttp(fetch, clock=Clock(now=clock.now, sleep=clock.sleep)) as http:
        return harvest(http, tmp_path / "known.jsonl", **asked)


def test_the_catalogue_comes_in_pages_and_becomes_a_metadata_file(server, clock, tmp_path):
    assert harvested(server, clock, tmp_path, since="2017-06-01", subject="cs") == 4
    assert len(server.seen) == 2
    assert "from=2017-06-01&set=cs" in server.paths()[0]
    first, second = (request.time for request in server.seen)
    assert second - first >= 3
    known = MetadataFile(tmp_path / "known.jsonl", {"1706.03762", "hep-th/9901001", "9999.99999"})
    attention = known.get("1706.03762")
    assert (attention.title, attention.categories) == ("A Title Over Two Lines", ("cs.CL", "cs.LG"))
    assert attention.licence == "http://creativecommons.org/licenses/by/4.0/"
    assert known.get("hep-th/9901001").licence == ""
    assert known.get("9999.99999") is None
    assert [file.name for file in tmp_path.glob("known*")] == ["known.jsonl"]


def test_a_killed_harvest_goes_on_at_its_last_page(server, clock, tmp_path):
    server.script["/oai2"] = [(200, {})]
    with pytest.raises(FetchError):
        harvested(server, clock, tmp_path)

    class Killed(BaseException):
        pass

    def kill(papers):
        raise Killed

    with pytest.raises(Killed):
        harvested(server, clock, tmp_path, on_page=kill)
    with (tmp_path / "known.jsonl.part").open("ab") as file:
        file.write(b'{"id": "half a li')
    assert harvested(server, clock, tmp_path) == 4
    assert "resumptionToken=2" in server.paths()[-1]
    lines = (tmp_path / "known.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1706.03762", "hep-th/9901001", "2001.00001", "2002.00002"]


def test_a_token_that_has_aged_begins_anew(server, clock, tmp_path):
    state = {
        "asked": {"metadataPrefix": "arXiv", "from": "", "until": "", "set": ""},
        "token": "x",
        "bytes": 0,
        "papers": 1,
    }
    (tmp_path / "known.jsonl.part").write_text("")
    (tmp_path / "known.jsonl.part.json").write_text(json.dumps(state))
    with pytest.raises(FetchError, match="badResumptionToken"):
        harvested(server, clock, tmp_path)
    assert harvested(server, clock, tmp_path) == 4


def test_an_empty_catalogue_and_a_bad_date(server, clock, tmp_path):
    assert harvested(server, clock, tmp_path, since="2999-01-01") == 0
    with pytest.raises(InputError, match="2017-06-30"):
        harvested(server, clock, tmp_path, since="yesterday")


def test_a_licence_answer_with_an_entity_bomb_is_refused():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><OAI-PMH>&b;</OAI-PMH>'
    with pytest.raises(FetchError, match="XML"):
        parse_licence(bomb)


def test_we_say_who_we_are(server, clock, tmp_path):
    with client_for(server, clock, tmp_path, contact="me@example.org") as client:
        client.metadata(ids("1706.03762"))
        client.licence(ids("1706.03762")[0])
    assert all("llava-graph" in request.headers["User-Agent"] for request in server.seen)
    assert all("mailto:me@example.org" in request.headers["User-Agent"] for request in server.seen)


@pytest.mark.parametrize("contact", ["me@example.org\r\nX: y", "mé@example.org"])
def test_a_contact_cannot_smuggle_a_header(contact):
    with pytest.raises(InputError, match="contact"):
        FetchOptions(contact=contact)


def test_user_agent_without_contact():
    assert "mailto" not in user_agent("")


@pytest.mark.parametrize(
    ("value", "seconds"), [("12", 12), ("", None), ("soon", None), ("Thu, 01 Jan 1970 00:01:40 GMT", 50)]
)
def test_retry_after_forms(value, seconds):
    assert retry_after(value, 50.0) == seconds


def test_default_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache() == tmp_path / "llava-graph" / "arxiv"


def test_a_cache_folder_that_cannot_be_written_is_named(server, clock, tmp_path):
    (tmp_path / "file").write_text("")
    with client_for(server, clock, tmp_path / "file") as client, pytest.raises(InputError, match="--cache"):
        client.licence(ids("1706.03762")[0])
