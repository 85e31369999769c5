"""A shop's folder as people have it: other names, several formats, and as many defects as one asks for."""

from __future__ import annotations

import json
from pathlib import Path

DEFECTS = (
    "bad encoding",
    "duplicate id",
    "dangling edge",
    "missing image",
    "zero-byte image",
    "large image",
    "odd ids",
    "missing column",
    "mixed types",
    "empty file",
)


def make_shop(folder: Path | str, *, defects: tuple[str, ...] = ()) -> Path:
    """Write products with pictures (csv), what was bought together (tsv), and ratings (jsonl).

    Without defects there are 6 products `p1` to `p6`, 3 users `u1` to `u3`, 5 pairs and 4 ratings.

    Args:
        folder: Folder to create.
        defects: Any of `DEFECTS`; each adds rows and files of its own and leaves the others alone.
    """
    from PIL import Image

    folder = Path(folder)
    (folder / "images").mkdir(parents=True)
    for number in range(1, 7):
        Image.new("RGB", (16, 12), (40 * number, 90, 200)).save(folder / "images" / f"{number}.png")
    products = [b"sku,title,description,photo,category,price"]
    products += [f"p{i},Shoe {i},made of leather,{i}.png,{'ab'[i % 2]},{i}.5".encode() for i in range(1, 7)]
    pairs = ["from\tto\tcount", *(f"p{i}\tp{i + 1}\t{i}" for i in range(1, 6))]
    ratings = [
        {"user_id": user, "sku": item, "stars": stars, "ts": 100 + stars}
        for user, item, stars in (("u1", "p1", 5), ("u1", "p2", 4), ("u2", "p3", 1), ("u3", "p6", 3))
    ]
    if "bad encoding" in defects:
        products.append(b"latin,Caf\xe9,of paper,,a,1")
    if "duplicate id" in defects:
        products.append(b"p1,Another shoe,of wood,2.png,b,9")
    if "dangling edge" in defects:
        pairs.append("p1\tnowhere\t7")
    if "missing image" in defects:
        products.append(b"lost,Lost picture,,gone.png,a,1")
    if "zero-byte image" in defects:
        products.append(b"zero,Zero picture,,zero.png,a,1")
        (folder / "images" / "zero.png").touch()
    if "large image" in defects:
        products.append(b"large,Large picture,,large.png,a,1")
        Image.new("1", (10_000, 5_000)).save(folder / "images" / "large.png")
    if "odd ids" in defects:
        products += [b"a/../b,Slash,,,a,1", b'"line\nbreak",Newline,,,b,1', "漢字 😀,Unicode,,,a,1".encode()]
        pairs.append("a/../b\t漢字 😀\t1")
    if "missing column" in defects:
        (folder / "similar.csv").write_text("source,similarity\np1,0.5\n")
    if "mixed types" in defects:
        pairs.append("p6\tp1\tmany")
        ratings.append({"user_id": 7, "sku": "p2", "stars": 2, "ts": 1})
    if "empty file" in defects:
        (folder / "viewed.csv").touch()
    (folder / "products.csv").write_bytes(b"\n".join(products) + b"\n")
    (folder / "also_bought.tsv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    (folder / "ratings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ratings), encoding="utf-8")
    return folder
