"""Downloads one file over HTTP, also over a bad network.

A download is written to NAME.part beside its target. The target appears only when it is complete. With a known SHA-256,
which checks the result, an interrupted download continues where it stopped; without one it starts again. While one
process downloads, NAME.lock makes the others wait.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import google_crc32c
import requests

from calmvae.common import web
from calmvae.common.errors import FetchError
from calmvae.common.output_folder import sha256

_PIECE = 1 << 14
_ATTEMPTS = 6  # in a row without new bytes
_MOST = 16 << 30  # bytes of a file of unknown size


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file on a server, with its SHA-256 and size in bytes if they are known."""

    address: str
    sha256: str | None = None
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class Fetched:
    """The file at the target, checked against a known "sha256", the checksum of the "server", or nothing ("")."""

    sha256: str
    size: int
    checked: str


def fetch(
    remote: Remote,
    target: str | Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Fetched:
    """Downloads a file, unless it is there. A different file at the target is replaced when the download is complete.

    Args:
      progress: called with the bytes downloaded and the bytes in all (if unknown, the bytes downloaded again).
      say: called with a sentence about each wait and new attempt.

    Raises:
      FetchError: the file cannot be reached or written, or is not the published one.
    """
    job = _Job(remote, Path(os.path.abspath(target)), progress, say)
    try:
        if found := job.there():
            return found
        job.target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(f"{job.target}.lock")
        try:
            held = lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"Another process is fetching {job.target}; waiting for it.")
            held = lock.acquire()
        with held:
            try:
                return job.there() or job.run()
            finally:  # a waiting process gets no lock on a removed file; it makes a new one
                Path(lock.lock_file).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise FetchError(f"cannot write {job.target} ({reason}); make room, or choose another folder.") from error


class _Job:
    """One call of `fetch`. Its methods raise FetchError, and OSError from the disk."""

    def __init__(self, remote: Remote, target: Path, progress: Callable[[int, int], None], say: Callable) -> None:
        self.remote, self.target, self.progress, self.say = remote, target, progress, say
        self.address = re.sub(r"//[^/?#]*@", "//", remote.address)  # as shown: without a password
        self.other = f"{self.address} is not the published file"
        self.sha256 = (remote.sha256 or "").lower()
        self.part = target.with_name(target.name + ".part")

    def there(self) -> Fetched | None:
        """The target, if it exists and is not known to be a different file."""
        if not self.target.exists() or self.remote.size not in (None, size := self.target.stat().st_size):
            return None
        found = sha256(self.target)
        return Fetched(found, size, "sha256" if self.sha256 else "") if self.sha256 in ("", found) else None

    def run(self) -> Fetched:
        """Downloads, checks, and moves into place."""
        try:
            with web.session() as session:
                pieced, checked = self._download(session)
                found = sha256(self.part)
                if pieced and found != self.sha256:
                    self.part.unlink()
                    self.say(f"{self.target.name}, fetched in pieces, is damaged; fetching it once more.")
                    self._download(session)
                    found = sha256(self.part)
            if self.sha256 not in ("", found):
                self.part.unlink()
                raise self._failure(f"{self.other} (its SHA-256 is {found} and not {self.sha256})")
            with open(self.part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(self.part, self.target)
            return Fetched(found, self.target.stat().st_size, checked)
        finally:
            if not self.sha256:  # without it nobody can continue the download
                self.part.unlink(missing_ok=True)

    def _failure(self, what: str) -> FetchError:
        return FetchError(f"{what}; fetch it by other means and put it at {self.target}.")

    def _have(self) -> int:
        """Bytes already downloaded that can be continued."""
        return self.part.stat().st_size if self.sha256 and self.part.exists() else 0

    def _download(self, session: requests.Session) -> tuple[bool, str]:
        """Completes the part. Returns whether it joins several responses, and `Fetched.checked`."""
        most, fruitless, response = self._have(), 0, None
        while not most or self._have() != self.remote.size:
            try:
                response, begin, total = web.ask(session, self.remote.address, self._have())
                with response:
                    return begin > 0, self._take(response, begin, total)
            except web.ERRORS as error:
                have, why = self._have(), web.words(error)
                most, fruitless = max(most, have), 0 if have > most else fruitless + 1
                silent = response is None and not isinstance(error, web.ANSWERS)
                if silent or fruitless == _ATTEMPTS or isinstance(error, requests.HTTPError):
                    why += f"; {have / 1e6:.1f} MB are kept for the next run" if have else ""
                    raise self._failure(f"cannot {'reach' if silent else 'fetch'} {self.address} ({why})") from error
                wait = min(2**fruitless, 30)
                self.say(f"{self.target.name}: {why}, at {have / 1e6:.1f} MB; trying again in {wait} s.")
                time.sleep(wait)
        return True, "sha256"

    def _take(self, response: requests.Response, have: int, total: int | None) -> str:
        """Appends a response to the part. Returns `Fetched.checked`."""
        size = self.remote.size
        if None not in (total, size) and total != size:
            raise self._failure(f"{self.other} (it has {total} bytes and not {size})")
        expected = size if total is None else total
        need, free = (expected or 0) - have, shutil.disk_usage(self.target.parent).free
        if need > free:
            what = f"{self.target} needs {need / 1e6:.1f} MB more and its disk has {free / 1e6:.1f} MB free"
            raise FetchError(f"{what}; make room, or choose another folder.")
        most, crc = _MOST if expected is None else expected, google_crc32c.Checksum()
        with open(self.part, "ab" if have else "wb") as file:
            for piece in response.raw.stream(_PIECE, decode_content=False):
                have += len(piece)
                if have > most:
                    self.part.unlink()
                    raise self._failure(f"{self.other} (it has more than {most} bytes)")
                file.write(piece)
                file.flush()  # keeps it if the process is killed
                crc.update(piece)
                self.progress(have, expected or have)
        if have < (expected or 0):
            raise requests.RequestException("the answer was cut short")
        ours, theirs = base64.b64encode(crc.digest()).decode(), web.checksum(response)
        if not self.sha256 and theirs not in ("", ours):
            raise self._failure(f"{self.other} (its crc32c is {ours} and not {theirs})")
        return "sha256" if self.sha256 else "server" if theirs else ""
