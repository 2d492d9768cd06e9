"""From one groove to one wave: MMA writes the MIDI file, fluidsynth plays it, and every clip gets one rule of level.

Everything but the groove comes from ``draw``, which knows a clip by its number in the whole set and is not told its
genre: tempo, key, chords, seed and level are independent draws, so none of them can give a label away.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bandwise.corpora.mma_grooves import INSTALL, Groove
from bandwise.errors import BandwiseError

SAMPLE_RATE = 22_050
LEVEL_DB = -26.0  # RMS of a clip before its gain, relative to full scale: leaves room for a crest factor of 23 dB
TEMPO = (80, 160)  # beats a minute
TRANSPOSE = (-5, 6)  # semitones
GAIN_DB = (-3.0, 3.0)

# One chord a bar, repeated to the end. MMA transposes them.
PROGRESSIONS = (
    "C G Am F",
    "C Am F G",
    "Am F C G",
    "C F G C",
    "C C F G7",
    "Dm7 G7 CM7 Am7",
    "C F C G7",
    "C Em F G",
    "Am Dm G C F Dm E7 Am",
    "Am G F E7",
    "C G Am Em F C F G",
    "C7 C7 C7 C7 F7 F7 C7 C7 G7 F7 C7 G7",
)

_SOUNDFONTS = tuple(
    Path("/usr/share") / place
    for place in ("sounds/sf2/TimGM6mb.sf2", "soundfonts/TimGM6mb.sf2", "sounds/TimGM6mb.sf2")
)
_SILENCE_DB = -70.0
_TIMEOUT_S = 300
_KILLED = (-2, -9, -15)  # interrupted, killed (often for want of memory), terminated
_MINUTES = re.compile(r"bars, ([\d.]+) min")


class RenderError(Exception):
    """A groove that could not be rendered; the message says at which step and why."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What a clip is drawn besides its groove.

    Attributes:
        tempo: Beats a minute.
        transpose: Semitones up from C.
        progression: Chords, one a bar, repeated.
        rnd_seed: The seed of MMA's own small variations.
        gain_db: Added to the common level.
    """

    tempo: int
    transpose: int
    progression: str
    rnd_seed: int
    gain_db: float


def draw(seed: int, number: int) -> Draw:
    """Draw everything but the groove for one clip.

    Args:
        seed: The seed of the whole set.
        number: The clip's number in the whole set, from 0.
    """
    # A string seeds by SHA-512, so neighbouring numbers share nothing and every machine agrees.
    source = random.Random(f"mma10/{seed}/{number}")
    return Draw(
        tempo=source.randint(*TEMPO),
        transpose=source.randint(*TRANSPOSE),
        progression=source.choice(PROGRESSIONS),
        rnd_seed=source.randint(1, 1_000_000),
        gain_db=round(source.uniform(*GAIN_DB), 2),
    )


@dataclass(frozen=True)
class Programs:
    """What renders: the two programs and the soundfont, with what they say of themselves.

    Attributes:
        mma: Path of MMA.
        fluidsynth: Path of fluidsynth.
        soundfont: The General MIDI soundfont.
        versions: Name → version, or a digest for the soundfont; waves are equal only where these are.
    """

    mma: str
    fluidsynth: str
    soundfont: Path
    versions: dict[str, str]


def find_programs() -> Programs:
    """Find MMA, fluidsynth and the soundfont, and ask for their versions.

    Raises:
        BandwiseError: One of them is missing.
    """
    mma, fluidsynth = shutil.which("mma"), shutil.which("fluidsynth")
    if not mma or not fluidsynth:
        raise BandwiseError(f"mma and fluidsynth are needed: {INSTALL}")
    soundfont = next((path for path in _SOUNDFONTS if path.is_file()), None)
    if soundfont is None:
        raise BandwiseError(f"the soundfont TimGM6mb.sf2 is needed ({_SOUNDFONTS[0]}): {INSTALL}")
    digest = hashlib.sha256(soundfont.read_bytes()).hexdigest()
    versions = {
        "mma": _version([mma, "-i", os.devnull, "-v"]),
        "fluidsynth": _version([fluidsynth, "--version"]),
        "soundfont": f"{soundfont.name} sha256:{digest[:16]}",
    }
    return Programs(mma, fluidsynth, soundfont, versions)


def render(
    groove: Groove, drawn: Draw, seconds: float, programs: Programs, sample_rate: int = SAMPLE_RATE
) -> npt.NDArray[np.int16]:
    """Render one clip.

    Args:
        groove: What is played.
        drawn: Tempo, key, chords, seed and gain.
        seconds: Exact length of the clip.
        programs: From ``find_programs``.
        sample_rate: In Hz.

    Returns:
        Mono samples ``(round(seconds * sample_rate),)``, the same for the same arguments and programs.

    Raises:
        RenderError: MMA or fluidsynth refused the groove, or nothing was to be heard.
    """
    import soundfile

    frames = round(seconds * sample_rate)
    with tempfile.TemporaryDirectory(prefix="mma10-") as name:
        folder = Path(name)
        _write_midi(groove, drawn, seconds, programs, folder)
        # Float samples: fluidsynth neither clips a loud groove nor leaves a quiet one few bits.
        sound = ["-g", "0.6", "-r", str(sample_rate), "-T", "wav", "-O", "float", "-F", "out.wav"]
        _run([programs.fluidsynth, "-niq", "-f", os.devnull, *sound, str(programs.soundfont), "out.mid"], folder)
        try:
            wave, _ = soundfile.read(folder / "out.wav", dtype="float64", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise RenderError(f"fluidsynth wrote no readable wave ({error})") from None
    if len(wave) < frames:
        raise RenderError(f"the wave has {len(wave)} samples, {frames} are needed")
    return _level(wave[:frames].mean(axis=1), drawn.gain_db)


def song(groove: Groove, drawn: Draw, bars: int) -> str:
    """The MMA source of a clip."""
    chords = drawn.progression.split()
    # Tempo and key follow the groove, so that nothing in the style file overrides them.
    head = [f"RndSeed {drawn.rnd_seed}", f"Groove {groove.address}", f"Tempo {drawn.tempo}"]
    head.append(f"Transpose {drawn.transpose}")
    return "\n".join(head + [f"{bar + 1} {chords[bar % len(chords)]}" for bar in range(bars)]) + "\n"


def _write_midi(groove: Groove, drawn: Draw, seconds: float, programs: Programs, folder: Path) -> None:
    """Write ``out.mid``, at least two seconds longer than the clip so that its end is never in it."""
    bars = math.ceil((seconds + 2) * drawn.tempo / 60 / groove.beats) + 1
    # Once as the style file's beats have it, once more in case that was wrong.
    for _ in range(2):
        (folder / "in.mma").write_text(song(groove, drawn, bars), encoding="latin-1")
        said = _run([programs.mma, "-i", os.devnull, "-w", "-f", "out.mid", "in.mma"], folder)
        length = _MINUTES.search(said)
        if length is None or not (folder / "out.mid").is_file():
            raise RenderError(f"mma wrote no song: {' '.join(said.split())[-200:]}")
        song_seconds = 60 * float(length[1])  # two decimals of a minute: ± 0.3 s
        if song_seconds >= seconds + 0.6:
            return
        bars = math.ceil(bars * 1.1 * (seconds + 2) / max(song_seconds, 1.0))
    raise RenderError(f"{bars} bars are only {song_seconds:.0f} s")


def _level(wave: npt.NDArray[np.float64], gain_db: float) -> npt.NDArray[np.int16]:
    """Bring a wave to the common RMS level plus its gain, as 16-bit samples."""
    rms = float(np.sqrt(np.mean(wave**2)))
    if not rms > 10 ** (_SILENCE_DB / 20):
        raise RenderError("nothing is to be heard")
    scaled = wave * (10 ** ((LEVEL_DB + gain_db) / 20) / rms)
    return np.clip(np.round(scaled * 32768), -32768, 32767).astype(np.int16)


def _run(command: list[str], folder: Path) -> str:
    """Run a program in a folder and return what it said.

    Raises:
        RenderError: It failed or hung.
        BandwiseError: Someone or something killed it, which says nothing about the groove.
    """
    # MMA walks Python sets; a fixed hash seed keeps its MIDI files equal too.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            start_new_session=True,  # Ctrl-C is for this process alone; a clip under way is finished
        )
    except subprocess.TimeoutExpired:
        raise RenderError(f"{Path(command[0]).name} took more than {_TIMEOUT_S} s") from None
    if done.returncode in _KILLED:
        raise BandwiseError(f"{Path(command[0]).name} was killed (signal {-done.returncode}): run the build again")
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[-200:]
        raise RenderError(f"{Path(command[0]).name} ended with {done.returncode}: {said}")
    return done.stdout


def _version(command: list[str]) -> str:
    """The number in what a program says when asked for its version."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BandwiseError(f"{command[0]} cannot be run ({error}): {INSTALL}") from None
    # The plug-in warning of MMA comes before its version, on the same stream.
    numbers = re.findall(r"\d+\.\d+(?:\.\d+)*", done.stdout + done.stderr)
    return numbers[0] if numbers else "unknown"
