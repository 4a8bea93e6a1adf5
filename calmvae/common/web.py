"""Asking for a file over HTTP, and words for what went wrong; proxies and certificates are those of the environment."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from calmvae import __version__
from calmvae.common.errors import FetchError

ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError)
ANSWERS = (requests.HTTPError, requests.exceptions.RetryError)
_TIMEOUTS = 15.0, 30.0  # seconds: to connect, without a byte
_BUSY = (408, 425, 429, *range(500, 600))
# What went wrong in short words, the more telling first.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (requests.TooManyRedirects, "it is redirected too often"),
    (requests.exceptions.MissingSchema, "only http and https addresses are fetched"),
    (requests.exceptions.InvalidSchema, "only http and https addresses are fetched"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted; REQUESTS_CA_BUNDLE can name others to trust"),
    (ssl.SSLError, "no secure connection"),
    (socket.gaierror, "no network, or no such host"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionError, "the connection was cut"),
    (TimeoutError, "nothing came in time"),
    (http.client.IncompleteRead, "the answer was cut short"),
    (http.client.HTTPException, "the answer is not HTTP"),
    (urllib3.exceptions.ProtocolError, "the answer was cut short"),
)


def session() -> requests.Session:
    """A session that asks three times where no answer comes, or a busy one."""
    # "Other" are certificates and proxies, which another attempt does not mend.
    retry = urllib3.Retry(
        2, other=0, status_forcelist=_BUSY, raise_on_status=False, backoff_factor=1, retry_after_max=30
    )
    made = requests.Session()
    made.headers.update({"Accept-Encoding": "identity", "User-Agent": f"calmvae/{__version__}"})
    made.max_redirects, made.hooks["response"] = 10, [_check_redirect]
    for scheme in ("http://", "https://"):
        made.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
    return made


def _check_redirect(response: requests.Response, **_: Any) -> None:
    if response.is_redirect:
        response.close()  # what comes with it would be read to its end, which it may not have
        there = urlsplit(urljoin(response.url, response.headers["Location"]))
        if there.scheme == "http" and response.url.startswith("https:"):
            raise requests.RequestException(f"it is redirected to {there.hostname} without encryption")


def ask(session: requests.Session, address: str, begin: int) -> tuple[requests.Response, int, int | None]:
    """An answer with a file or its rest, the first byte that it has, and the file's size if the server tells it.

    Raises:
      requests.RequestException: no answer; one of `ANSWERS`: an answer without a file, an HTTPError for good.
    """
    headers = {"Range": f"bytes={begin}-"} if begin else {}
    try:
        response = session.get(address, headers=headers, stream=True, timeout=_TIMEOUTS)
    except requests.RequestException:
        raise
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:  # such as a missing file of certificates
        raise requests.RequestException from error
    status = response.status_code
    place = re.fullmatch(rf"bytes {begin}-[0-9]+/([0-9]{{1,18}}|\*)", response.headers.get("Content-Range", ""))
    if status == 200:
        begin, total = 0, response.raw.length_remaining
    elif begin and status == 206 and place:
        total = None if place[1] == "*" else int(place[1])
    elif begin and status in (206, 416):  # something else than the rest
        return ask(session, address, 0)
    else:
        kind = requests.exceptions.RetryError if status in _BUSY else requests.HTTPError
        raise kind(f"the server says {status} {http.client.responses.get(status, '')}".rstrip())
    packed = response.headers.get("Content-Encoding", "identity")
    # Some servers say of a .gz file that it is another file packed with gzip, and send it as it is.
    if packed != "identity" and not urlsplit(address).path.endswith("gz"):
        raise requests.HTTPError(f"the server sends it packed with {packed}")
    return response, begin, total


def checksum(response: requests.Response) -> str:
    """The CRC32C that Google's storage sends with a file, if it is not of the packed one of a file that it unpacks."""
    found = re.search(r"\bcrc32c=([\w+/]+=*)", response.headers.get("x-goog-hash", ""))
    return (
        found[1] if found and response.headers.get("x-goog-stored-content-encoding", "identity") == "identity" else ""
    )


def words(error: BaseException) -> str:
    """What went wrong; requests and urllib3 pack the real error in several of their own."""
    links = [error]
    for link in links:
        # Not as far as the failure of another address, which may be why this one is tried.
        for under in (link.__cause__, link.__context__):
            if under and under not in links and not isinstance(under, FetchError):
                links.append(under)
    root = getattr(links[-1], "strerror", None) or str(links[-1])
    found = next((words for kind, words in _WORDS for link in links if isinstance(link, kind)), root)
    return f"proxy: {found}" if any(isinstance(link, requests.exceptions.ProxyError) for link in links) else found
