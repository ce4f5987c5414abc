"""``credit-service agency``, ``client`` and ``keys``: what an operator does beside the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from credit_service.cli.database import DataDir, fail, run_as_operator

agency_app = typer.Typer(help="单位 Agencies and what they may submit.", no_args_is_help=True)
client_app = typer.Typer(help="客户端 Clients and their secrets.", no_args_is_help=True)
keys_app = typer.Typer(help="签名密钥 Token signing keys.", no_args_is_help=True)


@agency_app.command("put")
def put_agency(
    uscc: str,
    name: Annotated[str, typer.Option(help="单位名称 Name.")],
    division: Annotated[str, typer.Option(help="行政区划代码 GB/T 2260.")],
    level: Annotated[str, typer.Option(help="national, province, city or district.")] = "district",
    grant: Annotated[list[str] | None, typer.Option(help="报送授权 item-code:division-prefix, repeatable.")] = None,
    data: DataDir = None,
) -> None:
    """录入单位 Enter or change an agency; the grants given replace those it has."""
    from pydantic import ValidationError

    from credit_service.accounts import commands
    from credit_service.accounts.models import AgencyWrite
    from credit_service.catalogue.loader import configured
    from credit_service.platform.settings import Settings

    grants = [dict(zip(("item_code", "division_prefix"), text.split(":", 1), strict=False)) for text in grant or []]
    try:
        body = AgencyWrite.model_validate({"name": name, "division": division, "level": level, "grants": grants})
    except ValidationError as error:
        raise fail(str(error)) from error
    catalogue = configured(Settings())
    agency, created = run_as_operator(
        data, lambda session, actor, now: commands.put_agency(session, catalogue, actor, now, uscc, body)
    )
    typer.echo(f"{'created' if created else 'updated'} {agency.uscc} {agency.name}")


@client_app.command("create")
def create_client(
    client_id: str,
    name: Annotated[str, typer.Option(help="名称 Name.")],
    role: Annotated[str, typer.Option(help="角色 Role.")],
    agency: Annotated[str | None, typer.Option(help="所属单位 Agency.")] = None,
    entity: Annotated[str | None, typer.Option(help="信用主体 Entity.")] = None,
    jwks: Annotated[Path | None, typer.Option(help="公钥集 It signs assertions with these keys (a JWK Set).")] = None,
    certificate: Annotated[Path | None, typer.Option(help="客户端证书 It presents this certificate (PEM).")] = None,
    data: DataDir = None,
) -> None:
    """建立客户端 Make a client; its secret, if it has no better proof, is printed this once."""
    from pydantic import ValidationError

    from credit_service.accounts import commands
    from credit_service.accounts.models import ClientCreate

    given = {"client_id": client_id, "name": name, "role": role, "agency_uscc": agency, "entity_uscc": entity}
    try:
        body = ClientCreate.model_validate(given | _proofs(jwks, certificate))
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise fail(str(error)) from error
    made = run_as_operator(data, lambda session, actor, now: commands.create_client(session, actor, now, body))
    typer.echo(f"client_id={made.client_id}")
    if made.client_secret is not None:
        typer.echo(f"client_secret={made.client_secret}")


def _proofs(jwks: Path | None, certificate: Path | None) -> dict[str, Any]:
    """What the files say of a client's better proofs. Raises ``ValueError``, ``KeyError``, ``TypeError`` for others."""
    import json
    from ssl import PEM_cert_to_DER_cert

    from credit_service.accounts.certificates import thumbprint

    found: dict[str, Any] = {}
    if jwks is not None:
        found["jwks"] = json.loads(jwks.read_text(encoding="utf-8"))["keys"]
    if certificate is not None:
        found["certificate_thumbprint"] = thumbprint(PEM_cert_to_DER_cert(certificate.read_text(encoding="ascii")))
    return found


@client_app.command("disable")
def disable_client(client_id: str, data: DataDir = None) -> None:
    """停用客户端 Shut a client out."""
    from credit_service.accounts import commands

    run_as_operator(data, lambda session, actor, now: commands.disable_client(session, actor, now, client_id))
    typer.echo(f"disabled {client_id}")


@keys_app.command("rotate")
def rotate(data: DataDir = None) -> None:
    """轮换密钥 Make a new signing key; older keys go on verifying until they are retired, and documents for good."""
    from credit_service.accounts import published_keys
    from credit_service.accounts.keys import KeyStore
    from credit_service.platform.settings import Settings

    settings = Settings(data_dir=data) if data else Settings()
    store = KeyStore(settings.keys_directory)
    key = run_as_operator(data, lambda session, actor, now: published_keys.rotate(session, actor, now, store))
    retired = store.retire(settings.token_lifetime_seconds + 60)
    typer.echo(f"signing {key.kid}; retired {len(retired)}")


@keys_app.command("revoke")
def revoke(
    kid: Annotated[str, typer.Argument(help="密钥标识 Of /.well-known/document-keys.json, and in a document's jws.")],
    since: Annotated[str, typer.Option(help="不可信起始时间 Nothing it signed from then on is believed, RFC 3339.")],
    reason: Annotated[str, typer.Option(help="理由 Reason, for the audit trail.")],
    data: DataDir = None,
) -> None:
    """吊销密钥 Publish that a stolen key is not to be believed; its tokens are out within half a minute."""
    from datetime import datetime

    from credit_service.accounts import published_keys
    from credit_service.accounts.keys import KeyStore
    from credit_service.platform.settings import Settings

    try:
        instant = datetime.fromisoformat(since)
    except ValueError as error:
        raise fail(f"--since: {error}") from error
    if instant.tzinfo is None:
        raise fail("--since needs an offset, as in 2026-11-27T10:00:00+08:00")
    settings = Settings(data_dir=data) if data else Settings()
    store = KeyStore(settings.keys_directory)
    run_as_operator(
        data,
        lambda session, actor, now: published_keys.revoke(
            session, actor, now, store, kid, since=instant, reason=reason
        ),
    )
    store.retire(settings.token_lifetime_seconds + 60)
    store.remove(kid)
    typer.echo(f"revoked {kid} since {since}; signing {store.signing().kid}")


@keys_app.command("list")
def list_keys(data: DataDir = None) -> None:
    """密钥列表 The keys, the signing one first."""
    from datetime import UTC, datetime

    from credit_service.accounts.keys import KeyStore
    from credit_service.platform.settings import Settings

    settings = Settings(data_dir=data) if data else Settings()
    for key in sorted(KeyStore(settings.keys_directory).all().values(), key=lambda key: -key.made_at):
        typer.echo(f"{key.kid}  {datetime.fromtimestamp(key.made_at, UTC):%Y-%m-%dT%H:%M:%SZ}")
