"""Downloads: over https, going on where they broke off, and under their name only when complete and checked."""

import errno
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import urlsplit

from ppreid.base.environment import flags, lock
from ppreid.base.errors import ConfigError, WeightsError
from ppreid.base.reading import reading
from ppreid.disk.files import explained, file_sha256, publish
from ppreid.disk.places import not_through_links

BLOCK = 1 << 20
SILENCE = 30.0  # seconds without a byte after which a server counts as gone
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HELD = (errno.EACCES, errno.EAGAIN)


def fetch(url: str, target: Path, *, digest: str, max_bytes: int, advice: str, check: Callable[[Path], object]) -> str:
    """Download a file.

    What has arrived is kept beside the target when the connection breaks or the process is ended, and the next call
    goes on from there, if the server says that the file is still the same one.

    Args:
        url: https, or http on this machine itself.
        target: where the file shall be; there must be nothing.
        digest: "md5:..." or "sha256:...", all of it or how it begins; "" if none is known.
        max_bytes: a larger file is refused.
        advice: what to do without a network, for the message.
        check: looks at the complete file and raises what is wrong with it.

    Returns:
        Its SHA-256, which is also written beside it.

    Raises:
        ConfigError: the address is not a safe one, or another process is fetching the same file.
        WeightsError: the server cannot be reached, or what it sends is too large, incomplete or another file.
        WriteError: the file cannot be written.
    """
    _check_address(url)
    with closing(_answer(url, {}, advice)) as answer:
        total = int(answer.headers["Content-Length"]) if answer.headers.get("Content-Length", "").isdigit() else None
        if total is not None and total > max_bytes:
            raise WeightsError(f"{url} has {total:,} bytes; at most {max_bytes:,} are taken, see --max-size")
        version = _version(answer.headers)
        partial = target.with_name(f".{target.name}.{_short(url, version, total)}.part")
        with _alone(partial) as file:
            start = file.seek(0, 2) if version and total else 0
            if start == total:
                pass  # an earlier call was ended before it looked at it
            elif total and 0 < start < total:
                with closing(_answer(url, {"Range": f"bytes={start}-", "If-Range": version}, advice)) as rest:
                    goes_on = rest.headers.get("Content-Range", "").startswith(f"bytes {start}-")
                    _copy(rest, file, start if goes_on else 0, total, max_bytes, target)
            else:
                _copy(answer, file, 0, total, max_bytes, target)
            sha256 = file_sha256(partial)
            try:
                check_digest(partial, digest, what=url)
                check(partial)
            except WeightsError:
                partial.unlink()
                raise
        publish(partial, target, sha256=sha256)
        return sha256


def check_digest(path: Path, digest: str, *, what: str) -> None:
    """Compare a file with a digest; without one there is nothing to compare.

    Args:
        path: of the file.
        digest: "md5:..." or "sha256:...", all of it or how it begins.
        what: the file in the message.

    Raises:
        WeightsError: it is another file; with both digests.
    """
    if not digest:
        return
    algorithm, _, expected = digest.partition(":")
    state = hashlib.new(algorithm, usedforsecurity=False)  # MD5 is what some publishers state
    with reading(path, WeightsError), open(path, "rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    found = state.hexdigest()
    if not found.startswith(expected.lower()):
        raise WeightsError(f"{what} has {algorithm} {found}, expected {expected}: it is another file, or was damaged")


class _StaysSecure(urllib.request.HTTPRedirectHandler):
    """Follows to addresses that are as safe as the first must be."""

    def redirect_request(self, request: Any, file: IO[bytes], code: int, message: str, headers: Any, url: str) -> Any:  # noqa: ANN401
        """The request for the new address."""
        _check_address(url)
        return super().redirect_request(request, file, code, message, headers, url)


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ConfigError(f"{url} is not fetched: only https is, since on the way anybody could change other files")


def _answer(url: str, headers: Mapping[str, str], advice: str) -> Any:  # noqa: ANN401 - http.client.HTTPResponse, or alike
    """The server's answer, with its content to be read."""
    request = urllib.request.Request(url, headers={"User-Agent": "ppreid", **headers})
    try:
        return urllib.request.build_opener(_StaysSecure()).open(request, timeout=SILENCE)
    except (OSError, http.client.HTTPException) as error:
        reason = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
        raise WeightsError(f"{url} cannot be fetched: {reason}. {advice}") from error


def _version(headers: Mapping[str, str]) -> str:
    """What names this version of the file to the server; "" if it does not say."""
    tag = headers.get("ETag") or ""
    return tag if tag.startswith('"') else headers.get("Last-Modified") or ""


def _short(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


@contextmanager
def _alone(partial: Path) -> Iterator[BinaryIO]:
    """The unfinished file, made if it is not there, while no other process writes it."""
    with explained(partial):
        descriptor = not_through_links(str(partial), flags("O_RDWR", "O_CREAT", "O_APPEND", "O_CLOEXEC"))
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        try:
            lock(descriptor)
        except OSError as error:
            if error.errno in _HELD:
                raise ConfigError(f"{partial} is being fetched by another process; wait for it") from None
        yield file


def _copy(answer: Any, file: BinaryIO, start: int, total: int | None, max_bytes: int, target: Path) -> None:  # noqa: ANN401
    """Append what arrives to the first `start` bytes of a file."""
    with explained(target):
        file.truncate(start)
    done = start
    while True:
        try:
            block = answer.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise WeightsError(f"{answer.url} broke off after {done:,} bytes: {error!r}; {_AGAIN}") from error
        if not block:
            break
        done += len(block)
        if done > (max_bytes if total is None else total):
            with suppress(OSError):
                file.truncate(0)
            raise WeightsError(f"{answer.url} sends more than {done - 1:,} bytes, which it did not say or is too much")
        with explained(target):
            file.write(block)
    if total is not None and done < total:
        raise WeightsError(f"{answer.url} broke off after {done:,} of {total:,} bytes; {_AGAIN}")


_AGAIN = "give the same command again, it goes on from there"
