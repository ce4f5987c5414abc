"""The command line. Modules are imported when their command runs, so that ``--help`` answers at once."""

from __future__ import annotations

import sys

import typer

from credit_service.cli import (
    accounts,
    backup,
    calendar,
    catalogue,
    contract,
    database,
    draw,
    imports,
    log,
    screenings,
    serve,
    supervision,
    verification,
    witness,
)

app = typer.Typer(
    name="credit-service",
    help="公共信用信息登记服务 Open public-credit registry for legal entities.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command("serve")(serve.serve)
app.command("worker")(serve.worker)
app.command("healthcheck")(serve.healthcheck)
app.command("import")(imports.import_file)
app.command("backup")(backup.backup)
app.command("verify-backup")(backup.verify_backup)
app.command("restore")(backup.restore)
app.command("openapi")(contract.openapi)
app.command("record-schemas")(contract.record_schemas)
app.command("permissions")(contract.permissions)
app.command("version")(contract.version)
app.command("verify")(verification.verify)
app.command("verify-screening")(screenings.verify_screening)
app.add_typer(database.app, name="db")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(draw.app, name="draw")
app.add_typer(supervision.app, name="supervision")
app.add_typer(calendar.app, name="calendar")
app.add_typer(accounts.agency_app, name="agency")
app.add_typer(accounts.client_app, name="client")
app.add_typer(accounts.keys_app, name="keys")
app.add_typer(log.app, name="log")
app.add_typer(witness.app, name="witness")


def main() -> None:
    """Entry point of the ``credit-service`` command."""
    sys.exit(app())
