"""The limits of the house: a file of 400 lines, a function of 40 of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import credit_service

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef
SOURCE = Path(credit_service.__file__).parent


def own_lines(function: Function) -> int:
    """Lines of the body. Functions inside it answer for themselves; a text, such as a statement of SQL, is one line."""
    documented = ast.get_docstring(function, clean=False) is not None
    lines: set[int] = set()
    left_out: set[int] = set()
    for statement in function.body[1 if documented else 0 :]:
        lines.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
        for node in ast.walk(statement):
            if isinstance(node, Function):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                left_out.update(range(first, (node.end_lineno or 0) + 1))
            elif isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                left_out.update(range(node.lineno + 1, (node.end_lineno or 0) + 1))
    return len(lines - left_out)


def functions() -> Iterator[tuple[str, int]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", own_lines(node)


def test_no_file_is_too_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert len(lengths) > 100
    assert {str(path): length for path, length in lengths.items() if length >= MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_too_long() -> None:
    assert {name: length for name, length in functions() if length > MOST_LINES_OF_A_FUNCTION} == {}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("def f():\n    '''Say.\n\n    More.'''\n    return (\n        1\n    )\n", 3),
        ("def f():\n    sql = '''a\n    b\n    c'''\n    return sql\n", 2),
        ("def f():\n    @g\n    def h():\n        return 1\n    return h\n", 1),
    ],
)
def test_what_counts(text: str, lines: int) -> None:
    function = ast.parse(text).body[0]
    assert isinstance(function, Function)
    assert own_lines(function) == lines
