"""Text that comes in pieces, as whole characters. Pure.

What may live here: halves of surrogate pairs. Servers written for UTF-16 cut text between the halves of an emoji, and JSON
(RFC 8259, section 8.2) lets a half stand alone. No half can be written to a file, a terminal or a socket.
"""

from __future__ import annotations

_REPLACEMENT = "\ufffd"


class WholeText:
    """Puts together what was cut; what has no other half becomes U+FFFD."""

    def __init__(self) -> None:
        self._half = ""

    def push(self, text: str) -> str:
        """The next piece, without a half at its end that may go on in the next one."""
        if not self._half and (text.isascii() or not _has_half(text)):
            return text
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return whole(text)

    def flush(self) -> str:
        """What is left at the end: a half that nothing followed."""
        half, self._half = self._half, ""
        return _REPLACEMENT if half else ""


def whole(text: str) -> str:
    """``text`` with every pair of halves as one character, and U+FFFD for each half that stands alone."""
    if text.isascii() or not _has_half(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _has_half(text: str) -> bool:
    return any("\ud800" <= one <= "\udfff" for one in text)
