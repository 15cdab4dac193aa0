"""A running session and its grants: in the rig, with a room whose microphone and speaker count as this machine's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara import voice
from locara.audio import BLOCK, RATE, Samples
from locara.consent import Answer, Ledger, Question
from locara.consent.access import Access
from locara.consent.audit import Audit
from locara.devices.contracts import DeviceInfo, Pull
from locara.errors import CapabilityDenied, ConsentError, ManifestError, ModelNotDeclared
from locara.manifest.values import Capability, DeclaredModel, Manifest
from locara.testing import EnergyDetector, ScriptedModel, ScriptedRecogniser, ScriptedVoice, clock
from locara.testing.scripted import Spoken
from locara.voice import events as on
from locara.voice.conversation import Session

from .made import APP, manifest

MIC: Capability = "device.microphone"
SPEAKER: Capability = "device.speaker"
TALKING = 40.0  # seconds of the reply that is being said when a grant is taken back


class Ours:
    """A microphone of this machine: a tone, in the loop's own time."""

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self.opened = self.closed = 0
        self.exhausted, self.overruns = False, 0

    def devices(self) -> list[DeviceInfo]:
        return []

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    async def blocks(self) -> AsyncIterator[Samples]:
        tone = np.full(BLOCK, 0.1, np.float32)
        while True:
            yield tone
            await asyncio.sleep(BLOCK / RATE)


class Loud:
    """A speaker of this machine, in step with the microphone. ``played``: every block, as it left."""

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self.rate, self.own_clock, self.delay, self.underruns = RATE, False, 0.0, 0
        self.played: list[Samples] = []
        self.opened = self.closed = 0
        self._pull: Pull | None = None

    def devices(self) -> list[DeviceInfo]:
        return []

    async def open(self, pull: Pull) -> None:
        self.opened += 1
        self._pull = pull

    def advance(self, blocks: int = 1) -> None:
        assert self._pull is not None
        for _ in range(blocks):
            self.played.append(self._pull(BLOCK))

    async def close(self) -> None:
        self.closed += 1


class Engine(EnergyDetector):
    """Remembers what an engine was given."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Samples] = []

    def probability(self, window: Samples) -> float:
        self.heard.append(window.copy())
        return 0.0


def session(folder: Path, source: Any, sink: Any, app: Manifest | None = None, **more: Any) -> Session:
    """As an app makes it, with the ledger in ``folder``."""
    stages = {
        "stt": ScriptedRecogniser([Spoken(0.0, 0.1, "hi")]),
        "llm": ScriptedModel(("I see.",)),
        "tts": ScriptedVoice(),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCARA_CONSENT", str(folder))
        return voice.session(
            **{**stages, "vad": Engine(), "turn_detection": "silence", **more},
            input=source, output=sink, manifest=app or manifest(), echo="headphones",
        )  # fmt: skip


def grants(folder: Path, *capabilities: Any, app: str = APP) -> Ledger:
    it = Ledger(folder)
    for one in capabilities:
        it.decide("grant", app, one, by="cli")
    return it


def test_nothing_is_opened_and_nothing_loaded_without_a_grant(tmp_path: Path) -> None:
    source, sink = Ours(), Loud()
    grants(tmp_path, MIC)
    it = session(tmp_path, source, sink)
    with pytest.raises(CapabilityDenied) as caught:
        asyncio.run(it.start())
    assert caught.value.hint == f"locara grants allow {APP} {SPEAKER}"
    assert (source.opened, sink.opened, sink.played) == (0, 0, [])


def test_another_speaker_than_the_default_needs_a_capability_of_its_own(tmp_path: Path) -> None:
    grants(tmp_path, MIC, SPEAKER)
    with pytest.raises(CapabilityDenied, match=r"device\.speaker\.select, which its manifest does not declare"):
        asyncio.run(session(tmp_path, Ours(), Loud("Headset")).start())


def test_pushed_sound_and_files_need_no_grant_and_make_no_ledger(tmp_path: Path) -> None:
    async def runs() -> None:
        async with session(tmp_path, "push", "none"):
            pass

    asyncio.run(runs())
    assert list(tmp_path.iterdir()) == []


def test_a_broken_ledger_opens_nothing(tmp_path: Path) -> None:
    grants(tmp_path, MIC, SPEAKER).path.write_text("{}\n")
    source, sink = Ours(), Loud()
    with pytest.raises(ConsentError):
        asyncio.run(session(tmp_path, source, sink).start())
    assert (source.opened, sink.opened) == (0, 0)


async def _revoked_at(folder: Path, act: Any, seconds: float) -> dict[str, Any]:
    """A session that is talking and listening; ``act`` happens after ``seconds``. What came of it."""
    source, sink, engine = Ours(), Loud(), Engine()
    it = session(folder, source, sink, vad=engine, tts=ScriptedVoice())
    events: list[on.Event] = []
    heard: list[Samples] = []

    async def follow(stream: Any, into: list[Any]) -> None:
        async for one in stream:
            into.append(one)

    taps = [asyncio.create_task(follow(it.events(), events)), asyncio.create_task(follow(it.raw_input(), heard))]
    await it.start()
    it.say("word " * round(TALKING * 3))
    await asyncio.sleep(seconds)
    at = {"played": len(sink.played), "heard": len(heard), "engine": len(engine.heard)}
    act()
    async with asyncio.timeout(5):
        await it.wait_ended()
    await asyncio.sleep(0.1)
    closed = (source.closed, sink.closed)
    await it.stop()
    await asyncio.gather(*taps)
    return {"at": at, "played": sink.played, "heard": heard, "engine": engine.heard, "events": events, "closed": closed}


TAKEN: dict[str, Any] = {
    "revoke": lambda it: it.decide("revoke", APP, SPEAKER, by="cli"),
    "deny": lambda it: it.decide("deny", APP, MIC, by="cli"),
    "forget": lambda it: it.forget(APP),
    "reset": lambda it: it.reset(),
    "broken": lambda it: it.path.write_text("broken"),
    "deleted": lambda it: it.path.unlink(),
}


@settings(max_examples=8)
@given(st.sampled_from(sorted(TAKEN)), st.floats(0.5, 3.0))
def test_what_is_taken_back_is_neither_heard_nor_played_from_the_next_block_on(how: str, seconds: float) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        ledger = grants(Path(name), MIC, SPEAKER)
        came = clock.run(_revoked_at(Path(name), lambda: TAKEN[how](ledger), seconds))
    at = came["at"]
    assert any(block.any() for block in came["played"][: at["played"]]), "it was talking"
    assert all(block.any() for block in came["heard"][2 : at["heard"]]), "it was listening"
    # What was taken back: the speaker fades out in 5 ms of the first block, the microphone is silent in it. (One block of
    # the microphone was heard before but not yet looked at by this test, one window of the detector began before.) What
    # is still granted ends with the session, as at any stop: two blocks later.
    gone = {"revoke": (SPEAKER,), "deny": (MIC,)}.get(how, (MIC, SPEAKER))
    first, *after = came["played"][at["played"] :]
    assert SPEAKER not in gone or not first[round(0.005 * RATE) :].any()
    assert not any(block.any() for block in after[0 if SPEAKER in gone else 2 :])
    still = 0 if MIC in gone else 2
    assert not any(block.any() for block in came["heard"][at["heard"] + 1 + still :])
    assert not any(window.any() for window in came["engine"][at["engine"] + 2 + still :])
    errors = [one for one in came["events"] if isinstance(one, on.Error)]
    assert [(one.code, one.fatal) for one in errors] == [("capability-denied", True)]
    assert came["events"][-1].type == "session-end"
    assert came["events"][-1].reason == "revoked"
    assert all(came["closed"])


def test_a_change_for_another_app_disturbs_nothing(tmp_path: Path) -> None:
    ledger = grants(tmp_path, MIC, SPEAKER)

    async def run() -> list[Samples]:
        sink = Loud()
        it = session(tmp_path, Ours(), sink)
        async with it:
            it.say("word " * 60)
            await asyncio.sleep(2.0)
            before = len(sink.played)
            ledger.decide("revoke", "other.app", SPEAKER, by="cli")
            await asyncio.sleep(1.0)
            assert it.state[1] == "speaking"
            return sink.played[before:]

    assert all(block.any() for block in clock.run(run())[:10])


def test_what_is_granted_again_is_for_the_next_session(tmp_path: Path) -> None:
    ledger = grants(tmp_path, MIC, SPEAKER)

    def back_and_forth() -> None:
        ledger.decide("revoke", APP, MIC, by="cli")

    clock.run(_revoked_at(tmp_path, back_and_forth, 1.0))
    ledger.decide("grant", APP, MIC, by="cli")

    async def again() -> None:
        async with session(tmp_path, Ours(), Loud()):
            pass

    clock.run(again())


def test_the_log_of_a_session_says_what_was_open_and_with_which_models(tmp_path: Path) -> None:
    grants(tmp_path, MIC, SPEAKER)

    async def run() -> None:
        async with session(tmp_path, Ours(), Loud()):
            await asyncio.sleep(0.5)

    clock.run(run())
    noted = list(Audit(tmp_path).entries())
    assert [one.what for one in noted] == [
        "allowed", "allowed", "microphone-opened", "speaker-opened", "session-started", "models",
        "speaker-closed", "microphone-closed", "session-ended",
    ]  # fmt: skip
    assert {one.app for one in noted} == {APP}
    assert len({one.session for one in noted}) == 1
    assert {"stt", "llm", "tts", "vad"} == set(noted[5].models)
    assert noted[-1].reason == "stopped"
    assert "word" not in (tmp_path / "audit.jsonl").read_text()


def test_a_page_can_ask_instead_of_the_terminal(tmp_path: Path) -> None:
    async def run() -> str:
        waits = asyncio.Event()
        loop = asyncio.get_running_loop()

        def page(question: Question) -> Answer:
            loop.call_soon_threadsafe(waits.set)  # the loop goes on meanwhile
            return Answer("always", "page")

        access = Access(manifest(), ledger=Ledger(tmp_path), audit=Audit(tmp_path), ask=page)
        await access.demand(MIC)
        async with asyncio.timeout(5):
            await waits.wait()
        return Ledger(tmp_path).book().apps[APP].grants[MIC].by

    assert asyncio.run(run()) == "page"


# --- models -----------------------------------------------------------------------------------------------------------


def _declaring(*models: DeclaredModel, **more: Any) -> Manifest:
    return manifest(models=models, path="app/locara.toml", **more)


@pytest.mark.parametrize(
    ("setting", "line"),
    [({"stt": "pocketsphinx-en-us"}, '"pocketsphinx-en-us" = {}'), ({"tts": {"model": "espeak-ng"}}, '"espeak-ng" = {}'),
     ({"llm": "http://127.0.0.1:1/v1#m"}, "a model server"), ({"turn_detection": "smart-turn"}, '"smart-turn'),
     ({"attention": {"mode": "wake-word", "word": "hey jarvis"}}, '"hey-jarvis')],
)  # fmt: skip
def test_a_model_that_the_manifest_does_not_declare_does_not_load(tmp_path: Path, setting: Any, line: str) -> None:
    with pytest.raises(ModelNotDeclared) as caught:
        session(tmp_path, "push", "none", _declaring(), **setting)
    assert line in caught.value.hint
    assert "app/locara.toml" in caught.value.hint


def test_a_declared_model_loads_by_any_of_its_names(tmp_path: Path) -> None:
    app = _declaring(DeclaredModel("espeak-ng", "tts"))
    assert session(tmp_path, "push", "none", app, tts="espeak-ng").plan["tts"]["engine"] == "espeak-ng"


def test_the_default_of_the_manifest_is_taken_where_the_call_names_none(tmp_path: Path) -> None:
    app = _declaring(DeclaredModel("built-in", "llm"), defaults={"llm": "built-in"})
    assert session(tmp_path, "push", "none", app, llm=None).plan["llm"]["engine"] == "built-in"


def test_a_change_in_a_running_session_is_held_against_the_manifest_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with session(tmp_path, "push", "none", _declaring()) as it:
            with pytest.raises(ModelNotDeclared):
                await it.change(tts="espeak-ng")

    asyncio.run(run())


def test_without_a_manifest_any_model_may_be_named(tmp_path: Path) -> None:
    app = Manifest("local.main-12345678", "main.py", "")
    assert session(tmp_path, "push", "none", app, tts="espeak-ng").plan["tts"]["engine"] == "espeak-ng"


def test_an_app_cannot_take_the_name_of_another(tmp_path: Path) -> None:
    for taken in ("local.main-12345678", "dev.locara.cli"):
        with pytest.raises(ManifestError, match="id"):
            session(tmp_path, "push", "none", Manifest(taken, "x", "1", modalities=("voice-to-voice",)))
