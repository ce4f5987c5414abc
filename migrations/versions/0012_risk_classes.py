"""Risk classes: rule sets, the class of each entity with its history, maintained counts, and the runs over them."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

RULE_SETS = """
CREATE TABLE rule_set (
    id uuid PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    edition text COLLATE "C" NOT NULL,
    document json NOT NULL,
    digest text COLLATE "C" NOT NULL,
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('draft', 'active', 'retired')),
    version integer NOT NULL,
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL,
    approved_by text,
    activated_at timestamptz,
    CONSTRAINT rule_set_edition UNIQUE (name, edition),
    CONSTRAINT rule_set_four_eyes CHECK (approved_by <> proposed_by)
);
CREATE UNIQUE INDEX rule_set_active ON rule_set (state) WHERE state = 'active';
CREATE TABLE supervision_setting (
    agency_uscc varchar(18) COLLATE "C" PRIMARY KEY,
    division text COLLATE "C" NOT NULL,
    open_to_subjects boolean NOT NULL,
    version integer NOT NULL,
    changed_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON rule_set, supervision_setting TO credit_service;
"""

# fillfactor: a class that is confirmed changes evaluated_at and fresh_until in place where there is room.
CLASSES = """
CREATE TABLE entity_class (
    uscc varchar(18) COLLATE "C" PRIMARY KEY,
    division varchar(6) COLLATE "C" NOT NULL,
    industry varchar(3) COLLATE "C" NOT NULL,
    risk_class varchar(1) COLLATE "C" NOT NULL CHECK (risk_class IN ('A', 'B', 'C', 'D')),
    points integer NOT NULL,
    tags text[] COLLATE "C" NOT NULL,
    rule_set_id uuid NOT NULL,
    since timestamptz NOT NULL,
    evaluated_at timestamptz NOT NULL,
    fresh_until timestamptz NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX entity_class_place ON entity_class (risk_class, division, uscc) INCLUDE (industry);
CREATE INDEX entity_class_division ON entity_class (division, uscc) INCLUDE (industry, risk_class);
CREATE INDEX entity_class_points ON entity_class (risk_class, points, uscc) INCLUDE (division, industry);
CREATE INDEX entity_class_since ON entity_class (since, uscc) INCLUDE (risk_class, division, industry);
CREATE INDEX entity_class_fresh_until ON entity_class (fresh_until) WHERE fresh_until <> 'infinity';
CREATE TABLE class_tag (
    uscc varchar(18) COLLATE "C" NOT NULL,
    tag text COLLATE "C" NOT NULL,
    division varchar(6) COLLATE "C" NOT NULL,
    industry varchar(3) COLLATE "C" NOT NULL,
    risk_class varchar(1) COLLATE "C" NOT NULL,
    PRIMARY KEY (uscc, tag)
);
CREATE INDEX class_tag_place ON class_tag (tag, division, uscc) INCLUDE (risk_class, industry);
CREATE TABLE class_history (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    since timestamptz NOT NULL,
    division varchar(6) COLLATE "C" NOT NULL,
    industry varchar(3) COLLATE "C" NOT NULL,
    risk_class varchar(1) COLLATE "C" NOT NULL,
    previous_class varchar(1) COLLATE "C",
    points integer NOT NULL,
    rule_set_id uuid NOT NULL,
    PRIMARY KEY (uscc, id)
);
CREATE INDEX class_history_since ON class_history (since);
CREATE TABLE class_count (
    tag text COLLATE "C" NOT NULL,
    division varchar(6) COLLATE "C" NOT NULL,
    industry varchar(3) COLLATE "C" NOT NULL,
    risk_class varchar(1) COLLATE "C" NOT NULL,
    entities bigint NOT NULL,
    PRIMARY KEY (tag, division, industry, risk_class)
) WITH (fillfactor = 70);
CREATE TABLE class_flow (
    day date NOT NULL,
    tag text COLLATE "C" NOT NULL,
    division varchar(6) COLLATE "C" NOT NULL,
    industry varchar(3) COLLATE "C" NOT NULL,
    risk_class varchar(1) COLLATE "C" NOT NULL,
    change bigint NOT NULL,
    PRIMARY KEY (tag, day, division, industry, risk_class)
) WITH (fillfactor = 70);
CREATE TABLE entity_change (uscc varchar(18) COLLATE "C" PRIMARY KEY);
GRANT SELECT, INSERT ON class_history TO credit_service;
GRANT SELECT, INSERT, UPDATE ON entity_class, class_count, class_flow TO credit_service;
GRANT SELECT, INSERT, DELETE ON class_tag, entity_change TO credit_service;
"""

RUNS = """
CREATE TABLE class_run (
    id uuid PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('full', 'what-if')),
    rule_set_id uuid NOT NULL,
    baseline_id uuid,
    division text COLLATE "C" NOT NULL,
    as_of timestamptz,
    known_at timestamptz,
    state text COLLATE "C" NOT NULL CHECK (state IN ('open', 'finished', 'superseded')),
    started_by text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE UNIQUE INDEX class_run_open ON class_run (kind) WHERE kind = 'full' AND state = 'open';
CREATE TABLE class_run_chunk (
    run_id uuid NOT NULL,
    number integer NOT NULL,
    from_uscc varchar(18) COLLATE "C" NOT NULL,
    to_uscc varchar(18) COLLATE "C" NOT NULL,
    entities integer NOT NULL,
    changed integer NOT NULL,
    matrix json,
    done_at timestamptz,
    PRIMARY KEY (run_id, number)
);
CREATE TABLE class_move (
    uscc varchar(18) COLLATE "C" NOT NULL,
    run_id uuid NOT NULL,
    before varchar(1) COLLATE "C",
    after varchar(1) COLLATE "C" NOT NULL,
    points_before integer,
    points_after integer NOT NULL,
    PRIMARY KEY (uscc, run_id)
);
CREATE INDEX class_move_run ON class_move (run_id, uscc);
GRANT SELECT, INSERT, UPDATE ON class_run, class_run_chunk TO credit_service;
GRANT SELECT, INSERT, DELETE ON class_move TO credit_service;
"""


def upgrade() -> None:
    for script in (RULE_SETS, CLASSES, RUNS):
        execute_script(script)


def downgrade() -> None:
    execute_script(
        "DROP TABLE class_move, class_run_chunk, class_run, entity_change, class_flow, class_count, class_history,"
        " class_tag, entity_class, supervision_setting, rule_set;"
    )
