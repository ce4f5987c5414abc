"""Tamper with copies of an exported log in every way there is and see that ``credit-service verify`` names each.

    credit-service log export FOLDER --entries && python examples/tampering.py FOLDER --key KEY

KEY is the log's public key. The folder itself is only read. Exit 1 if the log does not hold as it is, or if any
tampering is not found or is called by another name.
"""

import argparse
import base64
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def unpack(bundle: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(bundle):
        (length,) = struct.unpack_from(">H", bundle, place)
        found.append(bundle[place + 2 : place + 2 + length])
        place += 2 + length
    return found


def pack(entries: list[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def first(log: pathlib.Path, level: str) -> pathlib.Path:
    """The file of the first 256 hashes or entries, or of as many as there are."""
    whole = log / "tile" / level / "000"
    return whole if whole.is_file() else _widest(log / "tile" / level / "000.p")


def last(log: pathlib.Path, level: str) -> pathlib.Path:
    """The file that the log's end lies in, by the size in its head."""
    size = int((log / "checkpoint").read_text(encoding="utf-8").split("\n")[1])
    number, width = divmod(size - 1, 256)
    digits = f"{number:03d}".zfill(3 * ((len(f"{number:03d}") + 2) // 3))
    parts = [digits[place : place + 3] for place in range(0, len(digits), 3)]
    name = "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
    return log / "tile" / level / (name if width == 255 else f"{name}.p/{width + 1}")


def _widest(folder: pathlib.Path) -> pathlib.Path:
    return max(folder.iterdir(), key=lambda file: int(file.name))


def change_row(log: pathlib.Path) -> None:
    file = first(log, "entries")
    rows = unpack(file.read_bytes())
    rows[3] = rows[3].replace(b"2026", b"2025", 1)
    file.write_bytes(pack(rows))


def change_row_and_hash(log: pathlib.Path) -> None:
    change_row(log)
    entries, hashes = first(log, "entries"), first(log, "0")
    leaf = sha256(b"\0" + unpack(entries.read_bytes())[3]).digest()
    tile = hashes.read_bytes()
    hashes.write_bytes(tile[:96] + leaf + tile[128:])


def delete_row(log: pathlib.Path) -> None:
    file = first(log, "entries")
    rows = unpack(file.read_bytes())
    file.write_bytes(pack(rows[:2] + rows[3:]))


def swap_rows(log: pathlib.Path) -> None:
    file = first(log, "entries")
    rows = unpack(file.read_bytes())
    file.write_bytes(pack([rows[1], rows[0], *rows[2:]]))


def add_row(log: pathlib.Path) -> None:
    """A row more after the last one that was signed."""
    file = last(log, "entries")
    rows = unpack(file.read_bytes())
    file.write_bytes(pack([*rows, rows[-1]]))


def add_file(log: pathlib.Path) -> None:
    """Rows in a file of their own, beyond what the head covers."""
    (log / "tile" / "entries" / "999").write_bytes(pack([b"{}"] * 256))


def cut_rows(log: pathlib.Path) -> None:
    """The last row goes, and its hash with it."""
    for level in ("entries", "0"):
        file = last(log, level)
        content = file.read_bytes()
        file.write_bytes(content[:-32] if level == "0" else pack(unpack(content)[:-1]))


def delete_log(log: pathlib.Path) -> None:
    shutil.rmtree(log)
    log.mkdir()


def delete_head(log: pathlib.Path) -> None:
    (log / "checkpoint").unlink()


def change_head(log: pathlib.Path) -> None:
    """A smaller size under the true signature."""
    file = log / "checkpoint"
    origin, size, rest = file.read_text(encoding="utf-8").split("\n", 2)
    file.write_text(f"{origin}\n{int(size) - 1}\n{rest}", encoding="utf-8")


def forge_head(log: pathlib.Path) -> None:
    """The same text, signed well under the log's name, but with a key that nobody published."""
    file = log / "checkpoint"
    text = file.read_text(encoding="utf-8").rpartition("\n\n")[0] + "\n"
    origin = text.split("\n")[0]
    forger = Ed25519PrivateKey.generate()
    key_id = sha256(origin.encode() + b"\n\x01" + forger.public_key().public_bytes_raw()).digest()[:4]
    signature = base64.b64encode(key_id + forger.sign(text.encode())).decode()
    file.write_text(f"{text}\n— {origin} {signature}\n", encoding="utf-8")


TAMPERING = [
    ("a row changed 改一行", change_row, "entry-altered"),
    ("a row and its hash changed 连哈希一起改", change_row_and_hash, "root-differs"),
    ("a row deleted 删一行", delete_row, "entry-missing"),
    ("two rows re-ordered 换序", swap_rows, "entries-reordered"),
    ("a row added 添一行", add_row, "entry-added"),
    ("a file slipped in 塞文件", add_file, "files-unsigned"),
    ("the tail cut off 截尾", cut_rows, "tail-truncated"),
    ("the whole log deleted 全删", delete_log, "log-missing"),
    ("the head deleted 删检查点", delete_head, "checkpoint-missing"),
    ("the head changed 改检查点", change_head, "checkpoint-forged"),
    ("the head signed by another key 伪造检查点", forge_head, "checkpoint-forged"),
]


def verify(log: pathlib.Path, keys: list[str]) -> tuple[int, list[str], str]:
    """Exit code of ``credit-service verify``, the names of the faults it found, and its last line."""
    trusted = [part for key in keys for part in ("--key", key)]
    command = [sys.executable, "-m", "credit_service", "verify", str(log), *trusted]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    faults = [line.split(" ")[1] for line in done.stderr.splitlines() if line.startswith("FAULT ")]
    return done.returncode, faults, (done.stdout.strip() or done.stderr.strip()).rpartition("\n")[2]


def demonstrate(log: pathlib.Path, keys: list[str]) -> bool:
    code, faults, told = verify(log, keys)
    print(f"as exported: {told}")
    if code or faults:
        return False
    well = True
    print("\n| tampering | found | name |\n|---|---|---|")
    for name, tamper, expected in TAMPERING:
        with tempfile.TemporaryDirectory() as scratch:
            copy = pathlib.Path(scratch) / "log"
            shutil.copytree(log, copy)
            tamper(copy)
            code, faults, _ = verify(copy, keys)
        right = code == 1 and expected in faults
        well &= right
        missed = "" if right else f" (expected {expected})"
        print(f"| {name} | {'yes' if code else 'NO'} | {', '.join(faults)}{missed} |")
    return well


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--key", action="append", required=True)
    told = parser.parse_args()
    logs = [told.folder] if (told.folder / "checkpoint").is_file() else sorted(told.folder.glob("*/"))
    return 0 if logs and all(demonstrate(log, told.key) for log in logs) else 1


if __name__ == "__main__":
    sys.exit(main())
