"""Qwen3-Omni as it speaks while it still writes: thinker and talker one step after the other, sound every few codes.

What may live here: the way from a prompt to sound, on the model as transformers has it. Runs in the model's own environment.

The talker reads the text one token a step (``trailing_text_hidden``); here that list grows while the talker reads it. What
the talker is given at its start is what ``Qwen3OmniMoeForConditionalGeneration.generate`` of transformers 5.23 gives it, for
one conversation; with greedy sampling the tokens and codes are the same, which the tests show. Code2Wav is run in pieces:
its transformer with a cache, its convolutions with as many codes before the piece as they look back, so that the sound is
that of the whole reply decoded at once (the package decodes in stretches of 300 codes and loses 23 ms at each seam).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from locara.engines.omni.qwen_omni_asked import Asked
from locara.engines.omni.qwen_omni_sound import Pieces, Seam, codes_before
from locara.engines.omni.qwen_omni_thinking import Thinking

CODES_PER_SECOND = 12.5
_PIECES = Pieces((4, 4, 6, 8, 12))
"""In codes; the first piece is 0.3 s of sound."""
_USUAL = {"top_k": 50, "top_p": 1.0}
_REPETITION_PENALTY = 1.05
_SPECIAL_CODES = 1024
"""The last codes of the talker's vocabulary mean no sound; only the end code among them may come."""
_ROLE_TOKENS = 3
"""``<|im_start|>assistant\\n``: the tokens before the reply's first word."""


class Qwen3Speech:
    """A loaded model. ``ends``: tokens that end a text; ``pad``: the token for nothing."""

    def __init__(self, torch: Any, model: Any, ends: Sequence[int], pad: int) -> None:
        self._torch = torch
        self._model = model
        self._ends = ends
        self._pad = pad
        self.voices = tuple(model.config.talker_config.speaker_id)

    def reply(self, asked: Asked) -> None:
        """Makes one reply. Raises `Stopped` when it is cancelled."""
        with self._torch.no_grad():
            inputs = asked.inputs(self._torch, self._model)
            prompt: list[Any] = []
            layer = self._model.config.talker_config.accept_hidden_layer

            def look(step: int, hidden: Sequence[Any]) -> None:
                if step == 0:
                    prompt.extend((hidden[0], hidden[layer]))

            thinking = Thinking(self._model.thinker, inputs, asked.manner.thinker(self._ends, self._pad), look)
            try:
                self._speak(asked, inputs, thinking, prompt)
                while (token := thinking.advance()) is not None:  # what it writes after the speech has ended
                    asked.check()
                    asked.tell(token)
            finally:
                thinking.close()

    def _speak(self, asked: Asked, inputs: dict[str, Any], thinking: Thinking, prompt: list[Any]) -> None:
        first = thinking.advance()
        asked.check()
        if first is None:
            return  # an empty reply
        asked.tell(first)
        if asked.manner.text_tokens <= 1:
            return
        text = _Text(self._model, asked, thinking, first)
        embeds, ids = self._start(asked, inputs["input_ids"], prompt, text)
        decoder = Qwen3Decoder(self._torch, self._model.code2wav)
        made = 0
        waiting: list[Any] = []

        def heard(_talker: Any, _arguments: Any, named: dict[str, Any]) -> None:
            nonlocal made
            asked.check()
            if named.get("residual_codes") is not None:
                waiting.append(named["residual_codes"])
            if len(waiting) >= _PIECES.size(made):
                asked.play(decoder.push(self._torch.stack(waiting, dim=-1)))
                made += 1
                waiting.clear()

        config = self._model.config.talker_config
        lengths = {}
        if "feature_attention_mask" in inputs:
            lengths["audio_feature_lengths"] = inputs["feature_attention_mask"].sum(dim=1)
        vocabulary = config.text_config.vocab_size
        hook = self._model.talker.register_forward_pre_hook(heard, with_kwargs=True)
        try:
            self._model.talker.generate(
                inputs_embeds=embeds,
                trailing_text_hidden=text,
                tts_pad_embed=text.pad,
                talker_input_ids=ids,
                attention_mask=self._torch.ones_like(ids),
                eos_token_id=config.codec_eos_token_id,
                pad_token_id=config.codec_eos_token_id,
                repetition_penalty=_REPETITION_PENALTY,
                suppress_tokens=[
                    code for code in range(vocabulary - _SPECIAL_CODES, vocabulary) if code != config.codec_eos_token_id
                ],
                output_hidden_states=True,
                return_dict_in_generate=True,
                **lengths,
                **asked.manner.talker(CODES_PER_SECOND, _USUAL),
            )
        finally:
            hook.remove()
        asked.check()
        if waiting:
            asked.play(decoder.push(self._torch.stack(waiting, dim=-1)))

    def _start(self, asked: Asked, ids: Any, prompt: list[Any], text: _Text) -> tuple[Any, Any]:
        """What the talker begins with: the user's turns as the thinker has understood them, then the reply's first word."""
        torch, model = self._torch, self._model
        embeds, hidden = prompt
        config = model.config
        marks = config.thinker_config
        sounds = (ids == marks.audio_token_id) | (ids == marks.image_token_id) | (ids == marks.video_token_id)
        positions = torch.arange(ids.shape[1], device=ids.device)
        starts = torch.where(ids[0] == config.im_start_token_id, positions, -1)
        role_at = torch.cummax(starts, dim=0).values.clamp_min(0) + 1
        roles = ids[0].gather(0, role_at.clamp_max(ids.shape[1] - 1))
        users = roles == config.user_token_id
        parts = model._get_talker_user_parts(0, ids.shape[1], sounds, hidden, embeds)
        assistant = torch.nonzero((ids[0, :-1] == config.im_start_token_id) & (ids[0, 1:] == config.assistant_token_id))
        begin = int(assistant.flatten()[-1])
        spoken, spoken_ids, _ = model._get_talker_assistant_parts(
            begin,
            ids.shape[1] + 1,
            model.config.talker_config.speaker_id[asked.voice.lower()],
            torch.cat((embeds, text.first), dim=1),
            text.pad,
            text.begin,
            text.end,
        )
        return torch.cat((parts[:, users], spoken), dim=1), torch.cat((ids[:, users], spoken_ids), dim=1)


class _Text:
    """The reply's text as the talker reads it, one entry a step: looks to it like the tensor ``trailing_text_hidden`` of
    shape ``(1, entries, width)``, but the thinker writes the next token when the talker asks how long it is."""

    def __init__(self, model: Any, asked: Asked, thinking: Thinking, first: int) -> None:
        self._model = model
        self._asked = asked
        self._thinking = thinking
        self._left = asked.manner.text_tokens - 1
        config = model.config
        self.begin, self.end, self.pad = (
            self._projected(token)
            for token in (config.tts_bos_token_id, config.tts_eos_token_id, config.tts_pad_token_id)
        )
        self.first = self._embedded(first)
        """The first word, as the thinker embeds it."""
        self._entries: list[Any] = []
        self._whole = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Asked once a step, just before the entry of that step is read."""
        if not self._whole:
            self._entries.append(self._next())
        return (1, len(self._entries), self.pad.shape[-1])

    def __getitem__(self, key: tuple[slice, int]) -> Any:
        return self._entries[key[1]]

    def _next(self) -> Any:
        token = self._thinking.advance()
        self._asked.check()
        self._left -= 1
        if token is not None:
            self._asked.tell(token)
        if token is None or self._left == 0:  # a token that nothing follows was never read back, so it is not spoken
            self._whole = True
            return self.end[:, 0]
        return self._projected(token)[:, 0]

    def _embedded(self, token: int) -> Any:
        table = self._model.thinker.get_input_embeddings()
        return table(table.weight.new_full((1, 1), token, dtype=int))

    def _projected(self, token: int) -> Any:
        return self._model.talker.text_projection(self._embedded(token))


class Qwen3Decoder:
    """Code2Wav for one reply, piece by piece. ``push``: codes of shape ``(1, groups, n)`` to samples ``(m,)``, float32."""

    def __init__(self, torch: Any, code2wav: Any) -> None:
        from transformers import DynamicCache

        self._torch = torch
        self._net = code2wav
        self._cache = DynamicCache(config=code2wav.config)
        self._context = codes_before(code2wav.config.upsample_rates, code2wav.config.upsampling_ratios)
        self._hidden: Any = None
        self._codes = 0
        self._seam = Seam()

    def push(self, codes: Any) -> Any:
        """The samples that are certain now; the last 23 ms of the codes come with the next ones."""
        torch, net = self._torch, self._net
        places = torch.arange(self._codes, self._codes + codes.shape[-1], device=codes.device)
        embedded = net.code_embedding(codes + net.code_offset).mean(1)
        hidden = net.pre_transformer(
            inputs_embeds=embedded, past_key_values=self._cache, use_cache=True, position_ids=places[None]
        ).last_hidden_state
        before = self._hidden if self._hidden is not None else hidden[:, :0]
        stretch = torch.cat((before, hidden), dim=1)
        start = self._codes - before.shape[1]
        self._codes += codes.shape[-1]
        self._hidden = stretch[:, -self._context :]
        wave = stretch.permute(0, 2, 1)
        for blocks in net.upsample:
            for block in blocks:
                wave = block(wave)
        for block in net.decoder:
            wave = block(wave)
        wave = wave.clamp(min=-1, max=1)[0, 0]
        return wave[self._seam.cut(start * int(net.total_upsample), wave.shape[-1])].float().cpu().numpy()
