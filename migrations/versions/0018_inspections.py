"""Random inspections: items, inspectors, plans, committed draws, results; records that stop together."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INSPECTIONS = """
CREATE TABLE record_link (
    uscc varchar(18) COLLATE "C" NOT NULL,
    record_id uuid NOT NULL,
    caused_id uuid NOT NULL,
    PRIMARY KEY (uscc, record_id, caused_id)
);
CREATE TABLE inspection_item (
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    name text NOT NULL,
    legal_basis text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (agency_uscc, code)
);
CREATE TABLE inspector (
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    staff_number text COLLATE "C" NOT NULL,
    name text NOT NULL,
    items text[] COLLATE "C" NOT NULL,
    active boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (agency_uscc, id),
    CONSTRAINT inspector_staff_number UNIQUE (agency_uscc, staff_number)
);
CREATE TABLE inspector_conflict (
    uscc varchar(18) COLLATE "C" NOT NULL,
    inspector_id uuid NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, inspector_id)
);
CREATE INDEX inspector_conflict_inspector ON inspector_conflict (inspector_id);
CREATE TABLE inspection_plan (
    id uuid PRIMARY KEY,
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    participants varchar(18)[] COLLATE "C" NOT NULL,
    title text NOT NULL,
    year integer NOT NULL,
    items text[] COLLATE "C" NOT NULL,
    division text COLLATE "C" NOT NULL,
    industry text COLLATE "C" NOT NULL,
    quotas json NOT NULL,
    class_a_reason text,
    inspectors_each integer NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('draft', 'committed', 'drawn')),
    version integer NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE inspection_draw (
    plan_id uuid PRIMARY KEY,
    secret bytea NOT NULL,
    material bytea NOT NULL,
    openings bytea NOT NULL,
    commitment json NOT NULL,
    committed_by text NOT NULL,
    committed_at timestamptz NOT NULL,
    reveal json,
    drawn bytea,
    drawn_at timestamptz
);
CREATE TABLE inspection (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    plan_id uuid NOT NULL,
    year integer NOT NULL,
    handle text COLLATE "C" NOT NULL,
    inspectors text[] COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('assigned', 'recorded')),
    version integer NOT NULL,
    result text,
    inspected_on date,
    record_id uuid,
    recorded_by text,
    drawn_at timestamptz NOT NULL,
    recorded_at timestamptz,
    PRIMARY KEY (uscc, id),
    CONSTRAINT inspection_once_a_plan UNIQUE (uscc, plan_id)
);
CREATE INDEX inspection_id ON inspection (id);
CREATE INDEX inspection_plan_place ON inspection (plan_id, uscc);
CREATE INDEX inspection_year ON inspection (year, uscc);
GRANT SELECT, INSERT, UPDATE ON inspector, inspection_plan, inspection_draw, inspection TO credit_service;
GRANT SELECT, INSERT ON record_link, inspection_item, inspector_conflict TO credit_service;
"""


def upgrade() -> None:
    execute_script(INSPECTIONS)


def downgrade() -> None:
    execute_script(
        "DROP TABLE inspection, inspection_draw, inspection_plan, inspector_conflict, inspector, inspection_item,"
        " record_link;"
    )
