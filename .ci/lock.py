"""Write requirements/lock.txt: every package of an installation, with its version and the SHA-256 of its file.

    python .ci/lock.py [--extras dev] [--out requirements/lock.txt]
    pip install --require-hashes -r requirements/lock.txt && pip install --no-deps -e .

Pip resolves without installing anything, from the index that it is configured for; the file names no index. It holds for the
operating system, processor and version of Python that it was made on, which its first lines say.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def requirements(extras: list[str]) -> list[str]:
    """Requirements of the project and of some extras; extras of extras are replaced by what they stand for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found, todo = list(project["dependencies"]), list(extras)
    while todo:
        for line in project["optional-dependencies"][todo.pop()]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", line)
            if own:
                todo += own[1].split(",")
            else:
                found.append(line)
    return sorted(set(found))


def resolve(wanted: list[str]) -> list[dict[str, str]]:
    """Name, version and SHA-256 of everything that pip would install."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--disable-pip-version-check", "--report", str(report), *wanted]
        subprocess.run(command, check=True)
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [
        {
            "name": re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(),
            "version": item["metadata"]["version"],
            "sha256": item["download_info"]["archive_info"]["hashes"]["sha256"],
        }
        for item in items
    ]


def main() -> int:
    """Resolve and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="*", default=["dev"])
    parser.add_argument("--out", type=Path, default=ROOT / "requirements" / "lock.txt")
    arguments = parser.parse_args()
    packages = sorted(resolve(requirements(arguments.extras)), key=lambda package: package["name"])
    lines = [
        f"# Made by .ci/lock.py for the extras {', '.join(arguments.extras) or 'none'}.",
        f"# Python {platform.python_version()}, {platform.system()} {platform.machine()}; other platforms need their own.",
        *(f"{package['name']}=={package['version']} --hash=sha256:{package['sha256']}" for package in packages),
    ]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{arguments.out}: {len(packages)} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
