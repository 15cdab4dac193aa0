"""The thinker of a Qwen-Omni model, one token at a time, whenever the talker wants the next one.

What may live here: stepping through ``generate`` of transformers from outside. Runs in the model's own environment.

``generate`` writes all of a reply before anything of it can be spoken. Here it runs in a thread of its own that stands still
after each token until the next one is asked for; never do both threads compute at once, so what is drawn at random is drawn
in a fixed order. Everything of ``generate`` holds: its caches, its sampling, its limits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_STEP_SECONDS = 120.0
"""For one token, the reading of the prompt included; whoever waits for the worker has given up before."""
_IDLE_SECONDS = 600.0
"""That it stands still: nobody wants the reply any longer, though nobody has closed it."""
_END = -1


class Thinking:
    """One reply being written. All calls from one thread.

    ``look(step, hidden)`` is told the hidden states of each pass (step 0: the prompt): a tuple of ``(1, tokens, width)``,
    the embeddings first, the last layer normalised. It is called while nobody else computes.
    """

    def __init__(
        self,
        thinker: Any,
        inputs: Mapping[str, Any],
        settings: Mapping[str, Any],
        look: Callable[[int, Sequence[Any]], None],
    ) -> None:
        self.ended = False
        self._thinker = thinker
        self._inputs = {**inputs, **settings}
        self._ends = set(settings["eos_token_id"])
        self._look = look
        self._passes = 0
        self._go = threading.Semaphore(0)
        self._came = threading.Semaphore(0)
        self._token = _END
        self._error: BaseException | None = None
        self._halt = False
        self._thread = threading.Thread(target=self._run, name="thinker", daemon=True)
        self._hooks = [
            thinker.register_forward_pre_hook(_all_layers, with_kwargs=True),
            thinker.register_forward_hook(self._passed),
        ]

    def advance(self) -> int | None:
        """Writes one more token and returns it; None when there are no more. An end token ends it and is not returned. What
        the thinker raises is raised here."""
        if self.ended:
            return None
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        if not self._came.acquire(timeout=_STEP_SECONDS):
            self.ended = True
            raise TimeoutError(f"the thinker gave no token within {_STEP_SECONDS:g} s")
        if self._error is not None:
            raise self._error
        if self._token in self._ends or self._token == _END:
            self.ended = True
            return None
        return self._token

    def close(self) -> None:
        """Stops after the token it is at, and ends the thread. May be called twice."""
        self.ended = True
        self._halt = True
        if self._thread.ident is not None:
            self._go.release()
            self._thread.join(_STEP_SECONDS)
        for hook in self._hooks:
            hook.remove()

    def _run(self) -> None:
        try:
            from transformers import StoppingCriteria, StoppingCriteriaList

            class AfterEach(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed here
                def __call__(one, input_ids: Any, scores: Any, **kwargs: Any) -> Any:  # noqa: N805
                    stop = self._handed(int(input_ids[0, -1]))
                    return input_ids.new_full((input_ids.shape[0],), stop, dtype=bool)

            self._thinker.generate(**self._inputs, stopping_criteria=StoppingCriteriaList([AfterEach()]))
        except BaseException as error:  # handed to whoever waits
            self._error = error
        self._token = _END
        self._came.release()

    def _handed(self, token: int) -> bool:
        """Hands ``token`` over and waits until the next one is wanted. Whether to stop."""
        self._token = token
        self._came.release()
        return not self._go.acquire(timeout=_IDLE_SECONDS) or self._halt

    def _passed(self, _thinker: Any, _arguments: Any, output: Any) -> None:
        self._look(self._passes, output.hidden_states)
        self._passes += 1


def _all_layers(_thinker: Any, arguments: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Asks for the hidden states of each pass, which ``generate`` would otherwise keep for the whole reply."""
    return arguments, {**named, "output_hidden_states": True}
