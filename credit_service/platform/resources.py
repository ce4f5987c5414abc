"""Where the packaged data lies: inside the wheel, or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def _directory(name: str) -> Path:
    packaged = _PACKAGE / f"_{name}"
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def schemas_dir() -> Path:
    """The language-neutral contract: catalogue, templates, code tables, openapi.json."""
    return _directory("schemas")


def migrations_dir() -> Path:
    """The Alembic environment."""
    return _directory("migrations")
