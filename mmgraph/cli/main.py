"""Entry point: find the command, run it, turn every foreseeable failure into one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

from mmgraph.cli.parser import Command, CommandModule
from mmgraph.config import explain
from mmgraph.errors import InputError, MissingExtraError, unknown_choice, visible
from mmgraph.files import final_path

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

COMMANDS = {
    "demo": Command("mmgraph.cli.demo", "run the whole job on two real graphs and write a report"),
    "datasets list": Command("mmgraph.cli.datasets_list", "list the graphs that can be built"),
    "datasets build": Command("mmgraph.cli.datasets_build", "build one of them into a folder"),
    "synthetic": Command("mmgraph.cli.synthetic", "write a graph of which the truth and the best scores are known"),
    "import": Command("mmgraph.cli.import_tables", "turn a folder of tables and images into a graph folder"),
    "convert": Command("mmgraph.cli.convert", "read or write a graph in a public format: MM-Graph, MMRec, RecBole"),
    "split": Command("mmgraph.cli.split", "hold edges, labels or interactions out of a graph, and make a task of them"),
    "encode": Command("mmgraph.cli.encode", "turn texts and images of a graph into features"),
    "pretrain": Command("mmgraph.cli.pretrain", "train one model on one or several encoded graphs"),
    "resume": Command("mmgraph.cli.resume", "go on with an interrupted training"),
    "finetune": Command("mmgraph.cli.finetune", "train it on the labels, links, likes or queries of a task"),
    "evaluate": Command("mmgraph.cli.evaluate", "score a trained model and its controls on the tasks of a graph"),
    "embed": Command("mmgraph.cli.export", "write the embeddings of all nodes with their ids (same as export)"),
    "export": Command("mmgraph.cli.export", "write the embeddings of all nodes with their ids"),
    "compress": Command("mmgraph.cli.compress", "measure smaller forms of embeddings, and write one of them"),
    "search": Command("mmgraph.cli.search", "find the nodes nearest to a text, an image or a node"),
    "serve": Command("mmgraph.cli.serve", "answer searches and recommendations over HTTP, with a page"),
    "cluster": Command(
        "mmgraph.cli.cluster", "group the nodes by embeddings or edges, name the groups, compare with labels"
    ),
    "audit-split": Command("mmgraph.cli.audit_split", "look for held-out data that reaches training"),
    "card": Command("mmgraph.cli.card", "describe a trained model, or a graph, in a folder that can be shared"),
    "push": Command("mmgraph.cli.push", "put such a folder somewhere else, or on the Hugging Face Hub"),
    "pull": Command("mmgraph.cli.pull", "fetch a model from a folder or the Hugging Face Hub"),
    "plan": Command("mmgraph.cli.plan", "estimate memory, disk and time of a job, and the machines that it needs"),
    "doctor": Command("mmgraph.cli.doctor", "show versions, extras, devices and caches"),
}

EXIT_OK, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 0, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run `mmgraph`.

    Args:
        argv: Words after `mmgraph`, by default those of the process.

    Returns:
        0, or what the command returns (`audit-split`: 1 after a leak); 2 after bad input, a missing extra or a failed write; 130 after Ctrl-C; 141 if the reader of standard
        output went away.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    state = _State()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_VisibleFormatter("mmgraph: %(message)s"))
    logging.getLogger("mmgraph").addHandler(handler)
    previous_hook, threading.excepthook = threading.excepthook, _tell_of_thread
    try:
        with warnings.catch_warnings(), _second_interrupt_ends(state):
            # PyG still uses torch.jit; nobody who runs a command can do anything about it.
            warnings.filterwarnings("ignore", message=r".*torch\.jit", category=FutureWarning)
            code = _dispatch(words, state)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail(f"interrupted; {state.kept()}", EXIT_INTERRUPTED, prefix="mmgraph: ")
    except BrokenPipeError:
        # Python flushes stdout once more at exit; without this it would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_BROKEN_PIPE
    except argparse.ArgumentError as error:
        return _fail(f"{_as_typed(explain(error, flags=True), state)} (see: mmgraph {state.name} --help)")
    except (InputError, MissingExtraError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_describe(error, state))
    finally:
        threading.excepthook = previous_hook
        logging.getLogger("mmgraph").removeHandler(handler)
    return code


class _VisibleFormatter(logging.Formatter):
    """Log lines may name files and ids of strangers; these must not control the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


class _State:
    """What is known when an error arrives."""

    name: str = ""
    module: CommandModule | None = None
    parser: ArgumentParser | None = None
    args: Namespace | None = None

    def kept(self) -> str:
        """What the command leaves behind."""
        return self.module.kept(self.args) if self.module and self.args else "nothing was changed"


@contextmanager
def _second_interrupt_ends(state: _State) -> Iterator[None]:
    """The first Ctrl-C raises `KeyboardInterrupt`; the second ends the process, whatever it is cleaning up or waiting for.

    Files are safe: they are written under another name, as if the process had been killed.
    """
    pressed = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            os.write(2, visible(f"mmgraph: interrupted twice, ended at once; {state.kept()}").encode() + b"\n")
            os._exit(EXIT_INTERRUPTED)
        pressed = True
        signal.default_int_handler(number, frame)

    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _dispatch(words: list[str], state: _State) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview())
        return EXIT_OK if words else EXIT_ERROR
    if words[0] == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"mmgraph {version('mmgraph')}\n")
        return EXIT_OK
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    if words[0] in groups and (len(words) == 1 or words[1] in ("-h", "--help")):
        sys.stdout.write(overview(words[0]))
        return EXIT_OK if len(words) > 1 else EXIT_ERROR
    length = 2 if words[0] in groups else 1
    name, rest = " ".join(words[:length]), words[length:]
    if name not in COMMANDS:
        raise unknown_choice("command", name, COMMANDS)
    state.name = name
    # The module object has the functions of the protocol; mypy cannot see that through importlib.
    state.module = cast(CommandModule, importlib.import_module(COMMANDS[name].module))
    try:
        state.parser = state.module.build_parser()
        state.args = state.parser.parse_args(rest)
    except SystemExit as stop:  # --help and --print_config have printed their text
        return int(stop.code or 0)
    return state.module.run(state.args) or EXIT_OK


def overview(group: str = "") -> str:
    """Text of `mmgraph --help`, or of one group of commands."""
    shown = {name: command for name, command in COMMANDS.items() if not group or name.split()[0] == group}
    width = max(map(len, shown))
    example = {"datasets": "mmgraph datasets build openmoji --out data/openmoji"}.get(group, "mmgraph demo")
    lines = [
        f"usage: mmgraph {f'{group} ' if group else ''}COMMAND [options]",
        "",
        "Pre-train one graph model on several graphs whose nodes carry text, images or anything else.",
        "",
        "commands:",
        *(f"  {name:<{width}}  {command.summary}" for name, command in shown.items()),
        "",
        "options of a command: mmgraph COMMAND --help      version: mmgraph --version",
        f"example:\n  {example}",
    ]
    return "\n".join(lines) + "\n"


def _fail(message: str, code: int = EXIT_ERROR, *, prefix: str = "mmgraph: error: ") -> int:
    sys.stderr.write(prefix + visible(re.sub(r"\s*\n\s*", " ", message.strip())) + "\n")
    return code


def _as_typed(message: str, state: _State) -> str:
    """Name flags as they are typed: the parser reports `--on_unknown` for `--on-unknown`."""
    typed = {word for action in state.parser._actions for word in action.option_strings} if state.parser else set()

    def spell(match: re.Match[str]) -> str:
        dashed = match[0].replace("_", "-")
        return dashed if dashed in typed else match[0]

    return re.sub(r"--[\w.]+", spell, message)


def _tell_of_thread(told: threading.ExceptHookArgs) -> None:
    """No traceback of a thread that cannot write; whoever waits for it meets the same error."""
    if not isinstance(told.exc_value, OSError):
        threading.__excepthook__(told)


def _describe(error: OSError, state: _State) -> str:
    reason = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        reason = "no space left on the device; free some or choose another folder"
    elif error.errno == errno.EROFS:
        reason = "the file system is read-only; choose another folder"
    # Writers that run beside, as that of TensorBoard, tell no name.
    place = error.filename or (getattr(state.args, "out", None) if error.errno == errno.ENOSPC else None)
    return f"{final_path(os.fsdecode(place))}: {reason}" if isinstance(place, (str, bytes, Path)) else reason


if __name__ == "__main__":
    sys.exit(main())
