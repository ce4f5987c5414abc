"""Webhooks to recipients' systems: signed (Standard Webhooks), to public https addresses, redirects not followed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import socket
import ssl
from datetime import datetime
from uuid import UUID

import httpx
import orjson

from credit_service.notifications.channels import CARRIER_SECONDS, Message, Outcome, failed
from credit_service.notifications.rules import DeliveryState, is_loopback_http
from credit_service.platform.days import rfc3339

PASSING_STATUSES = frozenset({408, 425, 429})
"""Refusals that ask for another try; other answers from 400 to 499 mean that the request will never do."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""What IANA has given out of IPv6. Translators' prefixes, forms that wrap an address of IPv4 and others lie outside."""
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""Of special purpose by IANA's registries, and public to the standard library."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def signing_key(master: str, contact_id: UUID) -> bytes:
    """The key of one webhook, derived from the installation's: nothing secret is stored, none is shared by two."""
    return hmac.new(master.encode(), b"webhook " + contact_id.bytes, hashlib.sha256).digest()


def signing_secret(master: str, contact_id: UUID) -> str:
    """The key as its owner is given it."""
    return "whsec_" + base64.b64encode(signing_key(master, contact_id)).decode()


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header (Standard Webhooks 1.0, symmetric)."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet, also behind the forms of IPv6 that wrap one of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)


class Webhook:
    """Posts announcements. The host is resolved once and the address that was judged is the one connected to."""

    def __init__(self, master: str, *, admit_loopback: bool) -> None:
        self._master = master
        self._admit_loopback = admit_loopback
        self._trust = ssl.create_default_context()

    async def send(self, message: Message, now: datetime) -> Outcome:
        """Post the message; any 2xx is a receipt."""
        try:
            url = httpx.URL(message.address)
            async with asyncio.timeout(CARRIER_SECONDS):
                address = await self._resolve(url)
                if address is None:
                    return failed("address not admitted", permanent=True)
                return _judge(await self._post(message, now, url, address))
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            return failed(f"receiver: {type(error).__name__}")
        except (httpx.InvalidURL, UnicodeError):
            return failed("address not understood", permanent=True)

    async def _resolve(self, url: httpx.URL) -> Address | None:
        loop = asyncio.get_running_loop()
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await loop.getaddrinfo(url.raw_host.decode(), port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        if all(is_public(address) for address in addresses) and url.scheme == "https":
            return addresses[0]
        loopback = all(address.is_loopback for address in addresses)
        if self._admit_loopback and loopback and (url.scheme == "https" or is_loopback_http(str(url))):
            return addresses[0]
        return None

    async def _post(self, message: Message, now: datetime, url: httpx.URL, address: Address) -> int:
        body = orjson.dumps(
            {
                "type": f"notification.{message.template}",
                "timestamp": rfc3339(message.owed_at),
                "data": {
                    "notification_id": str(message.notification_id),
                    "case_type": message.case_type,
                    "case_id": str(message.case_id),
                    "case_reference": message.case_reference,
                    "language": message.language,
                    "subject": message.subject,
                    "text": message.text,
                },
            }
        )
        timestamp = int(now.timestamp())
        key = signing_key(self._master, message.contact_id)
        headers = {
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            "webhook-id": message.message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(key, message.message_id, timestamp, body),
        }
        # No environment: a proxy would resolve the name anew. The certificate is still the name's.
        async with (
            httpx.AsyncClient(
                verify=self._trust, trust_env=False, follow_redirects=False, timeout=CARRIER_SECONDS
            ) as client,
            client.stream(
                "POST",
                url.copy_with(host=str(address)),
                content=body,
                headers=headers,
                extensions={"sni_hostname": url.raw_host.decode()},
            ) as response,
        ):
            return response.status_code  # the body is never read: whatever its size, it says nothing to us


def _judge(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(DeliveryState.DELIVERED, f"received: {status}")
    permanent = 300 <= status < 500 and status not in PASSING_STATUSES
    return failed(f"receiver refused: {status}", permanent=permanent)
