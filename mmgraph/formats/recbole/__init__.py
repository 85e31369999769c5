"""RecBole's atomic files: `.inter`, `.user`, `.item`, `.kg`, `.link`, and benchmark splits."""

from mmgraph.formats.recbole.names import RecBoleNames
from mmgraph.formats.recbole.reading import looks_like_recbole, read_recbole
from mmgraph.formats.recbole.writing import write_recbole

__all__ = ["RecBoleNames", "looks_like_recbole", "read_recbole", "write_recbole"]
