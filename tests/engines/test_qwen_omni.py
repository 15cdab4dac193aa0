"""Qwen-Omni as a backend: a toy worker for every fault, and the package itself where its environment is."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locara.audio import RATE, Samples
from locara.engines import registry
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Played,
    ReplyAudio,
    ReplyEnded,
    ReplyText,
    TurnEnd,
    UserTyped,
    VoiceBackend,
)
from locara.engines.contracts import EngineInfo, Message, Sound
from locara.engines.isolated import Environment
from locara.engines.omni import qwen_omni
from locara.engines.omni.qwen_omni_backend import QwenOmniBackend
from locara.errors import ConfigError, EngineBusy, EngineFailed, EngineMissing, ModelMissing
from locara.testing import Conversation, Line, play
from locara.testing.conformance_backend import examine_backend
from locara.voice.events import AudioChunk
from locara.voice.history import Said

PYTHON = os.environ.get("LOCARA_QWEN_OMNI_PYTHON", "")
MODELS = Path(__file__).parent / "models"
SOURCE = Path(__file__).parents[2] / "src"
PATIENCE = 60.0
"""Seconds for what takes a moment: a shared machine stands still now and then."""

_WORKER = """
import json, os, time
import numpy as np
from locara.engines.frames import serve
from locara.engines.isolated_worker import Trouble

sounds, calls = {}, []

def load(call):
    options = json.loads(call.payload)
    if options.get("fault") == "import":
        import no_such_module
    if options.get("fault") == "trouble":
        raise Trouble("the weights are torn", hint="mend them")
    return {"rate": 24000, "voices": ["Ethan", "Chelsie"], "device": "cpu"}

def sound(call):
    calls.append("sound")
    sounds[call.fields["session"], call.fields["name"]] = len(call.payload) // 4

def forget(call):
    calls.append("forget")
    for key in [one for one in sounds if one[0] == call.fields["session"] and one[1] not in call.fields["keep"]]:
        del sounds[key]

def answer(call):
    # Says what it was asked and which calls came before; the last message's words choose a fault.
    asked = json.loads(call.payload)
    heard = [sounds[asked["session"], name] for one in asked["messages"] for name in one["sounds"]]
    last = asked["messages"][-1]["text"]
    if last == "die":
        call.send(b"dy", what="text")
        os._exit(3)
    if last == "fail":
        raise Trouble("an odd sound", hint="hum another")
    if last == "hang":
        time.sleep(600)
    told = {**asked, "heard": heard, "calls": list(calls), "kept": len(sounds), "pid": os.getpid()}
    calls.clear()
    call.send(json.dumps(told).encode(), what="text")
    while True:
        call.send(np.full(240, 0.5, np.float32).tobytes(), what="sound")
        if last != "on and on" or call.cancelled:
            return
        time.sleep(0.01)

serve({"load": load, "sound": sound, "forget": forget, "answer": answer})
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., QwenOmniBackend]:
    """``toy(fault=...)``: a backend whose worker is ours, run by this interpreter as if it were another."""
    (tmp_path / "toy_omni_worker.py").write_text(_WORKER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    where = Environment("toy", "json", "toy", "toy_omni_worker")

    def make(*, sessions: int = 1, deadline: float = PATIENCE, **options: Any) -> QwenOmniBackend:
        return QwenOmniBackend(
            EngineInfo("qwen-omni", "toy", "MIT"),
            where, options, sessions=sessions, deadline=deadline, python=sys.executable,
        )  # fmt: skip

    return make


def _sound(seconds: float) -> Sound:
    return Sound(np.full(round(seconds * RATE), 0.25, np.float32))


def _user(text: str = "", *sounds: Sound) -> Message:
    return Message("user", text, sounds=sounds)


class Listener:
    """Takes the events of a session from its start on."""

    def __init__(self, backend: VoiceBackend, session: str) -> None:
        self.events: list[BackendEvent] = []
        self._stream = backend.event_stream(session)

    async def until(self, wanted: Callable[[BackendEvent], bool]) -> BackendEvent:
        async with asyncio.timeout(PATIENCE):
            async for event in self._stream:
                self.events.append(event)
                if wanted(event):
                    return event
        raise AssertionError(f"it ended before that: {self.events[-3:]}")

    async def end_of(self, reply: int) -> str:
        """How the reply ended."""
        event = await self.until(lambda one: isinstance(one, ReplyEnded) and one.reply == reply)
        assert isinstance(event, ReplyEnded)
        return event.reason

    def text(self, reply: int) -> str:
        return "".join(one.text for one in self.events if isinstance(one, ReplyText) and one.reply == reply)

    def told(self, reply: int) -> dict[str, Any]:
        """What the toy says that it was asked."""
        found = json.loads(self.text(reply))
        assert isinstance(found, dict)
        return found

    def sound(self, reply: int) -> Samples:
        return np.concatenate(
            [one.samples for one in self.events if isinstance(one, ReplyAudio) and one.reply == reply]
            or [np.zeros(0, np.float32)]
        )


def _talk(backend: QwenOmniBackend, work: Callable[[QwenOmniBackend], Awaitable[None]]) -> None:
    async def run() -> None:
        try:
            await work(backend)
        finally:
            await backend.close()
            await backend.close()
        assert backend.process._child is None or not backend.process._child.alive

    asyncio.run(run())


def test_it_keeps_the_contract_of_a_backend(toy: Any) -> None:
    outcomes = asyncio.run(examine_backend(lambda: toy(sessions=2)))
    assert all(outcome.passed for outcome in outcomes), [one for one in outcomes if not one.passed]


def test_a_turn_is_answered_from_the_whole_conversation_and_its_sound_is_sent_once(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        session = await backend.start_session(BackendSettings(instructions="Be short.", voice="Chelsie"))
        listener = Listener(backend, session)
        first, second = _sound(0.5), _sound(0.25)
        await backend.push_audio(session, first.samples)
        assert await backend.signal(session, TurnEnd(1, (_user("", first),)))
        assert await listener.end_of(1) == "finished"
        told = listener.told(1)
        assert (told["instructions"], told["voice"], told["heard"]) == ("Be short.", "Chelsie", [8000])
        history = (_user("", first), Message("assistant", "The kettle is"), _user("And now?", second))
        assert await backend.signal(session, TurnEnd(2, history))
        assert await listener.end_of(2) == "finished"
        told = listener.told(2)
        assert [(one["role"], one["text"]) for one in told["messages"]] == [
            ("user", ""), ("assistant", "The kettle is"), ("user", "And now?"),
        ]  # fmt: skip
        assert (told["heard"], told["calls"]) == ([8000, 4000], ["sound"])
        assert np.array_equal(listener.sound(2), np.full(240, 0.5, np.float32))
        assert await backend.signal(session, TurnEnd(3, history[1:]))  # the oldest turn has gone
        await listener.end_of(3)
        told = listener.told(3)
        assert (told["heard"], told["calls"], told["kept"]) == ([4000], ["forget"], 1)
        await backend.stop_session(session)
        await backend.stop_session(session)
        assert await listener.until(lambda event: isinstance(event, Ended)) == Ended("stopped")
        assert not await backend.signal(session, TurnEnd(4, history))

    _talk(toy(), talk)


def test_a_session_with_it_sends_what_was_said_and_what_was_heard(toy: Any) -> None:
    lines = [Line(0.5, "what time is it now"), Line(5.0, "and what day is it")]
    omni = {"model": toy(), "instructions": "Be short."}
    result = play(Conversation(lines, more=4.0, settings={"omni": omni}))
    said = [one for one in result.history if isinstance(one, Said)]
    assert [one.role for one in said] == ["user", "assistant"] * 2
    told = json.loads(said[-1].text)
    assert [one["role"] for one in told["messages"]] == ["user", "assistant", "user"]
    assert told["messages"][1]["text"] == said[1].text
    assert len(told["heard"]) == 2
    assert all(samples > RATE // 2 for samples in told["heard"])
    assert told["instructions"] == "Be short."


def test_what_a_session_of_this_kind_takes(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        session = await backend.start_session(BackendSettings())
        assert await backend.signal(session, UserTyped("hello"))
        assert await backend.signal(session, Disregard())
        assert not await backend.signal(session, Played(1, 0.5))
        assert not await backend.signal(session, Cancel(1))
        assert not await backend.signal(session, TurnEnd(1))
        with pytest.raises(EngineFailed, match="no session 'other'"):
            await backend.push_audio("other", np.zeros(4, np.float32))
        listener = Listener(backend, session)
        assert await backend.signal(session, TurnEnd(1, (_user("typed"), Message("tool", "3"), _user("more"))))
        await listener.end_of(1)
        assert [one["text"] for one in listener.told(1)["messages"]] == ["typed", "more"]

    _talk(toy(), talk)


def test_a_reply_is_cancelled_in_its_middle_and_the_next_one_is_made(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        session = await backend.start_session(BackendSettings())
        listener = Listener(backend, session)
        assert await backend.signal(session, TurnEnd(1, (_user("on and on"),)))
        await listener.until(lambda event: isinstance(event, ReplyAudio))
        assert await backend.signal(session, Cancel(1))
        assert not await backend.signal(session, Cancel(1))
        assert await listener.end_of(1) == "cancelled"
        before = len(listener.events)
        assert await backend.signal(session, TurnEnd(2, (_user("on and on"),)))
        await listener.until(lambda event: isinstance(event, ReplyAudio))
        # A turn that begins to be answered ends the reply before it.
        assert await backend.signal(session, TurnEnd(3, (_user("last"),)))
        assert await listener.end_of(2) == "cancelled"
        assert await listener.end_of(3) == "finished"
        assert all(getattr(event, "reply", 0) != 1 for event in listener.events[before:])
        assert listener.told(3)["pid"] == backend.process.child.pid  # no process was ended for it

    _talk(toy(), talk)


def test_a_reply_that_is_cancelled_at_once_costs_nothing(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        session = await backend.start_session(BackendSettings())
        listener = Listener(backend, session)
        for reply in range(1, 20):
            begun = len(listener.events)
            assert await backend.signal(session, TurnEnd(reply, (_user("on and on", _sound(0.1)),)))
            await asyncio.sleep(0.003 * (reply % 4))
            assert await backend.signal(session, Cancel(reply))
            assert await listener.end_of(reply) == "cancelled"
            assert {getattr(event, "reply", 0) for event in listener.events[begun:]} == {reply}
        assert await backend.signal(session, TurnEnd(20, (_user("last"),)))
        assert await listener.end_of(20) == "finished"
        assert listener.told(20)["kept"] == 0

    _talk(toy(), talk)


def test_conversations_take_turns_and_one_too_many_is_told(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        one, two = [await backend.start_session(BackendSettings()) for _ in range(2)]
        with pytest.raises(EngineBusy, match="has 2 places, and all are taken") as busy:
            await backend.start_session(BackendSettings())
        assert "sessions=" in busy.value.hint
        listeners = [Listener(backend, one), Listener(backend, two)]
        await backend.signal(one, TurnEnd(1, (_user("on and on"),)))
        await listeners[0].until(lambda event: isinstance(event, ReplyAudio))
        await backend.signal(two, TurnEnd(1, (_user("", _sound(0.5)),)))
        for _ in range(5):  # the second waits, and does not disturb the first
            await listeners[0].until(lambda event: isinstance(event, ReplyAudio))
        await backend.signal(one, Cancel(1))
        assert await listeners[1].end_of(1) == "finished"
        assert listeners[1].told(1)["heard"] == [8000]
        await backend.stop_session(two)
        three = await backend.start_session(BackendSettings())
        listener = Listener(backend, three)
        await backend.signal(three, TurnEnd(1, (_user("hello"),)))
        await listener.end_of(1)
        assert listener.told(1)["kept"] == 0  # what the session before it had said is forgotten

    _talk(toy(sessions=2), talk)


def test_a_crash_costs_the_reply_and_a_failure_too_and_the_next_turn_is_answered(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        session = await backend.start_session(BackendSettings())
        listener = Listener(backend, session)
        sound = _sound(0.5)
        await backend.signal(session, TurnEnd(1, (_user("fail", sound),)))
        assert await listener.end_of(1) == "failed"
        failed = [one for one in listener.events if isinstance(one, BackendFailed)]
        assert [(one.reply, one.fatal, one.hint) for one in failed] == [(1, False, "hum another")]
        assert "an odd sound" in failed[0].message
        await backend.signal(session, TurnEnd(2, (_user("die", sound),)))
        assert await listener.end_of(2) == "failed"
        assert any("process has died" in one.message for one in listener.events if isinstance(one, BackendFailed))
        await backend.signal(session, TurnEnd(3, (_user("again", sound),)))
        assert await listener.end_of(3) == "finished"
        assert listener.told(3)["heard"] == [8000]  # the new process has got it again

    _talk(toy(), talk)


def test_a_model_that_hangs_is_ended_at_its_deadline(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        session = await backend.start_session(BackendSettings())
        listener = Listener(backend, session)
        await backend.signal(session, TurnEnd(1, (_user("hang"),)))
        assert await listener.end_of(1) == "failed"
        assert any("no answer within" in one.message for one in listener.events if isinstance(one, BackendFailed))
        await backend.signal(session, TurnEnd(2, (_user("again"),)))
        assert await listener.end_of(2) == "finished"

    _talk(toy(deadline=4.0), talk)


def test_settings_that_cannot_be_kept_leave_no_session_behind(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        with pytest.raises(ConfigError, match="no voice 'Etan'") as wrong:
            await backend.start_session(BackendSettings(voice="Etan"))
        assert "Ethan" in wrong.value.hint
        await backend.start_session(BackendSettings(voice="Ethan"))

    _talk(toy(), talk)


def test_closing_ends_the_sessions_and_the_replies_they_wait_for(toy: Any) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        session = await backend.start_session(BackendSettings())
        listener = Listener(backend, session)
        await backend.signal(session, TurnEnd(1, (_user("on and on"),)))
        await listener.until(lambda event: isinstance(event, ReplyAudio))
        await backend.close()
        assert await listener.until(lambda event: isinstance(event, Ended)) == Ended("stopped")
        assert [one for one in listener.events if isinstance(one, ReplyEnded)] == [ReplyEnded(1, "cancelled")]
        with pytest.raises(EngineFailed, match="closed"):
            await backend.start_session(BackendSettings())

    _talk(toy(), talk)


@pytest.mark.parametrize(
    ("fault", "kind", "text", "hint"),
    [
        ("import", EngineMissing, "no_such_module", "install toy into that environment"),
        ("trouble", EngineFailed, "the weights are torn", "mend them"),
    ],
)
def test_what_keeps_it_from_loading_is_told(
    toy: Any, fault: str, kind: type[EngineFailed | EngineMissing], text: str, hint: str
) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        with pytest.raises(kind, match=text) as caught:
            await backend.load()
        assert hint in caught.value.hint
        with pytest.raises(kind):
            await backend.start_session(BackendSettings())

    _talk(toy(fault=fault), talk)


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({}, ModelMissing, "locara models pull qwen2.5-omni-7b"),
        ({"path": "/nowhere"}, ModelMissing, "there is no folder"),
        ({"speed": 2}, ConfigError, "no option 'speed'"),
        ({"device": "gpu"}, ConfigError, "device is 'gpu'"),
        ({"precision": "int4"}, ConfigError, "precision is 'int4'"),
        ({"temperature": 3}, ConfigError, "temperature is 3"),
        ({"sessions": 0}, ConfigError, "sessions is 0"),
        ({"speech_top_k": "all"}, ConfigError, "speech_top_k is 'all'"),
    ],
)
def test_options_are_checked_before_anything_is_started(
    options: dict[str, Any], kind: type[ConfigError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        qwen_omni.create("qwen2.5-omni-7b", options)
    assert told in f"{caught.value.message} {caught.value.hint}"


def test_another_engines_model_is_not_qwens(tmp_path: Path) -> None:
    assert qwen_omni.create("moshi", {"path": str(tmp_path)}) is None
    made = registry.create("omni", "mine", {"engine": "qwen-omni", "path": str(tmp_path)})
    assert isinstance(made, VoiceBackend)
    can = made.capabilities
    assert (can.duplex, can.turn_owner, can.memory, can.cancels, can.tools) == ("half", "locara", "locara", True, False)


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("Qwen3-Omni-30B-A3B-Instruct", "Apache-2.0"),
        ("Qwen2.5-Omni-3B", "LicenseRef-Qwen-Research"),
        ("mine", "as its folder says"),
    ],
)
def test_a_folder_is_called_by_its_name_and_has_that_models_licence(tmp_path: Path, name: str, licence: str) -> None:
    (tmp_path / name).mkdir()
    made = qwen_omni.create("", {"engine": "qwen-omni", "path": str(tmp_path / name)})
    assert made is not None
    assert (made.info.model, made.info.licence) == (name, licence)


def test_without_its_environment_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_ENVIRONMENTS", str(tmp_path))
    backend = qwen_omni.create("qwen3-omni-30b-a3b", {"path": str(tmp_path)})
    assert isinstance(backend, QwenOmniBackend)

    async def talk(backend: QwenOmniBackend) -> None:
        with pytest.raises(EngineMissing, match="environment of its own") as caught:
            await backend.load()
        assert "transformers" in caught.value.hint

    _talk(backend, talk)


# --- the package itself, with random weights of the genuine format ------------------------------------------------------


def _run(script: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [PYTHON, str(MODELS / script), *arguments],
        check=False, timeout=280, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module", params=["2.5", "3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind."""
    if not PYTHON:
        pytest.skip("LOCARA_QWEN_OMNI_PYTHON names no interpreter with transformers 5.23")
    folder = tmp_path_factory.mktemp("qwen-omni") / str(request.param)
    _run("qwen_omni_random.py", str(folder), str(request.param))
    return folder


def _real(folder: Path, **options: Any) -> QwenOmniBackend:
    fixed = {"python": PYTHON, "precision": "fp32", "seed": 5, "speech_temperature": 0.0, "text_tokens": 12}
    made = registry.create(
        "omni", "mine", {"engine": "qwen-omni", "path": str(folder), "speech_seconds": 3.0, **fixed, **options}
    )
    assert isinstance(made, QwenOmniBackend)
    return made


_CUT = """<|im_end|>
<|im_start|>assistant
The kettle is<|im_end|>
<|im_start|>user
"""


@pytest.mark.timeout(300)
def test_its_tokens_and_its_sound_are_those_of_the_package(model: Path) -> None:
    found = json.loads(_run("qwen_omni_compare.py", str(model)).splitlines()[-1])
    older = found["told"]["family"] == "qwen2.5-omni"
    ours, theirs = found["tokens"]
    assert ours == theirs
    assert len(ours) == 12
    assert found["samples"][0] == found["samples"][1] > 60_000
    assert found["loudest"] > 0.1  # else equal would say nothing
    assert found["difference"] < (1e-4 if older else 2e-6)
    assert max(found["pieces"]) < (1e-4 if older else 2e-6)
    assert "st" in found["order"] or older  # it speaks while it still writes
    assert found["order"].count("s") > 3
    # What a code changes lies within what is said to be looked at, and reaches its end where that is sharp.
    low, first, last, high = found["reach"]["sound"]
    assert low <= first < last <= high
    if older:
        low, first, last, high = found["reach"]["mel"]
        assert (low, high) == (first, last)
    assert max(found["mel"]) == 0.0
    assert _CUT in found["prompt"]
    assert found["prompt"].endswith("And now?<|im_end|>\n<|im_start|>assistant\n")
    # Cancelled in its text or in its sound it stops there, leaves nothing behind, and the next reply is the same as ever.
    assert found["stopped"]["text"] == [True, 1, 0]
    assert found["stopped"]["sound"][::2] == [True, 1]
    assert (found["again"], found["threads"], found["hooks"]) == ([True, True], [], 0)
    assert found["repeatable"] == [True, True, True]


@pytest.mark.timeout(300)
def test_a_conversation_with_the_package_in_a_process_of_its_own(model: Path) -> None:
    async def talk(backend: QwenOmniBackend) -> None:
        await backend.load()
        assert sorted(backend.capabilities.voices) == ["Chelsie", "Ethan"]
        session = await backend.start_session(BackendSettings(instructions="Be short."))
        listener = Listener(backend, session)
        noise = np.random.default_rng(0)
        sound = Sound((0.1 * noise.standard_normal(RATE)).astype(np.float32))
        asked = (_user("", sound), Message("assistant", "The kettle is"), _user("And now?", sound))
        await backend.signal(session, TurnEnd(1, asked))
        assert await listener.end_of(1) == "finished"
        whole = listener.sound(1)
        assert 60_000 < whole.size <= 72_000
        assert float(np.abs(whole).max()) <= 1.0
        await backend.signal(session, TurnEnd(2, asked))
        await listener.until(lambda event: isinstance(event, ReplyAudio))
        await backend.signal(session, Cancel(2))
        assert await listener.end_of(2) == "cancelled"
        assert listener.sound(2).size < whole.size
        await backend.signal(session, TurnEnd(3, asked))
        assert await listener.end_of(3) == "finished"
        assert np.array_equal(listener.sound(3), whole)

    _talk(_real(model), talk)


@pytest.mark.timeout(300)
def test_a_session_with_the_package_answers_aloud(model: Path) -> None:
    omni = {
        "model": "mine", "engine": "qwen-omni", "path": str(model), "python": PYTHON, "precision": "fp32",
        "speech_seconds": 1.0, "text_tokens": 8, "speech_temperature": 0.0, "voice": "Ethan",
    }  # fmt: skip
    result = play(Conversation([Line(0.5, "what time is it now")], more=30.0, settings={"omni": omni}))
    assert [one.role for one in result.history if isinstance(one, Said)] == ["user", "assistant"]
    sounds = [event.samples.size / event.sample_rate for event in result.events if isinstance(event, AudioChunk)]
    assert 0.8 < sum(sounds) < 1.1
    assert not result.texts("error")


@pytest.mark.timeout(300)
def test_the_package_keeps_the_contract_of_a_backend(model: Path) -> None:
    outcomes = asyncio.run(examine_backend(lambda: _real(model, speech_seconds=1.0)))
    assert all(outcome.passed for outcome in outcomes), [one for one in outcomes if not one.passed]


def _replaced(model: Path, folder: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    for one in model.iterdir():
        (folder / one.name).symlink_to(one)
    if name:
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(change(content))


def _other_marks(content: bytes) -> bytes:
    return content.replace(b"<|AUDIO|>", b"<|SOUND|>").replace(b"<|audio_pad|>", b"<|sound_pad|>")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("tokenizer.json", _other_marks, "tokenizer in .* is another model's"),
        ("tokenizer.json", lambda _: b"{}", "the tokenizer or the feature extractor"),
        ("chat_template.json", lambda _: b'{"chat_template": "hello"}', "chat template in .* is not this model's"),
        ("config.json", lambda one: one.replace(b'"num_code_groups": 4', b'"num_code_groups": 5')
            .replace(b'"emb_dim": 16', b'"emb_dim": 24'), "is not whole, or another|missing|another shape"),
    ],
)  # fmt: skip
def test_files_of_another_model_are_told_by_the_worker(
    model: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes], told: str
) -> None:
    _replaced(model, tmp_path, name, change)

    async def talk(backend: QwenOmniBackend) -> None:
        with pytest.raises(EngineFailed, match=told) as caught:
            await backend.load()
        assert "repository again" in caught.value.hint

    _talk(_real(tmp_path), talk)


@pytest.mark.timeout(300)
def test_speakers_that_would_run_code_are_not_read(model: Path, tmp_path: Path) -> None:
    if not (model / "spk_dict.pt").exists():
        pytest.skip("Qwen3-Omni has no speakers' file")
    _replaced(model, tmp_path, "", lambda one: one)
    (tmp_path / "spk_dict.pt").unlink()
    code = "import os, sys, torch\nclass Evil:\n    def __reduce__(self): return os.mkdir, (sys.argv[2],)\n"
    code += "torch.save({'Chelsie': Evil()}, sys.argv[1])"
    subprocess.run([PYTHON, "-c", code, str(tmp_path / "spk_dict.pt"), str(tmp_path / "ran")], check=True, timeout=100)

    async def talk(backend: QwenOmniBackend) -> None:
        with pytest.raises(EngineFailed, match="holds no speakers of this model"):
            await backend.load()

    _talk(_real(tmp_path), talk)
    assert not (tmp_path / "ran").exists()
    shutil.rmtree(tmp_path)
