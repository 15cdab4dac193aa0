"""The life of the one reply: prepared, grown, committed, played, ended. Pure; see `turns` for what may live here."""

from __future__ import annotations

from locara.audio import RATE, samples_in
from locara.engines.contracts import ToolCall
from locara.voice import events, ledger
from locara.voice.moves import (
    Chunk,
    ClauseReady,
    Commit,
    Discard,
    Failed,
    Finished,
    Forget,
    GoOn,
    Hush,
    Play,
    Played,
    Prepare,
    Remember,
    RememberTool,
    Respond,
    RunTool,
    Say,
    Sounded,
    Told,
    ToolRan,
    Wanted,
)
from locara.voice.state import Assistant, On, Reply, Turn, User
from locara.voice.step import Step

CUT = frozenset({"interrupted", "cancelled", "stopped", "failed"})
"""Reasons for which a reply ends before its end."""


def begin(step: Step, turn: int, text: str, *, saying: Say | Respond | None = None) -> None:
    """Starts making a reply to ``text``, unheard until it is committed; for a ``saying``, ``text`` itself is said, or the
    conversation as it is answered: the app wants it, so it counts at once."""
    wish = saying.wish if isinstance(saying, Respond) else None
    reply = Reply(step.s.last_reply + 1, turn, text, committed=saying is not None, moved_at=step.s.now)
    step.set(reply=reply, last_reply=reply.id)
    if wish is not None:
        step.in_reply(record=wish.record)
    step.assistant(On.PREPARE)
    number = saying.number if saying is not None else 0
    step.do(Prepare(reply.id, turn, text, isinstance(saying, Say), number, wish))


def drop_unheard(step: Step) -> None:
    """Throws a reply away that was prepared for words that are not the last ones."""
    reply = step.s.reply
    if reply is not None and not reply.committed:
        step.set(reply=None)
        step.assistant(On.DISCARD)
        step.do(Discard(reply.id, wasted=True))


def grew(step: Step, grown: Told | ClauseReady | Sounded | Wanted | Finished) -> None:
    """The brain has more of a reply."""
    reply = step.s.reply
    if reply is None or reply.id != grown.reply:
        return  # a cancelled engine still sends: dropped here, in this one place
    now = step.s.now
    reply = step.in_reply(moved_at=now)
    match grown:
        case Told(text=""):
            pass  # it thinks: not stalled, and nothing to tell
        case Told(text=text):
            first = now if reply.first_token is None else reply.first_token
            _tell_or_keep(step, step.in_reply(text=reply.text + text, first_token=first), text)
        case ClauseReady():
            step.in_reply(first_clause=now if reply.first_clause is None else reply.first_clause)
        case Sounded(chunk=chunk):
            reply = step.in_reply(first_sound=now if reply.first_sound is None else reply.first_sound)
            if reply.committed:
                _hand(step, chunk)
            else:
                step.in_reply(chunks=(*reply.chunks, chunk))
        case Wanted(call=call, side_effects=side_effects):
            if side_effects and not reply.committed:
                step.in_reply(wants=call)
            else:
                _run_tool(step, reply, call)
        case Finished(silent=silent):
            step.in_reply(done=True, silent=silent)


def tool_ran(step: Step, ran: ToolRan) -> None:
    """A tool has given its result; if its reply is gone, the effect on the world is not, so it is told all the same."""
    reply = step.s.reply
    if reply is not None and reply.id == ran.reply:
        running = max(0, reply.tools - 1)
        _tell_or_keep(step, step.in_reply(moved_at=step.s.now, tools=running), ran)
    else:
        step.tell(events.ToolResult, ran.turn, name=ran.call.name, result=ran.result, interrupted=True)
        step.do(RememberTool(ran.turn, ran.call, ran.result))


def commit_if_due(step: Step) -> None:
    """The turn is decided and the reply has something to show for it: from here there is no way back."""
    reply, turn = step.s.reply, step.s.turn
    if reply is None or reply.committed or turn is None or step.s.user is not User.YIELDED:
        return
    if reply.chunks or reply.wants is not None or reply.done or reply.failure is not None:
        _commit(step, reply, turn)


def _commit(step: Step, reply: Reply, turn: Turn) -> None:
    step.do(Forget(turn.id))
    if turn.text:
        step.tell(events.FinalTranscript, turn.id, text=turn.text, confidence=turn.confidence)
    step.do(Remember(turn.id, "user", turn.text), Commit(reply.id))
    step.user(On.ANSWERED if reply.failure is None else On.FAILED)
    step.set(turn=None)
    pending, chunks, wants = reply.pending, reply.chunks, reply.wants
    reply = step.in_reply(committed=True, pending=(), chunks=(), wants=None, owes=turn, spoken_to=not turn.typed)
    for item in pending:
        _tell_item(step, reply, item)
    for chunk in chunks:
        _hand(step, chunk)
    if wants is not None:
        _run_tool(step, reply, wants)
    if reply.failure is not None:
        tell_failure(step, reply.failure, reply.turn)


def _run_tool(step: Step, reply: Reply, call: ToolCall) -> None:
    _tell_or_keep(step, reply, call)
    step.in_reply(tools=step.reply.tools + 1)
    step.do(RunTool(reply.id, call))


def _tell_or_keep(step: Step, reply: Reply, item: str | ToolCall | ToolRan) -> None:
    if reply.committed:
        _tell_item(step, reply, item)
    else:
        step.in_reply(pending=(*reply.pending, item))


def _tell_item(step: Step, reply: Reply, item: str | ToolCall | ToolRan) -> None:
    if isinstance(item, str):
        step.tell(events.LlmToken, reply.turn, text=item)
    elif isinstance(item, ToolRan):
        step.tell(events.ToolResult, reply.turn, name=item.call.name, result=item.result)
        step.do(RememberTool(reply.turn, item.call, item.result))
    else:
        step.tell(events.ToolCalled, reply.turn, name=item.name, arguments=dict(item.arguments))


def _hand(step: Step, chunk: Chunk) -> None:
    reply = step.reply
    script = ledger.with_chunk(reply.script, chunk)
    if chunk.samples.size == 0:  # only the news that the clause is whole
        step.in_reply(script=script)
        return
    if step.s.assistant is Assistant.PREPARING:
        step.assistant(On.SOUND)
        reply = step.in_reply(handed_at=step.s.now)
    step.in_reply(script=script, handed=reply.handed + int(chunk.samples.size))
    step.do(Play(reply.id, chunk))
    rate = step.s.rules.output_rate
    step.tell(events.AudioChunk, reply.turn, samples=chunk.samples, sample_rate=rate, text=chunk.text)


def played(step: Step, news: Played) -> None:
    """The output has played on; with the first audible sample the user's turn is complete and gets its ledger."""
    reply = step.s.reply
    if reply is None or reply.id != news.reply or not reply.committed:
        return
    # Without progress this comes only from an output that is lost: the reply then waits, and has not stalled.
    reply = step.in_reply(played=news.played, moved_at=step.s.now)
    if news.audible_at is not None:
        _pay(step, reply, news.audible_at)


def _pay(step: Step, reply: Reply, audible_at: int | None) -> None:
    turn = reply.owes
    if turn is None:
        return
    step.in_reply(owes=None)
    marks = ledger.Milestones(
        speech_end=turn.speech_end,
        decided=turn.speech_end if turn.decided_at is None else turn.decided_at,
        understood=turn.understood_at,
        first_token=reply.first_token,
        first_clause=reply.first_clause,
        first_sound=reply.first_sound,
        handed=reply.handed_at,
        audible=audible_at,
    )
    end_of_turn(step, turn, turn.reason, ledger.latency(marks))


def end_of_turn(step: Step, turn: Turn, reason: str, latency: events.Latency | None = None) -> None:
    """The user's turn-end: one for each turn."""
    speech_end = None if turn.typed else turn.speech_end / RATE
    step.tell(events.TurnEnd, turn.id, who="user", reason=reason, latency=latency, speech_end=speech_end)


def end_if_played_out(step: Step) -> None:
    """A reply that is complete and has left the output is over."""
    reply = step.s.reply
    if reply is None or not reply.committed or not (reply.done or reply.failure is not None):
        return
    if reply.played >= reply.handed and step.s.assistant is not Assistant.HELD:
        said = reply.handed or (reply.silent and reply.text)
        reason = "failed" if reply.failure is not None else "finished" if said else "empty"
        end(step, reason)


def end(step: Step, reason: str, why: On = On.ENDED) -> None:
    """The one place where a committed reply ends."""
    reply = step.reply
    _pay(step, reply, None)
    cut = reason in CUT
    heard, unheard = heard_and_not(step, reply)
    if reply.record and (heard or (reason == "interrupted" and unheard)):
        if reply.asks_about is not None:
            step.do(Remember(reply.asks_about, "user", "", not_understood=True))
        left = unheard if cut else ""
        script, whole = reply.script, reply.text
        step.do(Remember(reply.turn, "assistant", heard, cut=cut, unheard=left, whole=whole, script=script))
    lowered = step.s.assistant in (Assistant.DUCKED, Assistant.HELD)
    step.assistant(why)
    step.set(reply=None, held_at=None, last_said=reply, last_ended=step.s.now)
    step.do(Discard(reply.id))
    if cut:
        step.do(Hush(reply.id))
    elif lowered:
        step.do(GoOn())  # it played out while it was lowered; the next one is not to be
    step.tell(events.TurnEnd, reply.turn, who="assistant", reason=reason)
    if step.s.turn is not None and step.s.turn.over:
        step.in_turn(over=False)


def heard_and_not(step: Step, reply: Reply) -> tuple[str, str]:
    """The reply's text, split where the output stands."""
    if reply.done and reply.failure is None and reply.played >= reply.handed:
        return reply.text.strip(), ""
    at = ledger.heard_until(reply.script, reply.played, step.s.rules.output_rate, reply.text)
    return reply.text[:at].strip(), reply.text[at:].strip()


def failed(step: Step, failure: Failed) -> None:
    """A stage failed while it made this reply. What was only guessed at is told when the turn is decided."""
    reply = step.in_reply(failure=failure, moved_at=step.s.now)
    if reply.committed:
        tell_failure(step, failure, reply.turn)


def tell_failure(step: Step, failure: Failed, turn: int | None) -> None:
    """The error event of a failure."""
    told = {"code": failure.code, "message": failure.message, "stage": failure.stage, "hint": failure.hint}
    step.tell(events.Error, turn, **told, fatal=failure.fatal)


def watch(step: Step) -> None:
    """The deadline of a reply that neither grows nor plays."""
    reply = step.s.reply
    rules = step.s.rules
    limit = rules.tool_seconds if reply is not None and reply.tools else rules.stall_seconds
    if reply is None or not reply.committed or step.s.assistant is Assistant.HELD:
        return
    if step.s.now - reply.moved_at < samples_in(limit):
        return
    stage = "output" if reply.played < reply.handed else "reply"
    failure = Failed(
        stage,
        "stalled",
        f"{stage}: nothing moved for {limit:g} s, so the reply was ended",
        "an engine or the sound device hangs: choose a smaller model, or another output",
    )
    tell_failure(step, failure, reply.turn)
    end(step, "failed")
