"""Archives, good and hostile. Nothing may ever lie outside the folder that was given."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.catalog import file_names
from locara.catalog.unpacking import Kind, Limits, Unpacked, unpack
from locara.errors import ModelError

from .made import sha

TINY = Limits(files=50, total=100_000, ratio=100, slack=50_000)


def tar(*entries: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode, format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1])
            archive.addfile(info, io.BytesIO(entry[1]))
    return made.getvalue()


def zipped(*entries: tuple[str, bytes], mode: int | None = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in entries:
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode is not None:
                info.external_attr = mode << 16
            archive.writestr(info, body)
    return made.getvalue()


def special(name: str, sort: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = sort
    info.linkname = link
    return info


def unpacked(body: bytes, kind: Kind, tmp_path: Path, *, strip: int = 0, limits: Limits = TINY) -> Unpacked:
    (tmp_path / "archive").write_bytes(body)
    (tmp_path / "out").mkdir()
    return unpack(tmp_path / "archive", kind, tmp_path / "out", strip=strip, limits=limits)


def laid(tmp_path: Path) -> dict[str, bytes]:
    out = tmp_path / "out"
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        ("tar", tar),
        ("tar.gz", lambda *entries: gzip.compress(tar(*entries))),
        ("tar.bz2", lambda *entries: bz2.compress(tar(*entries))),
        ("zip", zipped),
    ],
)
def test_files_are_laid_out_below_the_folder_with_their_hashes(
    kind: Kind, pack: Callable[..., bytes], tmp_path: Path
) -> None:
    found = unpacked(pack(("top/a.onnx", b"aaa"), ("top/./sub//b.txt", b"")), kind, tmp_path, strip=1)

    assert laid(tmp_path) == {"a.onnx": b"aaa", "sub/b.txt": b""}
    assert [(one.path, one.sha256, one.size) for one in found.files] == [
        ("a.onnx", sha(b"aaa"), 3),
        ("sub/b.txt", sha(b""), 0),
    ]


HOSTILE = [
    "../evil",
    "a/../../evil",
    "/etc/evil",
    "C:/evil",
    "C:evil",
    "a\\..\\..\\evil",
    "\\\\host\\share",
    "con",
    "a/NUL.txt",
    "com1.onnx",
    "a/trailing.",
    "a/trailing ",
    "a/new\nline",
    "a:stream",
    "x" * 300,
    "a/" * 40 + "b",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_hostile_name_is_refused_and_writes_nothing_outside(name: str, kind: Kind, tmp_path: Path) -> None:
    body = tar((name, b"evil")) if kind == "tar" else zipped((name, b"evil"))

    with pytest.raises(ModelError, match="is not unpacked"):
        unpacked(body, kind, tmp_path)

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["archive", "out"]


def test_a_nul_in_a_name_of_a_zip_is_seen(tmp_path: Path) -> None:
    body = zipped(("good.txtXevil.exe", b"x")).replace(b"good.txtXevil", b"good.txt\0evil")

    with pytest.raises(ModelError, match="may not have"):
        unpacked(body, "zip", tmp_path)


@pytest.mark.parametrize(
    ("sort", "word"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "not a file"),
        (tarfile.BLKTYPE, "not a file"),
        (tarfile.FIFOTYPE, "not a file"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(sort: bytes, word: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=word):
        unpacked(tar(special("a", sort, "/etc"), ("a/passwd", b"evil")), "tar", tmp_path)

    assert laid(tmp_path) == {}


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600])
def test_links_and_devices_in_a_zip_are_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a link or a device"):
        unpacked(zipped(("a", b"/etc/passwd"), mode=mode), "zip", tmp_path)


@pytest.mark.parametrize(
    "names", [("a.txt", "A.TXT"), ("a", "a/b"), ("a/b", "a"), ("a/x", "A/y"), ("é", "e\u0301"), ("a", "a")]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_one_on_some_system_are_refused(names: tuple[str, str], kind: Kind, tmp_path: Path) -> None:
    entries = [(name, b"x") for name in names]

    with pytest.raises(ModelError, match="is not unpacked"):
        unpacked(tar(*entries) if kind == "tar" else zipped(*entries), kind, tmp_path)


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        ("tar.gz", lambda body: gzip.compress(tar(("bomb", body)))),
        ("tar.bz2", lambda body: bz2.compress(tar(("bomb", body)))),
        ("zip", lambda body: zipped(("bomb", body))),
    ],
)
def test_a_bomb_is_refused_before_it_is_big(kind: Kind, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"more than \d+ bytes|it says that it has"):
        unpacked(pack(bytes(5_000_000)), kind, tmp_path)

    assert sum(map(len, laid(tmp_path).values())) <= TINY.total


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    body = bytes(5_000_000)
    lying = zipped(("bomb", body)).replace(len(body).to_bytes(4, "little"), (10).to_bytes(4, "little"))

    with pytest.raises(ModelError):
        unpacked(lying, "zip", tmp_path)

    assert sum(map(len, laid(tmp_path).values())) <= TINY.total


def test_a_header_of_a_tar_that_never_ends_is_not_read_into_memory(tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type = tarfile.GNUTYPE_LONGNAME
    long_name.size = 50_000_000
    body = gzip.compress(long_name.tobuf() + b"a" * 50_000_000)

    with pytest.raises(ModelError, match="longer than it says"):
        unpacked(body, "tar.gz", tmp_path)


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"77777777777\0"  # its real size
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()

    with pytest.raises(ModelError):
        unpacked(bytes(header) + bytes(1024), "tar", tmp_path)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_too_many_entries_are_refused(kind: Kind, tmp_path: Path) -> None:
    entries = [(f"{number}.txt", b"") for number in range(51)]

    with pytest.raises(ModelError, match="too many"):
        unpacked(tar(*entries) if kind == "tar" else zipped(*entries), kind, tmp_path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    body = bytearray(zipped(("a", b"secret")))
    body[6] |= 1
    body[body.index(b"PK\x01\x02") + 8] |= 1

    with pytest.raises(ModelError, match="encrypted"):
        unpacked(bytes(body), "zip", tmp_path)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "zip"])
@pytest.mark.parametrize("body", [b"", b"not an archive at all" * 100, b"PK\x03\x04rest", b"\x1f\x8b\x08\x00rest"])
def test_what_is_no_archive_is_told(kind: Kind, body: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be unpacked|holds no file"):
        unpacked(body, kind, tmp_path)


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar", "zip"])
def test_half_an_archive_is_told(kind: Kind, tmp_path: Path) -> None:
    body = bytes(range(256)) * 100
    whole: dict[str, Callable[[tuple[str, bytes]], bytes]] = {
        "tar": tar,
        "tar.gz": lambda x: gzip.compress(tar(x)),
        "tar.bz2": lambda x: bz2.compress(tar(x)),
        "zip": zipped,
    }
    packed = whole[kind](("a", body))

    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpacked(packed[: len(packed) // 2], kind, tmp_path)


def test_pickles_are_left_out_by_name_and_by_content(tmp_path: Path) -> None:
    torch = zipped(("archive/data.pkl", b"x"))
    body = tar(
        ("m.onnx", b"onnx"), ("m.pth", b"x"), ("hidden.bin", pickle.dumps([1, 2, 3])), ("torch.bin", torch), ("z", b"z")
    )

    found = unpacked(body, "tar", tmp_path)

    assert laid(tmp_path) == {"m.onnx": b"onnx", "z": b"z"}
    assert found.left_out == ("m.pth", "hidden.bin", "torch.bin")


names = st.text(
    st.sampled_from("ab.A/\\: \0\n~éCON1") | st.characters(codec="utf-8"), min_size=1, max_size=12
) | st.sampled_from(HOSTILE)


@given(st.lists(st.tuples(names, st.binary(max_size=20)), max_size=6), st.integers(0, 3), st.booleans())
@settings(max_examples=150)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_whatever_the_names_are_nothing_lies_outside(
    entries: list[tuple[str, bytes]], strip: int, as_zip: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        inner = base / "deep" / "deeper"
        inner.mkdir(parents=True)
        body = zipped(*entries) if as_zip else tar(*entries)
        try:
            found = unpacked(body, "zip" if as_zip else "tar", inner, strip=strip)
        except ModelError:
            found = None
        out = (inner / "out").resolve()
        for path in base.rglob("*"):
            inside = path.resolve().is_relative_to(out)
            assert inside or path in {base / "deep", inner, inner / "archive", inner / "out"}
        if found is not None:
            assert {one.path for one in found.files} == set(laid(inner))


@given(st.text(max_size=30), st.integers(0, 3))
def test_a_name_is_refused_or_stays_below(text: str, strip: int) -> None:
    try:
        path = file_names.relative(text, strip=strip)
    except ValueError:
        return
    if path is not None:
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert PurePosixPath("base") in (PurePosixPath("base") / path).parents
        assert not any(file_names.wrong_part(part) for part in path.parts)
