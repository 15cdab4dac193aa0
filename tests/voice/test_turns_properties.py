"""The invariants of a conversation, whatever happens in whatever order: a hypothesis state machine around `receive`.

The test plays the world: it obeys the effects as a session would (an obedient, sometimes lazy or lying brain and output)
and keeps its own books, from which it checks what must hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from locara.audio import BLOCK, RATE
from locara.engines.contracts import ToolCall
from locara.voice import events, moves
from locara.voice.state import ASSISTANT, SOUNDING, USER, Assistant, Rules, State, User
from locara.voice.turns import receive

WORDS = st.sampled_from(
    ["", "yeah", "stop", "what time is it", "i want the", "tell me more about the weather today", "mm-hm", "no"]
)
OUT = 24_000
SORRY = "Sorry, I didn't catch that."


class World(RuleBasedStateMachine):
    """Everything around the turn machine."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State(rules=Rules(reply_seconds=4.0, stall_seconds=3.0, tool_seconds=6.0, not_understood=SORRY))
        self.last_state = self.state
        self.prepared: dict[int, bool] = {}  # reply -> verbatim
        self.ended_replies: set[int] = set()
        self.user_ends: dict[int, int] = {}
        self.finals: dict[int, int] = {}
        self.started_turns: set[int] = set()
        self.assistant_ends: list[int] = []
        self.listening: set[int] = set()
        self.settles: list[tuple[int, int]] = []
        self.wanted: dict[int, ToolCall] = {}
        self.tools_run: list[tuple[int, ToolCall]] = []
        self.committed: set[int] = set()
        self.made: dict[int, int] = {}  # samples given to the machine
        self.handed: dict[int, int] = {}  # samples it handed to the output
        self.played: dict[int, int] = {}
        self.finished: set[int] = set()
        self.failed: set[int] = set()
        self.hushed: set[int] = set()
        self.held = False
        self.active: int | None = None
        self.over = False
        self.turn_of_reply: dict[int, int] = {}
        self.asks_back: set[int] = set()
        self.asked_back: int | None = None  # the last reply that was heard to ask back, until a turn is answered

    @initialize(words=st.booleans(), answers=st.booleans(), interruptible=st.booleans())
    def begins(self, words: bool, answers: bool, interruptible: bool) -> None:
        rules = replace(self.state.rules, words=words, answers=answers, interruptible=interruptible)
        self.state = self.last_state = replace(self.state, rules=rules)

    # --- obeying ------------------------------------------------------------------------------------------------------

    def tell(self, happened: moves.Happened) -> None:
        self.last_state = self.state
        self.state, effects = receive(self.state, happened)
        for effect in effects:
            self.obey(effect)

    def obey(self, effect: moves.Effect) -> None:
        match effect:
            case moves.Prepare(reply=reply, turn=turn, text=text, verbatim=verbatim, wish=wish):
                assert self.active is None, "two replies at once"
                assert reply not in self.prepared
                self.active = reply
                self.prepared[reply] = verbatim
                self.turn_of_reply[reply] = turn
                self.made[reply] = self.handed[reply] = self.played[reply] = 0
                if verbatim or wish is not None:
                    self.committed.add(reply)
                if text == SORRY:
                    assert verbatim
                    assert not self.over
                    self.asks_back.add(reply)
            case moves.Discard(reply=reply):
                assert self.active == reply
                self.active = None
                self.ended_replies.add(reply)
            case moves.Commit(reply=reply):
                assert reply == self.active
                self.committed.add(reply)
                self.asked_back = None
            case moves.Play(reply=reply, chunk=chunk):
                assert reply == self.active, "something of a reply that has ended reached the output"
                assert reply in self.committed, "a reply that is not committed was heard"
                self.handed[reply] += chunk.samples.size
                if reply in self.asks_back:
                    assert self.asked_back in (None, reply), "it asked back twice in a row"
                    self.asked_back = reply
            case moves.RunTool(reply=reply, call=call):
                assert reply in self.committed or call.name == "look", "a tool acted before the commit"
                self.tools_run.append((reply, call))
            case moves.Hush(reply=reply):
                self.hushed.add(reply)
            case moves.Hold():
                self.held = True
            case moves.GoOn():
                self.held = False
            case moves.Listen(turn=turn):
                self.listening.add(turn)
            case moves.Settle(turn=turn, revision=revision):
                self.settles.append((turn, revision))
            case moves.Forget(turn=turn):
                self.listening.discard(turn)
            case moves.Emit(event=event):
                self.note(event)
            case moves.End():
                self.over = True
            case _:
                pass

    def note(self, event: events.Event) -> None:
        assert not self.over, "an event after the end"
        assert event.t == self.state.now / RATE
        match event:
            case events.SpeechStart(turn=int(turn)):
                assert turn not in self.user_ends, "a turn began again after its end"
                self.started_turns.add(turn)
            case events.FinalTranscript(turn=int(turn)):
                self.finals[turn] = self.finals.get(turn, 0) + 1
                assert self.finals[turn] == 1, "two final transcripts of one turn"
            case events.TurnEnd(who="user", turn=int(turn)):
                self.user_ends[turn] = self.user_ends.get(turn, 0) + 1
                assert self.user_ends[turn] == 1, "a user's turn ended twice"
            case events.TurnEnd(who="assistant", turn=int(turn)):
                self.assistant_ends.append(turn)
                assert len(self.assistant_ends) == len(set(self.assistant_ends)), "a reply ended twice"
                self.held = False
            case events.LlmToken(turn=int(turn)) | events.AudioChunk(turn=int(turn)):
                assert turn not in self.assistant_ends, "something of a reply after its end"
            case _:
                pass

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule(voice=st.booleans(), blocks=st.integers(1, 60), pitch=st.sampled_from([0.0, 0.9]))
    def hears(self, voice: bool, blocks: int, pitch: float) -> None:
        for _ in range(blocks):
            until = self.state.now + BLOCK if voice else self.state.now
            self.tell(moves.Heard(BLOCK, 0.9 if voice else 0.01, until, 0.0, pitch * voice, 20.0 * voice))

    @rule(text=st.sampled_from(["", "", "of", "what time is it"]))
    def speaks_a_turn(self, text: str) -> None:
        """A turn from its beginning to the end of its reply, which random moves seldom make."""
        self.hears(voice=True, blocks=40, pitch=0.9)
        self.hears(voice=False, blocks=15, pitch=0.0)
        if self.settles:
            self.settles_text(text=text, all_of_them=False)
        self.hears(voice=False, blocks=60, pitch=0.0)
        if self.active is not None and self.active not in self.finished:
            self.sounds(which=0, n=9000, opens=True)
            self.finishes()
            self.plays(share=1.0)
            self.hears(voice=False, blocks=20, pitch=0.0)

    @rule(text=WORDS)
    def understands_a_part(self, text: str) -> None:
        for turn in list(self.listening):
            revision = self.state.turn.revision if self.state.turn else 0
            self.tell(moves.Understood(turn, revision, text, settled=False))

    @precondition(lambda self: self.settles)
    @rule(text=WORDS, all_of_them=st.booleans())
    def settles_text(self, text: str, all_of_them: bool) -> None:
        asked = self.settles if all_of_them else self.settles[-1:]
        self.settles = []
        for turn, revision in asked:
            self.tell(moves.Understood(turn, revision, text, settled=True, confidence=0.5))

    def some_reply(self, data: int) -> int | None:
        known = sorted(self.prepared)
        return known[-1 - data % min(3, len(known))] if known else None

    @precondition(lambda self: self.prepared)
    @rule(which=st.integers(0, 2), text=st.sampled_from(["Well", ", it is", " so.", ""]))
    def thinks(self, which: int, text: str) -> None:
        reply = self.some_reply(which)
        assert reply is not None
        self.tell(moves.Told(reply, text))

    @precondition(lambda self: self.prepared)
    @rule(which=st.integers(0, 2), n=st.integers(0, 9000), opens=st.booleans())
    def sounds(self, which: int, n: int, opens: bool) -> None:
        reply = self.some_reply(which)
        assert reply is not None
        if reply in self.finished or reply in self.failed:
            return
        self.made[reply] += n
        self.tell(moves.ClauseReady(reply))
        chunk = moves.Chunk(np.full(n, 0.1, dtype=np.float32), 0, 4, ((0, 4),), opens, not opens)
        self.tell(moves.Sounded(reply, chunk))

    @precondition(lambda self: self.active is not None)
    @rule(acts=st.booleans())
    def wants_a_tool(self, acts: bool) -> None:
        assert self.active is not None
        if self.active in self.finished or self.active in self.wanted:
            return
        call = ToolCall(f"call-{self.active}", "act" if acts else "look", {})
        self.wanted[self.active] = call
        self.tell(moves.Wanted(self.active, call, side_effects=acts))

    @precondition(lambda self: self.tools_run)
    @rule()
    def tool_runs(self) -> None:
        reply, call = self.tools_run.pop()
        self.tell(moves.ToolRan(reply, self.turn_of_reply[reply], call, "done"))

    @precondition(lambda self: self.active is not None)
    @rule()
    def finishes(self) -> None:
        assert self.active is not None
        self.finished.add(self.active)
        self.tell(moves.Finished(self.active))

    @rule(share=st.floats(0, 1))
    def plays(self, share: float) -> None:
        reply = self.active
        if reply is None or self.held or not self.handed[reply]:
            return
        self.played[reply] += round((self.handed[reply] - self.played[reply]) * share)
        audible = self.state.now if self.played[reply] else None
        self.tell(moves.Played(reply, self.played[reply], audible))

    @rule(kind=st.sampled_from(["reply", "turn", "session"]), stage=st.sampled_from(["stt", "llm", "tts"]))
    def fails(self, kind: str, stage: str) -> None:
        reply = self.active if kind == "reply" else None
        turn = self.state.turn.id if kind == "turn" and self.state.turn else None
        if reply is not None:
            self.failed.add(reply)
        self.tell(moves.Failed(stage, "engine-failed", "it broke", "mend it", reply, turn))

    @rule(text=st.sampled_from(["hello there", " "]))
    def types(self, text: str) -> None:
        self.tell(moves.Typed(text))

    @rule()
    def says(self) -> None:
        self.tell(moves.Say("By the way."))

    @rule()
    def asks_for_a_reply(self) -> None:
        self.tell(moves.Respond(moves.Wish()))

    @rule(name=st.sampled_from(["open_mic", "answers", "interruptible"]), value=st.booleans())
    def has_other_rules(self, name: str, value: bool) -> None:
        changes: dict[str, Any] = {name: value}
        self.tell(moves.Ruled(wish=moves.Wish(), **changes))

    @rule(
        happened=st.sampled_from(
            [moves.Interrupt(), moves.Muted(), moves.Unmuted(), moves.Pressed(), moves.Released(), moves.Disregard()]
        )
    )
    def app_acts(self, happened: moves.Happened) -> None:
        self.tell(happened)

    @rule()
    def time_heals_everything(self) -> None:
        """Every state has a deadline: in silence, with engines and output that never answer again, all comes to rest."""
        if self.state.turn is not None and self.state.turn.held:
            self.tell(moves.Released())
        for _ in range(round(60 * RATE / BLOCK)):
            if self.state.ended or (
                self.state.user is User.QUIET and self.state.assistant is Assistant.IDLE and not self.state.sayings
            ):
                return
            self.tell(moves.Heard(BLOCK, 0.0, 0))
        raise AssertionError(f"not at rest after a minute of silence: {self.state.user} {self.state.assistant}")

    @rule()
    def stops(self) -> None:
        self.tell(moves.Stop())
        assert self.over
        assert self.active is None
        assert self.started_turns <= set(self.user_ends), "a turn was never ended"
        assert not self.listening

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def moves_are_in_the_table(self) -> None:
        before, after = self.last_state, self.state
        reach = {before.user}
        for _ in range(4):
            reach |= {to for (state, _), to in USER.items() if state in reach}
        assert after.user in reach
        reached = {before.assistant}
        for _ in range(4):
            reached |= {to for (state, _), to in ASSISTANT.items() if state in reached}
        assert after.assistant in reached

    @invariant()
    def the_state_makes_sense(self) -> None:
        state = self.state
        assert (state.user is User.QUIET) == (state.turn is None)
        assert (state.assistant is Assistant.IDLE) == (state.reply is None)
        assert (state.reply.id if state.reply else None) == self.active
        if state.assistant in SOUNDING:
            assert state.reply is not None
            assert state.reply.committed
            assert state.reply.handed > 0
        assert (state.held_at is not None) == (state.assistant is Assistant.HELD)

    @invariant()
    def sound_is_conserved(self) -> None:
        for reply, handed in self.handed.items():
            assert handed <= self.made[reply]
            if reply == self.active and reply in self.committed:
                assert handed == self.made[reply]

    @invariant()
    def every_ended_reply_was_told(self) -> None:
        told = {self.turn_of_reply[reply] for reply in self.ended_replies if reply in self.committed}
        assert told == set(self.assistant_ends)

    @invariant()
    def no_more_than_one_turn_is_open(self) -> None:
        owed = {self.state.turn.id} if self.state.turn else set()
        if self.state.reply is not None and self.state.reply.owes is not None:
            owed.add(self.state.reply.owes.id)
        assert self.started_turns - set(self.user_ends) <= owed


TestTurns = World.TestCase
TestTurns.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
