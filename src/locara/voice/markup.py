"""Marks that are for eyes: markdown, HTML, citations, formulas, emoji, addresses. The rules that take them away.

What may live here: rules that hold in every language; what they put in place of an address or a formula is a name or
nothing. Words of a language are in `reading`; parts that go on over many clauses (code, thinking) are in `omissions`.

The rules see one clause, and a pair of marks may be cut in two by a clause's end. So each mark goes by itself, whether
its partner is there or not, and what must be seen whole (an address) has no blank in it and so is never cut.
"""

from __future__ import annotations

import html
import re

from locara.voice.marked import Rules, rules

_NAMED_HOST = re.compile(r"(?:[a-z0-9-]+\.){1,3}[a-z]{2,}", re.IGNORECASE)
_LONGEST_HOST = 30
"""Characters of a host name that one may still want to hear."""


def _entity(found: re.Match[str]) -> str:
    meant = html.unescape(found.group())
    return " " if meant.isspace() else meant.replace("\\", "")


def address_rules(link: str) -> Rules:
    """An address is read as its host (``example.com``), or as ``link`` where that is a number or too long."""

    def host(found: re.Match[str]) -> str:
        name = found.group().partition("://")[2] or found.group()
        name = re.split(r"[/?#:]", name.rpartition("@")[2] if "@" in name.partition("/")[0] else name, maxsplit=1)[0]
        name = name.removeprefix("www.")
        return name if _NAMED_HOST.fullmatch(name) and len(name) <= _LONGEST_HOST else link

    return rules((r"(?:https?://|ftp://|file://|www\.)[^\s<>|]*[^\s<>|.,;:!?)\]}\"'*_`»”’]", host))


_TARGET = r"[^()\s]*(?:\([^()\s]*\)[^()\s]*)*"  # an address, perhaps with one pair of brackets inside

LINKS = rules(
    (r"<!--.*?-->|</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>", " "),  # HTML
    (r"<((?:https?://|www\.|mailto:)[^\s<>]*)>", "\\1"),
    (r"&(?:#\d{1,6}|#x[\da-fA-F]{1,6}|[A-Za-z]{2,8});", _entity),
    (r"<\|[\w ]{0,30}\|>", " "),  # a chat template's own marks
    (r"(?<!\w)!(?=\[)", ""),  # ![a picture](address)
    (r"[ \t]?\[\^?\d+\]\(" + _TARGET + r"\)", ""),  # a citation that is a link
    (
        r"\]\((?:<[^<>\n]*>|" + _TARGET + r")(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?\s*\)",
        "",
    ),  # [text](address): the text stays
    (r"^[ \t]*\[[^\]\n]*\]:[ \t]*\S+.*$", ""),  # [text]: address, at the foot of a page; [^1]: a note goes too
    (r"(?<=\])\[[^\]\s]*\]", ""),  # [text][id]
    (r"[ \t]?(?:\[\^?\d+(?:\s*[,;–-]\s*\^?\d+)*\]|\[\^[\w-]+\]|【[^】]*】)", ""),  # [1], [2, 3], [^note]
    (r"[ \t]?\([^()\n]*\bet al\.?[^()\n]*\d{4}[a-z]?\)", ""),  # (Smith et al., 2020)
    (r"[ \t]?\([A-Z][\w’'-]+ (?:&|and) [A-Z][\w’'-]+,? \d{4}[a-z]?(?:, pp?\. ?[\d–-]+)?\)", ""),  # (Lee & Kim, 2020)
    (r"\bmailto:", ""),
)
"""First: HTML, links, citations; what is left of an address is then read by `address_rules`."""

_GREEK = "alpha|beta|gamma|delta|epsilon|theta|lambda|mu|pi|rho|sigma|tau|phi|omega"

_FORMULAS = (
    (r"\\(?:d|t|c)?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", "\\1/\\2"),
    (r"\\sqrt\s*\{([^{}]*)\}", "√\\1"),
    (r"\\(?:text|mathrm|mathbf|mathit|mathbb|mathcal|textbf|textit|operatorname|emph)\s*\{([^{}]*)\}", "\\1"),
    (r"\\(?:begin|end)\s*\{[^{}]*\}", " "),
    (r"\\times\b", "×"),
    (r"\\cdot\b", "×"),
    (r"\\div\b", "÷"),
    (r"\\pm\b", "±"),
    (r"\\(?:leq?|leqslant)\b", "≤"),
    (r"\\(?:geq?|geqslant)\b", "≥"),
    (r"\\neq?\b", "≠"),
    (r"\\approx\b", "≈"),
    (r"\\(?:to|rightarrow|Rightarrow|longrightarrow|implies)\b", "→"),
    (r"\\infty\b", "∞"),
    (r"\\%", "%"),
    (r"\\\$", "$"),
    (r"\\(?:left|right|big|Big|quad|qquad|displaystyle|limits|nonumber|hline)\b", " "),
    (rf"(?<=\d)\\((?:{_GREEK})\b)", " \\1"),
    (rf"(?<![\w\\:])\\((?:{_GREEK}|sin|cos|tan|log|ln|lim)\b)", "\\1"),
    (r"(?<=\w)\^\{([^{}]*)\}", "^\\1"),
    (r"(?<=\w)_\{([^{}]*)\}", " \\1"),
    (r"\\[()\[\]]|\$\$", ""),
    (r"(?<![\w$])\$(?=[^\s\d$][^$\n]{0,80}\$)|(?<=[\w})^²³])\$(?![\w$])", ""),  # $x$, but not $5
    (r"\\[,;:! ]|\\\\", " "),
)  # fmt: skip

_EMOJI = (
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u231a\u231b\u23e9-\u23fa\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe"
    "\u2934\u2935\u3030\u303d\u3297\u3299\U000e0020-\U000e007f]"
)

_KEYCAP = (r"([0-9#*])\ufe0f?\u20e3", "\\1 ")  # a digit in a box is still a digit

_KEY = r"(?<![A-Za-z0-9+/=_-])(?=[A-Za-z0-9+/=_-]*\d)[A-Za-z0-9+/=_-]{64,}"  # a key, a checksum, a picture as text

SIGNS = rules(
    (_KEY, ""),
    (r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t>]*|[-*+•‣◦▪·][ \t]+(?:\[[ xX]\][ \t]*)?)+", ""),  # heading, quotation, list
    (r"[ \t]+#{1,6}[ \t]*$", ""),  # a heading closed ##
    (r"^[ \t|:-]*-[ \t|:-]*$|^[ \t]*(?:[*_=~][ \t]*){3,}$", ""),  # a ruled line, also below a table's head
    (r"(?:^|\0)[ \t]*\|[ \t|]*|[ \t]*\|[ \t|]*$", ""),  # a table's row: its sides
    (r"[ \t]*\|[ \t|]*", ", "),  # and between its cells
    *_FORMULAS,
    (r"\\(?=[^\w\s])", ""),
    (r"(?<=\w)\\(?=\w)|(?<=:)\\(?=\w)", " "),  # C:\Users
    (r"\\(?=[A-Za-z])|\\", ""),
    (r"(?<=\d)[ \t]*\*[ \t]*(?=\d)|(?<=\b[A-Za-z\d])\*(?=[A-Za-z\d]\b)", " × "),
    (r"(?<=[^\W_])_+(?=[^\W_])", " "),
    _KEYCAP,
    (_EMOJI + "(?:" + _EMOJI + "|[\u200d\ufe0e\ufe0f\u20e3])*", " "),
    ("[\ufe0e\ufe0f\u20e3]", ""),
    (r"[*`\[\]{}]|~~+|_|(?<![^\W_])#+(?!\d)", ""),
    (r"\^(?![\w(-])", ""),
    (r"[\x00-\x08\x0b-\x1f\x7f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff]", ""),
)
"""After that: every mark by itself. ``\\0`` stands where a clause goes on within a line, and goes with them."""

BLANKS = rules(
    (r"\0", ""),
    (r"(?<=[^\W_])[ \t]*\s*\n\s*(?=\S)", ", "),  # lines without an end mark: a list is read with commas
    (r"\s+", " "),
    (r"(?:, )+(?=, )|\A(?:, )+", ""),
    (r"\A\s+|\s+\Z| (?=[,;:!?](?:\s|\Z))| (?=\.(?:\s|\Z))", ""),
    (r"\(\s*\)", ""),
    (r"\s+", " "),
    (r"\A\s+|\s+\Z", ""),
)
"""Last: one blank at a time, none at the ends."""
