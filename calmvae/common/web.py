"""HTTP requests for files, with errors in plain words; proxies and certificates come from the environment."""

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
_TIMEOUTS = 15.0, 30.0  # seconds: to connect, between two bytes
_BUSY = (408, 425, 429, *range(500, 600))
# Errors in short words, the most specific first.
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
    """A session that asks three times if there is no answer or the server is busy."""
    # "Other" errors are those of certificates and proxies, which another attempt does not solve.
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
        response.close()  # else its body would be read to the end, and it may have none
        there = urlsplit(urljoin(response.url, response.headers["Location"]))
        if there.scheme == "http" and response.url.startswith("https:"):
            raise requests.RequestException(f"it is redirected to {there.hostname} without encryption")


def ask(session: requests.Session, address: str, begin: int) -> tuple[requests.Response, int, int | None]:
    """The response with a file from byte `begin` on, or with all of it.

    Returns:
      the response, its first byte, and the size of the file if the server gives it.

    Raises:
      requests.RequestException: no answer. One of `ANSWERS`: an answer without a file; after an HTTPError another
        attempt is useless.
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
    elif begin and status in (206, 416):  # not the rest of the file
        return ask(session, address, 0)
    else:
        kind = requests.exceptions.RetryError if status in _BUSY else requests.HTTPError
        raise kind(f"the server says {status} {http.client.responses.get(status, '')}".rstrip())
    packed = response.headers.get("Content-Encoding", "identity")
    # Some servers declare a .gz file as gzip-encoded content, and send it unchanged.
    if packed != "identity" and not urlsplit(address).path.endswith("gz"):
        raise requests.HTTPError(f"the server sends it packed with {packed}")
    return response, begin, total


def checksum(response: requests.Response) -> str:
    """The CRC32C that Google's storage sends with a file; "" if it is that of a packed file that the server unpacks."""
    found = re.search(r"\bcrc32c=([\w+/]+=*)", response.headers.get("x-goog-hash", ""))
    packed = response.headers.get("x-goog-stored-content-encoding", "identity") != "identity"
    return found[1] if found and not packed else ""


def words(error: BaseException) -> str:
    """The reason of an error; requests and urllib3 wrap the real one several times."""
    links = [error]
    for link in links:
        # Not the failure of another address, after which this one may have been tried.
        for under in (link.__cause__, link.__context__):
            if under and under not in links and not isinstance(under, FetchError):
                links.append(under)
    root = getattr(links[-1], "strerror", None) or str(links[-1])
    found = next((words for kind, words in _WORDS for link in links if isinstance(link, kind)), root)
    return f"proxy: {found}" if any(isinstance(link, requests.exceptions.ProxyError) for link in links) else found
