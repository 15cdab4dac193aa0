"""What can go wrong with the process of a frame model, in words: what, why, what to do next.

What may live here: making the errors. When they are raised is `frame_life` and `frame_backend`.
"""

from __future__ import annotations

from dataclasses import dataclass

from locara.engines.frames import Reply
from locara.errors import ConfigError, EngineBusy, EngineFailed, EngineMissing, EngineTimeout, StageError

AGAIN = "the next conversation starts it again; if it dies each time, choose another model (docs/engines.md)"


@dataclass(frozen=True, slots=True)
class Blame:
    """Whose errors they are."""

    model: str
    package: str
    stage: str = "omni"

    def failed(self, why: str, *, hint: str = "") -> EngineFailed:
        """It failed."""
        return EngineFailed(
            f"{self.stage}: {self.model}: {why}", stage=self.stage, model=self.model, hint=hint or AGAIN
        )

    def late(self, why: str, *, hint: str) -> EngineTimeout:
        """It did not answer in time."""
        return EngineTimeout(f"{self.stage}: {self.model}: {why}", stage=self.stage, model=self.model, hint=hint)

    def busy(self, slots: int) -> EngineBusy:
        """All its places are taken."""
        return EngineBusy(
            f"{self.stage}: {self.model} holds {slots} conversation{'s' * (slots != 1)} at once, and no place is free",
            stage=self.stage,
            model=self.model,
            hint="try again when one has ended, or give it more places, if there is memory for them",
        )

    def not_loaded(self, reply: Reply) -> StageError:
        """Of an ``error``."""
        said = str(reply.header.get("message"))
        if reply.header.get("type") in ("ModuleNotFoundError", "ImportError"):
            return EngineMissing(
                f"{self.stage}: {self.model}: {said}",
                stage=self.stage,
                model=self.model,
                hint=f"install {self.package} into its environment again",
            )
        return self.failed(f"it could not be loaded: {said}", hint=str(reply.header.get("hint") or ""))

    def refused(self, reply: Reply) -> ConfigError | EngineFailed:
        """Of a ``refused``: a `Trouble` is about the settings, anything else about the model."""
        said, hint = str(reply.header.get("message")), str(reply.header.get("hint") or "")
        if reply.header.get("type") == "Trouble":
            return ConfigError(f"{self.stage}: {self.model}: {said}", hint=hint)
        return self.failed(f"a conversation could not be begun: {reply.header.get('type')}: {said}", hint=hint)

    def broke(self, reply: Reply) -> EngineFailed:
        """Of a ``failed``."""
        said = f"{reply.header.get('type')}: {reply.header.get('message')}"
        return self.failed(
            f"its model failed, so its process was ended: {said}", hint=str(reply.header.get("hint") or "")
        )
