"""Which grooves of the MMA library make up mma10, and which genre each counts as.

MMA (Musical MIDI Accompaniment) keeps its accompaniment patterns, *grooves*, in style files such as ``stdlib/blues``
or ``casio/techno``. The genre is decided per style file, by its name, in the table ``STYLES`` below. The table was
made by hand and leaves out every file whose name points to two genres (``folkrock``, ``latinhouse``, ``popwaltz``)
or to none (``8beat1``, ``serenade``). Nothing here needs MMA to run, only its library of text files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bandwise.errors import BandwiseError

INSTALL = "sudo apt-get install -y --no-install-recommends mma fluidsynth timgm6mb-soundfont"

LIBRARIES = (Path("/usr/share/mma/lib"), Path("/usr/local/share/mma/lib"))

# Genre -> library folder -> style files. The ten genres with enough style files that play bass or chords.
#   rock     with metal, which has three files of its own.
#   soul     funk, soul, Motown and R&B.
#   march    marches and polkas: the brass-band two-beat. polkafox is "a standard, European Polka" by its own words.
#   ballroom the standard dances; the Latin dances are under latin.
#   zoom/    is missing on purpose: its 40 files are drum patterns without a pitched instrument, so "no pitch at all"
#            would stand for hip-hop, reggae or disco, of which MMA has hardly anything else.
STYLES: dict[str, dict[str, str]] = {
    "ballroom": {
        "casio": "foxtrot quickstep",
        "stdlib": "fastwaltz foxtrot frenchwaltz quickstep vienesewaltz waltz",
    },
    "blues": {
        "casio": "blues shuffleboogie",
        "stdlib": "blues blues128 blues68 boggiewoggie fastblues shuffleboggie slowblues",
    },
    "country": {
        "kara": "kwestballad",
        "stdlib": "bluegrass countryswing countrywaltz hillcountry slowcountry westernswing",
        "yamaha": "western",
    },
    "electronic": {
        "alexis": "teamtechno",
        "casio": "ambient1 ambient2 ambient3 dance1 dance2 house rave techno trance1 trance2",
        "stdlib": "trance",
    },
    "jazz": {
        "casio": "fastbigband jazzcombo jazzwaltz middlebigband modernjazz slowbigband slowswing swing",
        "stdlib": "68swing bebop bigband descendingjazz dixie easyswing evansish fastjazzwaltz fastswing gypsyjazz "
        "jazz-54 jazzcombo jazzguitar jazzwaltz mellowjazz modernjazz modernjazzwaltz nitejazz slowjazz swing",
        "yamaha": "jazzGrtrio jazzbasie jazzbouncy jazzswing jazztrio jazzwaltz",
    },
    "latin": {
        "kara": "kbossa",
        "stdlib": "afro-cuban beguine bolero bossanova chacha cubanguitar latinwaltz lighttango mambo merengue "
        "rhumba salsa samba slowbolero son tango",
        "yamaha": "mambo quando-g.s280 salsa1 salsa2",
    },
    "march": {
        "casio": "germanmarch march1 polka polkafox",
        "stdlib": "68march bwmarch march polka",
    },
    "pop": {
        "casio": "60spop 80spop 8beatpop1 8beatpop2 8beatpop3 pop popballad popshuffle1 popshuffle2 worldpop",
        "stdlib": "popballad",
    },
    "rock": {
        "casio": "60srock digitalrock heavymetal rock1 rock2 shufflerock slowrock",
        "kara": "K50s_rock",
        "pflib": "metal1 metal2 rock1 slowrock",
        "stdlib": "50srock 60srock basicrock bubblerock rock-128 softrock",
        "yamaha": "w-rock",
    },
    "soul": {
        "casio": "60ssoul funk1 funk2 mellowrb modernrb r+b soul",
        "kara": "8beatmotown Kfunk1",
        "stdlib": "bvfunk dsoul rb rb-ballad",
    },
}
GENRES = tuple(sorted(STYLES))

# Played for a bar or a few, not an accompaniment. The capitals spare "DescendingJazz"; "Count" would catch country.
_PASSING = re.compile(r"[Ii]ntro|Fill|End|Break|Metronome")
# The pflib files shorten them: rock1FA and rock1FB are fills, rock1E is the end.
_PASSING_PFLIB = re.compile(r"F[AB]$|E$")

_DEFGROOVE = re.compile(r"^\s*DefGroove\s+(\S+)", re.IGNORECASE)
_TIME = re.compile(r"^\s*Time\s+(\d+)", re.IGNORECASE)


# What makes another groove of the same family: a sustained or a busier layer (Sus, Plus), or a number.
_DECORATION = re.compile(r"sus|plus|\d+")


@dataclass(frozen=True, slots=True)
class Groove:
    """One playable accompaniment.

    Attributes:
        genre: One of ``GENRES``.
        style: Its style file, ``"stdlib/blues"``.
        name: Its name in that file, ``"BluesTripleSus"``.
        beats: Beats in a bar, as far as the file says; 4 otherwise.
    """

    genre: str
    style: str
    name: str
    beats: int = 4

    @property
    def address(self) -> str:
        """What MMA calls it. The file is always named, because different files define the same groove names."""
        return f"{self.style}:{self.name}"

    @property
    def family(self) -> str:
        """The grooves that folds must keep together: same file, same name without Sus, Plus and numbers.

        >>> Groove("blues", "stdlib/blues", "BluesTripleSus").family
        'stdlib/blues:bluestriple'
        """
        return f"{self.style}:{_DECORATION.sub('', self.name.lower())}"


def find_library() -> Path:
    """The folder of MMA's style files.

    Raises:
        BandwiseError: MMA is not installed.
    """
    for folder in LIBRARIES:
        if (folder / "stdlib").is_dir():
            return folder
    raise BandwiseError(f"MMA's library of style files was not found: {INSTALL}")


def genre_of(style: str) -> str | None:
    """The genre of a style file such as ``"casio/rock1"``, or ``None`` where its name does not settle it."""
    folder, _, stem = style.partition("/")
    for genre, folders in STYLES.items():
        if stem in folders.get(folder, "").split():
            return genre
    return None


def is_passing(style: str, name: str) -> bool:
    """Whether a groove is an intro, a fill, an ending, a break or a metronome, by its name."""
    if _PASSING.search(name):
        return True
    return style.startswith("pflib/") and bool(_PASSING_PFLIB.search(name))


def parse_style(text: str) -> Iterator[tuple[str, int]]:
    """The grooves that a style file defines, in its order, each with its beats in a bar."""
    beats = 4
    seen: set[str] = set()
    for line in text.splitlines():
        if found := _TIME.match(line):
            beats = int(found[1])
        # MMA does not tell upper from lower case; a name defined twice is one groove.
        elif (found := _DEFGROOVE.match(line)) and found[1].lower() not in seen:
            seen.add(found[1].lower())
            yield found[1], beats


def list_grooves(library: Path | None = None) -> tuple[Groove, ...]:
    """The usable grooves of an installed library, by genre, style file and their order in the file.

    Args:
        library: The folder that holds ``stdlib``, ``casio``, …; the installed one by default.

    Returns:
        Grooves of all ten genres. Style files that the library lacks are passed over.

    Raises:
        BandwiseError: MMA is not installed, or a genre has no groove in this library.
    """
    library = library or find_library()
    grooves: list[Groove] = []
    for genre in GENRES:
        before = len(grooves)
        for folder, stems in sorted(STYLES[genre].items()):
            for stem in stems.split():
                grooves += _read_style(library, genre, f"{folder}/{stem}")
        if len(grooves) == before:
            raise BandwiseError(f"{library} holds no style file of {genre}: is this MMA's library? {INSTALL}")
    return tuple(grooves)


def _read_style(library: Path, genre: str, style: str) -> list[Groove]:
    path = library / f"{style}.mma"
    if not path.is_file():
        return []
    text = path.read_text(encoding="latin-1")
    return [Groove(genre, style, name, beats) for name, beats in parse_style(text) if not is_passing(style, name)]


def table(grooves: tuple[Groove, ...]) -> str:
    """A Markdown table of style files, grooves and groove families for each genre, as in ``docs/mma10.md``."""
    libraries = sorted({groove.style.partition("/")[0] for groove in grooves})
    lines = [
        f"| genre | style files | grooves | families | {' | '.join(libraries)} |",
        f"|---|{'---:|' * (3 + len(libraries))}",
    ]
    for genre in GENRES:
        own = [groove for groove in grooves if groove.genre == genre]
        styles = {groove.style for groove in own}
        from_library = [sum(style.startswith(f"{name}/") for style in styles) for name in libraries]
        cells = [len(styles), len(own), len({groove.family for groove in own}), *from_library]
        lines.append(f"| {genre} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
