"""Fetching a file from a server on loopback that does everything wrong, from processes that are killed."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import http.server
import io
import itertools
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import types

import filelock
import google_crc32c
import pytest
import urllib3

from calmvae.common import download, web
from calmvae.common.errors import FetchError
from tests.conftest import ROOT

PIECE = 8192
BODY = random.Random(1).randbytes(300_001)
OTHER = random.Random(2).randbytes(300_001)


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Site(http.server.ThreadingHTTPServer):
    """Serves one file at every path. `plans` say what is done wrong, answer by answer; `always` says it of the rest.

    A plan's keys: `status`; `headers`, more of them, or other ones; `whole`, Range is ignored; `shift`, of the bytes
    and Content-Range; `flip`, the place of a bit that flips; `chunked`; `bare`, no length at all; `now`, a new body;
    `stop`, the bytes after which the answer ends as `how` says: "close", "reset" or "stall"; `pace`, seconds a piece.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}/a/file.tar"
        self.body = BODY
        self.plans, self.always, self.asked, self.sent = [], {}, [], 0
        self.lock, self.over = threading.Lock(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def ranges(self):
        """Where each request wanted to begin; None without a Range."""
        return [int(h["Range"][6:-1]) if "Range" in h else None for _, h in self.asked]

    def handle_error(self, *_):
        pass

    def close(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server
        with site.lock:
            site.asked.append((self.path, dict(self.headers)))
            plan = site.plans.pop(0) if site.plans else site.always
        self.close_connection = True
        if "now" in plan:
            site.body = plan["now"]
        body = bytearray(site.body)
        if "flip" in plan:
            body[plan["flip"]] ^= 4
        status, start, headers = plan.get("status", 200), 0, {"ETag": '"1"'}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if status == 200 and wanted and not plan.get("whole"):
            start = int(wanted[1]) + plan.get("shift", 0)
            status = 206 if start < len(body) else 416
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        data = bytes(body[start:]) if status in (200, 206) else b"no"
        if not plan.get("bare") and not plan.get("chunked"):
            headers["Content-Length"] = str(len(data))
        headers |= {"Transfer-Encoding": "chunked"} if plan.get("chunked") else {}
        self.send_response(status)
        self.send_header("Connection", "close")
        for name, value in (headers | plan.get("headers", {})).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.send_body(data, plan)

    def send_body(self, data, plan):
        for at in itertools.count(0, PIECE) if plan.get("endless") else range(0, len(data), PIECE):
            piece = data[: plan.get("stop")][at : at + PIECE] or (bytes(PIECE) if plan.get("endless") else b"")
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if plan.get("chunked") and piece else piece)
            self.server.sent += len(piece)
            if plan.get("pace") and self.server.over.wait(plan["pace"]):
                return
        if "stop" not in plan:
            self.wfile.write(b"0\r\n\r\n" if plan.get("chunked") else b"")
        elif plan["how"] == "stall":
            self.server.over.wait(20)
        elif plan["how"] == "reset":
            time.sleep(0.05)  # a reset destroys what the other side has not read yet
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    for name in "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY REQUESTS_CA_BUNDLE CURL_CA_BUNDLE".split():
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """How long it would have waited; a stall is told soon."""
    found = []
    for module in (download, urllib3.util.retry):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(sleep=found.append, time=time.time))
    monkeypatch.setattr(web, "_TIMEOUTS", (2.0, 0.3))
    return found


@pytest.fixture
def site():
    one = Site()
    yield one
    one.close()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "kept" / "file.tar"


def get(site, target, known=True, size=None, **options):
    remote = download.Remote(site.address, sha(BODY) if known is True else known or None, size)
    return download.fetch(remote, target, **options)


def fails(site, target, match, left=(), **options):
    """Asserts that the fetch fails with one sentence and leaves nothing else; returns the sentence."""
    with pytest.raises(FetchError, match=match) as caught:
        get(site, target, **options)
    sentence = str(caught.value)
    assert sentence.endswith(".") and str(target) in sentence
    assert not re.search(r"\n|object at|Pool|[a-z]Error|Errno|\(\)|None|Traceback", sentence)
    assert sorted(p.name for p in target.parent.glob("*")) == sorted(left)
    return sentence


def assert_fetched(target, body=BODY):
    assert target.read_bytes() == body
    assert [p.name for p in target.parent.iterdir()] == [target.name]


PART = "file.tar.part"


def test_a_whole_file(site, target):
    seen = []
    assert get(site, target, progress=lambda *now: seen.append(now)) == download.Fetched(sha(BODY), len(BODY), "sha256")
    assert_fetched(target)
    assert seen == sorted(seen) and seen[-1] == (len(BODY), len(BODY)) and {total for _, total in seen} == {len(BODY)}
    ((path, headers),) = site.asked
    assert path == "/a/file.tar" and headers["Accept-Encoding"] == "identity" and "Range" not in headers


@pytest.mark.parametrize("body", [b"", b"x"])
@pytest.mark.parametrize("size", [False, True])
def test_small_files(site, target, body, size):
    site.body = body
    assert get(site, target, False, len(body) if size else None) == download.Fetched(sha(body), len(body), "")
    assert_fetched(target, body)


def test_what_is_there_is_not_fetched(site, target):
    target.parent.mkdir()
    target.write_bytes(BODY)
    assert get(site, target, sha(BODY).upper()).checked == "sha256"
    assert get(site, target, False, len(BODY)) == get(site, target, False) == download.Fetched(sha(BODY), len(BODY), "")
    assert not site.asked
    assert_fetched(target)


@pytest.mark.parametrize(("known", "size"), [(True, None), (False, len(BODY))])
def test_another_file_is_replaced_only_by_the_right_one(site, target, known, size):
    target.parent.mkdir()
    target.write_bytes(b"old")
    site.plans = [{"status": 404}]
    with pytest.raises(FetchError):
        get(site, target, known, size)
    assert target.read_bytes() == b"old"
    get(site, target, known, size)
    assert_fetched(target)


@pytest.mark.parametrize("how", ["reset", "close", "stall"])
@pytest.mark.parametrize("chunked", [False, True])
def test_it_goes_on_where_it_broke_off(site, target, how, chunked):
    stops = [random.Random(how).randrange(20_000, 60_000) for _ in range(2 if how == "stall" else 5)]
    site.plans = [{"stop": stop, "how": how, "chunked": chunked} for stop in stops]
    said = []
    assert get(site, target, say=said.append).sha256 == sha(BODY)
    assert_fetched(target)
    first, *others = site.ranges
    assert first is None and len(others) == len(stops) and others == sorted(set(others))
    assert site.sent - len(BODY) <= len(stops) * download._PIECE  # no more comes twice than what was not written yet
    reasons = {"reset": "the connection was cut", "close": "the answer was cut short", "stall": "nothing came in time"}
    assert len(said) == len(stops)
    assert all(line.startswith(f"file.tar: {reasons[how]}, at ") and line.endswith(" s.") for line in said)


@pytest.mark.parametrize("how", ["reset", "close", "stall"])
@pytest.mark.parametrize("chunked", [False, True])
def test_without_a_sha256_it_begins_anew(site, target, how, chunked):
    """The file may have changed on the server, and nothing would tell."""
    site.plans = [{"now": OTHER, "stop": 100_000, "how": how, "chunked": chunked}] * 2 + [{"now": BODY}]
    said = []
    assert get(site, target, False, say=said.append).sha256 == sha(BODY)
    assert_fetched(target)
    assert site.ranges == [None] * 3 and len(said) == 2
    target.unlink()
    site.always = {"stop": 100_000, "how": "close"}
    site.asked.clear()
    fails(site, target, "cannot fetch .*the answer was cut short.; fetch it", known=False)  # and nothing is kept
    assert site.ranges == [None] * download._ATTEMPTS


def test_attempts_that_bring_bytes_do_not_count(site, target):
    def progress(done, _):
        assert (target.parent / PART).stat().st_size == done  # safe from a kill

    site.plans = [{"stop": 8_192, "how": "stall", "chunked": True}] * 10
    get(site, target, progress=progress)
    assert_fetched(target)
    assert site.ranges == [None, *range(8_192, 90_000, 8_192)]


def test_it_gives_up_after_so_many_that_bring_none_and_goes_on_another_time(site, target):
    site.plans, site.always = [{"stop": 100_000, "how": "close"}], {"stop": 0, "how": "close"}
    fails(site, target, r"cannot fetch http://\S+/a/file.tar \(the answer was cut short; 0.1 MB are kept", left=[PART])
    have = (target.parent / PART).stat().st_size
    assert site.ranges == [None] + [have] * download._ATTEMPTS
    site.always = {}
    get(site, target)
    assert_fetched(target)
    assert site.sent - len(BODY) <= download._PIECE


def test_a_server_that_knows_no_ranges(site, target):
    site.plans = [{"stop": 100_000, "how": "close"}, {"stop": 50_000, "how": "close", "whole": True}, {"whole": True}]
    get(site, target)
    assert_fetched(target)
    assert len(site.asked) == 3 and site.ranges[1] > site.ranges[2] > 0


def test_it_does_not_begin_anew_for_ever(site, target):
    site.always = {"stop": 50_000, "how": "close", "whole": True}
    fails(site, target, "the answer was cut short; 0.. MB are kept", left=[PART])
    assert len(site.asked) == download._ATTEMPTS + 1


@pytest.mark.parametrize(
    "wrong",
    [{"shift": 5}, {"shift": -5}, {"headers": {"Content-Range": None}}, {"headers": {"Content-Range": "bytes */9"}},
     {"headers": {"Content-Range": "bytes 1000-300000/" + 5_000 * "9"}}, {"status": 416}, {"status": 206}],
)  # fmt: skip
def test_something_else_than_the_rest_is_not_taken(site, target, wrong):
    left(target, BODY[:1000])
    site.plans = [wrong]
    get(site, target)
    assert_fetched(target)
    assert site.ranges == [1000, None]


def left(target, content):
    """As if by a process that was killed."""
    target.parent.mkdir(exist_ok=True)
    (target.parent / PART).write_bytes(content)


@pytest.mark.parametrize("length", [1000, len(BODY), len(BODY) + 1])
@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_part_of_another_file(site, target, length, size):
    """Its address may have changed, or the file; in the end the SHA-256 tells."""
    left(target, bytes(length))
    get(site, target, size=size)
    assert_fetched(target)
    assert site.ranges[-1] is None and len(site.asked) <= 2
    target.unlink()
    left(target, bytes(length))
    site.asked.clear()
    get(site, target, False, size)
    assert_fetched(target)
    assert site.ranges == [None]


def test_a_part_that_was_whole_needs_no_network(site, target):
    left(target, BODY)
    assert get(site, target, size=len(BODY)) == download.Fetched(sha(BODY), len(BODY), "sha256")
    assert_fetched(target)
    assert not site.asked
    target.unlink()
    left(target, BODY)
    get(site, target)  # whether it was whole nobody knows
    assert_fetched(target)
    assert site.ranges == [len(BODY), None]


def test_a_damaged_file(site, target):
    flip, stop = {"flip": 7}, {"flip": 7, "stop": 100_000, "how": "close"}
    site.plans = [flip]
    fails(site, target, f"is not the published file .its SHA-256 is [0-9a-f]{{64}} and not {sha(BODY)}.; fetch it")
    assert site.ranges == [None]
    # Put together from pieces, it is tried once more, and no more than that.
    site.plans, site.asked = [stop, flip, flip], []
    fails(site, target, "is not the published file")
    assert [start is None for start in site.ranges] == [True, False, True]
    site.plans, site.asked, said = [stop], [], []
    get(site, target, say=said.append)
    assert_fetched(target)
    assert [start is None for start in site.ranges] == [True, False, True]
    assert "fetched in pieces, is damaged" in said[-1]
    target.unlink()
    site.plans, site.asked = [stop, {}, stop, {}], []
    fails(site, target, "is not the published file")
    assert [start is None for start in site.ranges] == [True, False, True, False]


def test_googles_checksum(site, target):
    crc32c = base64.b64encode(struct.pack(">L", google_crc32c.value(BODY))).decode()
    for value in (f"crc32c={crc32c}", f"crc32c={crc32c},md5=AAAA", f"md5=AAAA , crc32c={crc32c}"):
        site.always = {"headers": {"x-goog-hash": value}}
        site.plans = [site.always | {"stop": 100_000, "how": "close"}]
        assert get(site, target, False).checked == "server"
        assert_fetched(target)
        target.unlink()
        assert get(site, target).checked == "sha256"
        target.unlink()
    site.always, site.asked = {"headers": {"x-goog-hash": "crc32c=AAAAAA=="}}, []
    fails(site, target, r"is not the published file .its crc32c is \S+ and not AAAAAA==.; fetch", known=False)
    assert site.ranges == [None]
    # A SHA-256 that is known counts for more; what the storage unpacks has the packed file's checksum.
    assert get(site, target).checked == "sha256"
    target.unlink()
    site.always["headers"]["x-goog-stored-content-encoding"] = "gzip"
    assert get(site, target, False).checked == ""
    target.unlink()
    site.always = {"headers": {"x-goog-hash": "nonsense, crc32c"}}
    assert get(site, target, False).checked == ""


def interrupt(after):
    def progress(done, _):
        if done >= after:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_fetch_goes_on(site, target):
    with pytest.raises(KeyboardInterrupt):
        get(site, target, progress=interrupt(100_000))
    assert [p.name for p in target.parent.iterdir()] == [PART]
    get(site, target)
    assert_fetched(target)
    assert site.ranges[1] >= 100_000
    target.unlink()
    with pytest.raises(KeyboardInterrupt):
        get(site, target, False, progress=interrupt(100_000))
    assert not list(target.parent.iterdir())


def test_redirects(site, target):
    other = Site()
    try:
        site.plans = [{"status": code, "headers": {"Location": f"/b/{code}?x=1"}} for code in (301, 302, 303, 307)]
        site.plans.append({"status": 308, "headers": {"Location": other.address}})
        other.plans = [{"stop": 100_000, "how": "close"}]
        site.plans += site.plans
        get(site, target)
        assert_fetched(target)
        assert [path for path, _ in site.asked][:3] == ["/a/file.tar", "/b/301?x=1", "/b/302?x=1"]
        assert other.ranges[0] is None and other.ranges[1] > 0 and len(site.asked) == 10
    finally:
        other.close()


@pytest.mark.parametrize(
    ("location", "reason"),
    [("/a/file.tar", "it is redirected too often"), ("file:///etc/passwd", "only http and https addresses"),
     ("ftp://127.0.0.1/file", "only http and https addresses"), ("http://[1/x", "cannot reach")],
)  # fmt: skip
def test_redirects_that_are_not_followed(site, target, location, reason):
    site.always = {"status": 302, "headers": {"Location": location}}
    fails(site, target, reason)
    assert len(site.asked) == (11 if location == "/a/file.tar" else 1)


def test_what_comes_with_a_redirect_is_not_waited_for(site, target):
    location = "/ä b".encode().decode("latin-1")
    site.plans = [{"status": 302, "headers": {"Location": location}, "stop": 1, "how": "stall"}]
    get(site, target)
    assert [path for path, _ in site.asked] == ["/a/file.tar", "/%C3%A4%20b"]


@pytest.mark.parametrize(
    "address", ["", "file.tar", "file:///etc/passwd", "http://", "https://a b/", "http://127.0.0.1:x/"]
)
def test_what_is_no_address(target, address):
    with pytest.raises(FetchError, match=r"cannot (fetch|reach) .*; fetch it by other means and put it at ") as caught:
        download.fetch(download.Remote(address), target)
    assert str(target) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_busy_server_is_asked_again(site, target, pauses, status):
    site.plans = [{"status": status}] * (3 * download._ATTEMPTS - 1)
    said = []
    get(site, target, say=said.append)
    assert_fetched(target)
    assert pauses == [2, 2, 2, 4, 2, 8, 2, 16, 2, 30, 2]  # within the session and between its requests
    assert re.fullmatch(rf"file.tar: the server says {status}.*, at 0.0 MB; trying again in 2 s.", said[0])
    target.unlink()
    site.plans = [{"status": status}] * (3 * download._ATTEMPTS)
    fails(site, target, f"cannot fetch .*the server says {status}[^;]*; fetch it")
    assert not site.plans


@pytest.mark.parametrize(("after", "least", "most"), [("7", 7, 7), ("100000", 30, 30), ("in 20 s", 17, 21)])
def test_retry_after(site, target, pauses, after, least, most):
    if after == "in 20 s":
        after = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 20))
    site.plans = [{"status": 503, "headers": {"Retry-After": after}}]
    get(site, target)
    assert least <= pauses[0] <= most and len(pauses) == 1


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 410, 416])
def test_other_answers_end_it_at_once(site, target, status):
    site.always = {"status": status}
    fails(site, target, rf"cannot fetch {site.address} \(the server says {status} [A-Z][A-Za-z ]+\); fetch it by other")
    assert len(site.asked) == 1


def test_more_than_was_published_is_refused(site, target):
    size = len(BODY) - 1
    fails(site, target, f"is not the published file .it has {len(BODY)} bytes and not {size}", size=size)
    site.plans = [{"chunked": True}]
    fails(site, target, f"is not the published file .it has more than {size} bytes", size=size)
    left(target, BODY[:1000])
    site.plans = [{"chunked": True, "headers": {"Content-Range": f"bytes 1000-{size}/*"}}]
    fails(site, target, f"is not the published file .it has more than {size} bytes", size=size)
    # Less is, too.
    fails(site, target, f"is not the published file .it has {len(BODY)} bytes and not {size + 2}", size=size + 2)
    assert len(site.asked) == 4


def test_a_file_without_end_is_refused(site, target, monkeypatch):
    site.plans = [{"endless": True, "chunked": True}] * 2
    fails(site, target, f"it has more than {len(BODY)} bytes", size=len(BODY))
    monkeypatch.setattr(download, "_MOST", 3_000_000)
    fails(site, target, "it has more than 3000000 bytes")


def test_less_than_the_rest(site, target):
    left(target, BODY[:1000])
    site.plans = [{"stop": 50_000, "how": "close", "headers": {"Content-Length": "50000"}}]
    get(site, target)
    assert_fetched(target)
    assert site.ranges == [1000, 51_000]


def test_no_length_at_all(site, target):
    site.plans = [{"chunked": True, "headers": {"Content-Length": "5"}}]
    assert get(site, target).size == len(BODY)
    target.unlink()
    site.plans = [{"bare": True}]
    assert get(site, target).size == len(BODY)
    target.unlink()
    site.plans = [{"bare": True, "stop": 100_000, "how": "close"}]
    get(site, target, size=len(BODY))
    assert_fetched(target)
    target.unlink()
    site.plans = [{"bare": True, "stop": 100_000, "how": "close"}]
    fails(site, target, "is not the published file")


def test_a_packed_answer(site, target):
    site.always = {"headers": {"Content-Encoding": "gzip"}}
    fails(site, target, "the server sends it packed with gzip")
    target = target.with_name("file.tgz")
    download.fetch(download.Remote(site.address[:-3] + "tgz", sha(BODY)), target)
    assert_fetched(target)  # as it was sent


def test_nobody_listens(target, pauses):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/file.tar"
        with pytest.raises(FetchError) as caught:
            download.fetch(download.Remote(address), target)
    assert str(caught.value) == (
        f"cannot reach {address} (connection refused); fetch it by other means and put it at {target}."
    )
    assert sum(pauses) <= 6


@pytest.mark.parametrize(
    ("error", "words"),
    [(socket.gaierror(-2, "Name or service not known"), "no network, or no such host"),
     (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"),
     (TimeoutError("timed out"), "nothing came in time")],
)  # fmt: skip
def test_no_network(target, monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(FetchError) as caught:
        download.fetch(download.Remote("https://example.org/x"), target)
    assert str(caught.value) == (
        f"cannot reach https://example.org/x ({words}); fetch it by other means and put it at {target}."
    )


def test_the_reason_is_of_this_address_and_not_of_one_before(target):
    remote = download.Remote("http://127.0.0.1:1/x")
    with pytest.raises(FetchError, match="connection refused"):  # noqa: PT012
        try:
            raise FetchError("a first address") from ssl.SSLCertVerificationError("not trusted")
        except FetchError:
            download.fetch(remote, target)


def test_what_is_not_http(target):
    for answer, words in ((b"SSH-2.0-x\r\n\r\n", "the answer is not HTTP"), (b"", "the connection was cut")):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def speak(server=server, answer=answer):
                for _ in range(3):
                    with server.accept()[0] as one:
                        one.recv(9999)
                        one.sendall(answer)

            thread = threading.Thread(target=speak)
            thread.start()
            address = f"http://127.0.0.1:{server.getsockname()[1]}/x"
            with pytest.raises(FetchError) as caught:
                download.fetch(download.Remote(address), target)
            thread.join()
        assert f"cannot reach {address} ({words}); fetch it" in str(caught.value)


def test_a_password_is_sent_and_not_shown(site, target):
    address = site.address.replace("//", "//me:se@cret@")
    site.plans = [{"stop": 100_000, "how": "close"}, {"status": 404}]
    with pytest.raises(FetchError, match="the server says 404") as caught:
        download.fetch(download.Remote(address), target)
    assert site.address in str(caught.value)
    assert "cret" not in str(caught.value)
    assert site.asked[1][1]["Authorization"] == "Basic " + base64.b64encode(b"me:se@cret").decode()


def test_the_proxy_of_the_environment(site, target, monkeypatch):
    monkeypatch.setenv("http_proxy", site.address.removesuffix("/a/file.tar"))
    site.plans = [{"stop": 100_000, "how": "close"}]
    download.fetch(download.Remote("http://files.invalid/x.tar", sha(BODY)), target)
    assert_fetched(target)
    assert [path for path, _ in site.asked] == ["http://files.invalid/x.tar"] * 2
    target.unlink()
    monkeypatch.setenv("https_proxy", site.address.removesuffix("/a/file.tar"))
    with pytest.raises(FetchError, match=r"cannot reach https://files.invalid/x \(proxy: Tunnel .* 501 .*\); fetch it"):
        download.fetch(download.Remote("https://files.invalid/x"), target)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(FetchError, match=r"cannot reach https://files.invalid/x \(proxy: connection refused\); fetch"):
        download.fetch(download.Remote("https://files.invalid/x"), target)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    get(site, target)
    assert_fetched(target)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_certificates(site, target, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    plain, site.address = site.address, site.address.replace("http:", "https:")
    site.socket = context.wrap_socket(site.socket, server_side=True)
    said = []
    fails(site, target, rf"cannot reach {site.address} \(its certificate is not trusted; REQ", say=said.append)
    assert not said  # nor tried again
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    site.plans = [{"stop": 100_000, "how": "close"}]
    get(site, target)
    assert_fetched(target)
    target.unlink()
    site.plans, site.asked = [{"status": 302, "headers": {"Location": plain}}], []
    fails(site, target, r"it is redirected to 127.0.0.1 without encryption")
    assert len(site.asked) == 1
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none"))
    fails(site, target, "cannot reach .*none")


def test_a_full_disk(site, target, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, len(BODY) - 1))
        fails(site, target, "needs 0.3 MB more and its disk has 0.3 MB free; make room")
        patch.setattr(download.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, len(BODY)))
        site.plans = [{"stop": 100_000, "how": "close"}]
        get(site, target)
        assert_fetched(target)
        target.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(download, "open", FullDisk, raising=False)
        fails(site, target, r"cannot write .* \(No space left on device\); make room", left=[PART])
    get(site, target)
    assert_fetched(target)


class FullDisk(io.FileIO):
    """A file that takes 50 000 bytes."""

    def write(self, data):
        if self.tell() + len(data) > 50_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_where_nothing_can_be_written(site, target, monkeypatch):
    target.parent.write_bytes(b"a file in the place of the folder")
    fails(site, target, "cannot write .*; make room, or choose another folder")
    target.parent.unlink()
    (target / "folder").mkdir(parents=True)
    fails(site, target, r"cannot write .* \(Is a directory\)", left=["file.tar"])
    shutil.rmtree(target.parent)

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(filelock.FileLock, "acquire", read_only)
        fails(site, target, r"cannot write .* \(Read-only file system\)")
        target.write_bytes(BODY)
        assert get(site, target).size == len(BODY)  # needs no writing
    assert not site.asked


PROCESS = """
import os, signal, sys
from calmvae.common import download

address, target, sha256 = sys.argv[1:4]

def get():
    print(download.fetch(download.Remote(address, sha256 or None), target, say=print).sha256, flush=True)
"""


def process(code, *arguments):
    command = [sys.executable, "-c", PROCESS + code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_several_processes_at_once(site, target):
    site.always = {"pace": 0.05}
    processes = [process("get()", site.address, target, "") for _ in range(3)]
    printed = [one.communicate(timeout=60)[0] for one in processes]
    assert_fetched(target)
    assert site.ranges == [None]
    waiting = f"Another process is fetching {target}; waiting for it.\n"
    assert sorted(printed) == sorted([waiting + sha(BODY) + "\n"] * 2 + [sha(BODY) + "\n"])


def test_who_waits_gets_no_lock_on_a_file_that_is_gone(site, target):
    """Between the end of one process and its own turn, a third one may make the file anew."""
    target.parent.mkdir()
    first, second = (filelock.FileLock(f"{target}.lock") for _ in range(2))
    with first:
        waiter = threading.Thread(target=get, args=(site, target))
        waiter.start()
        time.sleep(0.2)
        (target.parent / "file.tar.lock").unlink()
    with second.acquire(timeout=10):
        pass
    waiter.join()
    assert_fetched(target)


KILLED = """
import random, time
chance, part = random.Random(50), target + ".part"

def size():
    return os.path.getsize(part) if os.path.exists(part) else 0

for turn in range(50):
    # At a moment, or after some bytes, which come late where the machine is busy.
    least = size() + chance.randrange(80_000) if turn % 3 else 0
    child = os.fork()
    if not child:
        get()
        os._exit(0)
    time.sleep(chance.uniform(0, 0.1))
    end = time.monotonic() + 10
    while size() < least and time.monotonic() < end:
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
input()
get()
"""


def test_killed_fifty_times_in_a_row(site, target):
    site.body, site.always = random.Random(3).randbytes(4_000_000), {"pace": 0.02}
    one = process(KILLED, site.address, target, sha(site.body))
    signals = [one.stdout.readline() for _ in range(50)]
    assert signals == [f"{signal.SIGKILL:d}\n"] * 50  # none had ended by itself
    site.always = {}
    printed, _ = one.communicate("\n", timeout=60)
    assert printed.splitlines()[-1] == sha(site.body)
    assert_fetched(target, site.body)
    begun = [start for start in site.ranges if start is not None]
    assert len(begun) > 30 and begun == sorted(begun) and len(set(begun)) > 25 and begun[-1] > 1_000_000
    assert None not in site.ranges[site.ranges.index(begun[0]) :]
    assert site.sent < 1.3 * len(site.body)


KILLED_AT_EACH_LINE = """
def count(frame, event, _):
    global lines
    if frame.f_code.co_filename != download.__file__:
        return None
    lines += event == "line"
    if lines == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return count

last, status = 0, 1
while status:
    input()
    last += 1
    child = os.fork()
    if not child:
        lines = 0
        sys.settrace(count)
        download.fetch(download.Remote(address, sha256 or None), target)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(status, flush=True)
"""


@pytest.mark.parametrize("known", [True, False])
def test_killed_at_each_line(site, target, known):
    """While there is a part of another file, of which nothing but the SHA-256 tells."""
    site.body = BODY[:40_000]
    one = process(KILLED_AT_EACH_LINE, site.address, target, sha(site.body) if known else "")
    target.parent.mkdir()
    status, kills = "9", 0
    while status == "9":
        for path in target.parent.iterdir():
            path.unlink()
        left(target, OTHER[:20_000])
        one.stdin.write("\n")
        one.stdin.flush()
        status, kills = one.stdout.readline().strip(), kills + 1
        assert not target.exists() or target.read_bytes() == site.body
        get(site, target, known and sha(site.body))
        assert target.read_bytes() == site.body
        assert {p.name for p in target.parent.iterdir()} <= {target.name, PART, "file.tar.lock"}
    assert status == "0" and kills > 80
    one.communicate(timeout=20)
