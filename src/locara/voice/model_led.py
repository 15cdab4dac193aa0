"""A model that decides by itself when it speaks and when it stops: what its conversation is to an app. Pure; see `turns`.

What may live here: the decisions of `turns` for such a model. The states, the tables, the one reply and its life are the
same. What differs: nothing is prepared and nothing committed, for the model speaks when it speaks; its voice is never
lowered or held, for it hears the user itself; and where the user's turn ended is known from the model's beginning to
answer, or from a long silence.
"""

from __future__ import annotations

from dataclasses import replace

from locara.audio import samples_in
from locara.voice import events, evidence, overlap, replies
from locara.voice.moves import Began, Failed, Forget, Led, PassOn, Remember, Respond, Say, Settle, Yielded
from locara.voice.state import On, Reply, State, Turn, User
from locara.voice.step import Step

CLOSE_SECONDS = 3.0
"""A user's turn that the model does not answer for so long is over. People answer within 0.2 s, models of this kind within
a second; whatever comes later is no answer to it."""

TOOK_FLOOR_SECONDS = 0.4
"""A voice this long over a reply may have ended it: shorter ones are "mm-hm" and "yeah"."""

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")


def is_spoken_to(s: State) -> bool:
    """Whether what sounds now is meant for the model: not where a key, or a word, has to come first."""
    if not s.rules.open_mic:
        return s.turn is not None
    return s.rules.wake_word is None or s.attention.attentive


def take_in(step: Step, news: Began | Yielded | Led) -> None:
    """News that only such a model makes."""
    match news:
        case Began():
            _began(step, news)
        case Yielded():
            _yielded(step, news)
        case Led():
            _taken_over(step, news)


def _began(step: Step, news: Began) -> None:
    """The model speaks. Whoever has just stopped speaking is answered."""
    s, turn = step.s, step.s.turn
    if not s.rules.led_by_model or s.reply is not None or news.reply <= s.last_reply:
        return
    answers = turn is not None and s.user is User.PAUSING
    number = turn.id if turn is not None and answers else s.last_turn + 1
    reply = Reply(news.reply, number, "", committed=True, moved_at=s.now, spoken_to=answers)
    step.set(reply=reply, last_reply=reply.id, last_turn=max(s.last_turn, number))
    step.assistant(On.PREPARE)
    if turn is not None and answers:
        if not turn.told_end:
            step.in_turn(told_end=True)
            step.tell(events.SpeechEnd, turn.id, probability=s.probability)
        if not turn.asked:
            step.in_turn(asked=True)
            step.do(Settle(turn.id, turn.revision))
        step.in_turn(decided_at=s.now)
        step.user(On.DECIDED)


def _yielded(step: Step, news: Yielded) -> None:
    """The model, or its server, says that it stopped for the user."""
    if step.s.reply is not None and step.s.reply.id == news.reply:
        overlap.taken(step)


def _taken_over(step: Step, led: Led) -> None:
    """Whoever takes over has heard nothing of what is open."""
    replies.drop_unheard(step)
    if step.s.reply is not None:
        replies.end(step, "failed", On.TAKEN)
    if step.s.turn is not None:
        overlap.close_unanswered(step, "failed")
    step.set(rules=replace(step.s.rules, led_by_model=led.by_model, words=led.words))


def typed(step: Step, text: str) -> None:
    """What is typed is told to the model; it takes the floor as speaking does."""
    if step.s.reply is not None:
        overlap.taken(step)
    number = step.s.last_turn + 1
    step.set(last_turn=number)
    step.tell(events.FinalTranscript, number, text=text, confidence=None)
    step.do(Remember(number, "user", text), PassOn(number, text))
    step.tell(events.TurnEnd, number, who="user", reason="typed", latency=None, speech_end=None)


def refuse(step: Step, saying: Say | Respond) -> None:
    """Such a model cannot be made to say a given text, nor to answer at a given time."""
    what = "say a given text" if isinstance(saying, Say) else "be asked for a reply"
    hint = "it speaks when it wants to; use a pipeline, voice.session(stt=..., llm=..., tts=...), for this"
    failure = Failed("omni", "not-possible", f"omni: a model that leads the conversation cannot {what}", hint)
    replies.tell_failure(step, failure, None)


def conclude(step: Step) -> None:
    """What follows from what is known now."""
    if step.s.sayings:  # the prompt after a long silence
        saying = step.s.sayings[0]
        step.set(sayings=())
        refuse(step, saying)
    _end_if_stopped(step)
    replies.end_if_played_out(step)
    _consider(step)


def _end_if_stopped(step: Step) -> None:
    """It has stopped by itself. Because the user spoke? Estimated: a voice lay over it, and no sentence was at its end."""
    s, reply, turn = step.s, step.s.reply, step.s.turn
    if reply is None or turn is None or not reply.done or reply.failure is not None or reply.played < reply.handed:
        return
    finished = reply.text.rstrip().endswith(_SENTENCE_ENDS)
    over = turn.over_reply == reply.id and turn.voiced >= samples_in(TOOK_FLOOR_SECONDS) and turn.id != reply.turn
    if over and not finished and not evidence.only_backchannel(turn.text) and s.rules.interruptible:
        overlap.taken(step)


def _consider(step: Step) -> None:
    s, turn = step.s, step.s.turn
    if turn is None or s.user not in (User.PAUSING, User.YIELDED):
        return
    known = turn.settled or not s.rules.words
    if s.user is User.YIELDED:
        if known:
            _over(step, turn)
        return
    silence = s.now - turn.speech_end
    if known and s.rules.words:
        reason = overlap.why_not_said(step, turn)
        if reason is None and not evidence.words_of(turn.text) and silence >= samples_in(evidence.WORDLESS_SECONDS):
            reason = "no-words"
        if reason is not None:
            overlap.dismiss(step, reason)
            return
    if known and silence >= samples_in(CLOSE_SECONDS):
        overlap.close_unanswered(step, "complete")


def _over(step: Step, turn: Turn) -> None:
    """The model has begun to answer, and all is known of the turn that will be."""
    step.do(Forget(turn.id))
    if turn.text:
        step.tell(events.FinalTranscript, turn.id, text=turn.text, confidence=turn.confidence)
        step.do(Remember(turn.id, "user", turn.text))
    step.user(On.ANSWERED)
    step.set(turn=None)
    reply = step.s.reply
    if reply is not None and reply.turn == turn.id:
        step.in_reply(owes=turn)  # its end is told with the first sound that can be heard
    else:
        replies.end_of_turn(step, turn, turn.reason)
