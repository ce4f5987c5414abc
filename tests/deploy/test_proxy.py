"""The TLS proxy as we describe it, in front of the served process: certificates bind tokens on real connections."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.accounts.test_identity import CA, KEY, certificate, files, pem, public_jwk
from tests.cli.test_serve import answers, eventually, free_port, run, serving
from tests.records.imports.files import AGENCY, AGENCY_NAME
from tests.support import ROOT, reachable_folder

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")
SYSTEM = "scjg-system"
FORM = {"grant_type": "client_credentials", "client_id": SYSTEM}


@dataclass(frozen=True)
class Site:
    """The registry behind its proxy, with the certificates of some callers beside it."""

    folder: Path
    port: int
    behind: int

    def caller(self, name: str = "") -> Caller:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose sessions are known as soon as the handshake is done
        if name:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return Caller(self.port, context)


class Caller:
    """Somebody with a certificate, or with none, on connections of its own."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port, self.context = port, context
        self.session: ssl.SSLSession | None = None
        self.resumed = False

    def ask(self, method: str, path: str, *, take_up: bool = False, **more: Any) -> tuple[int, Any]:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        session = self.session if take_up else None
        with self.context.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
            speaking = http.client.HTTPConnection("localhost", self.port)
            speaking.sock = connection
            speaking.request(method, path, **more)
            answer = speaking.getresponse()
            content = answer.read()
            self.session, self.resumed = connection.session, bool(connection.session_reused)
        return answer.status, json.loads(content)

    def token(self, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", "/oauth/token", body=urlencode(FORM), headers=kind | (headers or {}))

    def read(self, token: str, headers: dict[str, str] | None = None, *, take_up: bool = False) -> tuple[int, Any]:
        bearer = {"Authorization": f"Bearer {token}"}
        return self.ask("GET", "/v1/notifications", take_up=take_up, headers=bearer | (headers or {}))


def operated(data: Path, folder: Path) -> None:
    """What an operator types: the agency and its system, by its certificate."""
    named = ("--name", AGENCY_NAME, "--division", "500103")
    assert run("agency", "put", AGENCY, *named, "--data", str(data)).returncode == 0
    client = ("client", "create", SYSTEM, "--name", "业务系统", "--role", "agency-submitter", "--agency", AGENCY)
    made = run(*client, "--certificate", str(folder / "scjg.pem"), "--data", str(data))
    assert (made.returncode, made.stdout) == (0, f"client_id={SYSTEM}\n"), made.stderr


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder, port, behind = reachable_folder("credit-service-proxy-"), free_port(), free_port()
    (folder / "ca.pem").write_bytes(CA.public_bytes(Encoding.PEM))
    cert, key, _ = files(folder, "localhost")
    (folder / "server.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    for name in ("scjg", "stranger"):
        files(folder, name)
    place = {
        "BIND": f"127.0.0.1:{port}",
        "SERVER_PEM": str(folder / "server.pem"),
        "CLIENT_CAS": str(folder / "ca.pem"),
        "SERVICE": f"127.0.0.1:{behind}",
    }
    settings = {"CREDIT_CLIENT_CERTIFICATE_HEADER": "true", "CREDIT_PUBLIC_URL": f"https://localhost:{port}"}
    command = [str(HAPROXY), "-db", "-f", str(ROOT / "deploy" / "haproxy" / "haproxy.cfg")]
    with serving(folder / "data", behind, settings=settings):
        operated(folder / "data", folder)
        proxy = subprocess.Popen(command, env=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            found = Site(folder, port, behind)
            eventually(lambda: proxy.poll() is not None or listening(port))
            assert proxy.poll() is None, proxy.stderr and proxy.stderr.read().decode()
            yield found
        finally:
            proxy.kill()
            proxy.wait()
    shutil.rmtree(folder, ignore_errors=True)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_token_is_good_on_its_certificates_connections_only(site: Site) -> None:
    ours, stranger, nobody = site.caller("scjg"), site.caller("stranger"), site.caller()
    assert [each.token()[0] for each in (stranger, nobody)] == [401, 401]
    status, answer = ours.token()
    assert status == 200, answer
    token = answer["access_token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert list(claims["cnf"]) == ["x5t#S256"]
    assert ours.read(token)[0] == 200
    for other in (stranger, nobody):
        status, problem = other.read(token)
        assert (status, problem["detail"]) == (401, "bound to another certificate")


def test_what_a_caller_says_of_its_certificate_is_thrown_away(site: Site) -> None:
    der = x509.load_pem_x509_certificate((site.folder / "scjg.pem").read_bytes()).public_bytes(Encoding.DER)
    said = {"Client-Cert": f":{base64.b64encode(der).decode()}:"}
    token = site.caller("scjg").token()[1]["access_token"]
    for caller in (site.caller("stranger"), site.caller()):
        assert caller.token(said)[0] == 401
        assert caller.read(token, said)[0] == 401
    assert answers(site.behind), "the same header counts where nobody takes it away"
    behind = http.client.HTTPConnection("127.0.0.1", site.behind, timeout=60)
    behind.request("GET", "/v1/notifications", headers={"Authorization": f"Bearer {token}"} | said)
    assert behind.getresponse().status == 200


def test_a_session_that_is_taken_up_again_still_has_its_certificate(site: Site) -> None:
    ours, stranger = site.caller("scjg"), site.caller("stranger")
    token = ours.token()[1]["access_token"]
    assert ours.read(token, take_up=True)[0] == 200
    assert ours.resumed
    stranger.token()
    assert stranger.read(token, take_up=True)[0] == 401
    assert stranger.resumed


def test_a_certificate_of_an_authority_that_is_not_accepted_gets_no_connection(site: Site) -> None:
    unknown = certificate("scjg", KEY)  # its own issuer, which is none of the agencies' authorities
    (site.folder / "unknown.pem").write_bytes(unknown.public_bytes(Encoding.PEM))
    (site.folder / "unknown.key").write_bytes(pem(KEY))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.caller("unknown").token()


def test_keys_are_registered_from_a_file_too(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    client = ("client", "create", "signing-system", "--name", "业务系统", "--role", "auditor", "--jwks", str(file))
    for text in ("{}", "[]", "no json", '{"keys": [{"kty": "oct"}]}', '{"keys": []}'):
        file.write_text(text)
        refused = run(*client, "--data", str(site.folder / "data"))
        assert refused.returncode == 1, text
        assert "Traceback" not in refused.stderr
    file.write_text(json.dumps({"keys": [public_jwk(KEY, "one")]}))
    made = run(*client, "--data", str(site.folder / "data"))
    assert (made.returncode, made.stdout) == (0, "client_id=signing-system\n"), made.stderr
