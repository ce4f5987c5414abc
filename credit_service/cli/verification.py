"""``credit-service verify``: one command for whatever the registry hands out, offline, trusting public keys alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from credit_service.cli.database import fail

if TYPE_CHECKING:
    from credit_service.audit.notes import Verifier
    from credit_service.audit.verification import Report, Trust

Keys = Annotated[list[str] | None, typer.Option("--key", help="公钥 Verifier key, or a file of them; repeatable.")]


def verify(
    place: Annotated[
        Path,
        typer.Argument(
            help="日志、答复、报告、核查或抽取 A folder of tiles, or a file: answer, report, screening, draw."
        ),
    ],
    key: Keys = None,
    jwks: Annotated[
        list[Path] | None,
        typer.Option(
            help="签名公钥 For reports and screenings: today's /.well-known/document-keys.json,"
            " or the jwks.json of the time; repeatable.",
            exists=True,
        ),
    ] = None,
    digest: Annotated[
        str | None, typer.Option(help="承诺摘要 For draws: the commitment as it was noted before the draw.")
    ] = None,
    witness: Annotated[list[str] | None, typer.Option("--witness", help="见证人公钥 Repeatable.")] = None,
    quorum: Annotated[
        int | None, typer.Option(min=0, help="至少几个见证人 Witnesses that must have signed; without it all named.")
    ] = None,
    sm2_key: Annotated[
        Path | None,
        typer.Option(help="SM2公钥 File with the SM2 key that must have signed the log's heads.", exists=True),
    ] = None,
    since: Annotated[Path | None, typer.Option(help="此前所见检查点 A checkpoint seen before.")] = None,
    hashes_only: Annotated[
        bool, typer.Option("--hashes-only", help="仅哈希 Accept a public copy, which has no entries.")
    ] = False,
) -> None:
    """离线核验 Verify offline, trusting the public key alone. Exit 0 only if something was checked and all holds."""
    from credit_service.audit.folders import verify_folder
    from credit_service.audit.notes import NoteError, open_checkpoint
    from credit_service.audit.sm2 import Sm2UnavailableError, Sm2Verifier
    from credit_service.audit.verification import Trust

    if not place.exists():
        raise fail(f"log-missing: {place}")
    try:
        keys, witnesses = _verifiers(key), _verifiers(witness)
        seen = open_checkpoint(since.read_text(encoding="utf-8"), keys)[0] if since else None
        sm2 = Sm2Verifier.parse(sm2_key.read_text(encoding="utf-8")) if sm2_key else None
    except (NoteError, OSError, UnicodeDecodeError) as error:
        raise fail(f"{error}") from error
    trust = Trust(keys, witnesses, len(set(witnesses)) if quorum is None else quorum, seen, hashes_only, sm2)
    if place.is_file() and since is not None:
        raise fail("--since is for folders: an answer shows one head and not how the log came to it")
    try:
        if place.is_file():
            _verify_file(place, trust, jwks or [], digest)
        else:
            _tell(verify_folder(place, trust))
    except Sm2UnavailableError as error:
        raise fail(str(error)) from error


def _verify_file(file: Path, trust: Trust, jwks: list[Path], digest: str | None) -> None:
    """What a file is follows from its members: a screening is signed by itself, a draw shows how it was drawn."""
    from credit_service.audit.answers import read_answer, verify_answer

    content = file.read_bytes()
    document: dict[str, Any] | None
    try:
        document = read_answer(content)
    except ValueError:
        document = {"jws": None} if content.rstrip().count(b"\n") else None  # lines: a streamed screening
    if document is None:
        raise fail(f"FAULT answer-unproved at {file}: not an answer of the registry")
    if "report" in document:
        _verify_report(document, trust, jwks)
        return
    if trust.sm2 is not None and ("jws" in document or "material" in document):
        raise fail("--sm2-key is for the log and what it proves; this was signed by other keys, or by none")
    if "jws" in document:
        _verify_screening(content, jwks)
    elif "material" in document and "reveal" in document:
        _verify_draw(document, digest)
    else:
        _tell([verify_answer(document, trust)])


def _verify_screening(content: bytes, jwks: list[Path]) -> None:
    from credit_service.accounts.document_signatures import SignatureInvalid
    from credit_service.supervision.screening.signing import signature_of, verify_answer

    try:
        keys = _key_set(jwks, "a screening")
        claims = verify_answer(content, keys)
    except SignatureInvalid as error:
        raise _fault(error.fault, str(error)) from error
    if not claims["count"]:
        raise _fault("report-empty", "no subject")
    tell_revocation(signature_of(content).token, keys, proved=False)
    _say(f"{claims['count']} subjects checked, holds at {claims['holds_at']}, signed by {claims['iss']}: holds")


def _verify_report(document: dict[str, Any], trust: Trust, jwks: list[Path]) -> None:
    """By its signature; with the log's keys also by the proofs that it was asked for with."""
    from credit_service.accounts.document_signatures import SignatureInvalid
    from credit_service.audit.answers import verify_answer
    from credit_service.reports.rules import answer_of, unproved
    from credit_service.reports.signing import verified

    try:
        keys = _key_set(jwks, "a report")
        claims = verified(document, keys)
        answer = answer_of(document["report"])
    except SignatureInvalid as error:
        raise _fault(error.fault, str(error)) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _fault("report-forged", str(error)) from error
    if trust.keys:
        told = verify_answer(answer, trust)
        told.unproved |= unproved(document["report"])
        _tell([told])
    else:
        _say("仅凭签名 By its signature alone: whether the log holds what it says, --key and ?proof=true check")
    tell_revocation(document["jws"], keys, proved=bool(trust.keys))
    _say(
        f"report {claims['number']} on {claims['sub']}: registration and {claims['records']} records checked,"
        f" holds at {claims['issued_at']}, signed by {claims['iss']}: holds"
    )


def _key_set(files: list[Path], what: str) -> dict[str, Any]:
    """The keys of all files as one set. Raises ``SignatureInvalid`` when there is none, or one is no set."""
    import orjson

    from credit_service.accounts.document_signatures import SignatureInvalid

    if not files:
        raise SignatureInvalid(f"{what} is verified with --jwks, the registry's document keys")
    try:
        return {"keys": [key for file in files for key in orjson.loads(file.read_bytes())["keys"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise SignatureInvalid("not a set of keys") from error


def tell_revocation(token: str, keys: dict[str, Any], *, proved: bool) -> None:
    """Warn of a key that was revoked since a later instant than the document's own."""
    from credit_service.accounts.document_signatures import revocation

    since = revocation(token, keys)
    if since is not None:
        covered = "the log proves what it shows, not its date" if proved else "nothing here proves its date"
        _say(
            f"WARNING 密钥已吊销 its key is revoked since {since:%Y-%m-%dT%H:%M:%SZ}. It says that it is older,"
            f" which whoever has the key can write: {covered}",
            err=True,
        )


def _verify_draw(document: dict[str, Any], digest: str | None) -> None:
    from credit_service.supervision.inspections.rules import faults_of

    try:
        faults = faults_of(document, None)
        commitment = document["commitment"]["digest"]
        entities = sum(len(stratum["entities"]) for stratum in document["material"]["strata"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _fault("draw-differs", f"{type(error).__name__}: {error}") from error
    if digest is not None and digest != commitment:
        faults.append("the commitment is not the one that was noted")
    if faults:
        raise _fault("draw-differs", "; ".join(faults))
    if not entities:
        raise _fault("report-empty", "no entity to draw from")
    _say(f"{len(document['drawn'])} drawn of {entities} entities checked, commitment {commitment}: holds")


def _fault(name: str, place: str) -> typer.Exit:
    from credit_service.audit.verification import FAULTS

    return fail(_plain(f"FAULT {name} at {place} ({FAULTS[name]})"))


def _plain(text: str) -> str:
    """What a stranger's file says is shown, and moves no cursor: no line of it can be taken for one of ours."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _say(text: str, *, err: bool = False) -> None:
    typer.echo(_plain(text), err=err)


def _verifiers(given: list[str] | None) -> list[Verifier]:
    from credit_service.audit.notes import Verifier

    texts = []
    for text in given or []:
        texts += Path(text).read_text(encoding="utf-8").split() if "+" not in text else [text]
    return [Verifier.parse(text) for text in texts]


def _tell(reports: list[Report]) -> None:
    from credit_service.audit.verification import FAULTS

    for report in reports:
        for finding in report.findings:
            _say(f"FAULT {finding.fault} at {finding.place} ({FAULTS[finding.fault]})", err=True)
        _say(
            f"{report.origin or 'no log'}: size {report.size}, {report.hashes} hashes and {report.entries} entries"
            f" checked, signed by {len(report.signers)} keys and {len(report.witnesses)} witnesses:"
            f" {'holds' if report.holds else 'DOES NOT HOLD'}"
        )
        if report.unproved:
            _say(
                f"日志不证明 NOT PROVED by the log: {', '.join(sorted(report.unproved))};"
                " nor that a list leaves nothing out. They follow from the catalogue or the clock, or stand on the"
                " registry's word"
            )
    if not all(report.holds for report in reports):
        raise typer.Exit(1)
