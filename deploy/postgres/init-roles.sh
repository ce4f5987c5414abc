#!/bin/bash
# Run once by the PostgreSQL image on an empty volume: the roles and the database. See docs/decisions/0002-database-roles.md.
#   credit_service  what the service acts as; migrations give it its rights, history it may only append to
#   credit_owner    owns the tables; for migrations alone
#   credit_app      the service's login, a member of credit_service and of nothing else
#   credit_backup   may copy the cluster; no login until it is given a password (docs/backup.md)
# The file may be sourced by the image's entry point, so it sets no options of the shell.

# psql reads the passwords itself: none stands on a command line, and none is written to a log.
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL' || exit 1
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
\set owner_password `cat "${SECRETS_DIR:-/run/secrets}/owner_password"`
\set app_password `cat "${SECRETS_DIR:-/run/secrets}/app_password"`
SELECT length(:'owner_password') < 12 OR length(:'app_password') < 12 AS short \gset
\if :short
    DO $$ BEGIN RAISE 'owner_password and app_password must have 12 characters at least'; END $$;
\endif

CREATE ROLE credit_service NOLOGIN;
CREATE ROLE credit_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE credit_app LOGIN PASSWORD :'app_password';
GRANT credit_service TO credit_app WITH INHERIT TRUE, SET TRUE;
CREATE ROLE credit_backup NOLOGIN REPLICATION;

CREATE DATABASE credit OWNER credit_owner;
REVOKE ALL ON DATABASE credit FROM PUBLIC;
GRANT CONNECT ON DATABASE credit TO credit_service, credit_backup;
\connect credit
ALTER SCHEMA public OWNER TO credit_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL
# The image's own lines admit every login to databases, and none to replication from another container.
echo "host replication credit_backup all scram-sha-256" >>"${PGDATA:?}/pg_hba.conf"
