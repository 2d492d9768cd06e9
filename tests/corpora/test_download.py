import hashlib
import io
import stat
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from bandwise.corpora import download as module
from bandwise.corpora import fetch
from bandwise.corpora.download import download, fetch_fma, unpack
from bandwise.errors import BandwiseError

DATA = np.random.default_rng(0).bytes(700_000)
SHA1 = hashlib.sha1(DATA).hexdigest()
QUICK = {"pause": 0.0, "attempts": 3, "timeout": 5.0}


class Server:
    """A server on the loopback that can be told to misbehave, and remembers what it was asked."""

    def __init__(self):
        self.files = {"/a.bin": DATA}
        self.ranges = True
        self.etag = '"1"'
        self.cuts = []  # for each coming answer, after how many bytes of body it is cut
        self.statuses = []  # for each coming answer, a status to give instead of the file
        self.length = True
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler):
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        status = self.statuses.pop(0) if self.statuses else None
        if status or handler.path not in self.files:
            handler.send_error(status or 404)
            return
        data = self.files[handler.path]
        start = 0
        if asked and self.ranges and handler.headers.get("If-Range") in (None, self.etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            handler.send_response(200)
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.length:
            handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        handler.wfile.write(data[start:] if cut is None else data[start : start + cut])
        handler.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(server, tmp_path):
    target = download(f"{server.url}/a.bin", tmp_path / "sub" / "a.bin", SHA1.upper(), **QUICK)
    assert target.read_bytes() == DATA
    assert names(tmp_path / "sub") == ["a.bin"]
    download(f"{server.url}/a.bin", target, SHA1, **QUICK)
    assert server.asked == [None]  # what is there and fits is not fetched again


def test_a_cut_connection_is_taken_up_where_it_ended(server, tmp_path):
    server.cuts = [300_000, 0, 100_000]
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert server.asked == [None, "bytes=300000-", "bytes=300000-", "bytes=400000-"]


def test_a_later_call_goes_on(server, tmp_path):
    server.cuts = [300_000, 0, 0]
    with pytest.raises(
        BandwiseError, match=r"300,000 of 700,000.*3 times in a row; 300,000 bytes are kept, call again"
    ):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert server.asked[-1] == "bytes=300000-"
    assert names(tmp_path) == ["a.bin"]


def test_a_call_that_ended_before_the_rename_needs_no_request(server, tmp_path):
    server.cuts = [300_000, 0, 0]
    with pytest.raises(BandwiseError):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    (tmp_path / "a.bin.part").write_bytes(DATA)
    server.asked.clear()
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert server.asked == []


def test_a_server_that_cannot_resume_sends_all_again(server, tmp_path):
    server.ranges = False
    server.cuts = [300_000]
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert server.asked == [None, "bytes=300000-"]


@pytest.mark.parametrize("etag", ['"2"', "", 'W/"2"'], ids=["new mark", "no mark", "weak mark"])
@pytest.mark.parametrize("longer", [True, False])
def test_a_file_that_changed_meanwhile_is_not_stitched_together(server, tmp_path, etag, longer):
    server.etag = '"1"' if etag == '"2"' else etag
    server.cuts = [300_000, 0, 0]
    with pytest.raises(BandwiseError):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    server.etag = etag
    server.files["/a.bin"] = new = DATA[::-1] + b"more" if longer else DATA[::-1][:200_000]
    download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == new


def test_the_rest_of_another_address_is_not_used(server, tmp_path):
    server.files["/b.bin"] = DATA[::-1]
    server.cuts = [300_000, 0, 0]
    with pytest.raises(BandwiseError):
        download(f"{server.url}/b.bin", tmp_path / "a.bin", **QUICK)
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_wrong_checksum_removes_what_came(server, tmp_path):
    with pytest.raises(BandwiseError, match=f"SHA-1 {SHA1}, not {'0' * 40}; it was removed"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", "0" * 40, **QUICK)
    assert names(tmp_path) == []


def test_a_target_with_a_wrong_checksum_is_replaced(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"an older one")
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_without_a_stated_length(server, tmp_path):
    server.length = False
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_busy_servers_are_asked_again_and_missing_files_are_not(server, tmp_path):
    server.statuses = [503, 429]
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, **QUICK)
    assert len(server.asked) == 3
    server.asked.clear()
    with pytest.raises(BandwiseError, match="the server answered 404"):
        download(f"{server.url}/none.zip", tmp_path / "none.zip", **QUICK)
    assert len(server.asked) == 1
    assert names(tmp_path) == ["a.bin"]
    server.statuses = [500] * 3
    with pytest.raises(BandwiseError, match=r"500 .*3 times in a row"):
        download(f"{server.url}/a.bin", tmp_path / "b.bin", **QUICK)


def test_no_server_and_no_such_scheme(server, tmp_path):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(BandwiseError, match=r"no connection.*3 times in a row"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    (tmp_path / "secret").write_text("x")
    with pytest.raises(BandwiseError, match="must begin with https"):
        download((tmp_path / "secret").as_uri(), tmp_path / "a.bin", **QUICK)


def test_no_space_is_said(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(BandwiseError, match=r"takes 700,000 bytes, but .* has 1,000 left"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")

    def full(response, part, total, task):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch, "_copy", full)
    with pytest.raises(BandwiseError, match="no space left for"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", **QUICK)


def test_the_bar_adds_up_to_the_whole_file(server, tmp_path):
    server.cuts = [300_000, 0, 250_000]
    sums = {}

    class Bars:
        def task(self, name, total, unit=""):
            from contextlib import nullcontext

            class Task:
                def advance(self, steps=1):
                    sums[name] = sums.get(name, 0) + steps

                def describe(self, text):
                    pass

            return nullcontext(Task())

    server.ranges = False
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SHA1, Bars(), **QUICK)
    assert sums == {"fetching a.bin": len(DATA), "checking a.bin": len(DATA)}


def zip_of(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def fma(server, monkeypatch):
    """The four archives, small, on the server."""
    zips = {
        "fma-metadata": zip_of({"fma_metadata/": "", "fma_metadata/tracks.csv": "x" * 1000}, zipfile.ZIP_BZIP2),
        "fma-small": zip_of({"fma_small/000/000002.mp3": "a", "fma_small/checksums": "b"}, zipfile.ZIP_STORED),
    }
    for name, raw in zips.items():
        server.files[f"/{name.replace('-', '_')}.zip"] = raw
        monkeypatch.setitem(module.FMA_SHA1, name, hashlib.sha1(raw).hexdigest())
    return server


def test_fetch_fma_brings_the_metadata_too(fma, tmp_path):
    assert fetch_fma("fma-small", tmp_path / "fma", fma.url + "/") == tmp_path / "fma"
    assert (tmp_path / "fma" / "fma_small" / "000" / "000002.mp3").read_text() == "a"
    assert (tmp_path / "fma" / "fma_metadata" / "tracks.csv").read_text() == "x" * 1000
    assert names(tmp_path / "fma") == [".fma_metadata.complete", ".fma_small.complete", "fma_metadata", "fma_small"]
    fma.asked.clear()
    fetch_fma("fma-small", tmp_path / "fma", fma.url)
    assert fma.asked == []


def test_fetch_fma_goes_on_after_an_interruption(fma, tmp_path, monkeypatch):
    fetch_fma("fma-metadata", tmp_path, fma.url)
    write = module._write
    written = []

    def interrupted(zipped, member, path):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(zipped, member, path)

    monkeypatch.setattr(module, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_fma("fma-small", tmp_path, fma.url)
    assert ".fma_small.complete" not in names(tmp_path)
    assert "fma_small.zip" in names(tmp_path)
    fma.asked.clear()
    monkeypatch.setattr(module, "_write", write)
    first = written[0].stat().st_mtime_ns
    fetch_fma("fma-small", tmp_path, fma.url, keep_archives=True)
    assert fma.asked == []
    assert written[0].stat().st_mtime_ns == first
    assert names(tmp_path / "fma_small") == ["000", "checksums"]
    assert "fma_small.zip" in names(tmp_path)


def test_fetch_fma_refuses_a_mirror_with_other_files(fma, tmp_path):
    fma.files["/fma_metadata.zip"] = zip_of({"fma_metadata/tracks.csv": "other"})
    with pytest.raises(BandwiseError, match="it was removed"):
        fetch_fma("fma-small", tmp_path, fma.url)
    assert names(tmp_path) == []
    with pytest.raises(
        BandwiseError, match="'fma-full': choose one of fma-metadata, fma-small, fma-medium, fma-large"
    ):
        fetch_fma("fma-full", tmp_path, fma.url)


def test_the_published_checksums():
    assert module.FMA_SHA1["fma-small"] == "ade154f733639d52e35e32f5593efe5be76c6d70"
    assert {len(bytes.fromhex(sum)) for sum in module.FMA_SHA1.values()} == {20}


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "c:evil"])
def test_paths_that_lead_outside_are_refused_before_anything_is_written(tmp_path, name):
    (tmp_path / "x.zip").write_bytes(zip_of({"good.txt": "1", name: "2"}))
    with pytest.raises(BandwiseError, match="leads outside"):
        unpack(tmp_path / "x.zip", tmp_path / "in" / "here")
    assert names(tmp_path) == ["x.zip"]


def test_links_in_a_zip_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc")
        archive.writestr("link/passwd", "x")
    with pytest.raises(BandwiseError, match="holds a link"):
        unpack(tmp_path / "x.zip", tmp_path / "out")


def test_damaged_zips(tmp_path):
    raw = bytearray(zip_of({"a.txt": "hello " * 100}, zipfile.ZIP_STORED))
    (tmp_path / "html.zip").write_bytes(b"<html>")
    (tmp_path / "cut.zip").write_bytes(raw[: len(raw) // 2])
    raw[60] ^= 0xFF
    (tmp_path / "flip.zip").write_bytes(raw)
    for name in ("html", "cut", "flip"):
        with pytest.raises(BandwiseError, match="cannot be unpacked"):
            unpack(tmp_path / f"{name}.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


def test_unpacking_replaces_files_of_the_right_size_but_wrong_content(tmp_path):
    (tmp_path / "x.zip").write_bytes(zip_of({"a.txt": "right"}))
    (tmp_path / "a.txt").write_text("wrong")
    unpack(tmp_path / "x.zip", tmp_path)
    assert (tmp_path / "a.txt").read_text() == "right"
