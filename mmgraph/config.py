"""Frozen dataclass configs as YAML: strict reading, complete writing, a digest."""

from __future__ import annotations

import dataclasses
import re
import typing
from argparse import ArgumentError
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentParser

from mmgraph.errors import InputError, unknown_choice
from mmgraph.files import atomic_path, content_digest
from mmgraph.untrusted import limited_bytes, reads
from mmgraph.yaml_text import MAX_YAML_BYTES, parse_yaml

C = TypeVar("C")


def dump_yaml(config: Any) -> str:
    """Write every field of a config as YAML, defaults and nulls included.

    Args:
        config: Instance of a (possibly nested) dataclass.
    """
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True, width=100)


def save_yaml(config: Any, path: Path | str) -> None:
    """Write a config to a file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(dump_yaml(config), encoding="utf-8")


@reads("settings")
def load_yaml(path: Path | str, cls: type[C]) -> C:
    """Read a config from a file; fields that the file leaves out keep their defaults.

    Args:
        path: YAML file.
        cls: Dataclass to build.

    Raises:
        InputError: If the file is missing or not YAML, or names the group and the key that are unknown, twice
            there, of a wrong type or out of range.
    """
    return from_mapping(cls, read_mapping(path), where=str(path))


def read_mapping(path: Path | str) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; an empty file is an empty mapping.

    Raises:
        InputError: If the file is missing, is not YAML, has a key twice, holds something else, or is larger or nested
            deeper than `mmgraph.yaml_text` reads.
    """
    content = limited_bytes(path, MAX_YAML_BYTES)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a YAML file, got: {error}") from None
    value = parse_yaml(text, where=path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping of keys to values, got {type(value).__name__}")
    return value


def from_mapping(cls: type[C], values: Mapping[str, Any], *, where: str = "config") -> C:
    """Build a config from nested plain values, checking every key and type.

    Args:
        cls: Dataclass to build.
        values: Values by field name; fields left out keep their defaults.
        where: Named in errors, for example the file.

    Raises:
        InputError: Names the group and the key.
    """
    _check_keys(cls, values, where, group="")
    parser = ArgumentParser(exit_on_error=False, add_help=False)
    parser.add_class_arguments(cls, "config")
    try:
        config: C = parser.instantiate(parser.parse_object({"config": dict(values)})).config
    except ArgumentError as error:
        raise InputError(f"{where}: {explain(error)}") from None
    except (
        ValueError,
        TypeError,
    ) as error:  # a range check in some __post_init__; build the groups one by one to find it
        hints = typing.get_type_hints(cls)
        for key, value in values.items():
            nested = _dataclass_of(hints[key])
            if nested is not None and value is not None:
                from_mapping(nested, value, where=f"{where}: group {key!r}")
        raise InputError(f"{where}: {_one_line(str(error))}") from None
    return config


def config_digest(config: Any) -> str:
    """Digest of the type and all values of a config; equal configs have equal digests in every process."""
    return content_digest(type(config).__name__, dump_yaml(config))


def explain(error: Exception, *, flags: bool = False) -> str:
    """Turn a message of jsonargparse into one line that says what was expected and what was found.

    Args:
        error: What jsonargparse raised.
        flags: Name the place as a flag (`--group.key`) instead of group and key.
    """
    text = _one_line(str(getattr(error, "message", None) or error))
    found = re.match(r'Parser key "([^"]+)"(?: element \d+)?: (.*)', text)
    if found:
        text = f"{f'--{found[1]}' if flags else _place(found[1].removeprefix('config.'))}: {found[2]}"
    text = re.sub(r"Problem with given class_path '[^']+': (Parser key )?", "", text)  # in a list of groups
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text).replace("typing.", "")
    text = re.sub(r"Expected an? ", "expected ", text)
    return re.sub(r"\. Got value: ", ", got ", text)


def _place(path: str) -> str:
    group, _, key = path.rpartition(".")
    return f"group {group!r}, key {key!r}" if group else f"key {key!r}"


def _check_keys(cls: type[Any], values: Any, where: str, group: str) -> None:
    place = f"{where}: group {group!r}" if group else where
    if not isinstance(values, Mapping):
        raise InputError(f"{place}: expected keys and values, got {values!r}")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for key, value in values.items():
        if key not in names:
            raise InputError(f"{place}: {unknown_choice('key', str(key), names)}")
        path = f"{group}.{key}" if group else str(key)
        nested = _dataclass_of(hints[key])
        if nested is not None and not (value is None and nested is not hints[key]):
            _check_keys(nested, value, where, path)
        element = _element_of(hints[key])
        if element is not None and isinstance(value, (list, tuple)):
            for number, item in enumerate(value):
                _check_keys(element, item, where, f"{path}[{number}]")


def _dataclass_of(hint: Any) -> type[Any] | None:
    """The dataclass in `X` or `X | None`; other unions are left to jsonargparse."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint
    if typing.get_origin(hint) in (typing.Union, UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if len(options) == 1:
            return _dataclass_of(options[0])
    return None


def _element_of(hint: Any) -> type[Any] | None:
    """The dataclass in `tuple[X, ...]`."""
    arguments = typing.get_args(hint)
    return _dataclass_of(arguments[0]) if typing.get_origin(hint) is tuple and arguments[1:] == (...,) else None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _one_line(text: str) -> str:
    return " ".join(text.split())
