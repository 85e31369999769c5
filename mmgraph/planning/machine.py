"""The machine that is planned for."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmgraph.errors import InputError
from mmgraph.files import read_json

GiB = 2**30


@dataclass(frozen=True)
class Machine:
    """One machine; all machines of a plan are alike.

    Attributes:
        cores: Processor cores.
        memory: Bytes of memory.
        disk: Bytes that are free on its disk.
        disk_bandwidth: Bytes per second that its disk reads or writes one after the other.
        network_bandwidth: Bytes per second between two machines.
        processor: Name, for the record.
        speed: Speed of one core, as a multiple of that of the machine where the costs were measured.
    """

    cores: int
    memory: int
    disk: int
    disk_bandwidth: float = 500e6
    network_bandwidth: float = 1.25e9
    processor: str = ""
    speed: float = 1.0

    def __post_init__(self) -> None:
        for name in ("cores", "memory", "disk", "disk_bandwidth", "network_bandwidth", "speed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                raise InputError(f"machine: {name} must be a number above 0, got {value!r}")

    @classmethod
    def here(cls, folder: Path = Path()) -> Machine:
        """This machine; bandwidths are assumed, not measured, see the defaults."""
        try:
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            raise InputError("machine: this system does not tell its memory; give --memory") from None
        return cls(os.cpu_count() or 1, memory, max(shutil.disk_usage(folder).free, 1), processor=processor_name())

    @classmethod
    def read(cls, path: Path) -> Machine:
        """Read a JSON file with these fields.

        Raises:
            InputError: If the file is missing, has other fields, or a value is out of range.
        """
        content = read_json(path)
        known = cls.__dataclass_fields__
        if (
            not isinstance(content, dict)
            or not {"cores", "memory", "disk"} <= set(content)
            or set(content) - set(known)
        ):
            raise InputError(f"{path}: expected cores, memory and disk, and at most {', '.join(known)}")
        return cls(**content)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def processor_name() -> str:
    """Model of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
