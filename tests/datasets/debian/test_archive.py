from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pyarrow as pa
import pytest

from mmgraph.datasets.debian.archive import (
    COMPONENTS,
    ICONS_LARGE,
    ICONS_SMALL,
    PACKAGES,
    RELEASE,
    decompress,
    find_files,
    read_archive,
)
from mmgraph.errors import InputError
from mmgraph.testing.archives import write_archive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "index")


def test_files_of_a_folder_are_known_by_their_names(folder: Path) -> None:
    (folder / "notes.txt").write_text("not ours")
    (folder / "Sources.xz").write_text("not ours either")
    found = find_files([folder])
    assert set(found) == {PACKAGES, COMPONENTS, ICONS_LARGE, ICONS_SMALL, RELEASE}
    assert found[PACKAGES] == folder / "Packages.xz"
    assert find_files(sorted(folder.glob("[PCi]*"))) == {k: v for k, v in found.items() if k != RELEASE}


def test_names_that_apt_gives_are_known(tmp_path: Path) -> None:
    prefix = "mirror.example_debian_dists_bookworm_"
    names = {
        PACKAGES: f"{prefix}main_binary-amd64_Packages",
        COMPONENTS: f"{prefix}main_dep11_Components-arm64.yml.gz",
        ICONS_SMALL: f"{prefix}main_dep11_icons-64x64.tar.gz",
        RELEASE: f"{prefix}InRelease",
    }
    for name in names.values():
        (tmp_path / name).touch()
    assert find_files([tmp_path]) == {kind: tmp_path / name for kind, name in names.items()}


def test_wrong_files_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "Packages.xz"
    other.write_bytes((folder / "Packages.xz").read_bytes())
    wrong = tmp_path / "packages.txt"
    wrong.touch()
    (tmp_path / "empty").mkdir()
    for paths, message in [
        ([tmp_path / "none"], "none: file not found"),
        ([wrong], "packages.txt: expected a file named like one of Packages.xz, "),
        ([folder, other], f"{other}: a second file of the kind Packages, besides {folder / 'Packages.xz'}"),
        ([tmp_path / "empty"], "empty: expected a file named like Packages.xz, found none"),
        ([folder / "icons-64x64.tar.gz"], "expected a file named like Packages.xz, found none"),
    ]:
        with pytest.raises(InputError) as error:
            find_files(paths)
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_an_archive_knows_its_release_and_digests(folder: Path) -> None:
    archive = read_archive(find_files([folder]))
    assert archive.contents[PACKAGES].startswith(b"Package: ")
    assert archive.release == {
        "origin": "Debian",
        "suite": "stable",
        "codename": "tiny",
        "version": "99.1",
        "date": "today",
    }
    # However a file is compressed, its digest is the same.
    text = archive.contents[PACKAGES]
    (folder / "Packages.xz").unlink()
    (folder / "Packages.gz").write_bytes(gzip.compress(text))
    assert read_archive(find_files([folder])).digests() == archive.digests()


def test_of_a_signed_release_only_the_signed_part_counts(folder: Path) -> None:
    text = (folder / "Release").read_text()
    (folder / "Release").unlink()
    (folder / "InRelease").write_text(
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{text}"
        "-----BEGIN PGP SIGNATURE-----\nVersion: 1\n\niQIz\n-----END PGP SIGNATURE-----\n"
    )
    assert read_archive(find_files([folder])).release["version"] == "99.1"


def test_a_file_of_another_release_is_refused(folder: Path) -> None:
    (folder / "Packages.xz").write_bytes(lzma.compress(b"Package: a\nVersion: 1\n"))
    with pytest.raises(InputError, match=r"Packages\.xz: expected a file of the release in .*Release, which lists no"):
        read_archive(find_files([folder]))
    (folder / "Release").unlink()
    assert read_archive(find_files([folder])).release == {}


@pytest.mark.parametrize("ending", ["", ".gz", ".xz", ".bz2", ".lz4", ".zst"])
def test_every_compression_is_read_and_damage_is_named(tmp_path: Path, ending: str) -> None:
    text = b"Package: a\n" * 1000
    path = tmp_path / f"Packages{ending}"
    if ending in (".lz4", ".zst"):
        with pa.output_stream(path, compression={".lz4": "lz4", ".zst": "zstd"}[ending]) as stream:
            stream.write(text)
    else:
        compress = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}[ending]
        path.write_bytes(compress(text))
    assert decompress(path) == text
    if ending:
        for damaged in (path.read_bytes()[:-12], b"<html>not found</html>"):
            path.write_bytes(damaged)
            with pytest.raises(InputError) as error:
                decompress(path)
            assert str(error.value).startswith(f"{path}: cannot be decompressed: ")
            assert "\n" not in str(error.value)
