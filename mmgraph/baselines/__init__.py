"""Self-supervised methods of other papers, re-implemented on one interface to compare with."""
