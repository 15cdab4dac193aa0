"""When a reply is asked for, and what is taken back. Pure.

What may live here: what both sides need, what the server says (`realtime_replies`) and what we say (`realtime_say`): a
server makes one response at a time, so that who comes second waits.
"""

from __future__ import annotations

from dataclasses import replace

from locara.engines.omni.realtime_state import Reply, Step

TIDY = "locara-tidy"
"""Begins the ids of messages that only tidy up: that one of them is refused concerns nobody."""


def ask(step: Step, number: int) -> None:
    """Asks for reply ``number``, or for how it goes on after its tools; later, where another is being made."""
    made = step.state.made
    if made is not None and made.number != number:
        step.set(queued=(*step.state.queued, number))
        return
    step.change(
        number, making=True, asked=True, response="", texted=False, calls=(), names=(),
        due=step.now + step.state.deadline,
    )  # fmt: skip
    if step.dialect.shape != "vllm":  # there the commit asks
        step.send("response.create", event_id=f"locara-create-{number}")


def ask_next(step: Step) -> None:
    """The server is free: who waited is asked for."""
    if step.state.queued and step.state.made is None:
        number, *others = step.state.queued
        step.set(queued=tuple(others))
        ask(step, number)


def forget_items(step: Step, reply: Reply) -> None:
    """Takes a reply, and the turn that it answered, out of the server's conversation. While they are being made they
    cannot be: then it is done when they are over."""
    if reply.making:
        return
    for id_ in (*(one.id for one in reply.items), reply.user_item):
        if id_:
            step.send("conversation.item.delete", event_id=TIDY, item_id=id_)
    step.put(replace(reply, items=(), user_item=""))
