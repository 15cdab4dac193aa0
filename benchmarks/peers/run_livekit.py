"""livekit-agents in the comparison: run in an environment that has it. There is no room and no server.

    python benchmarks/peers/run_livekit.py SPEECH [--configuration default|tight]

*default*: its bundled Silero and its local end-of-turn model, preemptive generation, as `AgentSession` has them. *tight*:
voice activity alone, 0.2 s.
"""

# No types: it runs where livekit-agents is, and Locara's checks run where it is not.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from importlib.metadata import version

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentSession, inference, llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.voice import io
from livekit.agents.voice.transcription import TranscriptSynchronizer
from script import arguments, report, show
from stage import FRAME, FRAME_IN, RATE_IN, RATE_OUT, Buffer, Speaker, Stage

logging.basicConfig(level=os.environ.get("VERBOSE", "ERROR"))


class Input(io.AudioInput):
    """The stage's microphone."""

    def __init__(self, stage):
        super().__init__(label="stage")
        self._frames = stage.mic.frames()

    async def __anext__(self):
        frame = await anext(self._frames)
        sound = (frame * 32767).astype(np.int16).tobytes()
        return rtc.AudioFrame(data=sound, sample_rate=RATE_IN, num_channels=1, samples_per_channel=FRAME_IN)


class Output(io.AudioOutput):
    """The stage's speaker: takes frames faster than they play, pauses, and says how far it came."""

    def __init__(self, stage, buffer):
        super().__init__(label="stage", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=RATE_OUT)
        self._buffer = buffer
        self._pushed = 0.0
        self._watch = None

    async def capture_frame(self, frame):
        await super().capture_frame(frame)
        if self._watch is not None and not self._watch.done() and self._flushed:
            await self._watch
        if self._pushed == 0.0:
            self._flushed = False
            self._cleared = None
            self.on_playback_started(created_at=time.time())
            self._watch = asyncio.create_task(self._finish())
        self._pushed += frame.duration
        self._buffer.write(np.frombuffer(frame.data, np.int16).astype(np.float32) / 32768)

    def flush(self):
        super().flush()
        self._flushed = True

    def clear_buffer(self):
        if self._pushed and self._cleared is None:
            self._cleared = max(0.0, self._pushed - self._buffer.filled)
        self._buffer.clear()

    def pause(self):
        super().pause()
        self._buffer.paused = True

    def resume(self):
        super().resume()
        self._buffer.paused = False

    async def _finish(self):
        while self._cleared is None and not (self._flushed and self._buffer.filled <= 0):
            await asyncio.sleep(0.005)
        position = self._pushed if self._cleared is None else self._cleared
        self._pushed = 0.0
        self._buffer.paused = False
        self.on_playback_finished(playback_position=position, interrupted=self._cleared is not None)


class Hears(stt.STT):
    """The recogniser: streaming, with settled texts."""

    def __init__(self, stage):
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.stage = stage

    async def _recognize_impl(self, buffer, *, language=None, conn_options=None):
        raise NotImplementedError

    def stream(self, *, language=None, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return Heard(stt=self, conn_options=conn_options, sample_rate=RATE_IN)


class Heard(stt.RecognizeStream):
    """One stream of it."""

    async def _run(self):
        stage = self._stt.stage
        loud = 0.0
        tasks = set()

        async def hear(said):
            kinds = {
                False: stt.SpeechEventType.INTERIM_TRANSCRIPT,
                True: stt.SpeechEventType.FINAL_TRANSCRIPT,
            }
            async for text, settled in stage.hears(said, lambda: loud):
                data = stt.SpeechData(language="en", text=text, confidence=1.0)
                self._event_ch.send_nowait(stt.SpeechEvent(type=kinds[settled], alternatives=[data]))

        def said_now(said):
            task = asyncio.create_task(hear(said))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        stage.mic.on_say.append(said_now)
        try:
            async for frame in self._input_ch:
                if (
                    isinstance(frame, rtc.AudioFrame)
                    and np.abs(np.frombuffer(frame.data, np.int16)).max(initial=0) > 100
                ):
                    loud = stage.mic.now
        finally:
            stage.mic.on_say.remove(said_now)
            for task in tasks:
                task.cancel()


class Thinks(llm.LLM):
    """The language model."""

    def __init__(self, stage):
        super().__init__()
        self.stage = stage

    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return Thought(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class Thought(llm.LLMStream):
    """One answer of it."""

    async def _run(self):
        async for token in self._llm.stage.thinks():
            delta = llm.ChoiceDelta(role="assistant", content=token)
            self._event_ch.send_nowait(llm.ChatChunk(id="stage", delta=delta))


class Speaks(tts.TTS):
    """The voice, without word times: so have the others none. Text by text; LiveKit cuts the sentences."""

    def __init__(self, stage):
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE_OUT, num_channels=1)
        self.stage = stage

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return Spoken(tts=self, input_text=text, conn_options=conn_options)


class Spoken(tts.ChunkedStream):
    """The sound of one text."""

    async def _run(self, output_emitter):
        output_emitter.initialize(
            request_id=uuid.uuid4().hex,
            sample_rate=RATE_OUT,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=round(1000 * FRAME),
        )
        async for samples in self._tts.stage.speaks(self._input_text):
            output_emitter.push((samples * 32767).astype(np.int16).tobytes())
        output_emitter.flush()


class LiveKit:
    """One session."""

    def __init__(self, seed, configuration):
        self.stage = Stage(seed)
        self._buffer = Buffer()
        self.speaker = Speaker(self.stage.clock, self._buffer.pull)
        settings = {}
        if configuration == "tight":
            settings["turn_handling"] = {
                "turn_detection": "vad",
                "endpointing": {"min_delay": 0.2, "max_delay": 0.2},
            }
            settings["vad"] = inference.VAD(model="silero", min_silence_duration=0.2)
        self.session = AgentSession(stt=Hears(self.stage), llm=Thinks(self.stage), tts=Speaks(self.stage), **settings)
        self.session.input.audio = Input(self.stage)
        # As its room and its console do: from this it estimates what was heard.
        synchronizer = TranscriptSynchronizer(
            next_in_chain_audio=Output(self.stage, self._buffer), next_in_chain_text=None
        )
        self.session.output.audio = synchronizer.audio_output
        self.session.output.transcription = synchronizer.text_output
        self.close = synchronizer.aclose

    def history(self):
        """What its chat context holds."""
        return [(one.role, one.text_content or "") for one in self.session.history.items if one.type == "message"]


async def start(seed):
    """A running session and how to stop it."""
    system = LiveKit(seed, given.configuration)
    await system.session.start(Agent(instructions="Answer."))
    system.speaker.start()
    await asyncio.sleep(2.0)

    async def end():
        await asyncio.wait_for(system.session.aclose(), 10)
        system.stage.mic.closed = True
        await system.close()
        system.speaker.stop()

    return system, end


if __name__ == "__main__":
    given = arguments("livekit-agents in the comparison.", ("default", "tight"))
    show(asyncio.run(report(given, "livekit", {"livekit-agents": version("livekit-agents")}, start)))
