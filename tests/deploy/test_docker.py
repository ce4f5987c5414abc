"""The image, the compose file and the trial realm, as far as they can be judged without a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from credit_service.accounts.rules import Role
from credit_service.platform.settings import OpenIdIssuer, Settings
from tests.deploy.dockerfile import Stage, instructions, stages

ROOT = Path(__file__).parents[2]
SERVICE_KEYS = set(
    "build cap_drop command depends_on environment healthcheck image init logging networks ports profiles read_only"
    " restart secrets security_opt shm_size stop_grace_period tmpfs volumes".split()
)
ONE_SHOT = {"migrate", "backup"}
OURS = {"migrate", "backup", "service", "worker"}
PINNED = re.compile(r"[\w./-]+:\d[\w.-]*(@sha256:[0-9a-f]{64})?")
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<default>[^}]*))?\}")


# Dockerfile ------------------------------------------------------------


@pytest.fixture(scope="module")
def image() -> list[Stage]:
    return stages(ROOT / "Dockerfile")


def test_reader_joins_lines_and_drops_comments() -> None:
    text = "# first\nFROM a:1 AS b\nRUN one \\\n# between\n    && two\n\nUSER 1\n"
    assert [(each.name, each.value) for each in instructions(text)] == [
        ("FROM", "a:1 AS b"),
        ("RUN", "one  && two"),
        ("USER", "1"),
    ]


def test_bases_are_pinned(image: list[Stage]) -> None:
    earlier: set[str | None] = set()
    for stage in image:
        assert stage.image in earlier or PINNED.fullmatch(stage.image), stage.image
        earlier.add(stage.alias)


def test_dockerfile_copies_from_what_exists(image: list[Stage]) -> None:
    allowed = [
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    earlier: set[str | None] = set()
    for stage in image:
        for value in stage.values("COPY"):
            *sources, _ = [part for part in shlex.split(value) if not part.startswith("--")]
            if match := re.search(r"--from=(\S+)", value):
                assert match[1] in earlier
                continue
            for source in sources:
                assert (ROOT / source).exists()
                assert source in allowed, f"{source} is not in the build context: .dockerignore"
        earlier.add(stage.alias)


def test_dockerfile_fetches_only_by_hash(image: list[Stage]) -> None:
    for stage in image:
        assert not stage.values("ADD"), "COPY files; ADD unpacks and downloads"
        for value in stage.values("RUN"):
            assert not re.search(r"\b(curl|wget|sudo)\b", value)
            for command in re.split(r"&&|;|\|\|", value):
                if "pip install" in command:
                    assert "--require-hashes" in command or {"--no-deps", "--no-build-isolation"} <= set(
                        command.split()
                    )
            if "apt-get install" in value:
                assert "--no-install-recommends" in value
                assert "rm -rf /var/lib/apt/lists" in value


def test_final_stage(image: list[Stage]) -> None:
    final = image[-1]
    names = [each.name for each in final.instructions]
    user = final.values("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, so that an orchestrator can tell it is not root"
    assert not {"RUN", "COPY"} & set(names[names.index("USER") :]), "nothing in the image belongs to the service's user"
    assert not any(re.search(r"\b(pip|apt-get|gcc|make)\b", value) for value in final.values("RUN"))
    (check,) = final.values("HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2]) == ["credit-service", "healthcheck"]
    assert json.loads(final.values("ENTRYPOINT")[-1]) == ["credit-service"]
    assert json.loads(final.values("CMD")[-1])[0] == "serve"
    assert final.values("STOPSIGNAL") == ["SIGTERM"]
    assert final.values("EXPOSE") == ["8000"]


def test_labels_and_environment(image: list[Stage]) -> None:
    final = image[-1]
    labels = dict(part.split("=", 1) for value in final.values("LABEL") for part in shlex.split(value))
    for name in ("title", "description", "licenses", "version", "revision", "base.name"):
        assert labels[f"org.opencontainers.image.{name}"]
    assert labels["org.opencontainers.image.base.name"].endswith(final.image)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    arguments = dict(value.split("=", 1) for value in final.values("ARG"))
    assert arguments["VERSION"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    environment = [part.split("=", 1)[0] for value in final.values("ENV") for part in shlex.split(value)]
    assert not [name for name in environment if re.search("PASSWORD|SECRET|TOKEN", name)]
    assert known({name for name in environment if name.startswith("CREDIT_")})


# docker-compose.yml ------------------------------------------------------------


def known(names: set[str]) -> bool:
    """Whether every name is a setting of ours."""
    return names <= {f"CREDIT_{name.upper()}" for name in Settings.model_fields}


def example() -> dict[str, str]:
    """The variables of .env.example, read as compose reads them."""
    values = {}
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            values[name] = value.strip("'")
    return values


def interpolated(node: Any, variables: dict[str, str]) -> Any:
    """What ``docker compose config`` makes of a node: ``${A}``, ``${A:-default}``, ``${A:?}``, ``$$``."""

    def value(match: re.Match[str]) -> str:
        found = variables.get(match["name"], "")
        if not found and match["kind"] == ":?":
            raise KeyError(match["name"])
        return found or (match["default"] or "")

    if isinstance(node, dict):
        return {key: interpolated(each, variables) for key, each in node.items()}
    if isinstance(node, list):
        return [interpolated(each, variables) for each in node]
    if not isinstance(node, str):
        return node
    parts = [VARIABLE.sub(value, part) for part in node.split("$$")]
    assert not any("$" in VARIABLE.sub("", part) for part in node.split("$$")), f"write $$ for a plain $: {node}"
    return "$".join(parts)


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def compose(raw: dict[str, Any]) -> dict[str, Any]:
    variables = {**example(), **{name: "pw0123456789" for name, value in example().items() if not value}}
    found: dict[str, Any] = interpolated(raw, variables)
    return found


def test_keys_are_those_of_the_specification(compose: dict[str, Any]) -> None:
    assert {key for key in compose if not key.startswith("x-")} <= {
        "name",
        "services",
        "networks",
        "volumes",
        "secrets",
    }
    for name, service in compose["services"].items():
        assert set(service) <= SERVICE_KEYS, f"{name}: a misspelt key would go unnoticed until it is missed"
        assert set(service["healthcheck"]) <= {"test", "interval", "timeout", "retries", "start_period", "disable"}


def test_every_service_is_watched_or_ends(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] == "CMD"
        for other, condition in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert condition["condition"] == wanted


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for name, service in compose["services"].items():
        assert PINNED.fullmatch(service["image"]), service["image"]
        if name in OURS:
            assert service["image"] == f"credit-service:{version}"
            assert (ROOT / service["build"]["context"] / "Dockerfile").exists()


def test_services_have_few_rights(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert not {"privileged", "network_mode", "pid", "ipc", "cap_add", "devices"} & set(service)
        assert "no-new-privileges:true" in service["security_opt"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert not any("docker.sock" in volume for volume in service.get("volumes", []))
        if name in OURS:
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
    assert compose["networks"]["database"]["internal"]


def test_named_things_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("networks", [])) <= set(compose["networks"]) | {"default"}
    database = compose["services"]["postgres"]
    assert "database:/var/lib/postgresql" in database["volumes"], "where the image of PostgreSQL 18 keeps its data"


def test_environment_is_known(raw: dict[str, Any], compose: dict[str, Any]) -> None:
    for name in OURS:
        environment = compose["services"][name]["environment"]
        assert known(set(environment)), name
    for name in OURS - {"migrate"}:
        environment = compose["services"][name]["environment"]
        assert "CREDIT_DATABASE_OWNER_URL" not in environment, "only migrations act as the owner"
        assert environment["CREDIT_DATABASE_URL"].startswith("postgresql://credit_app:")
    for issuer in json.loads(compose["services"]["service"]["environment"]["CREDIT_OIDC_ISSUERS"]):
        OpenIdIssuer.model_validate(issuer, strict=True)
    used = {match["name"] for match in VARIABLE.finditer(json.dumps(raw))}
    used |= {secret["environment"] for secret in raw["secrets"].values()}
    assert used - {"REVISION"} == set(example()), "docker-compose.yml and .env.example name the same variables"


ELSEWHERE = {
    "database_owner_url": "migrations only",
    "database_role": "what init-roles.sh makes",
    "backup_url": "the backup's alone",
    "wal_archive_dir": "of the embedded server",
    "data_dir": "of the image",
    "evidence_dir": "the volume, below data_dir",
    "host": "on the command line",
    "port": "on the command line",
    "log_format": "JSON, which the driver keeps",
    "log_sm2_key_file": "the image has no extra sm2",
    "clock_file": "demonstrations",
    "webhook_loopback": "trials on one machine",
}
"""Settings that service and worker are not given, and why."""


TUNED = {
    "RATE_LIMIT": ("rate_limit", 7),
    "DAILY_SUBJECTS": ("daily_subjects", 7),
    "MOST_IN_FLIGHT": ("most_in_flight", 7),
    "LOG_CHECKPOINT_SECONDS": ("log_checkpoint_seconds", 7),
    "EVIDENCE_S3_REGION": ("evidence_s3_region", "7"),
    "EVIDENCE_KEY_FILE": ("evidence_key_file", Path("7")),
    "ACCESS_LOG_DURABLE": ("access_log_durable", True),
}


@pytest.mark.parametrize("name", ["service", "worker"])
def test_every_setting_reaches_the_program_and_is_its_default_while_empty(
    raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    passwords = {variable: "pw0123456789" for variable in example() if "PASSWORD" in variable}

    def read(tuned: dict[str, str]) -> Settings:
        environment = interpolated(raw, example() | passwords | tuned)["services"][name]["environment"]
        given = {variable.removeprefix("CREDIT_").lower() for variable in environment}
        assert given ^ set(Settings.model_fields) == set(ELSEWHERE) | {"oidc_issuers"} - given
        with monkeypatch.context() as patched:
            for variable, value in environment.items():
                patched.setenv(variable, value)
            return Settings()

    shipped, tuned = read({}), read({each: "true" if value is True else "7" for each, (_, value) in TUNED.items()})
    for setting, value in TUNED.values():
        assert getattr(shipped, setting) == Settings.model_fields[setting].default, setting
        assert getattr(tuned, setting) == value


def test_nobody_starts_the_backup_with_the_others(compose: dict[str, Any]) -> None:
    backup = compose["services"]["backup"]
    assert backup["profiles"] == ["backup"]
    assert backup["command"][:2] == ["backup", "/backups"]
    assert {volume for volume in backup["volumes"] if not volume.endswith(":ro")} == {"backups:/backups"}
    assert not any("profiles" in each for name, each in compose["services"].items() if name != "backup")


def test_service_and_worker_share_the_law_and_the_keys(raw: dict[str, Any]) -> None:
    shipped = interpolated(raw, {**example(), **{name: "pw" for name, value in example().items() if not value}})
    service, worker = (shipped["services"][name] for name in ("service", "worker"))
    names = {f"CREDIT_{name}" for name in ("CATALOGUE_DIR", "CATALOGUE_SUPPLEMENT_DIR", "KEYS_DIR", "LOG_WITNESSES")}
    for each in (service, worker):
        environment = each["environment"]
        assert names <= set(environment)
        places = dict(volume.split(":")[:2] for volume in each["volumes"])
        assert places["keys"] == environment["CREDIT_KEYS_DIR"]
        assert "./schemas:/etc/credit-service/catalogues:ro" in each["volumes"]


def test_no_secret_is_written_down(raw: dict[str, Any]) -> None:
    for name, value in example().items():
        assert not (name.endswith("PASSWORD") and value), name
    for service in raw["services"].values():
        for name, value in service["environment"].items():
            if name.endswith("PASSWORD"):
                assert VARIABLE.fullmatch(value), name
            if name.endswith("PASSWORD_FILE"):
                assert value.startswith("/run/secrets/"), name
            if "_URL" in name and "@" in value:
                assert re.search(r"://\w+:\$\{\w+:\?\}@", value), name
    for secret in raw["secrets"].values():
        assert set(secret) == {"environment"}


def test_a_missing_password_stops_compose(raw: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        interpolated(raw, example())


def test_worker_check_is_a_program(compose: dict[str, Any]) -> None:
    *command, program = compose["services"]["worker"]["healthcheck"]["test"]
    assert command == ["CMD", "python", "-c"]
    compile(program, "worker healthcheck", "exec")


def test_shell_scripts_parse() -> None:
    script = ROOT / "deploy" / "postgres" / "init-roles.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    check = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["keycloak"]["healthcheck"]["test"]
    subprocess.run(["bash", "-n", "-c", check[3].replace("$$", "$")], check=True)


# deploy/keycloak/realm.json ------------------------------------------------------------


@pytest.fixture(scope="module")
def realm() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "deploy/keycloak/realm.json").read_text(encoding="utf-8"))
    return found


def test_realm_has_the_roles(realm: dict[str, Any], compose: dict[str, Any]) -> None:
    roles = {role["name"] for role in realm["roles"]["client"]["credit-service"]}
    assert roles == {role.value for role in Role} - {Role.PUBLIC.value}
    assert {group["name"]: group["clientRoles"] for group in realm["groups"]} == {
        role: {"credit-service": [role]} for role in roles
    }
    (issuer,) = json.loads(compose["services"]["service"]["environment"]["CREDIT_OIDC_ISSUERS"])
    keycloak = compose["services"]["keycloak"]
    address = keycloak["environment"]["KC_HOSTNAME"]
    assert issuer["issuer"] == f"{address}/realms/{realm['realm']}"
    assert address.removeprefix("http://").split(":")[0] in keycloak["networks"]["front"]["aliases"]


def test_realm_gives_the_claims(realm: dict[str, Any], compose: dict[str, Any]) -> None:
    (client,) = realm["clients"]
    (issuer,) = json.loads(compose["services"]["service"]["environment"]["CREDIT_OIDC_ISSUERS"])
    expected = OpenIdIssuer.model_validate(issuer)
    claims = {mapper["config"].get("claim.name"): mapper["config"] for mapper in client["protocolMappers"]}
    for claim in (expected.role_claim, expected.agency_claim, expected.entity_claim):
        assert claims[claim]["access.token.claim"] == "true"
        assert claims[claim]["multivalued"] == "false"
    assert claims[None]["included.client.audience"] == expected.audience
    (provider,) = realm["components"]["org.keycloak.userprofile.UserProfileProvider"]
    attributes = json.loads(provider["config"]["kc.user.profile.config"][0])["attributes"]
    for attribute in attributes:
        if attribute["name"].startswith("credit_"):
            assert attribute["permissions"]["edit"] == ["admin"], "nobody gives himself an agency"


def test_realm_holds_no_secret(realm: dict[str, Any]) -> None:
    assert "users" not in realm
    text = json.dumps(realm)
    assert '"secret"' not in text
    assert '"privateKey"' not in text
    assert all(client["publicClient"] and not client["directAccessGrantsEnabled"] for client in realm["clients"])
