"""pipecat in the comparison: run in an environment that has pipecat-ai.

    python benchmarks/peers/run_pipecat.py SPEECH [--configuration default|tight]

*default*: its Silero and Smart Turn, as `LLMContextAggregatorPair` has them. *tight*: the turn ends when its voice activity
does (0.2 s), with no model.
"""

# No types: it runs where pipecat is, and Locara's checks run where it is not.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import os
import sys
from importlib.metadata import version

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner
from script import arguments, report, show
from stage import FRAME, RATE_IN, RATE_OUT, STT, Buffer, Speaker, Stage

logger.remove()
if os.environ.get("VERBOSE"):
    logger.add(sys.stderr, level="DEBUG")


class Input(BaseInputTransport):
    """The stage's microphone."""

    def __init__(self, stage, params):
        super().__init__(params)
        self._stage = stage
        self._listening = None

    async def start(self, frame):
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self):
        async for frame in self._stage.mic.frames():
            sound = (frame * 32767).astype(np.int16).tobytes()
            await self.push_audio_frame(InputAudioRawFrame(audio=sound, sample_rate=RATE_IN, num_channels=1))


class Output(BaseOutputTransport):
    """The stage's speaker. Writing blocks as PyAudio's does: until the driver has room for the frame."""

    def __init__(self, stage, buffer, params):
        super().__init__(params)
        self._stage = stage
        self._buffer = buffer

    async def start(self, frame):
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame):
        self._buffer.write(np.frombuffer(frame.audio, np.int16).astype(np.float32) / 32768)
        while self._buffer.filled > FRAME:
            await asyncio.sleep(min(0.02, self._buffer.filled - FRAME))
        return True


class Hears(STTService):
    """The recogniser: streaming, with settled texts."""

    def __init__(self, stage):
        super().__init__(ttfs_p99_latency=STT)
        self._stage = stage
        self._loud_until = 0.0
        self._tasks = set()
        stage.mic.on_say.append(self._said)

    def _said(self, said):
        task = asyncio.create_task(self._hear(said))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run_stt(self, audio):
        if np.abs(np.frombuffer(audio, np.int16)).max(initial=0) > 100:
            self._loud_until = self._stage.mic.now
        yield None

    async def _hear(self, said):
        async for text, settled in self._stage.hears(said, lambda: self._loud_until):
            if settled:
                frame = TranscriptionFrame(text=text, user_id="user", timestamp="", finalized=True)
            else:
                frame = InterimTranscriptionFrame(text=text, user_id="user", timestamp="")
            await self.push_frame(frame)


class Thinks(LLMService):
    """The language model."""

    def __init__(self, stage):
        super().__init__()
        self._stage = stage

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        try:
            await self.push_frame(LLMFullResponseStartFrame())
            async for token in self._stage.thinks():
                await self.push_frame(LLMTextFrame(token))
        finally:
            await self.push_frame(LLMFullResponseEndFrame())


class Speaks(TTSService):
    """The voice, without word times: so have the others none."""

    def __init__(self, stage):
        super().__init__(push_start_frame=True, push_stop_frames=True, sample_rate=RATE_OUT)
        self._stage = stage

    async def run_tts(self, text, context_id):
        async for samples in self._stage.speaks(text):
            sound = (samples * 32767).astype(np.int16).tobytes()
            yield TTSAudioRawFrame(audio=sound, sample_rate=RATE_OUT, num_channels=1, context_id=context_id)


class Pipecat:
    """One session."""

    def __init__(self, seed, configuration):
        self.stage = Stage(seed)
        self._buffer = Buffer()
        self.speaker = Speaker(self.stage.clock, self._buffer.pull)
        self._context = LLMContext([{"role": "system", "content": "Answer."}])
        settings = {"vad_analyzer": SileroVADAnalyzer()}
        if configuration == "tight":
            settings["user_turn_strategies"] = UserTurnStrategies(
                stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.0)]
            )
        pair = LLMContextAggregatorPair(self._context, user_params=LLMUserAggregatorParams(**settings))
        params = TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=RATE_IN,
            audio_out_enabled=True,
            audio_out_sample_rate=RATE_OUT,
        )
        self.worker = PipelineWorker(
            Pipeline(
                [
                    Input(self.stage, params),
                    Hears(self.stage),
                    pair.user(),
                    Thinks(self.stage),
                    Speaks(self.stage),
                    Output(self.stage, self._buffer, params),
                    pair.assistant(),
                ]
            ),
            params=PipelineParams(audio_in_sample_rate=RATE_IN, audio_out_sample_rate=RATE_OUT),
            idle_timeout_secs=None,
        )

    def history(self):
        """What the context holds."""
        return [
            (one["role"], str(one["content"])) for one in self._context.messages if one["role"] in ("user", "assistant")
        ]


async def start(seed):
    """A running session and how to stop it."""
    system = Pipecat(seed, given.configuration)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(system.worker)
    running = asyncio.create_task(runner.run())
    system.speaker.start()
    await asyncio.sleep(3.0)

    async def end():
        system.stage.mic.closed = True
        await system.worker.cancel()
        await asyncio.wait([running], timeout=10)
        system.speaker.stop()

    return system, end


if __name__ == "__main__":
    given = arguments("pipecat in the comparison.", ("default", "tight"))
    show(asyncio.run(report(given, "pipecat", {"pipecat-ai": version("pipecat-ai")}, start)))
