"""Strings made to harm, in every place of every route that takes one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import orjson
import pytest

from credit_service.accounts.dependencies import declared_permission
from credit_service.accounts.rules import PERMISSIONS, Role
from credit_service.app import api_routes
from credit_service.identity.uscc import compose
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from tests.api import COMPANY, Api, penalty, running
from tests.hardening.test_contract import existing
from tests.supervision.classes.support import SHIPPED
from tests.test_app import PARAMETERS, UNKNOWN_ID

SQL = ("' OR '1'='1", "1; DROP TABLE record; --", "\\'); SELECT 1/0; --", '" UNION SELECT NULL--')
UNTYPED = ("\ud800", "\x00", *SQL[:1])
LINES = "\r\n" + json.dumps({"event": "forged", "level": "info"}) + "\n\x1b[2J\x1b[31m"
BODIES = {"application/json", "application/x-www-form-urlencoded"}


def operations(api: Api) -> Iterator[tuple[str, str, dict[str, Any], Role]]:
    """Method, path, description and a role that may: the one that gets furthest, as it writes."""
    document = api.app.openapi()
    for route in api_routes(api.app):
        path = route.path.replace(":path}", "}")
        permission = declared_permission(route)
        assert permission is not None
        allowed = sorted(PERMISSIONS[permission] - {Role.PUBLIC}) if path.startswith("/v1") else [Role.PUBLIC]
        for method in sorted(route.methods or ()):
            if path in document["paths"]:
                role = Role.REGULATOR if Role.REGULATOR in allowed else allowed[0]
                yield method, path, document["paths"][path][method.lower()], role


def filled_in(schema: Any, text: str, schemas: dict[str, Any], depth: int = 0) -> Any:
    """The smallest value of a schema that has every member, with ``text`` wherever a string may stand."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        if choice.get("type") != "null":
            return filled_in(choice, text, schemas, depth)
    kind = schema.get("type")
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if kind == "object" and depth < 6:
        members = {
            name: filled_in(each, text, schemas, depth + 1) for name, each in schema.get("properties", {}).items()
        }
        return members or {text: text, "nested": [text, {"again": text}]}
    if kind == "array" and depth < 6:
        return [filled_in(schema.get("items", {}), text, schemas, depth + 1)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if schema.get("format") in ("date", "date-time", "uuid"):
        return {"date": "2026-05-06", "date-time": "2026-05-06T00:00:00Z", "uuid": UNKNOWN_ID}[schema["format"]]
    return True if kind == "boolean" else text


def at(path: str, given: dict[str, str]) -> str:
    for name, value in given.items():
        path = path.replace("{" + name + "}", quote(value, safe=""))
    return path


def requests(path: str, operation: dict[str, Any], known: dict[str, str], api: Api) -> Iterator[dict[str, Any]]:
    """One hostile string at a time in the path and the query, one kind everywhere in headers and body."""
    declared = operation.get("parameters", [])
    inside = [each["name"] for each in declared if each["in"] == "path"]
    case = known.get("/".join(path.split("/")[:3]), UNKNOWN_ID)
    good = {name: known.get(name, PARAMETERS.get(name, case)) for name in inside}
    good |= {"kind": "over-quota", "code": "serious-dishonesty-market-regulation"}
    for text in SQL[:2]:
        for name in inside:
            yield {"url": at(path, good | {name: text})}
        for each in declared:
            if each["in"] == "query":
                yield {"url": at(path, good), "params": {each["name"]: text}}
    own = [each["name"] for each in declared if each["in"] == "header"]
    for text in (*SQL[2:], LINES, "\x00\xff"):
        names = ["User-Agent", "Accept-Language", "X-Request-ID", "Accept", "Referer", "X-Forwarded-For", *own]
        headers = [(name.encode(), text.encode("latin-1")) for name in names]
        yield {"url": at(path, good), "headers": headers, "json": {}}
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.keys() & BODIES:
        for text in UNTYPED:
            value = filled_in(content[media]["schema"], text, api.app.openapi()["components"]["schemas"])
            sent = json.dumps(value) if media == "application/json" else f"a={quote(text, errors='replace')}"
            yield {"url": at(path, good), "content": sent.encode(), "headers": [(b"Content-Type", media.encode())]}


async def test_no_string_is_more_than_a_string(api: Api, owner: asyncpg.Connection[Any]) -> None:
    known = await existing(api)
    tables = await owner.fetchval("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')")
    wrong, sent = [], 0
    for method, path, operation, role in operations(api):
        token = None if role is Role.PUBLIC else await api.token(role)
        for request in requests(path, operation, known, api):
            headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
            headers += [(b"Credit-Purpose", b"supervision")] if "json" not in request else []
            request["headers"] = [*headers, *request.get("headers", ())]
            answer = await api.http.request(method, **request)
            sent += 1
            kind = answer.headers.get("content-type", "")
            if answer.status_code >= 500:
                wrong.append(f"{method} {request}: {answer.status_code} {answer.text}")
            elif answer.status_code >= 400 and not path.startswith("/oauth/") and kind != "application/problem+json":
                wrong.append(f"{method} {request}: {answer.status_code} {kind}")
    assert not wrong, f"{len(wrong)}\n" + "\n".join(each[:700] for each in wrong)
    assert sent > 1500
    assert await owner.fetchval("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')") == tables
    assert await owner.fetchval("SELECT count(*) FROM record") == 1


@pytest.mark.parametrize("text", [*SQL, "%", "_", "%%", "\\", "重庆%公司"])
async def test_a_search_takes_nothing_for_a_pattern(api: Api, text: str) -> None:
    assert (await api.submit()).status_code == 201
    found = await api.get("/v1/entities", params={"name": text})
    assert found.status_code in (200, 422), found.text
    assert COMPANY not in found.text or text == "重庆%公司"  # alike in writing, as any misspelling is


# Logs -------------------------------------------------------------------------------------------------------------


async def test_each_line_of_the_log_is_one_object_that_the_service_wrote(
    database: Database,
    owner: asyncpg.Connection[Any],
    clock: FixedClock,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with running(database, clock, tmp_path, log_level="debug", log_reads=True) as api:
        raw = LINES.encode("latin-1")
        names = (b"User-Agent", b"X-Request-ID", b"Referer", b"Accept-Language", b"Idempotency-Key", b"Credit-Case")
        headers = [(name, raw) for name in names]
        for path in (f"/{quote(LINES)}", f"/v1/entities/{quote(LINES)}", f"/v1/lists/{quote(LINES)}/entries"):
            for method in ("GET", "POST", "FORGED\n{}"):
                await api.http.request(method, path, headers=headers, params={"q": LINES})
        await api.submit(document_number=LINES)
        await owner.execute("REVOKE SELECT ON profile FROM credit_service")
        try:
            failed = await api.http.get(f"/v1/entities/{COMPANY}", params={"q": LINES}, headers=headers[:3])
        finally:
            await owner.execute("GRANT SELECT ON profile TO credit_service")
    assert failed.status_code == 500
    lines = capfd.readouterr().err.splitlines()
    told = [orjson.loads(line) for line in lines]
    assert {"request", "request failed"} <= {each["event"] for each in told}
    assert all({"event", "level", "timestamp"} <= each.keys() for each in told)
    assert not [line for line in lines if "forged" in line or "\x1b" in line]


# Names ------------------------------------------------------------------------------------------------------------

REFUSED = {
    "direction override": "重庆\u202e司公限有\u202c甲公司",
    "isolate": "重庆\u2066乙\u2069有限公司",
    "zero width": "重庆\u200b丙公司",
    "byte order mark": "重庆\ufeff丙公司",
    "tag": "重庆\U000e0041\U000e0042公司",
    "NUL": "重庆\x00丁公司",
    "escape": "重庆\x1b[31m戊公司",
    "lines": "重庆\r\n己公司",
    "line separator": "重庆\u2028壬公司",
    "control": "重庆\x7f\x85癸公司",
    "noncharacter": "重庆\uffff公司",
    "lone surrogate": "重庆\ud800庚公司",
    "nothing to see": "\u3000\u3000\u3000",
    "overlong": "长" * 201,
    "far too long": "长" * 100_000,
    "combining without end": "辛" + "\u0301" * 5000,
}
STORED = {
    "look-alike letter": "重庆\u0430pple有限公司",
    "full width": "重庆（ＡＢ）有限公司",
    "ideographic variant": "重庆葛\U000e0100记有限公司",
    "rare character": "重庆\U00020000\ue000有限公司",
    "combining": "辛" + "\u0301" * 80 + "有限公司",
    "unfolding": "\ufdfa" * 60,
    "markup": "<script>alert(1)</script>&amp;{{7*7}}${7*7}",
}


async def put(api: Api, code: str, name: str) -> list[Any]:
    """A name by each way in: a registrar's report, a record, an agency, a client."""
    sent = [
        ("PUT", f"/v1/entities/{code}", Role.REGISTRAR, {"name": name}),
        ("POST", "/v1/records", Role.SUBMITTER, penalty(uscc=code, entity_name=name)),
        ("PUT", f"/v1/agencies/{compose('11', '500103', '00777009')}", Role.ADMINISTRATOR, agency(name)),
    ]
    kind = {"Content-Type": "application/json", "If-Match": "*"}
    return [await api.call(m, path, role, kind, content=json.dumps(body).encode()) for m, path, role, body in sent]


def agency(name: str) -> dict[str, Any]:
    return {"name": name, "division": "500103", "level": "district", "grants": []}


async def test_names_that_are_not_what_they_seem_are_refused(api: Api, owner: asyncpg.Connection[Any]) -> None:
    before = await owner.fetchval("SELECT count(*) FROM agency")
    for label, name in REFUSED.items():
        for answer in await put(api, COMPANY, name):
            assert answer.status_code == 422, (label, answer.request.url.path, answer.text)
            assert [error["pointer"] for error in answer.json()["errors"]] in (["/name"], ["/entity_name"]), label
            assert name not in answer.text
    counts = "SELECT (SELECT count(*) FROM entity) + (SELECT count(*) FROM record), (SELECT count(*) FROM agency)"
    assert tuple(await owner.fetchrow(counts) or ()) == (0, before)


async def test_odd_names_are_shown_as_they_are_and_found(api: Api) -> None:
    for number, (label, name) in enumerate(STORED.items()):
        code = compose("91", "500103", f"MB{number:06}")
        assert {answer.status_code for answer in await put(api, code, name)} <= {200, 201}, label
        shown = await api.get(f"/v1/entities/{code}")
        assert shown.headers["content-type"] == "application/json"
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert shown.json()["name"] == name, label
        found = await api.get("/v1/entities", params={"name": name})
        assert found.status_code == 200, (label, found.text)
        assert code in found.text, label
    genuine = await api.get("/v1/entities", params={"name": "重庆apple有限公司"})
    assert '"重庆apple有限公司"' not in genuine.text


async def test_members_of_any_shape_hold_text_only(api: Api) -> None:
    """A lone surrogate, which JSON can say and no UTF-8 can, in what no model describes."""
    kind = {"Content-Type": "application/json", "If-Match": "*"}
    client = {"client_id": "odd-keys", "name": "业务系统", "role": "auditor", "jwks": [{"kty": "\ud800", "\ud800": 1}]}
    rule, key, number = json.loads(json.dumps([SHIPPED] * 3, default=str))
    rule["rules"][0]["label_zh"] = "\ud800"
    key["rules"][0]["\ud800"] = "\ud800"
    number["rules"][0]["points"] = 10**30
    rule_sets = "/v1/supervision/rule-sets"
    for method, path, role, body in (
        ("POST", "/v1/clients", Role.ADMINISTRATOR, client),
        ("POST", rule_sets, Role.REGULATOR, {"document": rule}),
        ("POST", rule_sets, Role.REGULATOR, {"document": key}),
        ("POST", rule_sets, Role.REGULATOR, {"document": json.dumps(rule)}),
        ("POST", rule_sets, Role.REGULATOR, {"document": number}),
    ):
        answer = await api.call(method, path, role, kind, content=json.dumps(body).encode())
        assert answer.status_code == 422, (path, answer.text)


@pytest.mark.parametrize("text", ["a\ud800b", "a\x00b", "a\x1b[31mb", "a\u202eb\u202c"])
async def test_facts_hold_text_only(api: Api, text: str) -> None:
    body = penalty(facts={"violation_facts": text, "penalty_categories": [text]})
    headers = {"Content-Type": "application/json"}
    answer = await api.call("POST", "/v1/records", Role.SUBMITTER, headers, content=json.dumps(body).encode())
    assert answer.status_code == 422, answer.text
    lines = await api.submit(facts={"violation_facts": "一、经营超过保质期的食品;\n\t二、未如实说明。"})
    assert lines.status_code == 201, lines.text
