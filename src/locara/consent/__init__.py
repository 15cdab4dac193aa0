"""What a person has allowed an app to do with the devices of this machine, and what was done with them.

What may live here: the ledger of grants, the question, what a running session may still do, and the log of uses. What an
app says of itself is `locara.manifest`'s; nothing here opens a device.
"""

from locara.consent.asking import Answer, Ask, Question
from locara.consent.ledger import Ledger, default_ledger
from locara.consent.rules import State
from locara.consent.watch import Watch

__all__ = ["Answer", "Ask", "Ledger", "Question", "State", "Watch", "default_ledger"]
