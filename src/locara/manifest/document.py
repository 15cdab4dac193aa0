"""The document of a ``locara.toml`` to a `Manifest`. What may live here: what each table may say, and what is wrong with it.

``schema.json`` beside this file says the same for editors; a test keeps the two together. The models are in `declared`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast, get_args

from locara.manifest import names
from locara.manifest.declared import default_model, models_of
from locara.manifest.positions import Path
from locara.manifest.table import Where, flag, known_keys, one_of, table_at, text_at, told
from locara.manifest.values import (
    CAPABILITIES,
    EXPANSION,
    Capability,
    DeclaredModel,
    Manifest,
    Modality,
    Task,
    Variant,
)

SCHEMA = 1
MODALITIES: tuple[Modality, ...] = tuple(EXPANSION)
VARIANTS: tuple[Variant, ...] = get_args(Variant)

TABLES = ("schema", "offline", "app", "modalities", "modality", "capabilities", "models")
APP = ("id", "name", "version", "entry")
STAGES: Mapping[Modality, tuple[Task, ...]] = {
    "speech-to-text": ("stt", "vad"),
    "text-to-speech": ("tts",),
    "voice-to-voice": ("stt", "llm", "tts", "omni", "vad", "turn", "wake"),
}
"""Modality -> the stages that it may name a default model for."""
WITHOUT: Mapping[Variant, tuple[Task, ...]] = {
    "pipeline": ("omni",),
    "half-cascade": ("stt", "omni"),
    "omni": ("llm", "tts"),
    "native": ("stt", "llm", "tts", "omni"),
}
"""Variant -> the stages that it does not have, or whose model the operating system chooses."""


def understood(document: Mapping[str, Any], where: Where, digest: str) -> Manifest:
    """Raises ``ManifestError`` for the first thing that is wrong."""
    known_keys(document, (), TABLES, where)
    if "schema" in document and (type(document["schema"]) is not int or document["schema"] != SCHEMA):
        raise where.wrong(
            ("schema",),
            f"this Locara reads schema {SCHEMA}, not {told(document['schema'])}",
            "leave it out, or update Locara",
        )
    app = _app(document, where)
    modalities = _modalities(document, where)
    settings = table_at(document, ("modality",), where, MODALITIES)
    for name in settings:
        if name not in modalities:
            raise where.wrong(
                ("modality", name), f"{name} is not in use", f'add "{name}" to use under [modalities]', key=True
            )
    models = models_of(table_at(document, ("models",), where, None), where)
    variant, defaults = _settings(document, modalities, models, where)
    return Manifest(
        id=app["id"],
        name=app["name"],
        version=app["version"],
        entry=app.get("entry", ""),
        modalities=modalities,
        variant=variant,
        reasons=_reasons(document, modalities, where),
        models=models,
        defaults=defaults,
        offline=flag(document, ("offline",), where),
        digest=digest,
        path=where.path,
    )


def _app(document: Mapping[str, Any], where: Where) -> dict[str, str]:
    if "app" not in document:
        raise where.wrong((), "there is no [app]", 'begin with [app], id = "com.example.talk", name and version')
    table = table_at(document, ("app",), where, APP)
    checks: Mapping[str, Callable[[str], names.Wrong]] = {
        "id": names.app_id,
        "name": lambda text: names.read_by_people(text, names.NAME_LENGTH),
        "version": names.version,
        "entry": names.inside,
    }
    found = {}
    for name in APP:
        if name in table:
            found[name] = text_at(table, ("app", name), where, checks[name])
        elif name != "entry":
            raise where.wrong(("app",), f"[app] has no {name}", f"add {name} = ...")
    return found


def _modalities(document: Mapping[str, Any], where: Where) -> tuple[Modality, ...]:
    table = table_at(document, ("modalities",), where, ("use",))
    use = table.get("use", [])
    if not isinstance(use, list):
        raise where.wrong(
            ("modalities", "use"), f"use is {told(use)}, not a list", f"use = [{', '.join(map(repr, MODALITIES))}]"
        )
    for number, one in enumerate(use):
        at = ("modalities", "use", number)
        one_of(one, MODALITIES, at, where, "modality")
        if one in use[:number]:
            raise where.wrong(at, f"{one} is there twice", "leave one of them out")
    return tuple(use)


def _settings(
    document: Mapping[str, Any],
    modalities: tuple[Modality, ...],
    models: tuple[DeclaredModel, ...],
    where: Where,
) -> tuple[Variant | None, dict[Task, str]]:
    """The variant, and stage -> default model."""
    variant: Variant | None = None
    defaults: dict[Task, str] = {}
    settings = document.get("modality", {})
    for modality in modalities:
        at: Path = ("modality", modality)
        known = (("variant",) if modality == "voice-to-voice" else ()) + STAGES[modality]
        table = table_at(settings, at, where, known)
        if "variant" in table:
            variant = cast(Variant, one_of(table["variant"], VARIANTS, (*at, "variant"), where, "variant"))
        for stage in STAGES[modality]:
            if stage not in table:
                continue
            if variant is not None and modality == "voice-to-voice" and stage in WITHOUT[variant]:
                raise where.wrong((*at, stage), f"the variant {variant} names no {stage}", "leave it out", key=True)
            model = default_model(stage, text_at(table, (*at, stage), where, None), (*at, stage), models, where)
            if defaults.setdefault(stage, model) != model:
                raise where.wrong(
                    (*at, stage), f"{stage} has another default, {defaults[stage]!r}", "one default for each stage"
                )
    return variant, defaults


def _reasons(document: Mapping[str, Any], modalities: tuple[Modality, ...], where: Where) -> dict[Capability, str]:
    table = table_at(document, ("capabilities",), where, None)
    given = {one: modality for modality in modalities for one in EXPANSION[modality]}
    found: dict[Capability, str] = {}
    for name in table:
        at: Path = ("capabilities", name)
        if name == "device":  # device.speaker.select without quotes is three tables
            raise where.wrong(
                at, "the name of a capability has dots, so it needs quotes", '[capabilities."device.speaker.select"]'
            )
        one_of(name, CAPABILITIES, at, where, "capability", key=True)
        if name in given:
            raise where.wrong(at, f"{name} follows from {given[name]} already", "leave it out", key=True)
        inner = table_at(table, at, where, ("reason",))
        if "reason" not in inner:
            raise where.wrong(at, f"{name} has no reason", 'add reason = "...": people are shown it', key=True)
        reason = text_at(inner, (*at, "reason"), where, lambda text: names.read_by_people(text, names.REASON_LENGTH))
        found[cast(Capability, name)] = reason
    return found
