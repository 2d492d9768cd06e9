"""Finding arrays inside a tar without unpacking it."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bandwise.corpora.scan import Skip

_ARRAY = re.compile(r"(?:.*/)?([0-9]+)\.npy")


def arrays_in_tar(tar: Path, damage: list[Skip]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield ``(number, (offset, size))`` of each ``<number>.npy`` in an uncompressed tar.

    Only the headers are read, by seeking from one to the next. A tar that was cut short or damaged gives the arrays
    before the damage.

    Args:
        tar: The file.
        damage: Gets one ``(file, what is wrong)`` entry where the tar does not read to its end.
    """
    count = 0
    try:
        length = tar.stat().st_size
        with tarfile.open(tar, "r:") as archive:
            while (member := archive.next()) is not None:
                match = _ARRAY.fullmatch(member.name)
                if not match or not member.isreg():
                    continue
                if member.offset_data + member.size > length:
                    raise tarfile.ReadError(f"it ends within {member.name}")
                count += 1
                yield int(match[1]), (member.offset_data, member.size)
            # At a damaged header tarfile stops as if all were well; a whole tar goes on with blocks of zeros.
            with tar.open("rb") as handle:
                handle.seek(archive.offset)
                if handle.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                    raise tarfile.ReadError(f"no valid entry at byte {archive.offset:,}")
    except (tarfile.TarError, OSError) as error:
        damage.append((tar.name, f"cut short or damaged ({error}); the {count:,} arrays before that are used"))
