"""What an encoding run did, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class ModalityReport:
    """What happened to one modality; `items = encoded + from_cache + duplicates + len(quarantined)`.

    Attributes:
        encoder: Key of the encoder.
        fingerprint: Its fingerprint.
        items: Nodes that have an item.
        encoded: Distinct contents that were encoded now.
        from_cache: Distinct contents that an earlier run had encoded.
        duplicates: Nodes whose content another node has as well.
        truncated: Nodes whose item is longer than the encoder reads.
        quarantined: Id and reason of each node whose item cannot be read; it counts as absent.
        seconds: Time for all of this.
    """

    encoder: str
    fingerprint: str
    items: int = 0
    encoded: int = 0
    from_cache: int = 0
    duplicates: int = 0
    truncated: int = 0
    quarantined: list[tuple[Any, str]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class EncodingReport:
    """What happened to a graph, by modality.

    Attributes:
        modalities: One report per encoded modality.
    """

    modalities: dict[str, ModalityReport] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
