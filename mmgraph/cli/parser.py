"""The parser that all commands share: one-line errors, a description and an example in every help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from jsonargparse import (  # type: ignore[attr-defined]
    ActionConfigFile,
    ArgumentParser,
    DefaultHelpFormatter,
    Namespace,
)

from mmgraph.config import from_mapping, read_mapping

EngineName = Literal["local", "ray"]
"""The names of `mmgraph.engines.registry`."""

LevelName = Literal["last", "blend", "hybrid", "all"]
"""As in `mmgraph.inference.levels`, which is not imported here: torch takes seconds, and help should not."""


class CommandModule(Protocol):
    """What a module of `mmgraph.cli` offers; the module itself is the command."""

    def build_parser(self) -> ArgumentParser:
        """Make the parser of the command."""

    def run(self, args: Namespace) -> int | None:
        """Do the work; results go to standard output. May return an exit code other than 0."""

    def kept(self, args: Namespace) -> str:
        """Say what an interrupted command leaves behind and how to go on."""


@dataclass(frozen=True)
class Command:
    """Where a command lives; the module is imported only when the command is called.

    Attributes:
        module: Name of the module, a `CommandModule`.
        summary: One line for the overview.
    """

    module: str
    summary: str


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keep the line breaks of descriptions and examples, and name types without Python's brackets."""

    def _expand_help(self, action: argparse.Action) -> str:
        text = super()._expand_help(action)
        text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
        return re.sub(r" \| null, default: null\)", ")", text)


def checked_config_file(config: type[Any], *, also: Collection[str]) -> type[ActionConfigFile]:
    """Make the action of a `--config` flag: the file is checked on its own first, so that errors name file and key.

    Args:
        config: Dataclass of the settings.
        also: Keys that the file may hold besides.
    """

    class CheckedConfigFile(ActionConfigFile):
        def __call__(self, *args: Any, **kwargs: Any) -> None:
            path = str(args[2])  # as argparse passes it
            content = {key: value for key, value in read_mapping(path).items() if key not in also}
            from_mapping(config, content, where=path)
            super().__call__(*args, **kwargs)  # type: ignore[no-untyped-call]

    return CheckedConfigFile


def make_parser(command: str, description: str, *examples: str) -> ArgumentParser:
    """Make a parser whose errors are exceptions, so that `main` prints them as one line.

    Args:
        command: Words after `mmgraph`.
        description: What the command does.
        examples: Command lines shown below the help.
    """
    lines = "\n".join(f"  mmgraph {example}" for example in examples)
    return ArgumentParser(
        prog=f"mmgraph {command}",
        description=description,
        epilog=f"{'example' if len(examples) == 1 else 'examples'}:\n{lines}",
        formatter_class=HelpFormatter,
        exit_on_error=False,
    )


def add_engine_flags(parser: ArgumentParser) -> None:
    """Add `--engine` and `--workers`."""
    parser.add_argument(
        "--engine",
        type=EngineName,
        default="local",
        help="Where the work runs: in this process, or in workers of Ray on this machine or on the cluster that\n"
        "RAY_ADDRESS names. The result is the same.",
    )
    parser.add_argument(
        "--workers",
        type=int | None,
        help="Workers of --engine ray, each with one processor; as many as fit if not given.",
    )
