from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmgraph.datasets.debian.icons import choose_icons, is_png, read_components, read_icons
from mmgraph.errors import InputError
from mmgraph.testing.archives import COMPONENTS, component, png, tar_of


def test_the_component_to_show_comes_first() -> None:
    index = COMPONENTS + "".join(
        component("calibre", name, f"{name}.png", kind=kind)
        for name, kind in [
            ("calibre-ebook-edit", "desktop-application"),
            ("a", "font"),
            ("calibre-gui", "desktop-application"),
            ("calibre-lrf", "desktop-application"),
        ]
    )
    found = read_components(index.encode())
    assert found == {"calibre": ("calibre-gui.png", "calibre-lrf.png", "calibre-ebook-edit.png", "a.png")}


def test_what_has_no_package_or_no_stored_icon_is_passed_over() -> None:
    index = COMPONENTS + (
        "---\nType: web-application\nID: web\nIcon:\n  cached:\n  - name: web.png\n"
        "---\nType: font\nID: remote\nPackage: b\nIcon:\n  remote:\n  - url: x.png\n"
        "---\nType: generic\nID: none\nPackage: c\nDescription:\n  C: 'Icon: none'\n"
        "---\nType: generic\nID: stock\nPackage: d\nIcon:\n  stock: d\n"
    )
    assert read_components(index.encode()) == {}


def test_the_order_of_components_changes_nothing() -> None:
    parts = [component("a", name, f"{name}.png") for name in ("x", "y", "zz")]
    assert read_components((COMPONENTS + "".join(parts)).encode()) == read_components(
        (COMPONENTS + "".join(reversed(parts))).encode()
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"---\nFile: DEP-11\n---\nIcon: \xff\n", "C: expected UTF-8"),
        (b"---\nFile: DEP-11\n---\nID: a\nIcon: [\n", "C: expected YAML, got: "),
        (b"---\nFile: DEP-11\n---\nIcon:x\n", "C: expected the fields of a component, got 'Icon:x"),
        (b"<html>Icon: none", "C: expected an index of components (File: DEP-11), got '<html>Icon: none'"),
        (b"", "C: expected an index of components (File: DEP-11), got ''"),
    ],
)
def test_what_is_no_index_of_components_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_components(data, where="C")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_wanted_icons_are_read_from_an_archive() -> None:
    data = tar_of({"./a.png": b"a", "b.png": b"b", "c.png": b"c"})
    assert read_icons(data, {"a.png", "b.png", "missing.png"}) == {"a.png": b"a", "b.png": b"b"}
    with pytest.raises(InputError, match="I: expected a tar archive"):
        read_icons(b"not a tar archive" * 100, {"a.png"}, where="I")


def test_the_largest_whole_picture_is_chosen_and_broken_ones_are_counted() -> None:
    good, small, broken = png(1, 128), png(1, 64), png(2)[:-4]
    chosen, quarantined = choose_icons(
        {"both": ["a"], "small": ["b"], "broken": ["c"], "second": ["none", "c", "b"], "half": ["d"]},
        [{"a": good, "c": broken, "d": broken}, {"a": small, "b": small, "c": b"", "d": small}],
    )
    assert chosen == {"both": good, "small": small, "second": small, "half": small}
    assert quarantined == ["c", "d"]


def test_a_png_of_another_library_is_one(tmp_path) -> None:
    Image.new("RGBA", (17, 5), (1, 2, 3, 4)).save(tmp_path / "a.png")
    assert is_png((tmp_path / "a.png").read_bytes())


@given(st.data())
def test_a_png_that_lacks_its_end_or_has_one_byte_changed_is_refused(data: st.DataObject) -> None:
    whole = png(7)
    assert is_png(whole)
    assert not is_png(whole[: data.draw(st.integers(0, len(whole) - 1))])
    position = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[position] ^= data.draw(st.integers(1, 255))
    assert not is_png(bytes(changed))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", png(1, 0)])
def test_other_things_are_no_png(data: bytes) -> None:
    assert not is_png(data)
