"""Qwen2.5-Omni as it speaks while it still writes: thinker and talker one step after the other, sound in blocks of codes.

What may live here: the way from a prompt to sound, on the model as transformers has it. Runs in the model's own environment.

The talker reads one entry of ``thinker_reply_part`` a step; here that list grows while the talker reads it. What the talker
is given at its start is what ``Qwen2_5OmniForConditionalGeneration.generate`` of transformers 5.23 gives it, for one
conversation; with greedy sampling the tokens and codes are the same, which the tests show. The diffusion transformer and
BigVGAN are run on stretches of frames, with noise that belongs to the frame; how near that comes to the reply made at once
says `locara.engines.omni.qwen_omni_sound`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from locara.engines.omni.qwen_omni_asked import Asked
from locara.engines.omni.qwen_omni_sound import MelPlan, Pieces, sounding, vocoder_context
from locara.engines.omni.qwen_omni_thinking import Thinking

CODES_PER_SECOND = 50.0
_BLOCKS = Pieces((2, 1, 1, 2, 3))
"""In blocks of the diffusion transformer, of 0.24 s. The first piece is 0.28 s of sound, after 36 codes. Each piece computes
three blocks more than it gives."""
_VOCODER_AHEAD = 20
"""Mel frames that the vocoder is given ahead. It looks 43; but what lies 20 away changes nothing that can be measured (2e-8
with random weights), the makers stream with 20, and each frame more is 10 ms later."""
_USUAL = {"top_k": 40, "top_p": 0.8}
_REPETITION_PENALTY = 1.05
_STEPS = 10
_GUIDANCE = 0.5
_SWAY = -1.0
"""Of the sampling of the diffusion transformer: the package's own values."""


class Qwen25Speech:
    """A loaded model and its ``speakers`` (name -> ``cond``, ``ref_mel``, ``bos_token``). ``ends``: tokens that end a text;
    ``pad``: the token for nothing."""

    def __init__(self, torch: Any, model: Any, speakers: Mapping[str, Any], ends: Sequence[int], pad: int) -> None:
        self._torch = torch
        self._model = model
        self._speakers = speakers
        self._ends = ends
        self._pad = pad
        self.voices = tuple(speakers)

    def reply(self, asked: Asked) -> None:
        """Makes one reply. Raises `Stopped` when it is cancelled."""
        with self._torch.no_grad():
            inputs = asked.inputs(self._torch, self._model)
            text = _Text(self._torch, self._model, asked)
            settings = asked.manner.thinker(self._ends, self._pad)
            thinking = Thinking(self._model.thinker, inputs, settings, text.look)
            text.thinking = thinking
            try:
                self._speak(asked, inputs, text)
                while (token := thinking.advance()) is not None:  # what it writes after the speech has ended
                    asked.check()
                    asked.tell(token)
            finally:
                thinking.close()

    def _speak(self, asked: Asked, inputs: dict[str, Any], text: _Text) -> None:
        torch, talker = self._torch, self._model.talker
        first = text.first()
        if first is None:
            return  # an empty reply
        ids = inputs["input_ids"]
        speaker = self._speakers[asked.voice]
        begin = torch.full((1, 1), int(speaker["bos_token"]), dtype=torch.long, device=ids.device)
        embeds = torch.cat((text.prompt(ids), self._model.thinker.get_input_embeddings()(begin), first), dim=1)
        sound = Qwen25Sound(torch, self._model.token2wav, speaker)
        marks = ids.new_tensor([[talker.codec_pad_token, talker.codec_bos_token]])
        most = self._model.config.token2wav_config.dit_config.num_embeds
        ends = [talker.codec_pad_token, talker.codec_eos_token]
        lengths = {}
        if "feature_attention_mask" in inputs:
            lengths["audio_feature_lengths"] = inputs["feature_attention_mask"].sum(dim=1)

        def code(token: int) -> None:
            asked.check()
            if token not in ends:
                for piece in sound.push(token, asked.check):
                    asked.play(piece)

        talker.generate(
            input_ids=torch.cat((torch.full_like(ids, talker.codec_mask_token), marks), dim=1),
            input_text_ids=torch.cat((ids, begin, ids.new_tensor([[text.first_token]])), dim=1),
            thinker_reply_part=text,
            inputs_embeds=embeds,
            attention_mask=ids.new_ones((1, ids.shape[1] + 2)),
            # Beyond the codes there are only marks; one that came would be no sound.
            suppress_tokens=[one for one in range(most, talker.codebook_size) if one not in ends],
            eos_token_id=ends,
            pad_token_id=talker.codec_pad_token,
            repetition_penalty=_REPETITION_PENALTY,
            use_audio_in_video=False,
            streamer=_Each(code),
            **lengths,
            **asked.manner.talker(CODES_PER_SECOND, _USUAL),
        )
        asked.check()
        for piece in sound.finish(asked.check):
            asked.play(piece)


class _Each:
    """A streamer of transformers: calls ``code`` for each token after the prompt."""

    def __init__(self, code: Any) -> None:
        self._code = code
        self._prompt = True

    def put(self, value: Any) -> None:
        """One token, or the prompt at the beginning."""
        if self._prompt:
            self._prompt = False
            return
        self._code(int(value.flatten()[-1]))

    def end(self) -> None:
        """Nothing to do."""


class _Text:
    """The reply's text as the talker reads it: looks to it like the tensor ``thinker_reply_part`` of shape ``(1, entries,
    width)``, of which it takes the first entry and drops it each step. An entry is what the thinker makes of a token when it
    reads it back, so the thinker is one token ahead."""

    def __init__(self, torch: Any, model: Any, asked: Asked) -> None:
        self.thinking: Thinking
        self.first_token = -1
        self._torch = torch
        self._model = model
        self._asked = asked
        self._states: list[Any] = []
        self._prompt: tuple[Any, Any] | None = None
        self._read = 1  # the first entry is given apart

    def look(self, step: int, hidden: Sequence[Any]) -> None:
        """Takes the states of each pass of the thinker."""
        if step == 0:
            self._prompt = (hidden[0], hidden[-1])
        else:
            self._states.append(hidden[0] + hidden[-1])

    def first(self) -> Any:
        """The first entry, ``(1, 1, width)``; None for an empty reply."""
        token = self.thinking.advance()
        self._asked.check()
        if token is None:
            return None
        self.first_token = token
        self._asked.tell(token)
        return self._entry(0)

    def prompt(self, ids: Any) -> Any:
        """What the talker reads of the prompt: states and embeddings; of sounds the states alone."""
        assert self._prompt is not None
        embeds, states = self._prompt
        sounds = (ids == self._model.config.thinker_config.audio_token_index).unsqueeze(-1)
        return states + embeds.masked_fill(sounds, 0)

    shape = (1, 2)
    """There is always a next entry: at the end it is the one for nothing, for ever."""

    def __getitem__(self, key: tuple[slice, slice, slice]) -> Any:
        if key[1].start is None:
            return self._entry(self._read)
        self._read += 1
        return self

    def _entry(self, number: int) -> Any:
        while number >= len(self._states) and not self.thinking.ended:
            token = self.thinking.advance()
            self._asked.check()
            if token is not None:
                self._asked.tell(token)
        if number < len(self._states):
            return self._states[number]
        talker = self._model.talker
        mark = talker.text_eos_token if number == len(self._states) else talker.text_pad_token
        table = self._model.thinker.get_input_embeddings()
        return table(table.weight.new_full((1, 1), mark, dtype=int))


class Qwen25Sound:
    """Token2Wav for one reply, block by block. ``check`` is called between two passes of the network, to stop there."""

    def __init__(self, torch: Any, token2wav: Any, speaker: Mapping[str, Any]) -> None:
        dit, vocoder = token2wav.code2wav_dit_model.config, token2wav.code2wav_bigvgan_model.config
        self._torch = torch
        self._net = token2wav
        self._device = token2wav.device
        self._dtype = token2wav.dtype
        self._condition = speaker["cond"].to(self._device, self._dtype)
        self._reference = speaker["ref_mel"].to(self._device, self._dtype)
        self._plan = MelPlan(dit.block_size, len(dit.look_backward_layers), len(dit.look_ahead_layers), dit.repeats)
        self._context = vocoder_context(
            vocoder.upsample_rates,
            vocoder.upsample_kernel_sizes,
            vocoder.resblock_kernel_sizes,
            vocoder.resblock_dilation_sizes,
        )
        self._hop = math.prod(vocoder.upsample_rates)
        self._bins = dit.mel_dim
        self._codes: list[int] = []
        self._noise = torch.empty((1, 0, self._bins))
        self._mel = torch.empty((1, self._bins, 0), device=self._device, dtype=self._dtype)
        self._given = 0  # frames whose sound is out
        self._made = 0

    def push(self, code: int, check: Any) -> list[Any]:
        """The next code; what sound is now certain, pieces of float32 ``(n,)``."""
        self._codes.append(code)
        done = self._mel.shape[-1]
        wanted = done // self._plan.block + _BLOCKS.size(self._made)
        return self._sound(check, final=False) if len(self._codes) >= self._plan.codes_for(wanted) else []

    def finish(self, check: Any) -> list[Any]:
        """The rest, when no more codes come."""
        return self._sound(check, final=True) if self._codes else []

    def _sound(self, check: Any, *, final: bool) -> list[Any]:
        window = self._plan.window(len(self._codes), self._mel.shape[-1], final=final)
        if window is not None:
            mel = self._diffused(window.low, window.high, check)
            self._mel = self._torch.cat(
                (self._mel, mel[..., window.first - window.low : window.last - window.low]), dim=-1
            )
            self._made += 1
        ahead = min(_VOCODER_AHEAD, self._context)
        heard = sounding(self._mel.shape[-1], self._given, self._context, ahead, final=final)
        if heard is None:
            return []
        check()
        wave = self._net.code2wav_bigvgan_model(self._mel[..., heard.low : heard.high]).reshape(-1)
        self._given = heard.last
        first, last = (heard.first - heard.low) * self._hop, (heard.last - heard.low) * self._hop
        return [wave[first:last].float().cpu().numpy()]

    def _diffused(self, low: int, high: int, check: Any) -> Any:
        """The mel frames ``low:high``, ``(1, bins, frames)``: as ``sample`` of the package, but with noise that belongs to
        the frame, whatever stretch it is computed in."""
        torch, net, repeats = self._torch, self._net.code2wav_dit_model, self._plan.repeats
        from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import RungeKutta4ODESolver

        while self._noise.shape[1] < high:
            # Whole blocks, and on the processor: the same seed gives the same noise on every device.
            more = torch.randn((1, self._plan.block, self._bins))
            self._noise = torch.cat((self._noise, more), dim=1)
        codes = torch.tensor([self._codes[low // repeats : high // repeats]], device=self._device)
        condition = self._condition.unsqueeze(1).repeat(1, high - low, 1)

        def slope(time: Any, state: Any) -> Any:
            check()
            both = net(
                hidden_states=state,
                quantized_code=codes,
                speaker_embedding=condition,
                condition_vector=self._reference,
                time_step=time,
                apply_cfg=True,
            )
            guided, free = torch.chunk(both, 2, dim=0)
            return guided + (guided - free) * _GUIDANCE

        times = torch.linspace(0, 1, _STEPS, device=self._device, dtype=self._dtype)
        times = times + _SWAY * (torch.cos(torch.pi / 2 * times) - 1 + times)
        noise = self._noise[:, low:high].to(self._device, self._dtype)
        return RungeKutta4ODESolver(function=slope, initial_value=noise).integrate(times)[-1].permute(0, 2, 1)
