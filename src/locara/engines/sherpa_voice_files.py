"""Which file of a folder is what, for sherpa-onnx's voices: the family, its files by their role, its speakers.

What may live here: names and headers in, a `VoicePlan` out; nothing is opened here. As with recognisers (`sherpa_files`)
the library ends the process when metadata is missing, so it is asked for here, before.
Source: sherpa-onnx 1.13.4 to 2.0.1, ``csrc/offline-tts-*-model.cc``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from locara.engines.onnx_header import Header
from locara.engines.sherpa_files import WrongFiles

Family = Literal["vits", "kokoro", "kitten", "matcha", "pocket", "supertonic"]

SUPERTONIC_LANGUAGES = tuple(
    "en ko ja ar bg cs da de el es et fi fr hi hr hu id it lt lv nl pl pt ro ru sk sl sv tr uk vi".split()
)
"""``kSupertonicAvailableLangs``."""


@dataclass(frozen=True, slots=True)
class VoicePlan:
    """``files``: role -> name. ``speakers``: their names, numbers where they have none. ``phonemes``: it is given phonemes
    and not text. ``language``: as espeak-ng calls it, where the files say it. ``rate`` in hertz, None if they do not."""

    family: Family
    files: Mapping[str, str]
    metadata: Mapping[str, str]
    speakers: tuple[str, ...]
    phonemes: bool
    language: str
    rate: int | None
    lexicons: tuple[str, ...] = ()


_NEEDED: Mapping[Family, tuple[str, ...]] = {
    "vits": ("sample_rate", "n_speakers", "language", "comment"),
    "kokoro": ("sample_rate", "n_speakers", "has_espeak", "style_dim"),
    "kitten": ("sample_rate", "n_speakers", "has_espeak", "style_dim"),
    "matcha": ("sample_rate", "n_speakers", "use_eos_bos", "pad_id"),
    "pocket": (),
    "supertonic": (),
}
_POCKET = ("lm_flow", "lm_main", "encoder", "decoder", "text_conditioner")
_SUPERTONIC = ("duration_predictor", "text_encoder", "vector_estimator", "vocoder")


def plan(names: Collection[str], read: Callable[[str], Header], *, precision: str = "int8") -> VoicePlan:
    """What the folder with these file names holds. Raises ``WrongFiles``, and what ``read`` raises."""
    models = [name for name in sorted(names) if name.lower().endswith(".onnx") and "/" not in name]
    if not models:
        raise WrongFiles("there is no .onnx file in it")
    if any(name.startswith("lm_main") for name in models):
        files = _named(models, names, _POCKET, ("vocab.json", "token_scores.json"), precision)
        for role in _POCKET:
            read(files[role])
        return VoicePlan("pocket", files, {}, (), phonemes=False, language="en", rate=24_000)
    if any(name.startswith("vector_estimator") for name in models):
        files = _named(models, names, _SUPERTONIC, ("tts.json", "unicode_indexer.bin", "voice.bin"), precision)
        for role in _SUPERTONIC:
            read(files[role])
        return VoicePlan("supertonic", files, {}, (), phonemes=False, language="en", rate=None)
    return _single(names, models, read, precision)


def _named(
    models: Collection[str], names: Collection[str], roles: tuple[str, ...], others: tuple[str, ...], precision: str
) -> dict[str, str]:
    files = {}
    for role in roles:
        own = [name for name in models if name.startswith(role)]
        if not own:
            raise WrongFiles(f"{role}.onnx is missing")
        files[role] = _best(own, precision)
    for name in others:
        if name not in names:
            raise WrongFiles(f"{name} is missing")
        files[name.partition(".")[0]] = name
    return files


def _best(names: Collection[str], precision: str) -> str:
    order = [precision, *(one for one in ("int8", "fp32", "fp16") if one != precision)]

    def rank(name: str) -> tuple[int, int, str]:
        own = next((one for one in ("int8", "fp16") if one in name.lower()), "fp32")
        return order.index(own), len(name), name

    return min(names, key=rank)


def _single(
    names: Collection[str], models: Collection[str], read: Callable[[str], Header], precision: str
) -> VoicePlan:
    vocoders = [name for name in models if re.match(r"(vocos|hifigan|vocoder)", name.lower())]
    own = [name for name in models if name not in vocoders]
    if not own:
        raise WrongFiles(f"{vocoders[0]} is only the vocoder: the acoustic model is missing")
    name = _best(own, precision)
    header = read(name)
    told = header.metadata
    family = _family(name, told, names)
    if missing := [key for key in _NEEDED[family] if not told.get(key)]:
        if family == "vits" and f"{name}.json" in names:
            raise WrongFiles(
                f"{name} is a voice as Piper publishes it; this engine needs it with metadata and a tokens.txt, as "
                "sherpa-onnx publishes it (vits-piper-...). The engine piper takes it as it is"
            )
        raise WrongFiles(f"{name} has no metadata {missing[0]!r}, which a {family} voice needs")
    files = {"model": name}
    tokens = [one for one in sorted(names) if one == "tokens.txt" or one.endswith("-tokens.txt")]
    if not tokens:
        raise WrongFiles("tokens.txt is missing")
    files["tokens"] = tokens[0]
    if family in ("kokoro", "kitten"):
        if "voices.bin" not in names:
            raise WrongFiles("voices.bin is missing")
        files["voices"] = "voices.bin"
    if family == "matcha" and not any(one.name == "audio_output" for one in header.outputs):
        if not vocoders:
            raise WrongFiles("the vocoder is missing: vocos-22khz-univ.onnx or a hifigan beside the acoustic model")
        files["vocoder"] = vocoders[0]
        if read(vocoders[0]).metadata.get("model_type") not in ("hifigan", "vocos", "matcha-tts vocos"):
            raise WrongFiles(f"{vocoders[0]} is no vocoder: its metadata model_type says so")
    lexicons = tuple(one for one in sorted(names) if re.fullmatch(r"lexicon.*\.txt", one))
    return VoicePlan(
        family, files, told, _speakers(told), _takes_phonemes(family, told, lexicons), told.get("voice", "").strip(),
        _number(told["sample_rate"]), lexicons,
    )  # fmt: skip


def _family(name: str, told: Mapping[str, str], names: Collection[str]) -> Family:
    kind = told.get("model_type", "").lower()
    if kind.startswith("kitten"):
        return "kitten"
    if kind.startswith("kokoro") or ("voices.bin" in names and "style_dim" in told):
        return "kokoro"
    if kind.startswith("matcha"):
        return "matcha"
    if kind in ("vits", "") or "vits" in kind or "melo" in kind:
        return "vits"
    raise WrongFiles(f"{name} is no voice that this engine runs: its metadata model_type is {kind!r}")


def _takes_phonemes(family: Family, told: Mapping[str, str], lexicons: Collection[str]) -> bool:
    if family == "vits":
        by_espeak = any(one in told.get("comment", "") for one in ("piper", "coqui"))
        return by_espeak and not lexicons
    return told.get("has_espeak") == "1"


def _speakers(told: Mapping[str, str]) -> tuple[str, ...]:
    """From ``speaker_names`` (``af,af_bella``) or ``id2speaker`` (``0->af,1->af_bella``)."""
    count = max(1, _number(told.get("n_speakers", "1")) or 1)
    for key in ("speaker_names", "id2speaker"):
        names = [one.rpartition("->")[2].strip() for one in told.get(key, "").split(",")]
        if len(names) == count and all(names):
            return tuple(names)
    return tuple(str(number) for number in range(count))


def _number(value: str) -> int | None:
    return int(value) if value.isdecimal() else None


def styles(plan: VoicePlan) -> int | None:
    """How many bytes ``voices.bin`` must have, None for families without one. Raises ``WrongFiles``."""
    if plan.family not in ("kokoro", "kitten"):
        return None
    name, wanted = plan.files["model"], 3 if plan.family == "kokoro" else 2
    sizes = [_number(one.strip()) for one in plan.metadata["style_dim"].split(",")]
    if len(sizes) != wanted or None in sizes or (wanted == 3 and sizes[1] != 1):
        raise WrongFiles(f"{name}: its metadata style_dim is {plan.metadata['style_dim']!r}")
    count = len(plan.speakers) * 4
    for size in sizes:
        count *= size or 0
    return count


_KOKORO_LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "zh",
}  # fmt: skip


def language(plan: VoicePlan, speaker: str) -> str:
    """The language of a speaker, as espeak-ng calls it; empty if nothing says it. Kokoro's speakers carry theirs in their
    names: ``bf_emma`` is British."""
    if plan.family == "kokoro" and (found := re.match(r"([a-z])[fm](_|$)", speaker)):
        return _KOKORO_LANGUAGES.get(found[1], plan.language)
    if plan.family == "kitten":
        return plan.language or "en-us"
    return plan.language
