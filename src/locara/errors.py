"""Every error of Locara: one tree, a stable code each, and always a next step.

What may live here: exception classes and nothing else. This is the lowest room of the house; it imports nothing.
"""

from __future__ import annotations


class LocaraError(Exception):
    """The root. ``str(error)`` says what and why in one sentence; ``hint`` says what to do next.

    ``code`` is stable across versions and may be matched on; the sentence may change.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def explain(self) -> str:
        """The sentence and the next step, as a person should read them."""
        return f"{self.message}\n  -> {self.hint}" if self.hint else self.message


class ConfigError(LocaraError):
    """A setting, a name or a combination that cannot work."""

    code = "bad-config"


class AudioError(LocaraError):
    """Samples or an audio file that cannot be used."""

    code = "bad-audio"


class MessageError(LocaraError):
    """A message over a connection that its protocol does not have."""

    code = "bad-message"


class DeviceError(LocaraError):
    """A microphone or a speaker that cannot be opened or has gone away."""

    code = "device-failed"


class NoDevice(DeviceError):
    """There is no sound server, or no device of the wanted kind."""

    code = "no-device"


class SessionError(LocaraError):
    """A session used before its start, after its end, or twice."""

    code = "session-state"


class StageError(LocaraError):
    """One stage of the conversation failed. Names the stage, the model and the cause."""

    code = "stage-failed"

    def __init__(self, message: str, *, stage: str, model: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stage = stage
        self.model = model


class EngineMissing(StageError):
    """No installed engine can run the model that was asked for."""

    code = "engine-missing"


class EngineFailed(StageError):
    """An engine raised, or its process died."""

    code = "engine-failed"


class EngineBusy(StageError):
    """An engine or a server that has no place left for another session."""

    code = "engine-busy"


class EngineTimeout(StageError):
    """An engine did not answer before its deadline."""

    code = "engine-timeout"


class ModelMissing(StageError):
    """The catalog knows the model, but its files are not on this machine."""

    code = "model-missing"


class ModelError(LocaraError):
    """A model that cannot be found, fetched, verified or kept: no such name, a wrong hash, a full disk, a gated one."""

    code = "model-failed"


class Offline(ModelError):
    """The network would be needed, and offline was asked for."""

    code = "offline"


class PullStopped(ModelError):
    """A pull was stopped from outside before it was done. What was fetched is kept."""

    code = "pull-stopped"


class ManifestError(LocaraError):
    """A ``locara.toml`` that cannot be used. The message begins with where; ``line`` and ``column`` count from 1 and are 0
    where the whole file is meant; ``what`` is the message without the place."""

    code = "bad-manifest"

    def __init__(self, what: str, *, path: str = "", line: int = 0, column: int = 0, hint: str = "") -> None:
        place = f":{line}:{column}" if line else ""
        super().__init__(f"{path or 'locara.toml'}{place}: {what}", hint=hint)
        self.what = what
        self.path = path
        self.line = line
        self.column = column


class ModelNotDeclared(ConfigError):
    """The app's manifest does not name this model."""

    code = "model-not-declared"


class CapabilityDenied(LocaraError):
    """The app may not use this device; the hint says how a person grants it."""

    code = "capability-denied"


class CapabilityPending(CapabilityDenied):
    """An update asked for it, and its cool-down has not passed."""

    code = "capability-pending"


class SoundMuted(LocaraError):
    """The switch for all sessions of this user is off: see ``locara mute``."""

    code = "sound-muted"


class ConsentError(LocaraError):
    """The ledger of grants cannot be read, trusted or written: nothing is granted until it is mended."""

    code = "consent-broken"


class ModelHashMismatch(ModelError):
    """A model's file is not the one that was meant."""

    code = "model-hash-mismatch"
