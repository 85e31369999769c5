r"""A folder for the Embedding Projector of TensorBoard: `vectors.tsv`, `metadata.tsv`, `projector_config.pbtxt`.

`tensorboard --logdir FOLDER` shows it; projector.tensorflow.org takes the two TSV files. Each number has nine digits,
enough to get every float32 back. In texts a tab, a line break and a backslash become `\t`, `\n`, `\r` and `\\`,
because a TSV file has no quotes; `ids.parquet` has them as they were.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgraph.errors import InputError
from mmgraph.export.folder import check_files, read_manifest, read_rows, store_folder
from mmgraph.export.manifest import as_array, from_rows, to_rows
from mmgraph.inference.table import EmbeddingTable

VECTORS, METADATA, CONFIG = "vectors.tsv", "metadata.tsv", "projector_config.pbtxt"
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
ROWS_PER_CHUNK = 4096


def write_projector(table: EmbeddingTable, path: Path, *, overwrite: bool = False) -> None:
    """Write a table as a folder.

    Raises:
        InputError: If the path exists and `overwrite` is false.
    """
    rows, array = to_rows(table), as_array(table.vectors)
    kept: dict[str, Any] = {"package": "numpy", "files": [VECTORS, METADATA, CONFIG]}
    with store_folder(table, path, "projector", overwrite=overwrite, **kept) as folder:
        with open(folder / VECTORS, "w", encoding="ascii", newline="\n") as file:
            np.savetxt(file, array, fmt="%.9g", delimiter="\t")
        with open(folder / METADATA, "w", encoding="utf-8", newline="\n") as file:
            file.write("\t".join(cell(name) for name in rows.column_names) + "\n")
            for start in range(0, len(table), ROWS_PER_CHUNK):
                for row in rows.slice(start, ROWS_PER_CHUNK).to_pylist():
                    file.write("\t".join(map(cell, row.values())) + "\n")
        (folder / CONFIG).write_text(
            f"embeddings {{\n  tensor_name: {json.dumps(table.graph)}\n"
            f'  tensor_path: "{VECTORS}"\n  metadata_path: "{METADATA}"\n}}\n',
            encoding="utf-8",
        )


def cell(value: object) -> str:
    """A value as a cell of a TSV file; nothing for a missing one."""
    return "" if value is None else str(value).translate(ESCAPES)


def read_projector(path: Path, *, verify: bool = True) -> EmbeddingTable:
    """Read a table written by `write_projector`.

    Raises:
        InputError: If a file is missing, damaged, or does not match the manifest.
    """
    manifest = read_manifest(path)
    if verify:
        check_files(path, manifest)
    try:
        array = np.loadtxt(path / VECTORS, dtype=np.float32, delimiter="\t", ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path / VECTORS}: expected numbers, got: {str(error).splitlines()[0]}") from None
    return from_rows(read_rows(path, verify=verify), torch.from_numpy(array), manifest, path, verify=verify)
