from __future__ import annotations

from pathlib import Path

import pytest

from mmgraph.errors import InputError
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.registry import FORMATS, detect_format, read_format, write_format
from mmgraph.testing.factories import make_graph


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_has_its_functions_and_only_options_by_name(name: str) -> None:
    entry = FORMATS[name]
    assert callable(entry.function("looks_like"))
    for kind in ("read", "write"):
        assert set(entry.options(kind)).isdisjoint({"name", "overwrite"})
        assert (entry.function(kind).__doc__ or "").count("\n") > 2


def test_an_unknown_format_or_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format 'recbowl'; choose from: recbole"):
        read_format(tmp_path, "recbowl")
    with pytest.raises(InputError, match=r"unknown option to read mm_graph 'feature'; choose from: features"):
        read_format(tmp_path, "mm-graph", feature="clip")
    with pytest.raises(InputError, match="unknown option to write mmrec"):
        write_format(Bundle(make_graph()), tmp_path / "out", "mmrec", nonsense=1)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_no_format_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"fits none of the formats .*; its files: 'thesis\.tex'"):
        detect_format(tmp_path)
    with pytest.raises(InputError, match="expected a folder, found nothing"):
        detect_format(tmp_path / "nowhere")
