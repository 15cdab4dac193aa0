"""Runs a Qwen-Omni folder by our worker and by the package's own ``generate``, in one process, and prints what differs as
JSON: run in an environment that has ``transformers``, with Locara's ``src`` in PYTHONPATH.

    python tests/engines/models/qwen_omni_compare.py FOLDER
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import numpy as np
import torch

from locara.engines.omni.qwen3_omni_speech import Qwen3Decoder
from locara.engines.omni.qwen25_omni_speech import Qwen25Sound
from locara.engines.omni.qwen_omni_asked import Asked, Manner, Stopped
from locara.engines.omni.qwen_omni_sound import codes_before, samples_late
from locara.engines.omni.qwen_omni_worker import QwenOmni

_SEED = 5
_TOKENS = 12
_SECONDS = 3.0
_GREEDY = Manner(speech_temperature=0.0, text_tokens=_TOKENS, speech_seconds=_SECONDS)
_DRAWN = Manner(temperature=0.8, top_p=0.9, text_tokens=_TOKENS, speech_seconds=1.0)
MESSAGES = [
    {"role": "user", "sounds": [1]},
    {"role": "assistant", "text": "The kettle is"},
    {"role": "user", "text": "And now?", "sounds": [2]},
]


class Run:
    """One reply: its tokens, its pieces of sound, and in which order they came."""

    def __init__(self, omni: QwenOmni, manner: Manner = _GREEDY, *, stop_at: str = "") -> None:
        ids, names = omni.prompt("a", MESSAGES, "Be short.")
        self.ids, self.order = ids, ""
        self.tokens: list[int] = []
        self.pieces: list[Any] = []
        stop = threading.Event()

        def tell(token: int) -> None:
            self.tokens.append(token)
            self.order += "t"
            if stop_at == "text":
                stop.set()

        def play(samples: Any) -> None:
            self.pieces.append(samples)
            self.order += "s"
            if stop_at == "sound":
                stop.set()

        features = [omni._sounds["a", name][0] for name in names]
        self.asked = Asked(ids, features, omni._voice(""), manner, tell, play, stop)
        torch.manual_seed(_SEED)
        self.stopped = False
        try:
            omni._speech.reply(self.asked)
        except Stopped:
            self.stopped = True

    @property
    def sound(self) -> Any:
        return np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.float32)


def package(omni: QwenOmni, run: Run) -> tuple[list[int], Any]:
    """The same reply by ``generate``."""
    model, family = omni._speech._model, omni._folder.family
    inputs = run.asked.inputs(torch, model)
    settings = {
        "thinker_eos_token_id": list(omni._speech._ends), "thinker_max_new_tokens": _TOKENS,
        "thinker_do_sample": False, "talker_do_sample": False,
        "talker_max_new_tokens": round(_SECONDS * (12.5 if family == "qwen3-omni" else 50)),
        "speaker": omni._voice(""),
    }  # fmt: skip
    if family == "qwen2.5-omni":
        model.speaker_map = dict(omni._speech._speakers)
    torch.manual_seed(_SEED)
    tokens, sound = model.generate(**inputs, **settings)
    return tokens[0, len(run.ids) :].tolist(), sound.reshape(-1).float().numpy()


def pieces_3(omni: QwenOmni) -> list[float]:
    """How far sound made in pieces is from sound made at once, for several ways to cut it; past 300 codes, too."""
    net = omni._speech._model.code2wav
    found = []
    for codes, size in ((40, 1), (41, 4), (330, 12)):
        drawn = torch.randint(0, net.config.codebook_size, (1, net.config.num_quantizers, codes))
        decoder = Qwen3Decoder(torch, net)
        ours = np.concatenate([decoder.push(drawn[..., at : at + size]) for at in range(0, codes, size)])
        whole = net(drawn)[0, 0].numpy()
        assert ours.shape == whole.shape, (ours.shape, whole.shape)
        found.append(float(np.abs(ours - whole).max()))
    return found


def reach_3(omni: QwenOmni) -> dict[str, list[int]]:
    """What one code's change changes of the convolutions' sound: the first and the last sample, against what is said."""
    net = omni._speech._model.code2wav
    context = codes_before(net.config.upsample_rates, net.config.upsampling_ratios)
    late = samples_late(net.config.upsample_rates)
    hidden = torch.randn((1, net.config.hidden_size, 40))
    other = hidden.clone()
    other[..., 12] += 1

    def sound(wave: Any) -> Any:
        for blocks in net.upsample:
            for block in blocks:
                wave = block(wave)
        for block in net.decoder:
            wave = block(wave)
        return wave[0, 0]

    changed = torch.nonzero(sound(hidden) != sound(other)).flatten()
    first, last = 12 * 1920 - late, (12 + 1 + context) * 1920
    return {"sound": [first, int(changed[0]), int(changed[-1]), last]}


def reach_25(omni: QwenOmni) -> dict[str, list[int]]:
    """The same for the mel frames that a code changes in one pass, and for the samples that a mel frame changes."""
    net, speaker = omni._speech._model.token2wav, omni._speech._speakers[omni._voice("")]
    sound = Qwen25Sound(torch, net, speaker)
    plan, context = sound._plan, sound._context
    noise, condition = torch.randn((1, 240, 80)), speaker["cond"].unsqueeze(1).repeat(1, 240, 1)
    mels = []
    for change in (0, 1):
        codes = torch.full((1, 120), 100)
        codes[0, 60] += change
        made = net.code2wav_dit_model(
            hidden_states=noise, quantized_code=codes, speaker_embedding=condition, condition_vector=speaker["ref_mel"],
            time_step=torch.tensor(0.3), apply_cfg=True,
        )  # fmt: skip
        mels.append(made[0].T)
    frames = torch.nonzero((mels[0] != mels[1]).any(dim=0)).flatten()
    own = 120 // plan.block
    low, high = (own - plan.ahead) * plan.block, (own + plan.back + 1) * plan.block
    other = mels[0].clone()
    other[:, 120] -= 1
    waves = [net.code2wav_bigvgan_model(one[None]).reshape(-1) for one in (mels[0], other)]
    samples = torch.nonzero(waves[0] != waves[1]).flatten()
    return {
        "mel": [low, int(frames[0]), int(frames[-1]), high - 1],
        "sound": [(120 - context) * 240, int(samples[0]), int(samples[-1]), (121 + context) * 240],
    }


def pieces_25(omni: QwenOmni) -> list[float]:
    """The same; here it only comes near, see `qwen_omni_sound`."""
    net, speaker = omni._speech._model.token2wav, omni._speech._speakers[omni._voice("")]
    found = []
    for codes in (7, 64, 131):
        drawn = torch.randint(0, 8192, (1, codes))
        torch.manual_seed(3)
        sound = Qwen25Sound(torch, net, speaker)
        parts = [piece for code in drawn[0].tolist() for piece in sound.push(code, lambda: None)]
        ours = np.concatenate([*parts, *sound.finish(lambda: None)])
        torch.manual_seed(3)
        whole = net(drawn, speaker["cond"], speaker["ref_mel"]).reshape(-1).numpy()
        assert ours.shape == whole.shape == (480 * codes,), (ours.shape, whole.shape)
        found.append(float(np.abs(ours - whole).max()))
    return found


def mel(omni: QwenOmni, samples: Any) -> float:
    """How far the spectrogram is from the one that the package's processor makes of one sound."""
    padding: dict[str, Any] = {"padding": True, "truncation": False}
    if omni._folder.family == "qwen2.5-omni":
        padding = {"padding": "max_length"}
    made = omni._features(samples, sampling_rate=16_000, return_attention_mask=True, return_tensors="pt", **padding)
    theirs = made["input_features"][..., : int(made["attention_mask"].sum())]
    omni.hear("b", 1, samples)
    ours, tokens = omni._sounds["b", 1]
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert tokens > 0
    return float((ours - theirs).abs().max())


def main() -> None:
    """Prints one JSON object."""
    torch.set_grad_enabled(False)
    omni = QwenOmni()
    manner = {"speech_temperature": 0.0, "text_tokens": _TOKENS, "speech_seconds": _SECONDS}
    told = omni.load(
        {"path": sys.argv[1], "device": "cpu", "precision": "fp32", "threads": 1, "seed": None, "context": 3000,
         "manner": manner}
    )  # fmt: skip
    noise = np.random.default_rng(0)
    sounds = [(0.1 * noise.standard_normal(size)).astype(np.float32) for size in (16_000, 23_456)]
    for name, sound in enumerate(sounds, 1):
        omni.hear("a", name, sound)
    run = Run(omni)
    tokens, sound = package(omni, run)
    drawn = [Run(omni, _DRAWN) for _ in range(2)]
    cut = {at: Run(omni, stop_at=at) for at in ("text", "sound")}
    again = Run(omni)
    size = min(sound.size, run.sound.size)
    print(
        json.dumps(
            {
                "told": told,
                "prompt": omni._tokenizer.decode(run.ids),
                "tokens": [run.tokens, tokens],
                "samples": [run.sound.size, sound.size],
                "loudest": float(np.abs(sound).max()),
                "difference": float(np.abs(run.sound[:size] - sound[:size]).max()),
                "order": run.order,
                "pieces": pieces_3(omni) if told["family"] == "qwen3-omni" else pieces_25(omni),
                "reach": reach_3(omni) if told["family"] == "qwen3-omni" else reach_25(omni),
                "mel": [mel(omni, one) for one in (*sounds, sounds[1][:15_999])],
                "stopped": {at: [one.stopped, len(one.tokens), len(one.pieces)] for at, one in cut.items()},
                "again": [again.tokens == run.tokens, bool(np.array_equal(again.sound, run.sound))],
                "repeatable": [
                    drawn[0].tokens == drawn[1].tokens,
                    bool(np.array_equal(drawn[0].sound, drawn[1].sound)),
                    bool(drawn[0].tokens != run.tokens),
                ],
                "threads": [one.name for one in threading.enumerate() if one.name == "thinker"],
                "hooks": len(omni._speech._model.thinker._forward_hooks),
            }
        )
    )


if __name__ == "__main__":
    main()
