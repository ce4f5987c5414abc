"""``credit-service verify-screening``: check a stored answer of a screening without asking the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from credit_service.cli.database import fail


def verify_screening(
    answer: Annotated[Path, typer.Argument(help="核查结果文件 The answer as it was received.", exists=True)],
    keys: Annotated[Path, typer.Option("--keys", help="公钥文件 /.well-known/document-keys.json.", exists=True)],
) -> None:
    """核验批量核查结果 Whether an answer is what the registry signed, with these keys and nothing else."""
    import orjson

    from credit_service.accounts.document_signatures import SignatureInvalid
    from credit_service.cli.verification import tell_revocation
    from credit_service.supervision.screening.signing import signature_of, verify_answer

    try:
        content, known = answer.read_bytes(), orjson.loads(keys.read_bytes())
        claims = verify_answer(content, known)
    except (SignatureInvalid, orjson.JSONDecodeError) as error:
        raise fail(str(error)) from error
    tell_revocation(signature_of(content).token, known, proved=False)
    typer.echo(f"{claims['count']} subjects, holds at {claims['holds_at']}, signed by {claims['iss']}")
