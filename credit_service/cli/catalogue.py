"""``credit-service catalogue``: for editors of the law as data."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from credit_service.cli.database import fail

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from credit_service.catalogue.differences import Difference
    from credit_service.catalogue.models import Catalogue, Item

app = typer.Typer(help="目录 Check, compare and show the legal catalogue.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option("--catalogue", help="目录文件夹 Folder of an edition; default: the one in use.")
]
Local = Annotated[Path | None, typer.Option("--supplement", help="地方补充目录 Folder of a local supplement.")]
PAGE = Path("docs/catalogue-reference.md")


@app.command()
def check(
    directory: Annotated[Path | None, typer.Argument(help="目录文件夹 Folder with the YAML files.")] = None,
    supplement: Local = None,
) -> None:
    """核对 Validate an edition; every fault with file, line and reason."""
    catalogue = _load(directory, supplement)
    versions = sum(len(versions) for versions in catalogue.rules.values())
    typer.echo(
        f"edition {catalogue.edition}: {len(catalogue.items)} items, "
        f"{len(catalogue.rules)} rules in {versions} versions, "
        f"{len(catalogue.measures)} measures, {len(catalogue.documents)} documents"
    )
    if catalogue.supplement is not None:
        whose = catalogue.supplement
        typer.echo(f"supplement {whose.edition} of {whose.division} {whose.name_zh} {whose.name_en}")


@app.command()
def show(
    code: Annotated[str, typer.Argument(help="目录事项代码 Catalogue item.")],
    on: Annotated[str | None, typer.Option("--on", help="决定日期 Decision date, YYYY-MM-DD; default: today.")] = None,
    directory: Folder = None,
    supplement: Local = None,
) -> None:
    """查看 An item with everything that governs decisions of a day, in both languages."""
    from datetime import UTC, datetime

    from rich.console import Console

    from credit_service.catalogue.rules import item_in_force
    from credit_service.platform.days import day_of
    from credit_service.platform.errors import Problem

    catalogue = _load(directory, supplement)
    day = _day(on) if on else day_of(datetime.now(UTC))
    try:
        item = item_in_force(catalogue, code, day)
    except Problem as problem:
        raise fail(f"{problem.type.title_zh} {problem.type.title_en}: {problem.detail or code}") from problem
    _show(Console(highlight=False), catalogue, item, day)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="前一版文件夹或者日期 Folder of an edition, or a date.")],
    after: Annotated[str, typer.Argument(help="后一版文件夹或者日期 Folder of an edition, or a date.")],
    as_json: Annotated[bool, typer.Option("--json", help="输出JSON Print JSON.")] = False,
) -> None:
    """比较 What differs between two editions (folders), or between the law of two days (dates) in the one in use."""
    from credit_service.catalogue.differences import between_days, between_editions

    if Path(before).is_dir() and Path(after).is_dir():
        found = between_editions(_load(Path(before), None), _load(Path(after), None))
    else:
        found = between_days(_load(None, None), _day(before), _day(after))
    if as_json:
        typer.echo(json.dumps([_as_json(difference) for difference in found], ensure_ascii=False, indent=2))
        return
    for difference in found:
        _print(difference)
    typer.echo(f"{len(found)} 处不同 differences")


@app.command()
def page(
    output: Annotated[Path, typer.Argument(help="文件 File.")] = PAGE,
    check_only: Annotated[bool, typer.Option("--check", help="只核对 Fail when the file is not current.")] = False,
) -> None:
    """生成说明页 Write the page that shows every item with its rules, from the shipped edition."""
    from credit_service.catalogue.reference import page as rendered
    from credit_service.platform.resources import schemas_dir

    text = rendered(_load(schemas_dir() / "catalogue", None))
    if not check_only:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"{output}: {len(text.splitlines())} lines")
    elif not output.exists() or output.read_text(encoding="utf-8") != text:
        raise fail(f"{output} is not current: run `credit-service catalogue page`")


def _load(directory: Path | None, supplement: Path | None) -> Catalogue:
    """The folders given, or else the catalogue in use."""
    from credit_service.catalogue.loader import CatalogueError, configured, load
    from credit_service.platform.settings import Settings

    try:
        if directory is None and supplement is None:
            return configured(Settings())
        return load(directory or Settings().catalogue_dir, supplement)
    except CatalogueError as error:
        raise fail(str(error)) from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise fail(f"{text}: neither a folder nor a date YYYY-MM-DD") from error


# Show ---------------------------------------------------------------------------------------------------------------


def _show(console: Console, catalogue: Catalogue, item: Item, day: date) -> None:
    from credit_service.catalogue.wording import SECTIONS, STATUSES, basis_words

    console.print(f"[bold]{item.name_zh}  {item.name_en}[/bold]  {item.code}")
    console.print(f"决定日期 decisions of {day} · {SECTIONS[item.section]} · {item.authority_zh} {item.authority_en}")
    until = item.effective_to or ""
    console.print(
        f"有效 in force [{item.effective_from}, {until}) · 版次 edition {item.edition} · {STATUSES[item.status]}",
        markup=False,
    )
    for basis in item.legal_basis:
        words = basis_words(catalogue, basis)
        console.print(f"依据 basis {words.zh} {words.en} ({STATUSES[basis.status]})", markup=False)
    console.print(_rules_table(catalogue, item, day))
    if item.measures:
        console.print(_measures_table(catalogue, item, day))


def _rules_table(catalogue: Catalogue, item: Item, day: date) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from credit_service.catalogue.views import item_rules
    from credit_service.catalogue.wording import KINDS, STATUSES, basis_words, rule_lines

    table = Table(box=box.SIMPLE_HEAD, show_lines=True)
    table.add_column("规则 Rule", overflow="fold", max_width=28)
    table.add_column("内容 What it says", overflow="fold")
    for rule in item_rules(catalogue, item, day):
        says = [f"{label.zh} {value.zh}\n  {label.en}: {value.en}" for label, value in rule_lines(catalogue, rule)]
        says += [f"依据 basis {basis_words(catalogue, basis).zh}" for basis in rule.legal_basis]
        about = f"{KINDS[rule.kind]}\n{rule.name}\n{rule.version}\n[{rule.effective_from}, {rule.effective_to or ''})"
        table.add_row(Text(f"{about}\n{STATUSES[rule.status]}"), Text("\n".join(says)))
    return table


def _measures_table(catalogue: Catalogue, item: Item, day: date) -> Table:
    from rich import box
    from rich.table import Table

    from credit_service.catalogue.measures import measures_in_force
    from credit_service.catalogue.wording import STATUSES, basis_words

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("措施 Measure", "类别 Kind", "依据 Basis"):
        table.add_column(heading, overflow="fold")
    for measure in measures_in_force(catalogue, day):
        if measure.code in item.measures:
            bases = "\n".join(basis_words(catalogue, basis).zh for basis in measure.legal_basis)
            kind = f"{measure.kind} {measure.effect}"
            table.add_row(f"{measure.name_zh}\n{measure.name_en}\n{STATUSES[measure.status]}", kind, bases)
    return table


# Differences --------------------------------------------------------------------------------------------------------

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _print(difference: Difference) -> None:
    typer.echo(f"{_SIGNS[difference.change]} {difference.section} {difference.key}")
    if difference.change == "changed":
        for path, (old, new) in difference.changes.items():
            typer.echo(f"    {path}: {_told(old)} -> {_told(new)}")


def _told(value: object) -> str:
    return "—" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_json(difference: Difference) -> dict[str, object]:
    changes = [{"path": path, "before": old, "after": new} for path, (old, new) in difference.changes.items()]
    return {
        "section": difference.section,
        "key": difference.key,
        "change": difference.change,
        "changes": changes,
    }
