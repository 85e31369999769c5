"""What tasks share that ask for something of single nodes."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from mmgraph.data.graph import MultimodalGraph
from mmgraph.errors import InputError
from mmgraph.tasks.base import Task


class NodeTask(Task):
    """A task with one row per node, to train, to select and to test on."""

    splits: ClassVar[tuple[str, ...]] = ("train", "valid", "test")

    @property
    @abstractmethod
    def answers(self) -> pa.Table:
        """Columns `id` and `split` among others, one row per node."""

    def num_examples(self, split: str) -> int:
        """Number of nodes with an answer."""
        return int(pc.sum(pc.equal(self.answers["split"], split)).as_py() or 0)

    @abstractmethod
    def check_trainable(self) -> None:
        """Refuse answers that nothing can be learned from.

        Raises:
            InputError: Says what is missing.
        """

    def check_parts(self) -> None:
        """Refuse a task with nothing to train or to select on.

        Raises:
            InputError: If train or valid is empty.
        """
        for split in ("train", "valid"):
            if self.num_examples(split) == 0:
                raise InputError(f"{self.where}: split {split!r} has no examples")

    def check_ids(self, graph: MultimodalGraph) -> None:
        """Refuse answers for nodes that the graph does not have.

        Raises:
            InputError: Counts the unknown ids and lists the first five.
        """
        graph.node_ids.positions(self.answers["id"], where=f"{self.where}, column 'id'")

    def _rows(self, split: str) -> pa.Table:
        return self.answers.filter(pc.equal(self.answers["split"], split))
