"""Piper as a program of its own: its protocol with a small program that speaks it (`fake_piper`).

The real one is under the GPL and no dependency. Where it is installed, ``LOCARA_PIPER=/path/to/piper`` (or the Python that
has it) runs the last test with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from locara.engines import piper, registry
from locara.engines.contracts import SpeaksLanguage, Speech
from locara.engines.piper import Piper
from locara.errors import ConfigError, EngineFailed, EngineMissing, EngineTimeout, ModelMissing

_FAKE = [sys.executable, str(Path(__file__).with_name("fake_piper.py"))]
_ONNX = b"\x08\x08\x3a\x03\x12\x01g"  # a version, and a graph with a name
_CONFIG = {
    "audio": {"sample_rate": 22_050}, "espeak": {"voice": "en-gb"}, "num_speakers": 2,
    "speaker_id_map": {"anna": 0, "ben": 1}, "inference": {"length_scale": 1.5},
}  # fmt: skip


def _files(folder: Path, name: str = "en_GB-test-medium") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(_ONNX)
    (folder / f"{name}.onnx.json").write_text(json.dumps(_CONFIG), encoding="utf-8")
    return folder


def _voice(path: Path, **options: Any) -> Piper:
    voice = piper.create("mine", {"engine": "piper", "path": str(path), "program": _FAKE, **options})
    assert isinstance(voice, Piper)
    return voice


async def _said(voice: Piper, text: str) -> list[Speech]:
    return [speech async for speech in voice.speak(text)]


def _left() -> tuple[set[str], set[Path]]:
    return (
        {one.name for one in threading.enumerate() if one.name.startswith("locara-piper")},
        set(Path(tempfile.gettempdir()).glob("locara-piper-*")),
    )


@pytest.mark.parametrize("old", [False, True])
def test_it_speaks_sentence_by_sentence_and_leaves_nothing_behind(
    tmp_path: Path, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if old:
        monkeypatch.setenv("FAKE_PIPER_OLD", "1")
    before = _left()

    async def main() -> None:
        voice = _voice(_files(tmp_path))
        await voice.load()
        assert isinstance(voice, SpeaksLanguage)
        assert (voice.rate, voice.language) == (22_050, "en-gb")
        first, second = await _said(voice, "Four. Seventeen\nletters.")
        assert (first.samples.size, second.samples.size) == (round(5 * 220.5), round(18 * 220.5))
        assert float(first.samples[0]) == pytest.approx(1000 / 32768)
        assert await _said(voice, "") == []
        assert await _said(voice, "... !") == []
        assert (await _said(voice, "noisy [[ text"))[0].samples.size > 0
        await voice.close()
        await voice.close()
        with pytest.raises(EngineFailed, match="not loaded"):
            await _said(voice, "Four.")

    asyncio.run(main())
    assert _left() == before


def test_speaker_and_speed_are_told_to_the_program(tmp_path: Path) -> None:
    async def main() -> None:
        for chosen in ("ben", 1):
            voice = _voice(_files(tmp_path), voice=chosen, speed=3.0)
            await voice.load()
            (speech,) = await _said(voice, "Ten chars.")
            assert float(speech.samples[0]) == pytest.approx(1001 / 32768)
            assert speech.samples.size == round(10 * 220.5 * 0.5)  # its own length is 1.5
            await voice.close()
        voice = _voice(_files(tmp_path), voice="carl")
        with pytest.raises(ConfigError, match="carl") as caught:
            await voice.load()
        assert "anna, ben" in caught.value.hint
        await voice.close()

    asyncio.run(main())


def test_a_program_that_dies_is_an_error_with_its_words_and_is_started_again(tmp_path: Path) -> None:
    async def main() -> None:
        voice = _voice(_files(tmp_path))
        await voice.load()
        with pytest.raises(EngineFailed, match="it crashes now") as caught:
            await _said(voice, "Now crash.")
        assert "fake_piper" in caught.value.hint
        assert len(await _said(voice, "Again.")) == 1
        assert voice._program is not None
        os.kill(voice._program.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        await asyncio.to_thread(voice._program._process.wait, 5)
        assert len(await _said(voice, "And again.")) == 1
        await voice.close()

    before = _left()
    asyncio.run(main())
    assert _left() == before


def test_a_cut_off_text_is_not_heard_in_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        voice = _voice(_files(tmp_path))
        await voice.load()
        async with aclosing(cast("AsyncGenerator[Speech, None]", voice.speak("One. A slow second. Three."))) as pieces:
            async for _ in pieces:
                break
        task = asyncio.create_task(_said(voice, "A slow one, which is cut off."))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert voice._program is not None
        pid = voice._program.pid
        (speech,) = await _said(voice, "Ten chars.")
        assert speech.samples.size == round(10 * 220.5)
        assert voice._program.pid == pid  # it came free in time

        task = asyncio.create_task(_said(voice, "A silent one, for which no sound ever comes."))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (speech,) = await asyncio.wait_for(_said(voice, "Ten chars."), 20)  # its own deadline is 30 s
        assert speech.samples.size == round(10 * 220.5)
        assert voice._program.pid != pid
        await voice.close()

    asyncio.run(main())


def test_a_sentence_past_its_deadline_ends_the_program_and_not_the_voice(tmp_path: Path) -> None:
    async def main() -> None:
        voice = _voice(_files(tmp_path), deadline=0.3)
        await voice.load()
        with pytest.raises(EngineTimeout):
            await _said(voice, "Silent: silent.")
        assert len(await _said(voice, "Again.")) == 1
        with pytest.raises(EngineFailed, match="wrote no sound"):
            await _said(voice, "This is broken.")
        await voice.close()

    asyncio.run(main())


def test_closing_while_it_speaks_ends_it(tmp_path: Path) -> None:
    async def main() -> None:
        voice = _voice(_files(tmp_path))
        await voice.load()
        task = asyncio.create_task(_said(voice, "A silent one."))
        await asyncio.sleep(0.2)
        await voice.close()
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(task, 5)

    before = _left()
    asyncio.run(main())
    assert _left() == before


def test_a_voice_it_cannot_load_is_told_with_the_programs_words(tmp_path: Path) -> None:
    async def main() -> None:
        voice = _voice(_files(tmp_path, "unloadable"))
        with pytest.raises(EngineFailed, match="cannot be loaded"):
            await voice.load()
        await voice.close()

    asyncio.run(main())


def test_without_the_program_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(EngineMissing) as caught:
        piper.find((), "mine")
    assert "pip install piper-tts" in caught.value.hint
    with pytest.raises(EngineMissing, match="no program"):
        piper.find(("/no/such/piper",), "mine")


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda one: one.unlink(), EngineFailed, "it holds none"),
        (lambda one: one.write_bytes(b""), EngineFailed, "empty"),
        (lambda one: one.write_bytes(b"GGUF" + bytes(20)), EngineFailed, "GGUF"),
        (lambda one: one.with_name(one.name + ".json").write_text("{"), EngineFailed, "no description"),
        (lambda one: one.with_name(one.name + ".json").write_text("[]"), EngineFailed, "no description"),
        (lambda one: _files(one.parent, "another"), EngineFailed, "it holds another.onnx, en_GB"),
    ],
)
def test_files_that_are_no_voice_are_refused_with_the_reason(
    tmp_path: Path, spoil: Any, error: type[Exception], said: str
) -> None:
    spoil(_files(tmp_path) / "en_GB-test-medium.onnx")
    with pytest.raises(error, match=said):
        piper.files(tmp_path, "mine")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"progam": "x"}, "did you mean 'program'"),
        ({"program": 3}, "program"),
        ({"program": []}, "program"),
        ({"speed": 9}, "speed"),
        ({"deadline": True}, "deadline"),
    ],
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        piper.create("piper", options)
    assert said in caught.value.explain()


def test_it_is_found_by_its_name_or_by_its_engine_and_needs_files() -> None:
    assert isinstance(registry.create("tts", "piper", {}), Piper)
    assert piper.create("kokoro-82m", {}) is None

    async def main() -> None:
        voice = registry.create("tts", "piper-amy", {"engine": "piper"})
        with pytest.raises(ModelMissing) as caught:
            await voice.load()
        assert "locara models pull piper-amy" in caught.value.hint
        await voice.close()

    asyncio.run(main())


def test_the_real_piper_speaks(tmp_path: Path) -> None:
    program = os.environ.get("LOCARA_PIPER")
    if not program:
        pytest.skip("LOCARA_PIPER names no Piper")
    pytest.importorskip("onnx", reason="pip install onnx")
    models = pytest.importorskip("sherpa_voice_models")
    models.piper(tmp_path)
    config = _CONFIG | {
        "num_symbols": len(models.SYMBOLS), "num_speakers": 1, "speaker_id_map": {}, "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: [number] for number, symbol in enumerate(models.SYMBOLS)},
        "espeak": {"voice": "en-us"}, "inference": {"length_scale": 1.0},
    }  # fmt: skip
    (tmp_path / "en_US-test-medium.onnx.json").write_text(json.dumps(config), encoding="utf-8")

    async def main() -> None:
        voice = _voice(tmp_path, program=program)
        await voice.load()
        first, second = await _said(voice, "Hello there, world. How are you?")
        # The same phonemes as our own way gives. Piper makes each sentence as loud as it can, so levels are relative.
        for speech, said in (
            (first, "^_h_ə_l_ˈ_o_ʊ_ _ð_ˈ_ɛ_ɹ_,_ _w_ˈ_ɜ_ː_l_d_._$"),
            (second, "^_h_ˈ_a_ʊ_ _ɑ_ː_ɹ_ _j_u_ː_?_$"),
        ):
            loudest = max(models.SYMBOLS.index(one) for one in said) + 1
            assert models.spoken(speech.samples * loudest / 1024) == said
        await voice.close()

    asyncio.run(main())
