"""sha256sums.txt beside the files of a frozen set."""

import hashlib
from pathlib import Path

LIST = "sha256sums.txt"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(folder: Path, names: list[str]) -> None:
    """Lists the files."""
    (folder / LIST).write_text("".join(f"{digest(folder / name)}  {name}\n" for name in names))


def check(folder: Path) -> None:
    """Refuses a set whose files are not what is listed."""
    for line in (folder / LIST).read_text().splitlines():
        expected, name = line.split()
        if digest(folder / name) != expected:
            message = f"expected the checksum {expected}, got another; check the file out again"
            raise ValueError(f"{folder / name}: {message}")
