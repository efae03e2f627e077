"""Downloads from a server of this machine: whole, resumed, changed in between, too large, cut, moved, wrong."""

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from pages import ROOT
from torch_writer import write_state_dict

from ppreid.base.environment import lock
from ppreid.base.errors import ConfigError, WeightsError
from ppreid.weights import fetch as download
from ppreid.weights.known import KNOWN, digest_in_words

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    """A server whose manners can be set; `asked` has the Range of every request."""
    manners = SimpleNamespace(content=CONTENT, tag='"one"', cut=0, status=200, location="", length=True, asked=[])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            manners.asked.append(self.headers.get("Range"))
            start, status = 0, manners.status
            if self.headers.get("Range") and self.headers.get("If-Range") == manners.tag:
                start, status = int(self.headers["Range"][6:-1]), 206
            body = manners.content[start:]
            self.send_response(status)
            if manners.tag:
                self.send_header("ETag", manners.tag)
            if manners.location:
                self.send_header("Location", manners.location)
            if manners.length:
                self.send_header("Content-Length", str(len(body)))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(manners.content) - 1}/{len(manners.content)}")
            self.end_headers()
            self.wfile.write(body[: manners.cut or None])

        def log_message(self, *_arguments):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    manners.url = f"http://127.0.0.1:{running.server_port}/net.pth"
    yield manners
    running.shutdown()
    running.server_close()


def fetch(server, target, *, digest=f"sha256:{SHA256}", max_bytes=1_000_000, check=lambda path: None):
    return download.fetch(server.url, target, digest=digest, max_bytes=max_bytes, advice="BY HAND", check=check)


def test_a_file_appears_whole_with_its_digest_beside_it(server, tmp_path):
    seen = []
    found = fetch(server, tmp_path / "net.pth", check=lambda path: seen.append(path.read_bytes() == CONTENT))
    assert found == SHA256 and seen == [True]
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert (tmp_path / "net.pth.sha256").read_text() == f"{SHA256}  net.pth\n"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("same", [True, False], ids=["the same file", "another file since"])
def test_what_broke_off_goes_on_if_the_file_is_still_the_same(same, server, tmp_path):
    server.cut = 100_000
    with pytest.raises(WeightsError, match="broke off after 100,000 of 300,000 bytes; give the same command again"):
        fetch(server, tmp_path / "net.pth")
    assert not (tmp_path / "net.pth").exists()
    server.cut = 0
    if not same:
        server.tag, server.content = '"two"', bytes(reversed(CONTENT))
    fetch(server, tmp_path / "net.pth", digest="")
    assert (tmp_path / "net.pth").read_bytes() == server.content
    assert server.asked[1:] == ([None, "bytes=100000-"] if same else [None])


def test_a_server_that_names_no_version_sends_all_of_it_again(server, tmp_path):
    server.tag, server.cut = "", 100_000
    with pytest.raises(WeightsError, match="broke off"):
        fetch(server, tmp_path / "net.pth")
    server.cut = 0
    fetch(server, tmp_path / "net.pth")
    assert server.asked == [None, None] and (tmp_path / "net.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("says_so", [True, False])
def test_a_file_that_is_too_large_is_refused(says_so, server, tmp_path):
    server.length = says_so
    with pytest.raises(WeightsError, match="300,000 bytes; at most 200,000" if says_so else "more than"):
        fetch(server, tmp_path / "net.pth", max_bytes=200_000)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0


@pytest.mark.parametrize("digest", ["sha256:00", f"sha256:{SHA256[::-1]}", "md5:00"])
def test_another_file_than_the_known_one_does_not_stay(digest, server, tmp_path):
    with pytest.raises(WeightsError, match=f"has {digest.partition(':')[0]} .*expected {digest.partition(':')[2]}"):
        fetch(server, tmp_path / "net.pth", digest=digest)
    assert list(tmp_path.iterdir()) == []
    fetch(server, tmp_path / "net.pth", digest=f"sha256:{SHA256[:8].upper()}")


def test_what_is_no_file_of_weights_does_not_stay(server, tmp_path):
    def refuse(path):
        raise WeightsError("no weights")

    with pytest.raises(WeightsError, match="no weights"):
        fetch(server, tmp_path / "net.pth", check=refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_said_with_what_to_do(server, tmp_path):
    server.status = 404
    with pytest.raises(WeightsError, match=r"cannot be fetched: HTTP 404\. BY HAND"):
        fetch(server, tmp_path / "net.pth")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.url = f"http://127.0.0.1:{taken.getsockname()[1]}/net.pth"
    with pytest.raises(WeightsError, match=r"cannot be fetched: .*refused\. BY HAND"):
        fetch(server, tmp_path / "net.pth")


@pytest.mark.parametrize("url", ["http://example.org/net.pth", "ftp://127.0.0.1/net.pth", "file:///etc/passwd"])
def test_only_safe_addresses_are_asked_also_of_a_redirection(url, server, tmp_path):
    with pytest.raises(ConfigError, match="only https"):
        download.fetch(url, tmp_path / "x", digest="", max_bytes=1, advice="", check=lambda path: None)
    server.status, server.location = 302, url
    with pytest.raises((ConfigError, WeightsError), match=r"only https|HTTP 302"):  # urllib itself refuses some
        fetch(server, tmp_path / "net.pth")
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_write_one_file(server, tmp_path):
    server.cut = 1000
    with pytest.raises(WeightsError, match="broke off"):
        fetch(server, tmp_path / "net.pth")
    server.cut = 0
    (partial,) = tmp_path.glob(".*.part")
    with partial.open("rb") as file:
        lock(file.fileno())
        with pytest.raises(ConfigError, match="by another process"):
            fetch(server, tmp_path / "net.pth")
    fetch(server, tmp_path / "net.pth")


def test_the_list_says_only_what_can_be_true():
    for name, row in KNOWN.items():
        assert row.name == name and row.what and row.licence
        assert row.page.startswith("https://") and (row.url == "" or row.url.startswith("https://"))
        algorithm, _, digits = row.digest.partition(":")
        assert row.digest == "" or (algorithm in ("md5", "sha256") and set(digits) <= set("0123456789abcdef"))
        assert ("LUPerson" in row.what) == (row.licence == "of LUPerson: no commercial use")
        assert not (row.url and "LUPerson" in row.what)  # nothing that has such terms is fetched by a command
    assert digest_in_words("sha256:0676ba61") == "sha256 begins with 0676ba61"
    assert digest_in_words("md5:" + 32 * "0") == "md5 " + 32 * "0" and digest_in_words("") == "unknown"


def test_the_page_shows_the_same_table():
    lines = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8").splitlines()
    start = lines.index("| file | what | published by | size | digest | licence |") + 2
    for row, line in zip(KNOWN.values(), lines[start:], strict=False):
        file = f"[{row.name}]({row.url})" if row.url else row.name
        size = f"{row.size} MiB" if row.size else "unknown"
        cells = [file, row.what, f"<{row.page}>", size, digest_in_words(row.digest), row.licence]
        assert line == f"| {' | '.join(cells)} |"
    assert lines[start + len(KNOWN)] == ""


def test_the_list_has_what_paddle_fetches_by_itself():
    from paddle.vision.models.resnet import model_urls

    for depth in (18, 34, 50, 101, 152):
        row = KNOWN[f"resnet{depth}.pdparams"]
        assert (row.url, row.digest.removeprefix("md5:")) == model_urls[f"resnet{depth}"]


def test_the_command_fetches_looks_and_verifies(server, tmp_path, monkeypatch, capsys):
    from ppreid.cli import main

    monkeypatch.chdir(tmp_path)
    write_state_dict(tmp_path / "source.pth", {"conv1.weight": np.ones((64, 3, 7, 7), np.float32)})
    server.content = (tmp_path / "source.pth").read_bytes()
    sha256 = hashlib.sha256(server.content).hexdigest()
    words = ["weights", "fetch", "ISE_M_model.pdparams", "--url", server.url]
    assert main([*words, "--sha256", "0" * 64]) == 4
    assert main(words) == 0
    target = "pd_model_trace/ISE/ISE_M_model.pdparams"
    assert (tmp_path / target).read_bytes() == server.content
    assert "no digest of this file is known" in capsys.readouterr().err
    assert main(words) == 2  # it could be anything
    assert "exists, and no digest" in capsys.readouterr().err
    assert main([*words, "--sha256", sha256]) == 0
    assert main([*words, "--sha256", "0" * 64]) == 4
    assert "which is not replaced, has sha256" in capsys.readouterr().err
    assert main(["weights", "verify", target, "--sha256", sha256]) == 0
    shown = capsys.readouterr().out
    assert f"1 tensors, 9,408 numbers, all finite; sha256 {sha256}, as asked for" in shown
    assert main(["weights", "verify", target]) == 0
    assert f"sha256 {sha256}, compared with nothing" in capsys.readouterr().out
    assert main(["weights", "verify", target, "--sha256", "1" * 64]) == 4
    assert main(["weights", "fetch", "ISE_X_model.pdparams"]) == 2
    assert "did you mean 'ISE_M_model.pdparams'" in capsys.readouterr().err
    assert main(["weights", "fetch", "osnet_x1_0_imagenet.pth"]) == 4
    assert "Take osnet_x1_0_imagenet.pth from https://github.com" in capsys.readouterr().err
    assert main(["weights", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}: " in shown for name in KNOWN)
