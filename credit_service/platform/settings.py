"""Settings of one process, read from the environment (prefix ``CREDIT_``) and overridable on the command line."""

from __future__ import annotations

import os
from datetime import time
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class OpenIdIssuer(BaseModel):
    """An external OpenID provider whose tokens are accepted."""

    issuer: str = Field(description="Issuer identifier; its discovery document is fetched below it")
    audience: str = Field(description="Value that must be in the token's aud claim")
    role_claim: str = Field(default="credit_role", description="Claim that holds the role; dots descend into objects")
    agency_claim: str = Field(default="credit_agency", description="Claim that holds the agency's USCC")
    entity_claim: str = Field(default="credit_entity", description="Claim that holds the subject's USCC")
    second_factor: list[str] = Field(
        default=["mfa"],
        description="Values of amr (RFC 8176) or acr that stand for a second factor",
    )
    introspection_client_id: str | None = Field(
        default=None, description="With a secret: ask the provider (RFC 7662) every half minute whether a token holds"
    )
    introspection_client_secret: SecretStr | None = None


class LogWitness(BaseModel):
    """Somebody else who signs the log's heads after seeing that it only grew (C2SP tlog-witness)."""

    url: str = Field(description="Submission prefix; add-checkpoint is posted below it")
    vkey: str = Field(description="The witness's verifier key")


def default_data_directory() -> Path:
    """``/var/lib/credit-service`` for root, the XDG data home for anybody else."""
    if os.geteuid() == 0:
        return Path("/var/lib/credit-service")
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "credit-service"


class Settings(BaseSettings):
    """Everything that differs between two installations."""

    model_config = SettingsConfigDict(env_prefix="CREDIT_", env_file=None, env_ignore_empty=True, extra="ignore")

    database_url: SecretStr | None = Field(
        default=None, description="postgresql:// address the service connects to; without it an embedded server starts"
    )
    database_owner_url: SecretStr | None = Field(
        default=None, description="Address used by migrations only; defaults to database_url"
    )
    database_role: str = Field(default="credit_service", description="Role the service acts as; no UPDATE on history")
    database_pool_size: int = Field(default=10, ge=1, le=200, description="Connections of one process")
    data_dir: Path = Field(default_factory=default_data_directory, description="Embedded database, keys")
    wal_archive_dir: Path | None = Field(default=None, description="The embedded database archives its WAL here")
    backup_url: SecretStr | None = Field(
        default=None, description="postgresql:// address of a login with REPLICATION, for backups of a server of yours"
    )
    keys_dir: Path | None = Field(default=None, description="Token signing keys; defaults to data_dir/keys")

    catalogue_dir: Path | None = Field(default=None, description="Folder of the legal catalogue; default: as shipped")
    catalogue_supplement_dir: Path | None = Field(default=None, description="Folder of a local supplement 地方补充目录")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    public_url: str | None = Field(default=None, description="Address users see; defaults to http://host:port")
    max_body_bytes: int = Field(default=1 << 20, description="Largest JSON request body")
    max_import_bytes: int = Field(default=2 << 30, description="Largest import file")

    access_log_durable: bool = Field(
        default=False, description="A non-public answer waits until its access is committed: no crash loses one"
    )
    seal_most_days: int = Field(default=180, ge=1, le=730, description="Longest delay before a subject sees an access")
    statement_seconds: int = Field(default=60, ge=1, description="Longest statement, wait for a lock, idle transaction")
    body_seconds: float = Field(default=30, gt=0, description="Longest wait for the next part of a request body")
    most_in_flight: int = Field(default=512, ge=1, description="Requests under way in one process; others get 503")
    rate_limit: int = Field(default=6000, ge=0, description="Requests a minute of one caller in one process; 0: none")
    daily_subjects: int = Field(default=20_000, ge=1, description="Non-public files an agency may read a day")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    log_reads: bool = Field(default=False, description="Log every request, not only changes and failures")

    clock_file: Path | None = Field(default=None, description="Demonstrations only: a file that moves the clock")

    client_certificate_header: bool = Field(
        default=False, description="A TLS proxy sets Client-Cert (RFC 9440) and removes what callers send"
    )
    token_lifetime_seconds: int = Field(default=900, ge=60, le=86400)
    oidc_issuers: list[OpenIdIssuer] = Field(default_factory=list)

    log_checkpoint_seconds: float = Field(default=10, ge=1, le=3600, description="How often the log's head is signed")
    log_sm2_key_file: Path | None = Field(default=None, description="Key that signs the log's heads with SM2 as well")
    log_witnesses: list[LogWitness] = Field(default_factory=list, description="Who cosigns the log's heads")

    smtp_host: str | None = Field(default=None, description="Mail relay; without it no e-mail is sent")
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = Field(default=None, description="Without it the relay is used without a login")
    smtp_password: SecretStr | None = None
    smtp_sender: str = Field(default="credit-service@localhost", description="Address in From")
    webhook_key: SecretStr | None = Field(
        default=None, min_length=32, description="Secret from which each webhook's signing key is derived"
    )
    webhook_loopback: bool = Field(default=False, description="Admit webhooks to this machine: for trials")
    sms_gateway_url: str | None = Field(default=None, description="Gateway that takes text messages as JSON over HTTP")
    sms_gateway_token: SecretStr | None = Field(default=None, description="Bearer token for the gateway")

    deadline_cut_off: time | None = Field(
        default=None,
        description="Office hours' end in Asia/Shanghai: what comes later counts as of the next working day",
    )
    deadline_warn_before: tuple[int, ...] = Field(
        default=(3, 1), description="Working days before a time-limit's last day on which its agency is warned"
    )

    platform_agencies: dict[str, str] = Field(
        default_factory=dict,
        description="Codes of the agencies that acknowledge for credit-china and enterprise-publicity-system",
    )

    evidence_dir: Path | None = Field(default=None, description="Attachments; defaults to data_dir/evidence")
    evidence_s3_bucket: str | None = Field(default=None, description="Attachments in this bucket instead of a folder")
    evidence_s3_endpoint: str | None = Field(default=None, description="Address of an S3-compatible service")
    evidence_s3_region: str = "us-east-1"
    evidence_s3_access_key_id: str | None = None
    evidence_s3_secret_access_key: SecretStr | None = None
    evidence_key_file: Path | None = Field(
        default=None, description="Keys for encryption at rest, one a line: id and 32 bytes in base64; the first seals"
    )
    evidence_scanner: str | None = Field(
        default=None, description="Malware scanner: clamd://host:port, clamd:///socket or icap://host:port/service"
    )
    evidence_max_bytes: int = Field(default=50 << 20, ge=1, description="Largest attachment")
    evidence_max_files: int = Field(default=50, ge=1, description="Attachments of one case")
    evidence_media_types: list[str] = Field(default_factory=list, description="Accepted types; empty: all known ones")

    @property
    def evidence_directory(self) -> Path:
        return self.evidence_dir or self.data_dir / "evidence"

    @property
    def base_url(self) -> str:
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def keys_directory(self) -> Path:
        return self.keys_dir or self.data_dir / "keys"


@lru_cache
def get_settings() -> Settings:
    return Settings()
