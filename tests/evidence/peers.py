"""Peers on loopback that speak the protocols: a clamd, an ICAP server, and an S3 service of independent make (moto)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

MALWARE = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@dataclass
class Scanned:
    """What a scanner was shown, and how it is to behave."""

    address: str = ""
    files: list[bytes] = field(default_factory=list)
    answer: bytes | None = None
    returns: Callable[[bytes], bytes] | None = None


@asynccontextmanager
async def clamd(path: str | None = None) -> AsyncIterator[Scanned]:
    """clamd(8): zINSTREAM, chunks with their length before them, an empty one at the end."""
    said = Scanned()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
        content = b""
        while length := int.from_bytes(await reader.readexactly(4), "big"):
            content += await reader.readexactly(length)
        said.files.append(content)
        found = b"stream: Win.Test.EICAR_HDB-1 FOUND" if MALWARE in content else b"stream: OK"
        writer.write((found if said.answer is None else said.answer) + b"\0")
        await writer.drain()
        writer.close()

    if path is not None:
        server = await asyncio.start_unix_server(talk, path)
        said.address = f"clamd://{path}"
    else:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        said.address = f"clamd://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield said


def returned(content: bytes) -> bytes:
    """An ICAP answer that gives a body back, in two chunks, as c-icap does for what is larger than its memory."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n"
    half = len(content) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:half], content[half:]) if part)
    start = b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=%d\r\n\r\n" % len(head)
    return start + head + chunks + b"0\r\n\r\n"


@asynccontextmanager
async def icap() -> AsyncIterator[Scanned]:
    """RFC 3507: reads the encapsulated parts where the header says they are, and the body in chunks."""
    said = Scanned()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        found = re.search(r"Encapsulated: req-hdr=0, res-hdr=(\d+), res-body=(\d+)", head)
        assert found is not None
        assert "Allow: 204" in head
        encapsulated = await reader.readexactly(int(found[2]))
        assert encapsulated[int(found[1]) :].startswith(b"HTTP/1.1 200 OK\r\n")
        assert encapsulated.endswith(b"\r\n\r\n")
        content = b""
        while length := int(await reader.readline(), 16):
            content += await reader.readexactly(length)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        said.files.append(content)
        clean = b'ICAP/1.0 204 No Content\r\nISTag: "1"\r\n\r\n'
        threat = b"X-Infection-Found: Type=0; Resolution=2; Threat=EICAR;\r\n"
        infected = b"ICAP/1.0 200 OK\r\n" + threat + b"Encapsulated: res-hdr=0, null-body=26\r\n\r\n"
        infected += b"HTTP/1.1 403 Forbidden\r\n\r\n"
        answer = said.answer or (infected if MALWARE in content else clean)
        writer.write(answer if said.returns is None else returned(said.returns(content)))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    said.address = f"icap://127.0.0.1:{server.sockets[0].getsockname()[1]}/avscan"
    async with server:
        yield said


@contextmanager
def s3_service() -> Iterator[str]:
    """The address of an empty S3 service with one bucket, ``evidence``."""
    import boto3
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="evidence")
    try:
        yield address
    finally:
        server.stop()
