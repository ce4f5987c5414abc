"""A reader of Dockerfiles, as much of the format as ours uses: comments, continued lines, stages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction with its continued lines joined."""

    name: str
    value: str


@dataclass
class Stage:
    """What stands between one FROM and the next."""

    image: str
    alias: str | None
    instructions: list[Instruction] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [each.value for each in self.instructions if each.name == name]


def instructions(text: str) -> list[Instruction]:
    """Every instruction in order. Comment lines inside a continued one are dropped, as the builder does."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in joined.splitlines():
        name, _, value = line.strip().partition(" ")
        found.append(Instruction(name.upper(), value.strip()))
    return found


def stages(path: Path) -> list[Stage]:
    """The stages of a Dockerfile; an ARG before the first FROM is not supported."""
    found: list[Stage] = []
    for each in instructions(path.read_text(encoding="utf-8")):
        if each.name == "FROM":
            image, _, alias = each.value.partition(" ")
            found.append(Stage(image, alias.split()[-1] if alias else None))
        else:
            found[-1].instructions.append(each)
    return found
