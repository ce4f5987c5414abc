"""Entities with public profiles for the lookup benchmark, loaded set-based so that a million take minutes.

The first ``SAMPLE`` entities have records, and profiles of every audience rendered by the service's own statement. Any
further entity has a row of its own in ``entity`` and in ``profile``: a rendered body of the sample with its own code.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from benchmarks.support import codes, say
from credit_service.accounts.rules import Principal, Role
from credit_service.entities import profile
from credit_service.identity.uscc import compose
from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded import EmbeddedServer

SAMPLE = 10_000
RENDERED_AT_ONCE = 250
AGENCY = compose("11", "500103", "00928654")
REGULATOR = Principal(id="client:benchmark", role=Role.REGULATOR, agency_uscc=AGENCY)

# bench_code numbers the codes: pgbench can draw a number, not a code.
_CODES = """
CREATE UNLOGGED TABLE bench_code (n integer PRIMARY KEY, uscc varchar(18) COLLATE "C" NOT NULL);
GRANT SELECT ON bench_code TO credit_service;
"""
_CALLER = """
INSERT INTO agency (uscc, name, division, level, created_at)
VALUES ($1, '重庆市渝中区市场监督管理局', '500103', 'district', $2)
"""
_CLIENT = """
INSERT INTO client (client_id, name, role, agency_uscc, secret_hash, created_at)
VALUES ('benchmark', '基准测试', 'regulator', $1, 'none', $2)
"""
_ENTITIES = """
INSERT INTO entity (uscc, name, category, division, industry, registration_status, established_on, source, created_at,
    updated_at)
SELECT uscc, '重庆市基准测试商贸' || lpad(n::text, 7, '0') || '有限公司', left(uscc, 2), substr(uscc, 3, 6), 'F5191',
    'active', date '2010-01-01' + n % 5000, 'registrar', $1, $1
FROM bench_code ORDER BY uscc
"""
# Zero to six records each, penalties and licences in turn, with the facts that the templates of 双公示 ask for.
_RECORDS = """
INSERT INTO record (uscc, id, item_code, document_number, authority_uscc, authority_name, source_uscc, source_name,
    entity_name, decided_on, valid_until, legal_basis, public_facts, shared_facts, restricted_facts, severity,
    explanation, rule_version, state, state_from, notices, publicity_from, publicity_until, repair_eligible_from,
    version, content_digest, recorded_at, changed_at)
SELECT e.uscc, gen_random_uuid(), CASE WHEN k % 2 = 1 THEN 'administrative-penalty' ELSE 'administrative-licence' END,
    '渝中市监处字〔2026〕' || n || '-' || k || '号', $2, '重庆市渝中区市场监督管理局', $2, '重庆市渝中区市场监督管理局',
    e.name, ($1 AT TIME ZONE 'UTC')::date - k * 40 - n % 30, date '2099-12-31',
    '《中华人民共和国食品安全法》第一百二十四条第一款第五项',
    CASE WHEN k % 2 = 1 THEN json_build_object(
        'violation_type', '经营超过保质期的食品', 'penalty_content', '罚款、没收违法所得',
        'violation_facts', '当事人经营超过保质期的食品, 经查证属实, 案发后已停止违法行为。', 'fine_amount', '5000.00',
        'penalty_categories', json_build_array('罚款', '没收违法所得'), 'confiscated_amount', '312.00')
    ELSE json_build_object('licence_type', '普通', 'licence_number', 'JY' || n,
        'licence_content', '食品经营许可: 预包装食品销售') END,
    '{"procedure": "ordinary"}', '{}', CASE WHEN k % 2 = 1 THEN 'general' END,
    '[{"rule": "publicity", "article": "benchmark"}]', 'benchmark', 'published', $1 - interval '30 days', '[]',
    $1 - interval '30 days', $1 + interval '300 days' * k, ($1 AT TIME ZONE 'UTC')::date + 60, 1, '\\x00',
    $1 - interval '30 days', $1 - interval '30 days'
FROM bench_code c JOIN entity e USING (uscc), generate_series(1, c.n % 7) AS k
WHERE c.n <= $3
"""
# The versions behind them, as the service writes them, but for the order of members.
_VERSIONS = """
INSERT INTO record_version (uscc, record_id, version, recorded_at, change, actor, request_id, salt, commitment, content,
    standing)
SELECT uscc, id, 1, recorded_at, 'record.stored', 'benchmark', 'benchmark', '\\x00', '\\x00',
    json_build_object('authority_name', authority_name, 'authority_uscc', authority_uscc, 'decided_on', decided_on,
        'document_number', document_number, 'entity_name', entity_name, 'item_code', item_code, 'legal_basis',
        legal_basis, 'public_facts', public_facts, 'restricted_facts', restricted_facts, 'shared_facts', shared_facts,
        'uscc', uscc, 'valid_until', valid_until)::text,
    json_build_object('consent', consent, 'disclosure_until', disclosure_until, 'explanation', explanation, 'notices',
        notices, 'publicity_from', publicity_from, 'publicity_until', publicity_until, 'repair_eligible_from',
        repair_eligible_from, 'rule_version', rule_version, 'severity', severity, 'source_name', source_name,
        'source_uscc', source_uscc, 'state', state, 'state_from', state_from)::text
FROM record
"""
_ENTITY_VERSIONS = """
INSERT INTO entity_version (uscc, version, recorded_at, change, actor, request_id, content)
SELECT uscc, 1, $1::timestamptz - interval '30 days', 'entity.registered', 'benchmark', 'benchmark',
    json_build_object('uscc', uscc, 'name', name, 'category', category, 'division', division, 'industry', industry,
        'registration_status', registration_status, 'established_on', established_on, 'quality_flags', quality_flags,
        'source', source, 'names', json_build_array(json_build_object('name', name)))::text
FROM entity
"""
_COPIES = """
INSERT INTO profile (uscc, audience, status, etag, fresh_until, rendered_at, body)
SELECT c.uscc, p.audience, p.status,
    '"' || lpad(to_hex(hashtextextended(body_of.text, 0)), 16, '0')
        || lpad(to_hex(hashtextextended(body_of.text, 1)), 16, '0') || '"',
    p.fresh_until, p.rendered_at, convert_to(body_of.text, 'UTF8')
FROM bench_code c
JOIN bench_code s ON s.n = (c.n - 1) % $1 + 1
JOIN profile p ON p.uscc = s.uscc AND p.audience = 'public',
LATERAL (SELECT replace(convert_from(p.body, 'UTF8'), s.uscc, c.uscc) AS text) body_of
WHERE c.n > $1 ORDER BY c.uscc
"""
_MEASURE = """
SELECT (SELECT count(*) FROM entity) AS entities, (SELECT count(*) FROM record) AS records,
    (SELECT count(*) FROM profile) AS profiles, (SELECT count(*) FROM profile WHERE audience = 'public') AS public,
    pg_total_relation_size('profile') >> 20 AS profile_megabytes
"""
_BODIES = """
SELECT round(avg(length(body)))::int AS mean, percentile_disc(0.5) WITHIN GROUP (ORDER BY length(body)) AS median,
    max(length(body)) AS largest
FROM profile WHERE audience = 'public' AND uscc IN (SELECT uscc FROM bench_code WHERE n <= $1)
"""


async def load(server: EmbeddedServer, entities: int) -> dict[str, Any]:
    """Fill an empty registry; gives the counts, the sizes of the public bodies and how long it took."""
    began, now = time.perf_counter(), datetime.now(UTC)
    sample = min(entities, SAMPLE)
    connection = await asyncpg.connect(**connect_arguments(server.superuser_url))
    try:
        await connection.execute("SET synchronous_commit = off; SET work_mem = '256MB'; SET timezone = 'UTC'")
        await connection.execute(_CODES)
        await connection.copy_records_to_table("bench_code", records=enumerate(codes(entities), 1))
        await connection.execute(_CALLER, AGENCY, now)
        await connection.execute(_CLIENT, AGENCY, now)
        await connection.execute(_ENTITIES, now)
        await connection.execute(_RECORDS, now, AGENCY, sample)
        await connection.execute(_VERSIONS)
        await connection.execute(_ENTITY_VERSIONS, now)
        await connection.execute("ANALYZE")
        rows = await connection.fetch("SELECT uscc FROM bench_code WHERE n <= $1 ORDER BY n", sample)
        usccs = [row["uscc"] for row in rows]
        for start in range(0, sample, RENDERED_AT_ONCE):
            async with connection.transaction():
                await profile.render(connection, usccs[start : start + RENDERED_AT_ONCE], now)
        if entities > sample:
            await connection.execute(_COPIES, sample)
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
        counts = dict(await connection.fetchrow(_MEASURE))
        counts["as_of"] = (now - timedelta(days=7)).date().isoformat()
        counts["body_bytes"] = dict(await connection.fetchrow(_BODIES, sample))
    finally:
        await connection.close()
    if counts["public"] != entities:
        raise SystemExit(f"{counts['public']} public profiles of {entities} entities")
    counts["loaded_seconds"] = round(time.perf_counter() - began, 1)
    say(f"loaded {counts}")
    return counts


async def tagged_codes(server: EmbeddedServer, audience: str) -> list[tuple[str, str]]:
    """Every code and ETag of an audience, in the order of their numbers."""
    connection = await asyncpg.connect(**connect_arguments(server.superuser_url))
    try:
        rows = await connection.fetch(
            "SELECT uscc, etag FROM profile JOIN bench_code USING (uscc) WHERE audience = $1 ORDER BY n", audience
        )
    finally:
        await connection.close()
    return [(row["uscc"], row["etag"]) for row in rows]


async def count(server: EmbeddedServer) -> int:
    """How many entities the registry holds."""
    connection = await asyncpg.connect(**connect_arguments(server.owner_url))
    try:
        found: int = await connection.fetchval("SELECT count(*) FROM entity")
    finally:
        await connection.close()
    return found
