"""E-mail over SMTP: STARTTLS or TLS with a verified certificate, authentication by setting."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from credit_service.notifications.channels import CARRIER_SECONDS, Message, Outcome, failed
from credit_service.notifications.rules import DeliveryState
from credit_service.platform.settings import Settings


class Smtp:
    """One relay. A message it takes is sent, not delivered: SMTP ends there."""

    def __init__(self, settings: Settings) -> None:
        assert settings.smtp_host is not None
        self._host = settings.smtp_host
        self._port = settings.smtp_port
        self._security = settings.smtp_security
        self._username = settings.smtp_username
        self._password = settings.smtp_password.get_secret_value() if settings.smtp_password else ""
        self._sender = settings.smtp_sender

    async def send(self, message: Message, now: datetime) -> Outcome:
        """Hand the message to the relay, in a thread of its own."""
        return await asyncio.to_thread(self._send, message, now)

    def compose(self, message: Message, now: datetime) -> EmailMessage:
        """The mail; its Message-ID is the notification's, so that a repeat is known as one."""
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = message.address
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(now)
        mail["Message-ID"] = f"<{message.message_id}@{self._sender.rpartition('@')[2].rstrip('>')}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice answers it
        mail["Content-Language"] = "zh-CN" if message.language == "zh" else "en"
        mail.set_content(message.text)
        return mail

    def _send(self, message: Message, now: datetime) -> Outcome:
        try:
            with self._connect() as relay:
                relay.send_message(self.compose(message, now))
        except smtplib.SMTPRecipientsRefused as error:
            code, _ = error.recipients[message.address]
            return failed(f"recipient refused: {code}", permanent=code >= 500)
        except smtplib.SMTPDataError as error:
            return failed(f"message refused: {error.smtp_code}", permanent=error.smtp_code >= 500)
        except smtplib.SMTPResponseException as error:
            # The relay will not have us (login, sender): for the operator to mend, not the address's fault.
            return failed(f"relay refused: {error.smtp_code}")
        except (OSError, smtplib.SMTPException) as error:
            return failed(f"relay: {type(error).__name__}")
        return Outcome(DeliveryState.SENT, "taken by the relay")

    def _connect(self) -> smtplib.SMTP:
        if self._security == "tls":
            relay: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=CARRIER_SECONDS, context=ssl.create_default_context()
            )
        else:
            relay = smtplib.SMTP(self._host, self._port, timeout=CARRIER_SECONDS)
        try:
            if self._security == "starttls":
                relay.starttls(context=ssl.create_default_context())
            if self._username is not None:
                relay.login(self._username, self._password)
        except BaseException:
            relay.close()
            raise
        return relay
