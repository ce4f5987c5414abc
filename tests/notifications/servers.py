"""Real carriers on this machine: a mail server, and a web server that receives webhooks and text messages."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOGIN = ("registry", "open sesame")


@dataclass
class Post:
    """The mail server's memory, and what it is to answer: one reply for each message, the last one for ever."""

    port: int = 0
    replies: list[str] = field(default_factory=lambda: ["250 OK"])
    recipient_reply: str = "250 OK"
    taken: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.recipient_reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient_reply

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = self.replies[0] if len(self.replies) == 1 else self.replies.pop(0)
        if reply.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            self.taken.append(message_from_bytes(content, policy=SMTP_POLICY))  # type: ignore[arg-type]
            self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return reply

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == LOGIN
        self.logins.append("good" if good else "bad")
        return AuthResult(success=good)


class AnyPort(Controller):
    """A controller on whatever port the kernel gives."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


@contextmanager
def post_office(*, certificate: Path | None = None, implicit: bool = False, login: bool = False) -> Iterator[Post]:
    """A mail server on a free port; with a certificate it speaks STARTTLS, or TLS from the first byte."""
    post = Post()
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    more: dict[str, Any] = {"authenticator": post.authenticate, "auth_required": True} if login else {}
    if context is not None:
        more |= {"ssl_context": context} if implicit else {"tls_context": context, "require_starttls": True}
    if login and (implicit or context is None):
        more["auth_require_tls"] = False
    controller = AnyPort(post, hostname="127.0.0.1", port=0, **more)
    controller.start()
    try:
        post.port = controller.port
        yield post
    finally:
        controller.stop()


def self_signed(folder: Path, *names: str) -> Path:
    """A certificate with its key, for 127.0.0.1 and names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a carrier")])
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1"))]
    alternatives += [x509.DNSName(other) for other in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "carrier.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


@dataclass
class Receiver:
    """The web server's memory, and what it is to answer: one status for each request, the last one for ever."""

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [204])
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: threading.Event = field(default_factory=threading.Event)
    closes_at: int | None = None
    """With this many requests taken the gate closes by itself."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def web_server(certificate: Path | None = None) -> Iterator[Receiver]:
    """A web server on a free port. While ``gate`` is closed, it takes requests and does not answer."""
    receiver = Receiver()
    receiver.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:
                return  # its sender died between head and body: nothing was received
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.requests.append((self.path, headers, body))
            if receiver.closes_at is not None and len(receiver.requests) >= receiver.closes_at:
                receiver.closes_at = None
                receiver.gate.clear()
            receiver.entered.release()
            receiver.gate.wait(60)
            status = receiver.statuses[0] if len(receiver.statuses) == 1 else receiver.statuses.pop(0)
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            receiver.requests.append(("GET", {}, b""))
            self.send_error(500)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
