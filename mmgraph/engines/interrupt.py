"""Ctrl-C that is not lost."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """Remembers that Ctrl-C was pressed, in case that its exception gets lost.

    Python raises `KeyboardInterrupt` in whatever the main thread runs at the time. If that is a finaliser, or compiled code
    that calls back into Python, the exception is printed or dropped, and the program goes on. Long waits inside of a
    library that has many of both therefore ask afterwards. Handlers that were there are called as before. Outside of the
    main thread, and where Ctrl-C is ignored, nothing is remembered.
    """

    def __init__(self) -> None:
        self.seen = False
        self._note = self._remember  # one object, to be found again
        self._before: signal.Handlers | None = None

    def __enter__(self) -> Self:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = before  # type: ignore[assignment]
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is self._note:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise what may have been lost.

        Raises:
            KeyboardInterrupt: If Ctrl-C was pressed.
        """
        if self.seen:
            raise KeyboardInterrupt

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        self._before(number, frame)  # type: ignore[misc, operator]
