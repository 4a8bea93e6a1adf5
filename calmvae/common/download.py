"""One file over HTTP, in spite of a bad network.

A download goes into NAME.part beside its target, and what the server said of it into NAME.part.json, so that one that
broke off, or whose process was killed, goes on where it stopped. The target appears whole or not at all. A lock,
NAME.lock, lets one process fetch and the others wait for it. Proxies and certificates are those of the environment.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from calmvae import __version__
from calmvae.common import locks
from calmvae.common.errors import FetchError
from calmvae.common.output_folder import sha256

_PIECE = 1 << 14
_REDIRECTS = 10
_FIRST_ATTEMPTS = 3  # at a server that never answered: who is offline should hear it soon
_MOST = 16 << 30  # bytes of a file whose size nobody knows
_BUSY = (408, 425, 429)
_NOTES = ("address", "etag", "modified", "hashes", "total")
_NETWORK = (requests.RequestException, urllib3.exceptions.HTTPError)
# What went wrong in short words, the more telling first.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate is not trusted; REQUESTS_CA_BUNDLE can name others to trust"),
    (ssl.SSLError, "no secure connection"),
    (socket.gaierror, "no network, or no such host"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionError, "the connection was cut"),
    (TimeoutError, "nothing came in time"),
    (http.client.IncompleteRead, "the answer was cut short"),
    (http.client.HTTPException, "the answer is not HTTP"),
)


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file on a server, with its SHA-256 and its size in bytes where they are known."""

    address: str
    sha256: str | None = None
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class Patience:
    """Attempts in a row that bring nothing, and seconds: to connect, without a byte, and of a pause (it doubles)."""

    attempts: int = 8
    connect: float = 15.0
    stall: float = 30.0
    pause: float = 1.0
    longest_pause: float = 30.0


@dataclasses.dataclass(frozen=True)
class Fetched:
    """What is at the target; checked against a known "sha256", the "server" and its checksums, or nothing ("")."""

    sha256: str
    size: int
    checked: str


PATIENCE = Patience()


def fetch(
    remote: Remote,
    target: str | Path,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
    patience: Patience = PATIENCE,
) -> Fetched:
    """Fetches a file, unless it is there; another file in its place is replaced once the right one is complete.

    Args:
      progress: is called with the bytes here and in all (those here again, where nobody knows).
      say: is told of waits and new attempts, a sentence each.

    Raises:
      FetchError: it cannot be reached or written, or is not what was published.
    """
    target = Path(os.path.abspath(target))
    job = _Job(remote, target, progress or (lambda done, total: None), say or (lambda sentence: None), patience)
    try:
        if found := job.there():
            return found
        target.parent.mkdir(parents=True, exist_ok=True)
        with locks.held(job.beside(".lock"), lambda: job.say(f"Another process is fetching {target}; waiting for it.")):
            return job.there() or job.run()
    except OSError as error:
        reason = error.strerror or error
        raise FetchError(f"cannot write {target} ({reason}); make room, or choose another folder.") from error


class _Broken(Exception):
    """An attempt failed where another may not."""

    wait = 0.0  # seconds that the server asked for


class _Session(requests.Session):
    """Leaves redirects alone; what comes with one would be read to its end, which it may not have."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


@dataclasses.dataclass
class _Job:
    """One call of `fetch`. Its methods raise FetchError, OSError from the disk and _Broken from the network."""

    remote: Remote
    target: Path
    progress: Callable[[int, int], None]
    say: Callable[[str], None]
    patience: Patience
    have: int = 0  # bytes in the part
    restarts: int = 0
    in_one: bool = False  # the part is of one answer
    answered: bool = False  # the server has, in this call
    brought: bool = False  # this attempt has brought bytes

    def __post_init__(self) -> None:
        self.address = re.sub(r"//[^/?#]*@", "//", self.remote.address)  # as shown: without a password
        self.sha256 = (self.remote.sha256 or "").lower()
        self.part, self.notes_file = self.beside(".part"), self.beside(".part.json")
        self.notes: dict[str, Any] = {}  # what the server said of the file in the part
        self.session = _Session()

    def beside(self, ending: str) -> Path:
        return self.target.with_name(self.target.name + ending)

    def there(self) -> Fetched | None:
        """The target, if it is there and not known to be another file."""
        if not self.target.exists() or self.remote.size not in (None, size := self.target.stat().st_size):
            return None
        found = sha256(self.target)
        if self.sha256 not in ("", found):
            return None
        with contextlib.suppress(OSError):  # left by a process that was killed at the very end
            self.notes_file.unlink(missing_ok=True)
        return Fetched(found, size, "sha256" if self.sha256 else "")

    def run(self) -> Fetched:
        """Fetches, checks, and moves into place."""
        self._load()
        for again in (False, True):
            with self.session:
                self._download()
            found = sha256(self.part)
            checked, wrong = self._compare(found)
            if not wrong:
                break
            self._drop()
            if again or self.in_one:
                raise self._failure(f"{self.address} is not the published file ({wrong})")
            self.say(f"{self.target.name}, fetched in pieces, is damaged ({wrong}); fetching it once more.")
        with open(self.part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.part, self.target)
        self.notes_file.unlink(missing_ok=True)
        return Fetched(found, self.have, checked)

    def _compare(self, found: str) -> tuple[str, str]:
        """What the part was checked against, and what is wrong with it."""
        if self.sha256:
            return "sha256", "" if found == self.sha256 else f"its SHA-256 is {found} and not {self.sha256}"
        theirs = dict(re.findall(r"\b(crc32c|md5)=([\w+/]+=*)", self.notes["hashes"] or ""))
        ours = _google_hashes(self.part) if theirs else {}
        wrong = [f"its {name} is {ours[name]} and not {theirs[name]}" for name in theirs if ours[name] != theirs[name]]
        return "server" if theirs else "", ", ".join(wrong)

    def _failure(self, what: str) -> FetchError:
        return FetchError(f"{what}; fetch it by other means and put it at {self.target}.")

    @property
    def _expected(self) -> int | None:
        return self.notes.get("total") if self.remote.size is None else self.remote.size

    @property
    def _validator(self) -> str:
        """For If-Range, which takes no weak ETag."""
        etag = self.notes.get("etag") or "W/"
        return (self.notes.get("modified") or "") if etag.startswith("W/") else etag

    def _load(self) -> None:
        """Takes up what an earlier run left."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.have = self.part.stat().st_size
            self.notes = dict.fromkeys(_NOTES) | json.loads(self.notes_file.read_bytes())
        usable = self.notes.get("address") == self.address
        if not usable or self.notes["total"] not in (None, self._expected) or self.have > (self._expected or _MOST):
            self._drop()

    def _drop(self) -> None:
        self.restarts += self.have > 0
        self.part.unlink(missing_ok=True)
        self.notes_file.unlink(missing_ok=True)
        self.notes, self.have = {}, 0

    def _download(self) -> None:
        """Makes the part whole, in any number of attempts that add to it and a few that do not or begin anew."""
        fruitless, longest = 0, self.patience.longest_pause
        while not (self.have == self._expected and self.part.exists()):
            self.brought = False
            try:
                self._attempt()
            except _Broken as fault:
                fruitless = 0 if self.brought else fruitless + 1
                most = self.patience.attempts if self.answered else min(self.patience.attempts, _FIRST_ATTEMPTS)
                if fruitless >= most or self.restarts > self.patience.attempts:
                    kept = f"; {self.have / 1e6:.1f} MB are kept for the next run" if self.have else ""
                    can = "fetch" if self.answered else "reach"
                    raise self._failure(f"cannot {can} {self.address} ({fault}{kept})") from fault
                wait = min(self.patience.pause * 2.0**fruitless, longest) * random.uniform(0.5, 1)
                wait = max(wait, min(fault.wait, longest))
                self.say(f"{self.target.name}: {fault}, at {self.have / 1e6:.1f} MB; trying again in {wait:.0f} s.")
                time.sleep(wait)

    def _attempt(self) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": f"calmvae/{__version__}"}
        if not (self._validator or self.sha256):
            self._drop()  # nothing would tell whether the rest is of the same file
        if self.have:
            headers |= {"Range": f"bytes={self.have}-"} | ({"If-Range": v} if (v := self._validator) else {})
        with self._ask(headers) as response:
            self.answered = True
            self._check_status(response)
            self._accept(response)
            self._take(response)

    def _ask(self, headers: dict[str, str]) -> requests.Response:
        """The answer at the end of all redirects."""
        address, before = self.remote.address, ""
        timeout = (self.patience.connect, self.patience.stall)
        for _ in range(_REDIRECTS + 1):
            if refusal := refused(before, address):
                raise self._failure(f"cannot fetch {self.address} ({refusal})")
            try:
                response = self.session.get(address, headers=headers, stream=True, timeout=timeout)
                if not response.is_redirect:
                    return response
                response.close()
                location = response.headers["Location"].encode("latin-1").decode()
                before, address = address, urljoin(address, location)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise self._fault(error) from error
        raise self._failure(f"cannot fetch {self.address} (it is redirected more than {_REDIRECTS} times)")

    def _fault(self, error: BaseException) -> Exception:
        """What to raise for an error of requests or urllib3, which pack the real one in several of their own."""
        links = [error]
        # Not as far as the failure of another address, which may be why this one is tried.
        while (under := links[-1].__cause__ or links[-1].__context__) and not isinstance(under, FetchError):
            links.append(under)
        root = getattr(links[-1], "strerror", None) or str(links[-1])
        words = next((words for kind, words in _WORDS for link in links if isinstance(link, kind)), root)
        if any(isinstance(link, requests.exceptions.ProxyError) for link in links):
            words = f"proxy: {words}"
        # What another attempt cannot mend: a bad address, proxy's address, file of certificates or certificate.
        lasting = isinstance(error, ValueError) or not isinstance(error, _NETWORK)
        if lasting or any(isinstance(link, ssl.SSLCertVerificationError) for link in links):
            return self._failure(f"cannot reach {self.address} ({words})")
        return _Broken(words)

    def _check_status(self, response: requests.Response) -> None:
        status = response.status_code
        if status == 200 or (status == 206 and self.have):
            return
        fault = _Broken(f"the server says {status} {http.client.responses.get(status, '')}".rstrip())
        if status == 416 and self.have:
            self._drop()
        elif status not in _BUSY and status < 500:
            raise self._failure(f"cannot fetch {self.address} ({fault})")
        with contextlib.suppress(urllib3.exceptions.HTTPError, ValueError, OverflowError):
            fault.wait = urllib3.Retry().get_retry_after(response.raw) or 0.0
        raise fault

    def _accept(self, response: requests.Response) -> None:
        """Makes ready for the file, or for the rest of it."""
        headers, whole = response.headers, response.status_code == 200
        length = "" if "Transfer-Encoding" in headers else headers.get("Content-Length", "")
        start, total = _range(headers.get("Content-Range", "")) if not whole else (0, _number(length))
        # Of a file that Google's storage unpacks, the checksums are those of the packed one.
        packed = headers.get("x-goog-stored-content-encoding", "identity") != "identity"
        said = {
            "address": self.address, "etag": headers.get("ETag"), "modified": headers.get("Last-Modified"),
            "hashes": None if packed else headers.get("x-goog-hash"), "total": total,
        }  # fmt: skip
        if whole:
            self._drop()
        elif start != self.have or any(None not in (v, self.notes[k]) and v != self.notes[k] for k, v in said.items()):
            self._drop()
            raise _Broken("the server sends something else than the rest")
        self.notes = {k: self.notes.get(k) if v is None else v for k, v in said.items()}
        self.in_one = whole
        self._check(headers.get("Content-Encoding", "identity"))
        if whole:
            # No byte of another file is left by now, whenever this process may be killed.
            self.notes_file.write_text(json.dumps(self.notes), encoding="utf-8")

    def _check(self, packed: str) -> None:
        """Raises FetchError where the file comes packed, is of another size, or has no room on the disk."""
        # Some servers say of a .gz file that it is another file packed with gzip, and send it as it is.
        if packed != "identity" and not urlsplit(self.address).path.endswith("gz"):
            raise self._failure(f"cannot fetch {self.address} (the server sends it packed with {packed})")
        total, size = self.notes["total"], self.remote.size
        if None not in (total, size) and total != size:
            raise self._failure(f"{self.address} is not the published file (it has {total} bytes and not {size})")
        need, free = (self._expected or 0) - self.have, shutil.disk_usage(self.target.parent).free
        if need > free:
            what = f"{self.target} needs {need / 1e6:.1f} MB more and its disk has {free / 1e6:.1f} MB free"
            raise FetchError(f"{what}; make room, or choose another folder.")

    def _take(self, response: requests.Response) -> None:
        """Adds what comes to the part."""
        most = _MOST if self._expected is None else self._expected
        with open(self.part, "ab") as file:
            for piece in self._pieces(response):
                self.have += len(piece)
                if self.have > most:
                    break
                file.write(piece)
                file.flush()
                self.brought = True
                self.progress(self.have, self._expected or self.have)
        if self.have > most:
            self._drop()
            raise self._failure(f"{self.address} is not the published file (it goes on after {most} bytes)")
        if self.have < (self._expected or 0):
            raise _Broken("the answer was cut short")
        self.notes["total"] = self.have

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        # As it arrives, so that nothing is lost with the connection; urllib3 before 2.2 waits for whole pieces.
        read = getattr(response.raw, "read1", response.raw.read)
        try:
            while piece := read(_PIECE, decode_content=False):
                yield piece
        except urllib3.exceptions.HTTPError as error:
            raise self._fault(error) from error


def refused(before: str, address: str) -> str:
    """Why an address must not be asked for, perhaps after another that led there; or nothing."""
    scheme, host = "", None
    with contextlib.suppress(ValueError):
        scheme, host = urlsplit(address).scheme, urlsplit(address).hostname
    if scheme not in ("http", "https") or not host:
        return "only http and https addresses are fetched"
    if scheme == "http" and urlsplit(before).scheme == "https":
        return f"it is redirected to {host} without encryption"
    return ""


def _range(text: str) -> tuple[int | None, int | None]:
    """Start and total of a Content-Range; no start where it is none."""
    place = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", text)
    return (int(place[1]), _number(place[2])) if place else (None, None)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _google_hashes(path: Path) -> dict[str, str]:
    """What Google Cloud Storage would send with this file."""
    import google_crc32c

    sums: dict[str, Any] = {"crc32c": google_crc32c.Checksum(), "md5": hashlib.md5(usedforsecurity=False)}
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            for one in sums.values():
                one.update(piece)
    return {name: base64.b64encode(one.digest()).decode() for name, one in sums.items()}
