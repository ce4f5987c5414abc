"""Each channel against a real carrier on this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from credit_service.notifications.channels import Carrier, Message, carriers
from credit_service.notifications.channels.webhook import Webhook, is_public, signing_secret
from credit_service.notifications.rules import Channel, DeliveryState
from tests.cli.test_serve import free_port
from tests.notifications.servers import LOGIN, post_office, self_signed, web_server
from tests.notifications.support import WEBHOOK_KEY, settings_for

NOW = datetime(2026, 5, 6, 2, tzinfo=UTC)


def message(address: str, **changes: Any) -> Message:
    content: dict[str, Any] = {
        "message_id": "ab" * 20,
        "contact_id": uuid7(),
        "address": address,
        "subject": "准予信用修复决定 渝中〔2026〕1号",
        "text": "您有一份公共信用案件通知。",
        "language": "zh",
        "template": "repair-granted",
        "notification_id": uuid7(),
        "case_type": "repair",
        "case_id": uuid7(),
        "case_reference": "渝中〔2026〕1号",
        "owed_at": NOW,
    }
    return Message(**(content | changes))


def carrier(folder: Path, channel: Channel, **changes: Any) -> Carrier:
    return carriers(settings_for(folder, **changes))[channel]


def test_a_channel_without_its_setting_is_not_there(tmp_path: Path) -> None:
    assert set(carriers(settings_for(tmp_path))) == {Channel.WEBHOOK}
    more = {"smtp_host": "relay.example", "sms_gateway_url": "https://sms.example/send"}
    assert set(carriers(settings_for(tmp_path, **more))) == {Channel.WEBHOOK, Channel.EMAIL, Channel.SMS}


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize("login", [False, True])
async def test_a_mail_arrives_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str, login: bool
) -> None:
    certificate = self_signed(tmp_path) if security != "none" else None
    if certificate is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    more = {"smtp_username": LOGIN[0], "smtp_password": LOGIN[1]} if login else {}
    with post_office(certificate=certificate, implicit=security == "tls", login=login) as post:
        relay = carrier(
            tmp_path, Channel.EMAIL, smtp_host="127.0.0.1", smtp_port=post.port, smtp_security=security, **more
        )
        outcome = await relay.send(message("credit@company.example"), NOW)
        assert (outcome.state, outcome.permanent) == (DeliveryState.SENT, False), outcome
    (mail,) = post.taken
    assert post.encrypted == [security != "none"]
    assert post.logins == (["good"] if login else [])
    assert mail["Message-ID"] == f"<{'ab' * 20}@registry.example>"
    assert mail["Subject"] == "准予信用修复决定 渝中〔2026〕1号"
    assert (mail["To"], mail["From"]) == ("credit@company.example", "notices@registry.example")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().strip() == "您有一份公共信用案件通知。"


async def test_a_relay_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    with post_office(certificate=self_signed(tmp_path)) as post:
        relay = carrier(tmp_path, Channel.EMAIL, smtp_host="127.0.0.1", smtp_port=post.port, smtp_security="starttls")
        outcome = await relay.send(message("credit@company.example"), NOW)
    assert (outcome.state, outcome.permanent) == (DeliveryState.FAILED, False)
    assert post.taken == []


async def test_a_relay_without_encryption_is_told_nothing_when_it_was_asked_for(tmp_path: Path) -> None:
    with post_office() as post:
        relay = carrier(tmp_path, Channel.EMAIL, smtp_host="127.0.0.1", smtp_port=post.port, smtp_security="starttls")
        outcome = await relay.send(message("credit@company.example"), NOW)
    assert (outcome.state, outcome.permanent) == (DeliveryState.FAILED, False)
    assert post.taken == []


@pytest.mark.parametrize(
    ("data", "recipient", "permanent"),
    [
        ("451 later", "250 OK", False),
        ("554 never", "250 OK", True),
        ("250 OK", "450 greylisted", False),
        ("250 OK", "550 no such user", True),
    ],
)
async def test_what_a_relay_refuses(tmp_path: Path, data: str, recipient: str, permanent: bool) -> None:
    with post_office() as post:
        post.replies, post.recipient_reply = [data], recipient
        relay = carrier(tmp_path, Channel.EMAIL, smtp_host="127.0.0.1", smtp_port=post.port)
        outcome = await relay.send(message("credit@company.example"), NOW)
    assert (outcome.state, outcome.permanent) == (DeliveryState.FAILED, permanent), outcome
    assert "company" not in outcome.detail


async def test_a_refused_login_or_an_absent_relay_is_tried_again(tmp_path: Path) -> None:
    with post_office(login=True) as post:
        relay = carrier(
            tmp_path, Channel.EMAIL,
            smtp_host="127.0.0.1", smtp_port=post.port, smtp_username="registry", smtp_password="wrong",
        )  # fmt: skip
        refused = await relay.send(message("credit@company.example"), NOW)
    absent = carrier(tmp_path, Channel.EMAIL, smtp_host="127.0.0.1", smtp_port=free_port())
    for outcome in (refused, await absent.send(message("credit@company.example"), NOW)):
        assert (outcome.state, outcome.permanent) == (DeliveryState.FAILED, False), outcome


def verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """A receiver's check, from the text of Standard Webhooks alone."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [part.split(",", 1) for part in headers["webhook-signature"].split()]
    return any(version == "v1" and hmac.compare_digest(value, expected) for version, value in given)


async def test_a_webhook_is_signed_for_its_receiver_alone(tmp_path: Path) -> None:
    with web_server() as receiver:
        sent = message(receiver.url)
        outcome = await carrier(tmp_path, Channel.WEBHOOK).send(sent, NOW)
        assert (outcome.state, outcome.permanent) == (DeliveryState.DELIVERED, False), outcome
    ((path, headers, body),) = receiver.requests
    assert path == "/hook"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["webhook-id"] == sent.message_id
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert verifies(signing_secret(WEBHOOK_KEY, sent.contact_id), headers, body)
    assert not verifies(signing_secret(WEBHOOK_KEY, uuid7()), headers, body)
    assert not verifies(signing_secret(WEBHOOK_KEY, sent.contact_id), headers, body + b" ")
    content = json.loads(body)
    assert content["type"] == "notification.repair-granted"
    assert content["data"]["case_reference"] == "渝中〔2026〕1号"


async def test_a_webhook_over_https_checks_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path, "localhost")
    strict = carrier(tmp_path, Channel.WEBHOOK)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with web_server(certificate) as receiver:
        url = f"https://localhost:{receiver.port}/hook"
        unknown = await strict.send(message(url), NOW)
        assert (unknown.state, unknown.permanent, receiver.requests) == (DeliveryState.FAILED, False, [])
        known = await carrier(tmp_path, Channel.WEBHOOK).send(message(url), NOW)
        assert (known.state, len(receiver.requests)) == (DeliveryState.DELIVERED, 1), known
    other = self_signed(tmp_path, "elsewhere.example")
    with web_server(other) as receiver:
        url = f"https://localhost:{receiver.port}/hook"
        wrong = await carrier(tmp_path, Channel.WEBHOOK).send(message(url), NOW)
        assert (wrong.state, receiver.requests) == (DeliveryState.FAILED, []), wrong


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        (302, True),
        (307, True),
        (400, True),
        (404, True),
        (410, True),
        (408, False),
        (429, False),
        (500, False),
        (503, False),
    ],
)
async def test_what_a_receiver_refuses(tmp_path: Path, status: int, permanent: bool) -> None:
    with web_server() as receiver, web_server() as elsewhere:
        receiver.statuses, receiver.headers = [status], {"Location": elsewhere.url}
        outcome = await carrier(tmp_path, Channel.WEBHOOK).send(message(receiver.url), NOW)
    assert (outcome.state, outcome.permanent) == (DeliveryState.FAILED, permanent), outcome
    assert elsewhere.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])
async def test_a_webhook_never_turns_inwards(scheme: str, host: str) -> None:
    with web_server() as receiver:
        hook = Webhook(WEBHOOK_KEY, admit_loopback=False)
        outcome = await hook.send(message(f"{scheme}://{host}:{receiver.port}/hook"), NOW)
    assert outcome.state is DeliveryState.FAILED
    assert receiver.requests == []


async def test_loopback_admits_nothing_else() -> None:
    hook = Webhook(WEBHOOK_KEY, admit_loopback=True)
    for address in (
        "https://10.0.0.1/",
        "https://169.254.169.254/latest",
        "http://93.184.216.34/",
        "https://[fd00::1]/",
    ):
        outcome = await hook.send(message(address), NOW)
        assert (outcome.state, outcome.permanent, outcome.detail) == (
            DeliveryState.FAILED, True, "address not admitted",
        ), address  # fmt: skip


@pytest.mark.parametrize(
    "address", ["https://", "https://[::1", "https://xn--\u2603/", "https://a..b/", "https://" + "a" * 80 + "/"]
)
async def test_an_address_that_is_none(address: str) -> None:
    outcome = await Webhook(WEBHOOK_KEY, admit_loopback=True).send(message(address), NOW)
    assert outcome.state is DeliveryState.FAILED


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff0e::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:a00:1::", False),
        ("64:ff9b:1::a00:1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("fec0::1", False),
        ("5f00::1", False),
        ("3fff::1", False),
        ("192.0.0.8", False),
        ("192.88.99.1", False),
        ("240e:0:1::1", True),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    ("status", "state", "permanent"),
    [(200, "sent", False), (202, "sent", False), (400, "failed", True), (422, "failed", True),
     (401, "failed", False), (429, "failed", False), (500, "failed", False)],
)  # fmt: skip
async def test_the_text_message_gateway(tmp_path: Path, status: int, state: str, permanent: bool) -> None:
    with web_server() as gateway:
        gateway.statuses = [status]
        road = carrier(tmp_path, Channel.SMS, sms_gateway_url=gateway.url, sms_gateway_token="t0ken")
        outcome = await road.send(message("+8613800138000"), NOW)
    assert (outcome.state.value, outcome.permanent) == (state, permanent), outcome
    ((_, headers, body),) = gateway.requests
    assert headers["authorization"] == "Bearer t0ken"
    assert json.loads(body) == {"id": "ab" * 20, "to": "+8613800138000", "text": "您有一份公共信用案件通知。"}
    gone = carrier(tmp_path, Channel.SMS, sms_gateway_url=gateway.url)
    outcome = await gone.send(message("+8613800138000"), NOW)
    assert (outcome.state, outcome.permanent) == (DeliveryState.FAILED, False)
