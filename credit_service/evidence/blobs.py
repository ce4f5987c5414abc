"""Where content lies: a folder, or a bucket that speaks S3. A name is written once, durably and whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from credit_service.platform.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store

PART = 1 << 18


class Blobs(Protocol):
    """Content by name."""

    async def put(self, name: str, file: Path) -> None:
        """Store a finished file under a name; one that is there already stays as it is."""

    async def holds(self, name: str) -> bool: ...

    def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Bytes of a blob. Raises ``FileNotFoundError``."""
        ...

    async def delete(self, name: str) -> None: ...

    def names(self) -> AsyncIterator[tuple[str, datetime]]:
        """Every name with the instant it was stored."""
        ...


async def read_file(file: Path, start: int, stop: int) -> AsyncIterator[bytes]:
    """Bytes of a file, in parts, off the event loop."""
    handle = await asyncio.to_thread(file.open, "rb")
    try:
        await asyncio.to_thread(handle.seek, start)
        while start < stop:
            part = await asyncio.to_thread(handle.read, min(PART, stop - start))
            if not part:
                return
            start += len(part)
            yield part
    finally:
        handle.close()


def fsync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderBlobs:
    """Blobs as files, spread over folders by the first characters of their names."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, name: str) -> Path:
        return self._root / name[:2] / name[2:4] / name

    async def put(self, name: str, file: Path) -> None:
        await asyncio.to_thread(self._put, self._path(name), file)

    def _put(self, path: Path, file: Path) -> None:
        for folder in (self._root, path.parent.parent, path.parent):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                fsync_folder(folder.parent)
        with suppress(FileExistsError):
            path.hardlink_to(file)  # there whole or not at all, as with a rename, and never in place of another
        fsync_folder(path.parent)

    async def holds(self, name: str) -> bool:
        return await asyncio.to_thread(self._path(name).is_file)

    def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        return read_file(self._path(name), start, stop)

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    async def names(self) -> AsyncIterator[tuple[str, datetime]]:
        for folder in await asyncio.to_thread(lambda: sorted(self._root.glob("??"))):
            for file in await asyncio.to_thread(lambda below=folder: sorted(below.glob("??/*"))):  # type: ignore[misc]
                try:
                    yield file.name, datetime.fromtimestamp(file.stat().st_mtime, UTC)
                except FileNotFoundError:  # collected by another worker
                    continue


class BucketBlobs:
    """Blobs as objects of an S3-compatible bucket."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def put(self, name: str, file: Path) -> None:
        import obstore

        if not await self.holds(name):
            await obstore.put_async(self._store, name, file)

    async def holds(self, name: str) -> bool:
        import obstore

        try:
            await obstore.head_async(self._store, name)
        except FileNotFoundError:
            return False
        return True

    async def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        import obstore

        found = await obstore.get_async(self._store, name, options={"range": (start, stop)})
        async for part in found.stream(min_chunk_size=PART):
            yield bytes(part)

    async def delete(self, name: str) -> None:
        import obstore

        await obstore.delete_async(self._store, name)

    async def names(self) -> AsyncIterator[tuple[str, datetime]]:
        import obstore

        async for page in obstore.list(self._store):
            for entry in page:
                yield entry["path"], entry["last_modified"]


def blobs_of(settings: Settings) -> Blobs:
    """The bucket the settings name, otherwise a folder of the data directory."""
    if settings.evidence_s3_bucket is None:
        return FolderBlobs(settings.evidence_directory / "blobs")
    from obstore.store import S3Store

    client: ClientConfig = {"timeout": timedelta(seconds=60), "connect_timeout": timedelta(seconds=5)}
    if (settings.evidence_s3_endpoint or "").startswith("http://"):
        client["allow_http"] = True
    retry: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
    secret = settings.evidence_s3_secret_access_key
    store = S3Store(
        settings.evidence_s3_bucket,
        endpoint=settings.evidence_s3_endpoint,
        region=settings.evidence_s3_region,
        access_key_id=settings.evidence_s3_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
        client_options=client,
        retry_config=retry,
    )
    return BucketBlobs(store)
