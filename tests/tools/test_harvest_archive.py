"""Hostile and damaged packages: a typed error, and not a byte beside the archive."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.tools.packages import tarball, wheel
from tools.harvest.archive import BadArchive, Limits, read_package

ALL = r".*"


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


def packed(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for one in members:
            archive.addfile(one, io.BytesIO(bytes(one.size)))
    return path


def test_only_the_wanted_files_are_read_without_the_archives_own_folder(tmp_path: Path) -> None:
    path = tarball(tmp_path / "p.tar.gz", {"a/x.py": "x = 1\n", "a/x.so": "binary", "setup.py": "exit()"})
    assert read_package(path, r"a/.*\.py") == {"a/x.py": "x = 1\n"}
    path = wheel(tmp_path / "p.whl", {"a/x.py": "x = 1\n", "b.py": ""})
    assert read_package(path, r"a/.*\.py") == {"a/x.py": "x = 1\n"}


def test_text_in_another_encoding_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tarball(tmp_path / "p.tar.gz", {"a.py": b"\xef\xbb\xbf# caf\xe9\nx = 1\n"})
    assert read_package(path, ALL) == {"a.py": "# caf\ufffd\nx = 1\n"}


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (member("p/../../etc/passwd"), "leaves the archive"),
        (member("/etc/passwd"), "leaves the archive"),
        (member("p\\..\\..\\x"), "leaves the archive"),
        (member("C:/x"), "leaves the archive"),
        (member("p/link", tarfile.SYMTYPE, "/etc/passwd"), "leaves the archive"),
        (member("p/link", tarfile.SYMTYPE, "../../x"), "leaves the archive"),
        (member("p/link", tarfile.LNKTYPE, "../x"), "leaves the archive"),
        (member("p/pipe", tarfile.FIFOTYPE), "is a device or pipe"),
        (member("p/disk", tarfile.BLKTYPE), "is a device or pipe"),
        (member("p/" + "d/" * 40 + "x"), "is nested too deeply"),
        (member("p/" + "x" * 600), "is nested too deeply"),
    ],
)  # fmt: skip
def test_names_links_and_devices_that_no_source_package_has(
    tmp_path: Path, one: tarfile.TarInfo, said: str
) -> None:
    path = packed(tmp_path / "p.tar.gz", one)
    with pytest.raises(BadArchive, match=said):
        read_package(path, ALL)
    assert [found.name for found in tmp_path.iterdir()] == ["p.tar.gz"]


def test_a_link_inside_the_archive_is_skipped(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.tar.gz", member("p/a/link", tarfile.SYMTYPE, "../b.py"), member("p/b.py"))
    assert read_package(path, ALL) == {"b.py": ""}


def test_a_link_in_a_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.whl"
    with zipfile.ZipFile(path, "w") as archive:
        one = zipfile.ZipInfo("link")
        one.external_attr = 0o120777 << 16
        archive.writestr(one, "/etc/passwd")
    with pytest.raises(BadArchive, match="is a link or device"):
        read_package(path, ALL)


def test_a_name_in_a_wheel_that_leaves_it(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="leaves the archive"):
        read_package(wheel(tmp_path / "p.whl", {"../x.py": ""}), ALL)


def test_a_bomb_is_told_by_how_much_it_grows(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.tar.gz", member("p/zeros", size=80_000_000))
    assert path.stat().st_size < 200_000
    with pytest.raises(BadArchive, match="it unpacks to more than"):
        read_package(path, r"none")
    with zipfile.ZipFile(tmp_path / "p.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(80_000_000))
    with pytest.raises(BadArchive, match="it unpacks to more than"):
        read_package(tmp_path / "p.whl", r"none")


def test_a_bomb_in_a_header(tmp_path: Path) -> None:
    header = member("pax", tarfile.XHDTYPE, size=40_000_000)
    path = tmp_path / "p.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(40_000_000))
    with pytest.raises(BadArchive, match="its headers are too large"):
        read_package(path, ALL)


def test_limits_on_files(tmp_path: Path) -> None:
    path = tarball(tmp_path / "p.tar.gz", {"a.py": "x" * 100, "b.py": "x" * 100})
    with pytest.raises(BadArchive, match="more than 1 files"):
        read_package(path, ALL, Limits(members_count=1))
    with pytest.raises(BadArchive, match="more than a source file may"):
        read_package(path, ALL, Limits(file_bytes=99))
    with pytest.raises(BadArchive, match="more than 150 bytes of source"):
        read_package(path, ALL, Limits(kept_bytes=150))


@pytest.mark.parametrize(
    "data", [b"", b"not an archive", gzip.compress(b"x" * 2000, mtime=0), b"PK\x03\x04broken"]
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "p.tar.gz"
    path.write_bytes(data)
    with pytest.raises(BadArchive, match="cannot be read as an archive"):
        read_package(path, ALL)


def test_an_archive_that_was_cut_off(tmp_path: Path) -> None:
    path = tarball(tmp_path / "p.tar.gz", {"a.py": "".join(map(str, range(40_000)))})
    path.write_bytes(path.read_bytes()[:-5_000])
    with pytest.raises(BadArchive, match="cannot be read as an archive"):
        read_package(path, ALL)


def test_a_cut_wheel(tmp_path: Path) -> None:
    path = wheel(tmp_path / "p.whl", {"a.py": "".join(map(str, range(40_000)))})
    data = bytearray(path.read_bytes())
    data[200:220] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(BadArchive):
        read_package(path, ALL)
