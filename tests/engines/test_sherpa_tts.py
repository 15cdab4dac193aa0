"""Text to speech by sherpa-onnx, with voices in its genuine formats whose sound says what was said (`sherpa_voice_models`).

The weights of real voices are not part of the project. What a wrong file does is tried in a process of its own, because
the library ends the process at some of them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import wave
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from locara.audio import Samples
from locara.engines import registry, sherpa_tts, sherpa_voice_files
from locara.engines.contracts import SpeaksLanguage, Speech
from locara.engines.onnx_header import Header
from locara.engines.sherpa_files import WrongFiles
from locara.engines.sherpa_runtime import Folder
from locara.engines.sherpa_tts import SherpaVoice
from locara.errors import ConfigError, EngineFailed, ModelMissing

pytest.importorskip("sherpa_onnx", reason='pip install "locara[sherpa]"')
pytest.importorskip("onnx", reason="pip install onnx")
models = pytest.importorskip("sherpa_voice_models")


def _voice(path: Path, **options: Any) -> SherpaVoice:
    voice = sherpa_tts.create("mine", {"engine": "sherpa-onnx", "path": str(path), "threads": 1, **options})
    assert isinstance(voice, SherpaVoice)
    return voice


async def _said(voice: SherpaVoice, text: str) -> list[Samples]:
    return [speech.samples async for speech in voice.speak(text)]


def test_a_piper_voice_gets_phonemes_and_speaks_sentence_by_sentence(tmp_path: Path) -> None:
    models.piper(tmp_path)

    async def main() -> None:
        voice = _voice(tmp_path)
        await voice.load()
        assert isinstance(voice, SpeaksLanguage)
        assert (voice.rate, voice.language, voice.info.note) == (22_050, "en-us", "vits")
        first, second = await _said(voice, "Hello, world. Go!")
        assert models.spoken(first) == "^_h_ə_l_ˈ_o_ʊ_,_ _w_ˈ_ɜ_ː_l_d_._$"
        assert models.spoken(second) == "^_ɡ_ˈ_o_ʊ_!_$"
        assert await _said(voice, "") == []
        assert await _said(voice, " ... !") == []
        await voice.close()
        await voice.close()
        with pytest.raises(EngineFailed, match="not loaded"):
            await _said(voice, "Go")

    asyncio.run(main())


def test_kokoros_speakers_have_their_own_language_and_speed(tmp_path: Path) -> None:
    models.kokoro(tmp_path)

    async def main() -> None:
        for voice_name, offset, language, said in (
            ("", 0, "en-us", "_həlˈO."),
            ("bf_emma", 100, "en-gb", "_həlˈQ."),
            (1, 100, "en-gb", "_həlˈQ."),
            ("ef_dora", 200, "es", "_ˈeʝo."),
        ):
            voice = _voice(tmp_path, voice=voice_name, speed=2.0)
            await voice.load()
            (sound,) = await _said(voice, "Hello.")
            assert voice.language == language
            heard = models.spoken(sound, step=models.STEP // 2, offset=offset)
            # What the voice has no token for (Spanish has others) is left out.
            assert heard == "".join(one for one in said if one in models.SYMBOLS or one == "_") + "_"
            await voice.close()

    asyncio.run(main())


def test_the_first_kokoro_learnt_plain_ipa(tmp_path: Path) -> None:
    models.kokoro(tmp_path, version=1)

    async def main() -> None:
        voice = _voice(tmp_path)
        await voice.load()
        (sound,) = await _said(voice, "Hello.")
        assert models.spoken(sound) == "_həlˈoʊ._"
        await voice.close()

    asyncio.run(main())


def test_kitten_speaks_though_the_library_does_not_call_back_for_it(tmp_path: Path) -> None:
    models.kitten(tmp_path)

    async def main() -> None:
        voice = _voice(tmp_path, voice="expr-voice-2-f", threads=2)
        await voice.load()
        assert "expr-voice-2-f" in voice.info.note
        first, second = await _said(voice, "Hello. Go.")
        assert "həlˈoʊ" in models.spoken(first, offset=100)
        assert "ɡˈoʊ" in models.spoken(second, offset=100)
        await voice.close()

    asyncio.run(main())


def test_closing_the_iterator_stops_it_and_the_next_text_is_spoken(tmp_path: Path) -> None:
    models.piper(tmp_path)

    async def main() -> None:
        voice = _voice(tmp_path)
        await voice.load()
        async with aclosing(cast("AsyncGenerator[Speech, None]", voice.speak("Go. " * 500))) as pieces:
            async for _ in pieces:
                break
        (sound,) = await _said(voice, "Hello.")
        assert models.spoken(sound) == "^_h_ə_l_ˈ_o_ʊ_._$"
        task = asyncio.create_task(_said(voice, "Go. " * 500))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await _said(voice, "One. Two. Three.")) == 3
        await voice.close()

    before = set(threading.enumerate())
    asyncio.run(main())
    assert {one.name for one in set(threading.enumerate()) - before if one.name.startswith("locara")} == set()


@pytest.mark.parametrize("family", ["piper", "kokoro", "kitten"])
def test_a_strange_text_is_spoken_or_left_out(tmp_path: Path, family: str) -> None:
    getattr(models, family)(tmp_path)

    async def main() -> None:
        voice = _voice(tmp_path)
        await voice.load()
        for text in (
            "1 2 3 4 5 6 7 8 9 0 " * 11,
            "7" * 219,
            "日本語" * 60,
            "😀 hi 🎉",
            "WWW " * 50,
            "\0 a",
            "a\ud83d b",
        ):
            assert await _said(voice, text)
        await voice.close()

    asyncio.run(main())


def test_when_nobody_wants_more_the_next_sentence_is_not_begun(tmp_path: Path) -> None:
    models.piper(tmp_path)

    async def main() -> None:
        voice = _voice(tmp_path)
        await voice.load()
        loaded = voice._loaded
        assert loaded is not None
        assert loaded.phonemiser is not None
        before = loaded.phonemiser._child.ticket()
        await asyncio.to_thread(voice._make, loaded, "One. Two. Three.", lambda _: False)
        assert loaded.phonemiser._child.ticket() == before + 2  # one sentence's phonemes, and this question
        await voice.close()

    asyncio.run(main())


def test_closing_while_it_speaks_ends_it(tmp_path: Path) -> None:
    models.piper(tmp_path)

    async def main() -> None:
        voice = _voice(tmp_path)
        await voice.load()
        task = asyncio.create_task(_said(voice, "Go. " * 500))
        await asyncio.sleep(0.05)
        await voice.close()
        await asyncio.wait([task], timeout=5)
        assert task.done()
        task.exception()

    asyncio.run(main())


def test_a_very_long_text_without_a_stop_is_spoken_to_its_end(tmp_path: Path) -> None:
    models.kokoro(tmp_path)

    async def main() -> None:
        voice = _voice(tmp_path)
        await voice.load()
        pieces = await _said(voice, "word " * 400)
        assert len(pieces) > 5
        assert "".join(models.spoken(one) for one in pieces).count("wˈɜɹd") == 400
        await voice.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"voise": "x"}, "did you mean 'voice'"),
        ({"speed": 0}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"voice": 1.5}, "voice"),
        ({"steps": 0}, "steps"),
        ({"threads": 0.5}, "threads"),
        ({"path": ""}, "path"),
    ],
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sherpa_tts.create("sherpa-onnx", options)
    assert said in caught.value.explain()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"voice": "af_hart"}, "af_heart"),
        ({"voice": "17"}, "no voice '17'"),
        ({"voice": "zf_xiaobei"}, "another way to phonemes"),
        ({"language": "ja"}, "another way to phonemes"),
    ],
)
def test_a_speaker_or_language_it_has_not_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    models.kokoro(tmp_path)

    async def main() -> None:
        voice = _voice(tmp_path, **options)
        with pytest.raises(ConfigError) as caught:
            await voice.load()
        assert said in caught.value.explain()
        await voice.close()

    asyncio.run(main())


def test_it_is_found_by_its_name_or_by_its_engine_and_needs_files() -> None:
    assert isinstance(registry.create("tts", "sherpa-onnx", {"process": "shared"}), SherpaVoice)
    assert sherpa_tts.create("kokoro-82m", {}) is None

    async def main() -> None:
        voice = registry.create("tts", "kokoro-82m", {"engine": "sherpa-onnx"})
        with pytest.raises(ModelMissing) as caught:
            await voice.load()
        assert "locara models pull kokoro-82m" in caught.value.hint
        await voice.close()

    asyncio.run(main())


_BAD_FILES = """
import asyncio, shutil, sys
from pathlib import Path
import onnx
import sherpa_voice_models
from locara.engines import sherpa_tts
from locara.errors import EngineFailed

folder = Path(sys.argv[1])
count = 0

async def refused(path, what, spare):
    global count
    voice = sherpa_tts.create("mine", {"engine": "sherpa-onnx", "path": str(path), "threads": 1})
    try:
        await voice.load()
    except EngineFailed as error:
        assert str(path) in str(error), error
        count += 1
    else:
        if not spare:
            sys.exit(f"{what} was accepted")
    finally:
        await voice.close()

for family in ("piper", "kokoro", "kitten"):
    whole = folder / family
    whole.mkdir()
    getattr(sherpa_voice_models, family)(whole)
    for name in sorted(one.name for one in whole.iterdir()):
        def spoilt(content, what, spare=False):
            copy = folder / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(whole, copy)
            if content is None:
                (copy / name).unlink()
            else:
                (copy / name).write_bytes(content)
            asyncio.run(refused(copy, f"{family}/{name} {what}", spare))

        content = (whole / name).read_bytes()
        spoilt(None, "missing")
        spoilt(b"", "empty")
        spoilt(b"<html>not found</html>", "a web page")
        if name.endswith(".onnx") or name == "voices.bin":
            spoilt(content[: len(content) // 2], "cut off")
        if name.endswith(".onnx"):
            model = onnx.load_from_string(content)
            for at, entry in enumerate(model.metadata_props):
                less = onnx.load_from_string(content)
                del less.metadata_props[at]
                spoilt(less.SerializeToString(), f"without {entry.key}", spare=True)
print(count)
"""


def test_no_spoilt_file_ends_the_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BAD_FILES, str(tmp_path)],
        capture_output=True, text=True, timeout=110, cwd=Path(__file__).parent, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert int(done.stdout) > 30


# --- which file is what -----------------------------------------------------------------------------------------------

_VITS = {"sample_rate": "22050", "n_speakers": "1", "language": "English", "comment": "piper", "voice": "de"}


def test_folders_of_families_that_cannot_be_built_here_are_known() -> None:
    pocket = (
        "lm_flow.int8.onnx lm_main.int8.onnx encoder.onnx decoder.int8.onnx text_conditioner.onnx vocab.json "
        "token_scores.json test_wavs/bria.wav"
    ).split()
    made = sherpa_voice_files.plan(pocket, lambda _: Header())
    assert (made.family, made.files["vocab"], made.phonemes) == ("pocket", "vocab.json", False)
    supertonic = (
        "duration_predictor.int8.onnx text_encoder.int8.onnx vector_estimator.int8.onnx vocoder.int8.onnx tts.json "
        "unicode_indexer.bin voice.bin"
    ).split()
    assert sherpa_voice_files.plan(supertonic, lambda _: Header()).family == "supertonic"
    headers = {
        "model-steps-3.onnx": Header(
            {"model_type": "matcha-tts", "sample_rate": "22050", "n_speakers": "1", "use_eos_bos": "1", "pad_id": "0",
             "has_espeak": "1", "voice": "en-us"}
        ),
        "vocos-22khz-univ.onnx": Header({"model_type": "vocos"}),
    }  # fmt: skip
    made = sherpa_voice_files.plan([*headers, "tokens.txt"], headers.__getitem__)
    assert (made.family, made.files["vocoder"], made.phonemes) == ("matcha", "vocos-22khz-univ.onnx", True)


@pytest.mark.parametrize(
    ("names", "told", "said"),
    [
        ("readme.txt", {}, "no .onnx file"),
        ("en_US-amy.onnx en_US-amy.onnx.json", {}, "as Piper publishes it"),
        ("model.onnx", _VITS, "tokens.txt is missing"),
        ("model.onnx tokens.txt", {"model_type": "zipformer2"}, "no voice"),
        ("vocos-22khz-univ.onnx tokens.txt", {}, "acoustic model is missing"),
        ("lm_main.onnx tokens.txt", {}, "lm_flow.onnx is missing"),
    ],
)
def test_a_folder_that_is_no_voice_is_refused_with_the_reason(names: str, told: dict[str, str], said: str) -> None:
    with pytest.raises(WrongFiles, match=said):
        sherpa_voice_files.plan(names.split(), lambda _: Header(told))


def test_a_cloning_voice_needs_a_recording(tmp_path: Path) -> None:
    folder = Folder(tmp_path, stage="tts", model="pocket")
    with pytest.raises(ConfigError, match="voice of a recording"):
        sherpa_tts._reference(folder, sherpa_tts.Settings())
    for seconds, good in ((2.0, True), (0.5, False)):
        with wave.open(str(tmp_path / "me.wav"), "wb") as file:
            file.setparams((2, 2, 24_000, 0, "NONE", ""))
            file.writeframes(np.full(int(seconds * 24_000) * 2, 8192, "<i2").tobytes())
        if good:
            sound, rate = sherpa_tts._reference(folder, sherpa_tts.Settings(voice="me.wav"))
            assert (sound.size, rate, float(sound[0])) == (48_000, 24_000, 0.25)
        else:
            with pytest.raises(ConfigError, match="shorter"):
                sherpa_tts._reference(folder, sherpa_tts.Settings(voice="me.wav"))
    (tmp_path / "no.wav").write_bytes(b"no")
    with pytest.raises(ConfigError, match="WAV"):
        sherpa_tts._reference(folder, sherpa_tts.Settings(voice="no.wav"))
