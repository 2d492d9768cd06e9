"""mma10: the genre rule, the build (rendered for real where MMA and fluidsynth are installed) and the loader."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bandwise.corpora import mma, mma_build, mma_grooves, mma_render
from bandwise.corpora.mma_grooves import GENRES, STYLES, Groove, genre_of, is_passing, list_grooves, parse_style
from bandwise.errors import BandwiseError

INSTALLED = bool(shutil.which("mma") and shutil.which("fluidsynth")) and mma_grooves.LIBRARIES[0].is_dir()
needs_programs = pytest.mark.skipif(not INSTALLED, reason="mma and fluidsynth are not installed")


class Listener:
    """Keeps what a build says."""

    def __init__(self):
        self.warnings = []

    def task(self, name, total, unit=""):
        return mma_build.SILENT.task(name, total, unit)

    def note(self, text):
        pass

    def warn(self, text):
        self.warnings.append(text)


def small_build(target, **changes):
    options = {"clips_per_genre": 3, "genres": ["blues", "march"], "seed": 5, "jobs": 2, "seconds": 3.0}
    return mma_build.build(target, **(options | changes))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    if not INSTALLED:
        pytest.skip("mma and fluidsynth are not installed")
    return small_build(tmp_path_factory.mktemp("mma") / "set")


def clips(folder):
    return sorted(folder.glob("audio/*/*.flac"))


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in clips(folder)}


# The genre rule


@pytest.mark.parametrize(
    ("style", "genre"),
    [
        ("casio/rock1", "rock"),
        ("stdlib/rock-128", "rock"),
        ("pflib/metal1", "rock"),
        ("stdlib/boggiewoggie", "blues"),
        ("yamaha/quando-g.s280", "latin"),
        ("casio/r+b", "soul"),
        ("casio/popballad", "pop"),
        ("stdlib/jazzwaltz", "jazz"),
        ("stdlib/waltz", "ballroom"),
        # Two genres in one name, none, drums alone, and a file that is not there.
        ("stdlib/folkrock", None),
        ("casio/latinhouse", None),
        ("casio/popwaltz", None),
        ("casio/8beat1", None),
        ("zoom/reggae", None),
        ("stdlib/rock1", None),
        ("rock1", None),
    ],
)
def test_genre_of_a_style_file(style, genre):
    assert genre_of(style) == genre


def test_ten_genres_and_no_style_file_in_two():
    assert len(GENRES) == 10
    everywhere = [f"{d}/{s}" for folders in STYLES.values() for d, stems in folders.items() for s in stems.split()]
    assert len(everywhere) == len(set(everywhere))


@pytest.mark.parametrize(
    ("style", "name", "passing"),
    [
        ("stdlib/blues", "BluesIntro", True),
        ("stdlib/rockwaltz", "RockWaltz1intro8", True),
        ("stdlib/bigband", "BigBand1Fill", True),
        ("kara/kbossa", "kbossaEndingA", True),
        ("stdlib/cubanguitar", "CubanGuitarEndSus", True),
        ("yamaha/mambo", "MamboBreakAA", True),
        ("stdlib/68march", "68MarchMetronome", True),
        ("pflib/rock1", "rock1FA", True),
        ("pflib/rock1", "rock1E", True),
        ("pflib/rock1", "rock1A", False),
        # Words that hold "end", "count" or end in a capital E without being any of these.
        ("stdlib/descendingjazz", "DescendingJazz", False),
        ("stdlib/countryswing", "CountrySwing1Sus", False),
        ("casio/house", "HOUSE", False),
    ],
)
def test_passing_grooves_are_known_by_name(style, name, passing):
    assert is_passing(style, name) is passing


def test_style_files_are_parsed():
    text = "\n".join(
        [
            "Time 3\t// a waltz",
            "   DefGroove Slow\tA description with DefGroove in it",
            "// DefGroove Commented out",
            "DEFGROOVE slow  the same again",
            "Begin Chord",
            "  Time is not a directive here",
            "End",
            "time 4/4",
            "defgroove R&B-Fast",
        ]
    )
    assert list(parse_style(text)) == [("Slow", 3), ("R&B-Fast", 4)]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("BluesTriple", "BluesTripleSus", True),
        ("68MarchSusPlus", "68March", True),
        ("Swing1Walk", "SwingWalk", True),
        ("FoxTrot1Plus", "Foxtrot", True),
        ("Blues", "BluesTriple", False),
        ("kbossaA", "kbossaB", False),
    ],
)
def test_family_holds_variants_together(one, other, together):
    first, second = (Groove("any", "stdlib/any", name) for name in (one, other))
    assert (first.family == second.family) is together
    assert first.family != Groove("any", "casio/any", one).family


@needs_programs
def test_installed_library_feeds_every_genre():
    grooves = list_grooves()
    assert len({groove.address for groove in grooves}) == len(grooves)
    for genre in GENRES:
        own = [groove for groove in grooves if groove.genre == genre]
        assert len(own) >= 10
        assert len({groove.family for groove in own}) >= 10
        assert len({groove.style for groove in own}) >= 5
    missing = [
        f"{d}/{s}"
        for folders in STYLES.values()
        for d, stems in folders.items()
        for s in stems.split()
        if not (mma_grooves.find_library() / d / f"{s}.mma").is_file()
    ]
    assert not missing


@needs_programs
@pytest.mark.parametrize("style", ["stdlib/blues", "stdlib/swing", "kara/kbossa", "pflib/metal1", "casio/r+b"])
def test_parser_agrees_with_mma_itself(style):
    path = mma_grooves.find_library() / f"{style}.mma"
    said = subprocess.run(["mma", "-i", os.devnull, "-w", "-Djs", str(path)], capture_output=True, text=True).stdout
    by_mma = [line.split('"')[3] for line in said.splitlines() if line.lstrip().startswith('"groove"')]
    # MMA lists a groove that is defined twice, twice.
    assert {name.lower() for name, _ in parse_style(path.read_text("latin-1"))} == {n.lower() for n in by_mma}


def test_library_without_a_genre_is_refused(tmp_path):
    (tmp_path / "stdlib").mkdir()
    (tmp_path / "stdlib" / "waltz.mma").write_text("Time 3\nDefGroove Waltz\n")
    with pytest.raises(BandwiseError, match="no style file of blues"):
        list_grooves(tmp_path)


# What is drawn


def test_every_clip_has_a_draw_of_its_own(built):
    names = ("tempo", "transpose", "progression", "rnd_seed", "gain_db")
    for record in map(json.loads, (built / "manifest.jsonl").read_text().splitlines()):
        number = 10 * int(record["id"][-5:]) + {"blues": 1, "march": 6}[record["genre"]]
        drawn = mma_render.draw(5, number)
        assert [record[name] for name in names] == [getattr(drawn, name) for name in names]


def test_draws_are_even_and_independent():
    draws = [mma_render.draw(1, number) for number in range(6000)]
    low, high = mma_render.TEMPO
    assert (min(d.tempo for d in draws), max(d.tempo for d in draws)) == (low, high)
    assert all(mma_render.GAIN_DB[0] <= d.gain_db <= mma_render.GAIN_DB[1] for d in draws)
    for values, cells in (
        ([d.tempo for d in draws], high - low + 1),
        ([d.transpose for d in draws], 12),
        ([d.progression for d in draws], len(mma_render.PROGRESSIONS)),
        ([(d.transpose, d.progression) for d in draws], 12 * len(mma_render.PROGRESSIONS)),
        # The last digit of a number is the genre, the next ones give the style file's turn.
        ([(number % 10, d.transpose) for number, d in enumerate(draws)], 120),
        ([(number % 10, d.progression) for number, d in enumerate(draws)], 120),
        ([(number % 10, (d.tempo - low) // 9) for number, d in enumerate(draws)], 90),
        ([(number // 10 % 8, d.progression) for number, d in enumerate(draws)], 96),
    ):
        counts = Counter(values)
        expected = len(draws) / cells
        chi2 = sum((n - expected) ** 2 / expected for n in counts.values()) + (cells - len(counts)) * expected
        # Mean cells - 1, standard deviation sqrt(2 (cells - 1)).
        assert abs(chi2 - (cells - 1)) < 4 * np.sqrt(2 * (cells - 1))
    assert mma_render.draw(1, 0) != mma_render.draw(2, 0)
    # The same on every machine and Python: part of what "seed 1" means.
    assert mma_render.draw(1, 0) == mma_render.Draw(157, -5, "C G Am Em F C F G", 832146, 1.42)


def test_schedule_gives_every_style_file_as_many_clips():
    grooves = [Groove("g", "a/x", f"X{n}") for n in range(9)] + [Groove("g", "a/y", "Y")]
    grooves += [Groove("g", "a/z", name) for name in ("Z", "ZSus", "ZWalk", "ZWalkSus")]
    ordered = mma_build.schedule(grooves, seed=1)
    picked = [mma_build.candidates(ordered, number)[0] for number in range(12)]
    assert Counter(g.style for g in picked) == {"a/x": 4, "a/y": 4, "a/z": 4}
    assert len({g.address for g in picked}) == 4 + 1 + 4
    # A family's turn comes again only after the others'.
    families = [g.family for g in picked if g.style == "a/z"]
    assert len(set(families[:2])) == 2
    for number in (0, 5, 100):
        assert sorted(g.address for g in mma_build.candidates(ordered, number)) == sorted(g.address for g in grooves)


# The build


def test_layout_length_and_level(built):
    assert [p.name for p in clips(built)] == [f"{g}.{n:05d}.flac" for g in ("blues", "march") for n in range(3)]
    for record in map(json.loads, (built / "manifest.jsonl").read_text().splitlines()):
        info = soundfile.info(built / "audio" / f"{record['id']}.flac")
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (22_050, 1, 66_150, "PCM_16")
        wave, _ = soundfile.read(built / "audio" / f"{record['id']}.flac")
        rms = 20 * np.log10(np.sqrt(np.mean(wave**2)))
        assert rms == pytest.approx(mma_render.LEVEL_DB + record["gain_db"], abs=0.05)
    settings = json.loads((built / "mma10.json").read_text())
    assert settings["seed"] == 5 and "no melody, no voice" in settings["about"] and "GPL" in settings["license"]
    assert not list(built.rglob("*.tmp"))


def test_same_seed_same_waves_whatever_the_jobs(built, tmp_path):
    again = small_build(tmp_path / "again", jobs=1, genres=["march"], clips_per_genre=2)
    for path in clips(again):
        expected, _ = soundfile.read(built / "audio" / "march" / path.name, dtype="int16")
        np.testing.assert_array_equal(soundfile.read(path, dtype="int16")[0], expected)


def test_only_what_is_missing_or_damaged_is_rendered_again(built, tmp_path):
    target = tmp_path / "set"
    shutil.copytree(built, target)
    before, manifest = times(target), (target / "manifest.jsonl").read_bytes()
    gone, cut, other = (clips(target)[n] for n in (0, 2, 4))
    whole = {path.name: soundfile.read(path, dtype="int16")[0] for path in (gone, cut, other)}
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-3000])
    shutil.copyfile(clips(target)[0], other)  # a whole clip, but another one's
    (target / "manifest.jsonl").unlink()
    small_build(target)
    changed = {name for name, when in times(target).items() if before.get(name) != when}
    assert changed == {gone.name, cut.name, other.name}
    for path in (gone, cut, other):
        np.testing.assert_array_equal(soundfile.read(path, dtype="int16")[0], whole[path.name])
    assert (target / "manifest.jsonl").read_bytes() == manifest


def test_a_finished_set_grows(built, tmp_path):
    target = tmp_path / "set"
    shutil.copytree(built, target)
    before = times(target)
    small_build(target, clips_per_genre=4)
    after = times(target)
    assert len(after) == 8 and {name: after[name] for name in before} == before
    with pytest.raises(BandwiseError, match="clips_per_genre = 4, more than 3"):
        small_build(target)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 6}, "begun with seed = 5, not 6"),
        ({"seconds": 4.0}, "begun with seconds = 3.0, not 4.0"),
        ({"genres": ["blues"]}, "begun with genres"),
    ],
)
def test_other_settings_are_refused(built, change, words):
    before = (built / "mma10.json").read_bytes()
    with pytest.raises(BandwiseError, match=words):
        small_build(built, **change)
    assert (built / "mma10.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"genres": ["reggae"]}, "no genre 'reggae'"),
        ({"genres": []}, "no genre was asked for"),
        ({"clips_per_genre": 0}, "clips_per_genre must be between"),
        ({"jobs": 0}, "jobs must be between"),
        ({"seconds": float("nan")}, "seconds must be between"),
    ],
)
def test_arguments_are_checked(tmp_path, change, words):
    with pytest.raises(BandwiseError, match=words):
        small_build(tmp_path / "set", **change)
    assert not (tmp_path / "set").exists()


@needs_programs
def test_a_folder_with_other_audio_is_left_alone(tmp_path):
    (tmp_path / "audio").mkdir()
    with pytest.raises(BandwiseError, match="build in another folder"):
        small_build(tmp_path)


def test_missing_programs_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BandwiseError, match="apt-get install -y --no-install-recommends mma fluidsynth timgm6mb"):
        small_build(tmp_path / "set")


@needs_programs
def test_failing_and_silent_grooves_are_replaced_and_reported(tmp_path, monkeypatch):
    good = [g for g in list_grooves() if g.style in ("casio/blues", "stdlib/fastblues")][:3]
    broken = [
        Groove("blues", "casio/blues", "NoSuchGroove"),
        Groove("blues", "stdlib/none", "None"),  # MMA's own groove without a track
    ]
    monkeypatch.setattr(mma_build, "list_grooves", lambda: [*good, *broken])
    listener = Listener()
    small_build(tmp_path, genres=["blues"], clips_per_genre=6, jobs=1, seconds=1.0, progress=listener)
    used = {json.loads(line)["groove"] for line in (tmp_path / "manifest.jsonl").read_text().splitlines()}
    assert used <= {g.address for g in good} and len(clips(tmp_path)) == 6
    assert len(listener.warnings) == 2  # once each, however many clips they were for
    assert all(any(g.address in text for text in listener.warnings) for g in broken)
    # A second run keeps the replacements.
    before = times(tmp_path)
    small_build(tmp_path, genres=["blues"], clips_per_genre=6, jobs=1, seconds=1.0)
    assert times(tmp_path) == before


@pytest.mark.parametrize("value", [0.0, 1e-5, np.nan])
def test_a_wave_with_nothing_to_hear_is_a_failure(value):
    with pytest.raises(mma_render.RenderError, match="nothing is to be heard"):
        mma_render._level(np.full(100, value), gain_db=3.0)


def test_killed_at_any_moment_it_goes_on(built, tmp_path):
    target = tmp_path / "set"
    arguments = "clips_per_genre=3, genres=['blues', 'march'], seed=5, jobs=2, seconds=3.0"
    code = "from pathlib import Path; from bandwise.corpora.mma_build import build; "
    code += f"build(Path({str(target)!r}), {arguments})"
    (tmp_path / "tmp").mkdir()  # a kill leaves folders of temporary files behind
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path / "tmp")})
    deadline = time.monotonic() + 60
    while len(clips(target)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = times(target)
    assert 2 <= len(before) < 6 and not (target / "manifest.jsonl").exists()
    assert all(soundfile.info(path).frames == 66_150 for path in clips(target))
    (target / "audio" / "blues" / ".blues.00002.flac.1-ab.tmp").write_bytes(b"half a clip")
    small_build(target)
    after = times(target)
    assert {name: after[name] for name in before} == before
    assert (target / "manifest.jsonl").read_bytes() == (built / "manifest.jsonl").read_bytes()
    assert not list(target.rglob("*.tmp"))


@needs_programs
def test_no_groove_at_all_is_an_error_and_leaves_no_manifest(tmp_path, monkeypatch):
    broken = [Groove("blues", "casio/blues", f"NoSuchGroove{n}") for n in range(3)]
    monkeypatch.setattr(mma_build, "list_grooves", lambda: broken)
    with pytest.raises(BandwiseError, match="no groove of blues could be rendered"):
        small_build(tmp_path, genres=["blues"], clips_per_genre=2, seconds=1.0)
    assert not clips(tmp_path) and not (tmp_path / "manifest.jsonl").exists()
    with pytest.raises(BandwiseError, match="not finished"):
        mma.load(tmp_path)


@needs_programs
def test_a_killed_program_ends_the_build(monkeypatch, tmp_path):
    killer = tmp_path / "killer"
    killer.write_text("#!/bin/sh\nkill -9 $$\n")
    killer.chmod(0o755)
    with pytest.raises(BandwiseError, match="was killed"):
        mma_render._run([str(killer)], tmp_path)


@needs_programs
def test_transpose_moves_the_pitch_classes():
    groove = Groove("ballroom", "stdlib/waltz", "WaltzSus", 3)
    programs = mma_render.find_programs()

    def chroma(transpose):
        drawn = mma_render.Draw(120, transpose, "C F G C", 3, 0.0)
        wave = mma_render.render(groove, drawn, 6.0, programs).astype(float)
        power = np.abs(np.fft.rfft(wave)) ** 2
        hertz = np.fft.rfftfreq(len(wave), 1 / 22_050)
        tones = (hertz > 100) & (hertz < 1500)
        classes = np.round(12 * np.log2(hertz[tones] / 440)).astype(int) % 12
        return np.bincount(classes, weights=power[tones], minlength=12)

    plain, moved = chroma(0), chroma(3)
    match = [np.corrcoef(np.roll(plain, shift), moved)[0, 1] for shift in range(12)]
    assert int(np.argmax(match)) == 3


@needs_programs
def test_wrong_beats_in_a_style_file_do_not_shorten_a_clip():
    # The file says three beats a bar; believing six would leave half the bars.
    groove = Groove("ballroom", "stdlib/waltz", "WaltzSus", 6)
    drawn = mma_render.Draw(160, 0, "C F G C", 3, 0.0)
    wave = mma_render.render(groove, drawn, 8.0, mma_render.find_programs()).astype(float)
    assert len(wave) == 8 * 22_050
    assert np.sqrt(np.mean(wave[-22_050:] ** 2)) > 0.2 * np.sqrt(np.mean(wave**2))


# The loader


def test_load_gives_tracks_with_both_groups(built):
    corpus = mma.load(built)
    assert (corpus.name, corpus.frontend, corpus.group) == ("mma10", "gtzan", "groove")
    assert corpus.genres == ("blues", "march") and corpus.counts() == {"blues": 3, "march": 3}
    assert corpus.groupings == ("groove", "style")
    assert "no melody, no voice, no recordings" in corpus.caveat
    track = corpus.tracks[0]
    assert track.id == "blues/blues.00000" and Path(track.path).is_file()
    assert track.groups["groove"].startswith(track.groups["style"] + ":")
    assert mma.load(built, group="style").group == "style"
    with pytest.raises(BandwiseError, match="not by 'artist'"):
        mma.load(built, group="artist")


def test_missing_clips_are_skipped(built, tmp_path):
    target = tmp_path / "set"
    shutil.copytree(built, target)
    clips(target)[1].unlink()
    corpus = mma.load(target)
    assert len(corpus.tracks) == 5
    assert [what for what, _ in corpus.skipped] == ["blues/blues.00001"]


def test_not_built_says_how(tmp_path):
    with pytest.raises(BandwiseError, match=f"bandwise data build mma10 --to {tmp_path}"):
        mma.load(tmp_path)


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "blues/blues.00000", "genre": "blues"}'])
def test_a_damaged_manifest_is_named(built, tmp_path, line):
    target = tmp_path / "set"
    shutil.copytree(built, target)
    (target / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(BandwiseError, match="line 1"):
        mma.load(target)


@needs_programs
def test_the_table_in_the_docs_is_the_generated_one():
    if mma_render.find_programs().versions["mma"] != "21.09":
        pytest.skip("the documented table is that of MMA 21.09")
    page = Path(__file__).resolve().parents[2] / "docs" / "mma10.md"
    assert mma_grooves.table(list_grooves()) in page.read_text(encoding="utf-8")
