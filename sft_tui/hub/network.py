"""Asks hosts over HTTP: time-outs, retries, redirects that keep a token at home, proxies and certificates of the user.

requests does the rest: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, REQUESTS_CA_BUNDLE; SSL_CERT_FILE is heeded as well.
"""

from __future__ import annotations

import email.utils
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, Mapping, Optional, Tuple
from urllib.parse import urljoin, urlsplit

import requests
import requests.auth
import urllib3

from sft_tui import __version__
from sft_tui.core.terminal_text import neutralise
from sft_tui.errors import EnvironmentNotFitError, InvalidInputError, SftError, StoppedError
from sft_tui.paths import variable

CONNECT_SECONDS = 15.0
MAX_REDIRECTS = 10
MAX_LISTING = 64 << 20  # bytes of one page
MAX_WAIT = 300.0  # seconds that a Retry-After is followed
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class NetworkError(SftError):
    """A host did not answer, or broke off: worth another try. `wait`: seconds that it asks for, or None."""

    def __init__(self, message: str, hint: str = "", wait: Optional[float] = None) -> None:
        super().__init__(message, hint)
        self.wait = wait


class NoNetError(EnvironmentNotFitError):
    """No host could be reached at all."""


class RefusedError(InvalidInputError):
    """The hub knows the request and refuses it: a gate, a private repository, a wrong token."""


class MissingError(InvalidInputError):
    """There is no such repository, revision or file."""


@dataclass(frozen=True)
class Token:
    """A secret for one host (scheme, name, port), and where it was found. It is never shown."""

    secret: str = field(repr=False)
    origin: str
    found_in: str
    cookie: str = ""  # name of the cookie that has it as well

    def headers_for(self, address: str) -> Dict[str, str]:
        """What carries it to an address of its host; nothing for any other."""
        if not self.secret or origin_of(address) != self.origin:
            return {}
        headers = {"Authorization": f"Bearer {self.secret}"}
        if self.cookie:
            headers["Cookie"] = f"{self.cookie}={self.secret}"
        return headers


def origin_of(address: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(address)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def shown(address: str) -> str:
    """An address without its query, which may be a signature, and without a password."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    return neutralise(f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}")


@dataclass
class Patience:
    """How long is waited: for bytes at a time, for a rate, and for how many failures in a row; seconds and bytes/s."""

    stall_seconds: float = 60.0
    least_rate: float = 1024.0
    window_seconds: float = 60.0
    tries: int = 8
    first_pause: float = 1.0
    deadline: Optional[float] = None  # of time.monotonic()
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise StoppedError, or NetworkError after the deadline."""
        if self.stop.is_set():
            raise StoppedError("The download was stopped.", "Start it again: it goes on where it was.")
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfTimeError("The download took longer than --timeout.", "Start it again: it goes on where it was.")

    def pause(self, failures: int, wait: Optional[float]) -> None:
        """Wait before the next try: what the host asks for, else longer each time."""
        seconds = min(self.first_pause * 2 ** (failures - 1), 60.0) if wait is None else wait
        if self.deadline is not None:
            seconds = min(seconds, max(0.0, self.deadline - time.monotonic()))
        self.stop.wait(seconds)
        self.check()


class OutOfTimeError(SftError):
    """The time that the user gave is over."""


class _NoAuth(requests.auth.AuthBase):
    """Keeps requests from taking a password of ~/.netrc in place of the token."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Network:
    """Connections of one thread."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._session = requests.Session()
        self._session.auth = _NoAuth()
        self._session.headers.update({"User-Agent": f"sft-tui/{__version__}", "Accept-Encoding": "identity"})
        bundle = variable("SSL_CERT_FILE")
        if bundle and not (variable("REQUESTS_CA_BUNDLE") or variable("CURL_CA_BUNDLE")):
            self._session.verify = bundle

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def open(self, address: str, token: Optional[Token] = None, *, start: int = 0) -> requests.Response:
        """The answer to a GET, its body still to be read; from byte `start` on where the host can.

        Raises NetworkError, RefusedError, MissingError, EnvironmentNotFitError; each once, without another try.
        """
        first = address
        for _ in range(MAX_REDIRECTS + 1):
            headers = {
                **(token.headers_for(address) if token else {}),
                **({"Range": f"bytes={start}-"} if start else {}),
            }
            answer = self._get(address, headers)
            target = answer.headers.get("Location", "")
            if answer.status_code not in (301, 302, 303, 307, 308) or not target:
                if answer.status_code >= 400:
                    with answer:
                        raise _refusal(answer, address, same_host=origin_of(address) == origin_of(first), token=token)
                return answer
            answer.close()
            target = urljoin(address, target)
            if urlsplit(target).scheme not in ("http", "https"):
                raise NetworkError(f"{shown(address)} redirects to something that is no web address.")
            if urlsplit(address).scheme == "https" and urlsplit(target).scheme == "http":
                raise InsecureError(
                    f"{shown(address)} redirects from https to http ({shown(target)}).",
                    "Nothing was sent there. A proxy or a login page may stand between: see `sft-tui doctor`.",
                )
            address = target
        raise NetworkError(f"{shown(first)} redirects in a circle.", "A login page may stand between.")

    def _get(self, address: str, headers: Mapping[str, str]) -> requests.Response:
        try:
            return self._session.get(
                address, headers=dict(headers), stream=True, allow_redirects=False,
                timeout=(CONNECT_SECONDS, self.patience.stall_seconds),
            )  # fmt: skip
        except requests.exceptions.SSLError as error:
            raise _certificate_problem(address, error) from error
        except requests.exceptions.ProxyError as error:
            raise NetworkError(f"The proxy did not take the request for {shown(address)}.", _PROXY_HINT) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as error:
            raise InvalidInputError(f"{shown(address)} is no address that can be asked.", "Check --from.") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise NetworkError(f"{_host(address)}: {_reason(error)}", _NET_HINT) from error

    def read_json(self, address: str, token: Optional[Token] = None) -> Tuple[object, Mapping[str, str]]:
        """A page of a listing and its headers, with retries. Raises as `open`, and NetworkError for what is no JSON."""

        def once() -> Tuple[object, Mapping[str, str]]:
            with self.open(address, token) as answer:
                body = b"".join(self.pieces(answer, limit=MAX_LISTING))
                try:
                    return json.loads(body), answer.headers
                except ValueError as error:
                    raise NetworkError(
                        f"{shown(address)} answers with something else than a listing.",
                        "A login page or a proxy may stand between: open the address in a browser.",
                    ) from error

        return self.again(once)

    def again(self, attempt: Callable[[], tuple[object, Mapping[str, str]]]) -> tuple[object, Mapping[str, str]]:
        """Try until it works, with pauses; the last NetworkError is raised."""
        for failures in range(1, self.patience.tries + 1):
            self.patience.check()
            try:
                return attempt()
            except NetworkError as error:
                if failures == self.patience.tries:
                    raise
                self.patience.pause(failures, error.wait)
        raise AssertionError("unreachable")

    def pieces(self, answer: requests.Response, *, limit: Optional[int] = None) -> Iterator[bytes]:
        """The body as it comes. Raises NetworkError where it stalls, trickles, breaks off or goes beyond `limit`."""
        patience, seen = self.patience, 0
        window_start, window_seen = time.monotonic(), 0
        while True:
            patience.check()
            try:
                piece = answer.raw.read1(1 << 18, decode_content=True)
            except (urllib3.exceptions.HTTPError, requests.exceptions.RequestException, OSError, ValueError) as error:
                raise NetworkError(f"{_host(answer.url)}: {_reason(error)} after {seen:,} bytes") from error
            if not piece:
                return
            seen += len(piece)
            if limit is not None and seen > limit:
                raise NetworkError(f"{shown(answer.url)} sends more than the {limit:,} bytes that were to come.")
            yield piece
            now = time.monotonic()
            if now - window_start >= patience.window_seconds:
                rate = (seen - window_seen) / (now - window_start)
                if rate < patience.least_rate:
                    raise NetworkError(f"{_host(answer.url)}: {rate:,.0f} bytes/s for {now - window_start:.0f} s.")
                window_start, window_seen = now, seen


class InsecureError(EnvironmentNotFitError):
    """The way to the host is not safe: a certificate that does not fit, http in the place of https."""


_NET_HINT = "Check the network; where there is a proxy, set HTTPS_PROXY. `sft-tui doctor` says which hubs answer."
_PROXY_HINT = "Check HTTPS_PROXY and its user and password; NO_PROXY lists hosts that are asked directly."


def _host(address: Optional[str]) -> str:
    return neutralise(urlsplit(address or "").hostname or "the host")


def _certificate_problem(address: str, error: Exception) -> SftError:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" not in text and "certificate" not in text.lower():
        return NetworkError(f"{_host(address)}: {_reason(error)}", _NET_HINT)
    why = "is not valid yet" if "not yet valid" in text else "has expired" if "expired" in text else "is not trusted"
    hint = (
        "Check the clock of this machine."
        if "valid" in why or "expired" in why
        else "Where a proxy signs with a certificate of its own, name its file: SSL_CERT_FILE or REQUESTS_CA_BUNDLE."
    )
    return InsecureError(f"The certificate of {_host(address)} {why}.", hint)


def _reason(error: BaseException) -> str:
    """The innermost reason, in words that a person reads."""
    text = str(error)
    if (
        isinstance(error, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError))
        or "Read timed out" in text
    ):
        return "no answer for long"
    if isinstance(error, requests.exceptions.ConnectTimeout) or "timed out" in text:
        return "no connection in time"
    for word, said in _REASONS:
        if word in text:
            return said
    return "the connection broke"


_REASONS = (
    ("Name or service not known", "the name is not known (DNS)"),
    ("Temporary failure in name resolution", "names are not resolved (DNS)"),
    ("nodename nor servname", "the name is not known (DNS)"),
    ("getaddrinfo failed", "the name is not known (DNS)"),
    ("NameResolutionError", "the name is not known (DNS)"),
    ("Connection refused", "it refuses connections"),
    ("Network is unreachable", "the network is not reachable"),
    ("No route to host", "there is no way to it"),
    ("IncompleteRead", "the connection was cut"),
    ("Connection reset", "the connection was reset"),
)


def _refusal(answer: requests.Response, address: str, *, same_host: bool, token: Optional[Token]) -> SftError:
    """What a status of 400 and more means."""
    status, code = answer.status_code, answer.headers.get("X-Error-Code", "")
    said = neutralise(answer.headers.get("X-Error-Message", ""))[:200]
    where = shown(address)
    used = f"The token was found in {token.found_in}." if token else "No token was sent."
    if code == "GatedRepo" or (status in (401, 403) and same_host):
        reason = f": {said}" if said else ""
        return RefusedError(f"{where} is refused (HTTP {status}){reason}.", used)
    if status in (404, 410) and same_host:
        return MissingError(f"{where} is not there (HTTP {status}).", "Check name and revision.")
    if status == 407:
        return EnvironmentNotFitError("The proxy asks for a user and a password (HTTP 407).", _PROXY_HINT)
    if status == 416:
        return RangeError(f"{where}: nothing is left from there on (HTTP 416).")
    wait = _retry_after(answer.headers.get("Retry-After"))
    # 401 and 403 of another host: a signature that has expired, which asking anew renews
    if status in _AGAIN or not same_host:
        return NetworkError(f"{_host(address)} answers HTTP {status}.", _NET_HINT, wait)
    return InvalidInputError(f"{where} answers HTTP {status}.", "Check the name, or take another source: --from.")


class RangeError(NetworkError):
    """The host has no bytes from there on: what is here already is not what it has."""


def _retry_after(value: Optional[str]) -> Optional[float]:
    """Seconds; from a number or a date."""
    if not value:
        return None
    try:
        return min(max(0.0, float(value)), MAX_WAIT)
    except ValueError:
        parsed = email.utils.parsedate_tz(value)
        return min(max(0.0, email.utils.mktime_tz(parsed) - time.time()), MAX_WAIT) if parsed else None
