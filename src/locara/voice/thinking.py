"""What a model thinks before it answers is no part of its answer: not spoken, not shown, not remembered.

What may live here: telling the two apart in a stream cut anywhere. Pure. Marks known: ``<think>`` and its relatives, the
channels of the harmony format (openai/harmony), Mistral's ``[THINK]`` and Kimi's ``◁think▷``.

Only what may still become a mark is kept back, so plain text passes at once. Thoughts that never end are never told. A
model whose prompt already holds the opening mark sends only the closing one; then the thoughts before it were told as text.
"""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|reasoning|reflection|scratchpad"
_OPENS = re.compile(
    rf"<(?P<tag>{_NAMES})>|\[(?P<square>THINK)\]|◁(?P<kimi>think)▷"
    rf"|<\|channel\|>\s*(?P<channel>\w+)[^<]{{0,80}}(?:<\|constrain\|>[^<]{{0,20}})?<\|message\|>"
    r"|<\|start\|>[a-z]{0,12}(?=<\|)|<\|(?:end|return|message|constrain|call|endoftext|im_end|eot_id)\|>"
    rf"|</(?:{_NAMES})>",
    re.IGNORECASE,
)
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call|start)\|>")
_SAID_CHANNELS = frozenset({"final"})
_MAY_BEGIN = re.compile(
    r"<(?:/?[a-z]{0,10}|\|[a-z_]{0,12}(?:\|)?"
    r"|\|channel\|>\s*\w{0,20}[^<]{0,80}(?:<\|constrain\|>[^<]{0,20})?(?:<(?:\|[a-z]{0,9}\|?)?)?"
    r"|\|start\|>[a-z]{0,12}<?)\Z|\[[A-Z]{0,5}\Z|◁[a-z]{0,5}\Z",
    re.IGNORECASE,
)
_LONGEST_MARK = 160
"""Characters after which what looked like the beginning of a mark is text."""


class Thinking:
    """One answer. ``push`` pieces, then ``flush``: together they give the answer without its thoughts."""

    def __init__(self) -> None:
        self._text = ""
        self._until: re.Pattern[str] | None = None
        self._begun = False  # blank lines between a thought and the answer belong to the thought
        self._thought = False

    def push(self, piece: str) -> str:
        """What of the text so far is certainly answer, and was not given before."""
        self._text += piece
        said: list[str] = []
        while self._step(said):
            pass
        return self._trimmed("".join(said))

    def flush(self) -> str:
        """The rest, when the model has finished: what only looked like the beginning of a mark."""
        rest = self._trimmed("" if self._until is not None else self._text)
        self._text, self._until, self._begun, self._thought = "", None, False, False
        return rest

    def _trimmed(self, said: str) -> str:
        if not self._begun and self._thought:
            said = said.lstrip()
        self._begun = self._begun or bool(said)
        return said

    def _step(self, said: list[str]) -> bool:
        """One mark further; False when there is none to be seen."""
        if self._until is not None:
            found = self._until.search(self._text)
            if found is None:
                self._text = self._text[-_LONGEST_MARK:]
                return False
            # The next channel's header begins with the mark that ends this one.
            self._text = self._text[found.start() if found.group().startswith("<|") else found.end() :]
            self._until = None
            return True
        found = _OPENS.search(self._text)
        undecided = _MAY_BEGIN.search(self._text)
        if found is None or (undecided is not None and undecided.start() <= found.start()):
            keep = len(self._text) if undecided is None else undecided.start()
            if undecided is not None and len(self._text) - keep > _LONGEST_MARK:
                keep = len(self._text)
            said.append(self._text[:keep])
            self._text = self._text[keep:]
            return False
        said.append(self._text[: found.start()])
        self._text = self._text[found.end() :]
        self._until = _end_of(found)
        self._thought = True
        return True


def _end_of(found: re.Match[str]) -> re.Pattern[str] | None:
    if found["tag"]:
        return re.compile(f"</{found['tag']}>", re.IGNORECASE)
    if found["square"]:
        return re.compile(r"\[/THINK\]")
    if found["kimi"]:
        return re.compile("◁/think▷")
    if found["channel"] and found["channel"].lower() not in _SAID_CHANNELS:
        return _CHANNEL_ENDS
    return None
