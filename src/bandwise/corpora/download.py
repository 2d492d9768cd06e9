"""FMA's archives: fetched, checked, unpacked safely, and removed when all of that is done."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from bandwise.corpora.fetch import download
from bandwise.errors import BandwiseError
from bandwise.files import write_text
from bandwise.progress import SILENT, Progress

__all__ = ["FMA_SHA1", "FMA_URL", "download", "fetch_fma", "unpack"]

FMA_URL = "https://os.unil.cloud.switch.ch/fma"
FMA_SHA1 = {
    "fma-metadata": "f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
    "fma-small": "ade154f733639d52e35e32f5593efe5be76c6d70",
    "fma-medium": "c67b69ea232021025fca9231fc1c7c1a063ab50b",
    "fma-large": "497109f4dd721066b5ce5e5f250ec604dc78939e",
}


def fetch_fma(
    name: str,
    target_dir: Path,
    base_url: str = FMA_URL,
    progress: Progress = SILENT,
    *,
    keep_archives: bool = False,
) -> Path:
    """Fetch and unpack a part of FMA, going on where an earlier call was cut off.

    Args:
        name: ``"fma-small"``, ``"fma-medium"`` or ``"fma-large"``, each with the metadata, or ``"fma-metadata"``.
        target_dir: Where ``fma_metadata`` and ``fma_small`` shall lie.
        base_url: Where the archives lie; a mirror must have the same files.
        progress: Shows what is being done.
        keep_archives: Leave the zips beside the unpacked folders.

    Returns:
        ``target_dir``, ready for ``open_corpus(f"{name}:{target_dir}")``.

    Raises:
        BandwiseError: No such part, or fetching or unpacking failed; the message says what to do.
    """
    if name not in FMA_SHA1:
        raise BandwiseError(f"FMA has no archive {name!r}: choose one of {', '.join(FMA_SHA1)}")
    for archive_name in dict.fromkeys(("fma-metadata", name)):
        stem = archive_name.replace("-", "_")
        marker = target_dir / f".{stem}.complete"
        if marker.exists() and (target_dir / stem).is_dir():
            progress.note(f"{target_dir / stem} is complete")
            continue
        archive = target_dir / f"{stem}.zip"
        download(f"{base_url.rstrip('/')}/{archive.name}", archive, FMA_SHA1[archive_name], progress)
        unpack(archive, target_dir, progress)
        if hasattr(os, "sync"):  # The files were not synced one by one: 100,000 times would take an hour.
            os.sync()
        write_text(marker, FMA_SHA1[archive_name] + "\n")
        if not keep_archives:
            archive.unlink()
    return target_dir


def unpack(archive: Path, target_dir: Path, progress: Progress = SILENT) -> None:
    """Unpack a zip; files that an interrupted call has unpacked are not written again.

    Args:
        archive: The zip.
        target_dir: Where to; nothing is ever written outside it.
        progress: Shows a bar in files.

    Raises:
        BandwiseError: It is not a zip or is damaged, it holds a path that leads outside or a link (then nothing is
            written), or there is no space.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [(member, _inside(archive, member)) for member in zipped.infolist() if not member.is_dir()]
            left = [(member, place) for member, place in members if not _is_there(target_dir / place, member)]
            target_dir.mkdir(parents=True, exist_ok=True)
            needed, free = sum(member.file_size for member, _ in left), shutil.disk_usage(target_dir).free
            if needed > free:
                raise BandwiseError(f"{archive} takes {needed:,} bytes unpacked, but {target_dir} has {free:,} left")
            with progress.task(f"unpacking {archive.name}", len(members), "files") as task:
                task.advance(len(members) - len(left))
                for member, place in left:
                    _write(zipped, member, target_dir / place)
                    task.advance()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BandwiseError(f"{archive} cannot be unpacked ({error}): fetch it again") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BandwiseError(f"no space left to unpack {archive}; make room and call again, it goes on") from None
        raise BandwiseError(f"{archive} cannot be unpacked ({error})") from None


def _inside(archive: Path, member: zipfile.ZipInfo) -> PurePosixPath:
    """Where a member goes below the target; refuses those that lead elsewhere."""
    place = PurePosixPath(member.filename.replace("\\", "/"))
    outside = not place.parts or place.is_absolute() or ".." in place.parts or ":" in place.parts[0]
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        what = "a path that leads outside" if outside else "a link"
        raise BandwiseError(
            f"{archive} holds {what} ({member.filename!r}): it is not to be trusted, nothing is unpacked"
        )
    return place


def _write(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with zipped.open(member) as source, temporary.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_there(path: Path, member: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    checksum = 0
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum == member.CRC
