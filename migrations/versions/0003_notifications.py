"""Notifications: contact points, what is owed to whom, every attempt to deliver it."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE contact (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('entity', 'agency')),
    channel text COLLATE "C" NOT NULL CHECK (channel IN ('inbox', 'email', 'sms', 'webhook')),
    address text NOT NULL,
    service_consent_at timestamptz,
    verification_code text,
    verification_until timestamptz,
    verified_at timestamptz,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    PRIMARY KEY (uscc, id)
);
CREATE UNIQUE INDEX contact_in_use ON contact (uscc, kind, channel, address) WHERE removed_at IS NULL;
CREATE TABLE notification (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    case_type text COLLATE "C" NOT NULL,
    case_id uuid NOT NULL,
    case_reference text NOT NULL,
    template text COLLATE "C" NOT NULL,
    language text COLLATE "C" NOT NULL,
    recipient_type text COLLATE "C" NOT NULL CHECK (recipient_type IN ('entity', 'agency')),
    recipient varchar(18) COLLATE "C" NOT NULL,
    agency_uscc varchar(18) COLLATE "C",
    contact_id uuid,
    dedupe_key text COLLATE "C" NOT NULL,
    subject text NOT NULL,
    announcement text NOT NULL,
    body text NOT NULL,
    salt bytea NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('owed', 'sent', 'delivered', 'failed', 'cancelled')),
    next_attempt_at timestamptz,
    retried_after integer NOT NULL,
    read_at timestamptz,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, id),
    CONSTRAINT notification_dedupe_key UNIQUE (uscc, dedupe_key)
);
CREATE INDEX notification_id ON notification (id);
CREATE INDEX notification_case ON notification (uscc, case_type, case_id);
CREATE INDEX notification_inbox ON notification (recipient, recipient_type, created_at DESC, id DESC)
    WHERE contact_id IS NULL;
CREATE INDEX notification_unread ON notification (recipient, recipient_type)
    WHERE contact_id IS NULL AND read_at IS NULL;
CREATE INDEX notification_due ON notification (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX notification_agency ON notification (agency_uscc, state, created_at DESC, id DESC);
CREATE INDEX notification_failed ON notification (created_at DESC, id DESC) WHERE state = 'failed';
CREATE TABLE notification_delivery (
    uscc varchar(18) COLLATE "C" NOT NULL,
    notification_id uuid NOT NULL,
    attempt integer NOT NULL,
    channel text COLLATE "C" NOT NULL CHECK (channel IN ('inbox', 'email', 'sms', 'webhook', 'paper')),
    contact_id uuid,
    state text COLLATE "C" NOT NULL CHECK (state IN ('sending', 'sent', 'delivered', 'failed')),
    at timestamptz NOT NULL,
    counts_as_service boolean NOT NULL,
    detail json NOT NULL,
    next_attempt_at timestamptz,
    PRIMARY KEY (uscc, notification_id, attempt)
);
GRANT SELECT, INSERT, UPDATE ON contact, notification, notification_delivery TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script("DROP TABLE notification_delivery, notification, contact;")
