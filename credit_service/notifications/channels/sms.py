"""Text messages through a gateway that takes JSON over HTTP; others implement ``Carrier`` themselves."""

from __future__ import annotations

import ssl
from datetime import datetime

import httpx

from credit_service.notifications.channels import CARRIER_SECONDS, Message, Outcome, failed
from credit_service.notifications.rules import DeliveryState
from credit_service.platform.settings import Settings


class SmsGateway:
    """POSTs ``{"id", "to", "text"}`` with a bearer token; the gateway knows a repeat by ``id``."""

    def __init__(self, settings: Settings) -> None:
        assert settings.sms_gateway_url is not None
        self._url = settings.sms_gateway_url
        self._trust = ssl.create_default_context()
        token = settings.sms_gateway_token
        self._headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}

    async def send(self, message: Message, now: datetime) -> Outcome:
        """Hand the text to the gateway; 400 and 422 mean that it will never take this one."""
        content = {"id": message.message_id, "to": message.address, "text": message.text}
        try:
            async with httpx.AsyncClient(verify=self._trust, trust_env=False, timeout=CARRIER_SECONDS) as client:
                answer = await client.post(self._url, json=content, headers=self._headers)
        except httpx.HTTPError as error:
            return failed(f"gateway: {type(error).__name__}")
        if answer.is_success:
            return Outcome(DeliveryState.SENT, f"taken by the gateway: {answer.status_code}")
        return failed(f"gateway refused: {answer.status_code}", permanent=answer.status_code in (400, 422))
