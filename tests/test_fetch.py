"""Fetching a file from a server on loopback that does everything wrong, from processes that are killed."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import http.server
import itertools
import json
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

import google_crc32c
import pytest
import urllib3


from calmvae import fetch
from calmvae.errors import FetchError
from tests.conftest import ROOT

PIECE = 8192
BODY = random.Random(1).randbytes(300_001)
OTHER = random.Random(2).randbytes(300_001)
LIMP = fetch.Patience(attempts=3, connect=2.0, stall=0.3, pause=0.005, longest_pause=0.02)


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Site(http.server.ThreadingHTTPServer):
    """Serves one file at every path. `plans` say what is done wrong, answer by answer; `always` says it of the rest.

    A plan's keys: `status`; `headers`, more of them, or other ones; `whole`, Range is ignored; `careless`, If-Range is;
    `shift`, of Content-Range and the bytes; `flip`, the place of a bit that flips; `chunked`; `bare`, no length at all;
    `now`, body, ETag and Last-Modified change;
    `stop`, the bytes after which the answer ends as `how` says: "close", "reset" or "stall"; `pace`, seconds a piece.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}/a/file.tar"
        self.body, self.etag, self.modified = BODY, '"1"', "Tue, 02 Jan 2024 03:04:05 GMT"
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
            site.body, site.etag, site.modified = plan["now"]
        body = bytearray(site.body)
        if "flip" in plan:
            body[plan["flip"]] ^= 4
        status, start, headers = plan.get("status", 200), 0, {"ETag": site.etag, "Last-Modified": site.modified}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, site.etag, site.modified) or plan.get("careless")
        if status == 200 and wanted and same and not plan.get("whole"):
            start = int(wanted[1]) + plan.get("shift", 0)
            status = 206 if start < len(body) else 416
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        data = bytes(body[start:]) if status in (200, 206) else b"no"
        if not plan.get("bare") and not plan.get("chunked"):
            headers["Content-Length"] = str(len(data))
        headers |= {"Transfer-Encoding": "chunked"} if plan.get("chunked") else {}
        self.send_response(status)
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


@pytest.fixture
def site():
    one = Site()
    yield one
    one.close()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "kept" / "file.tar"


def get(site, target, known=True, size=None, **options):
    remote = fetch.Remote(site.address, sha(BODY) if known is True else known or None, size)
    return fetch.fetch(remote, target, **{"patience": LIMP} | options)


def fails(site, target, match, left=(), **options):
    """Asserts that the fetch fails with one sentence and leaves nothing else; returns the sentence."""
    with pytest.raises(FetchError, match=match) as caught:
        get(site, target, **options)
    sentence = str(caught.value)
    assert sentence.endswith(".") and str(target) in sentence
    assert not re.search(r"\n|object at|Pool|Error|Errno|\(\)|None|Traceback", sentence)
    assert sorted(p.name for p in target.parent.glob("*")) == sorted(left)
    return sentence


def assert_fetched(target, body=BODY):
    assert target.read_bytes() == body
    assert [p.name for p in target.parent.iterdir()] == [target.name]


PARTS = ("file.tar.part", "file.tar.part.json")


def test_a_whole_file(site, target):
    seen = []
    assert get(site, target, progress=lambda *now: seen.append(now)) == fetch.Fetched(sha(BODY), len(BODY), "sha256")
    assert_fetched(target)
    assert seen == sorted(seen) and seen[-1] == (len(BODY), len(BODY)) and {total for _, total in seen} == {len(BODY)}
    (path, headers), = site.asked
    assert path == "/a/file.tar" and headers["Accept-Encoding"] == "identity" and "Range" not in headers


@pytest.mark.parametrize("body", [b"", b"x"])
@pytest.mark.parametrize("size", [False, True])
def test_small_files(site, target, body, size):
    site.body = body
    assert get(site, target, False, len(body) if size else None) == fetch.Fetched(sha(body), len(body), "")
    assert_fetched(target, body)


def test_what_is_there_is_not_fetched(site, target):
    target.parent.mkdir()
    target.write_bytes(BODY)
    (target.parent / PARTS[1]).write_text("left by a process that was killed at the end")
    assert get(site, target, sha(BODY).upper()).checked == "sha256"
    assert get(site, target, False, len(BODY)) == get(site, target, False) == fetch.Fetched(sha(BODY), len(BODY), "")
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


@pytest.mark.parametrize("old_urllib3", [False, True])
@pytest.mark.parametrize("how", ["reset", "close", "stall"])
@pytest.mark.parametrize("chunked", [False, True])
def test_it_goes_on_where_it_broke_off(site, target, monkeypatch, how, chunked, old_urllib3):
    if old_urllib3:
        monkeypatch.delattr(urllib3.response.HTTPResponse, "read1", raising=False)
        monkeypatch.delattr(urllib3.response.BaseHTTPResponse, "read1", raising=False)
    stops = [random.Random(how).randrange(20_000, 60_000) for _ in range(2 if how == "stall" else 5)]
    site.plans = [{"stop": stop, "how": how, "chunked": chunked} for stop in stops]
    said = []
    assert get(site, target, say=said.append).sha256 == sha(BODY)
    assert_fetched(target)
    if not old_urllib3:
        assert site.ranges == [None, *itertools.accumulate(stops)] and site.sent == len(BODY)
    assert all(headers["If-Range"] == site.etag for _, headers in site.asked if "Range" in headers)
    reasons = {"reset": "the connection was cut", "close": "the answer was cut short", "stall": "nothing came in time"}
    assert len(said) == len(stops) and all(s.startswith(f"file.tar: {reasons[how]}, at ") and s.endswith(" s.") for s in said)


def test_attempts_that_bring_bytes_do_not_count(site, target):
    site.plans = [{"stop": 2_000, "how": "close"}] * 40
    get(site, target)
    assert_fetched(target)
    assert site.ranges == [None, *range(2_000, 82_000, 2_000)]


def test_it_gives_up_after_so_many_that_bring_none_and_goes_on_another_time(site, target):
    site.plans, site.always = [{"stop": 100_000, "how": "close"}], {"stop": 0, "how": "close"}
    fails(site, target, r"cannot fetch http://\S+/a/file.tar \(the answer was cut short; 0.1 MB are kept", left=PARTS)
    assert site.ranges == [None, 100_000, 100_000, 100_000]
    site.always = {}
    get(site, target)
    assert_fetched(target)
    assert site.sent == len(BODY)


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_knows_no_ranges(site, target, known):
    site.plans = [{"stop": 100_000, "how": "close"}, {"stop": 50_000, "how": "close", "whole": True}, {"whole": True}]
    get(site, target, known)
    assert_fetched(target)
    assert site.ranges == [None, 100_000, 50_000]


def test_it_does_not_begin_anew_for_ever(site, target):
    site.always = {"stop": 50_000, "how": "close", "whole": True}
    fails(site, target, "the answer was cut short; 0.1 MB are kept", left=PARTS)
    assert len(site.asked) == LIMP.attempts + 2


@pytest.mark.parametrize(
    "wrong",
    [{"shift": 5}, {"shift": -5}, {"headers": {"Content-Range": None}}, {"headers": {"Content-Range": "bytes */9"}},
     {"headers": {"Content-Range": f"bytes 100000-300000/{len(BODY) + 1}"}},
     {"headers": {"Content-Range": "bytes 100000-300000/" + 5_000 * "9"}}, {"headers": {"ETag": '"3"'}},
     {"headers": {"Last-Modified": "Wed, 03 Jan 2024 03:04:05 GMT"}}, {"status": 416}],
)  # fmt: skip
def test_something_else_than_the_rest_is_not_taken(site, target, wrong):
    site.plans = [{"stop": 100_000, "how": "close"}, wrong]
    get(site, target, False)
    assert_fetched(target)
    assert site.ranges == [None, 100_000, None]


def test_a_part_of_a_file_of_unknown_size_that_was_whole(site, target):
    site.plans = [{"stop": len(BODY), "how": "close", "chunked": True}]
    get(site, target)
    assert_fetched(target)
    assert site.ranges == [None, len(BODY), None]  # 416, and anew


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize("length", [len(OTHER), 200_000, 50_000])
@pytest.mark.parametrize("etag", ['"2"', None])
def test_the_file_changes_between_two_attempts(site, target, careless, length, etag):
    old = site.body, site.etag if etag else None, site.modified
    new = OTHER[:length], etag, "Wed, 03 Jan 2024 03:04:05 GMT"
    site.plans = [{"now": old, "stop": 100_000, "how": "close"}, {"now": new, "careless": careless}]
    assert get(site, target, False).sha256 == sha(new[0])
    assert_fetched(target, new[0])
    assert site.asked[1][1]["If-Range"] == old[1] or old[2]


def test_only_what_can_be_told_apart_is_continued(site, target):
    stop = {"stop": 100_000, "how": "close"}
    weak, nothing = {"headers": {"ETag": "W/1"}}, {"headers": {"ETag": None, "Last-Modified": None}}
    for plan, known, ranges, validator in [
        (weak, False, [None, 100_000], site.modified),
        (nothing, True, [None, 100_000], None),
        (nothing, False, [None, None], None),
    ]:
        site.plans, site.asked = [stop | plan, plan], []
        with contextlib.suppress(FetchError):
            get(site, target, known, patience=fetch.Patience(attempts=1, pause=0))
        assert get(site, target, known).sha256 == sha(BODY)
        assert_fetched(target)
        assert site.ranges == ranges and site.asked[1][1].get("If-Range") == validator
        target.unlink()
