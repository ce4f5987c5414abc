"""Read catalogue files so that every fault can name its file and line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from yaml import SafeLoader as _Base
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason to refuse an edition. ``line`` counts from 1."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class CatalogueError(Exception):
    """The catalogue cannot be loaded; ``faults`` lists every reason found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class Entry(dict[str, Any]):
    """A YAML mapping that remembers the line it began on, and the line of each key."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 1) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def line_of(self, key: str | int) -> int:
        """The line of a key, or of the mapping when it lacks the key."""
        return self.lines.get(str(key), self.line)


class _Loader(_Base):
    """Safe YAML with line numbers; dates stay text until the schema has seen them."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Entry:
    own = [key.value for key, _ in node.value]
    for index, key in enumerate(own):
        if key in own[:index]:
            mark = node.value[index][0].start_mark
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", mark)
    loader.flatten_mapping(node)
    entry = Entry(node.start_mark.line + 1)
    for key_node, value_node in node.value:
        # The item's own keys follow those merged from an anchor, so they win.
        key = str(loader.construct_object(key_node, deep=True))
        entry[key] = loader.construct_object(value_node, deep=True)
        entry.lines[key] = key_node.start_mark.line + 1
    return entry


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(node.value))


@dataclass(frozen=True, slots=True)
class Source:
    """An entry of a file with where it stands and the edition of its file."""

    file: str
    entry: Entry
    edition: str

    def fault(self, reason: str, key: str = "") -> Fault:
        return Fault(self.file, self.entry.line_of(key), reason)


def read(path: Path) -> tuple[Entry, list[Fault]]:
    """The content of a YAML file, or the faults that make it unreadable."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - built on the safe loader
    except UnicodeDecodeError:
        return Entry(), [Fault(path.name, 1, "not UTF-8")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "not YAML"
        return Entry(), [Fault(path.name, mark.line + 1 if mark else 1, f"not YAML: {reason}")]
    if not isinstance(content, Entry):
        return Entry(), [Fault(path.name, 1, "a catalogue file is a mapping")]
    return content, []


def line_at(content: Entry, path: Iterable[str | int]) -> int:
    """The line of the value that a path of keys and indexes leads to."""
    line, value = content.line, content
    for part in path:
        if isinstance(value, Entry):
            line = value.line_of(part)
        value = value[part]  # type: ignore[index]
        if isinstance(value, Entry):
            line = value.line
    return line
