"""What holds of a conversation that the model leads, whatever happens in whatever order."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from locara.audio import BLOCK, RATE
from locara.voice import events, moves
from locara.voice.state import Assistant, Rules, State, User
from locara.voice.turns import receive

WORDS = st.sampled_from(["", "yeah", "what time is it", "stop", "mm-hm"])
OUT = 24_000


class Led(RuleBasedStateMachine):
    """The world around the machine: a model that speaks when it wants, an output that plays, a user who talks."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.number = 0
        self.open: int | None = None  # what the model is saying
        self.live: int | None = None  # what the machine has not ended
        self.made = self.handed = self.played = 0
        self.ended: list[int] = []
        self.streamed = 0
        self.user_ends: dict[int, int] = {}
        self.opened: set[int] = set()
        self.finals: dict[int, int] = {}
        self.assistant_ends = 0
        self.begun = 0
        self.settles: list[tuple[int, int]] = []
        self.over = False

    @initialize(words=st.booleans(), open_mic=st.booleans())
    def begins(self, words: bool, open_mic: bool) -> None:
        rules = Rules(led_by_model=True, words=words, open_mic=open_mic, output_rate=OUT, reply_seconds=4.0)
        self.state = State(rules=rules)

    def tell(self, happened: moves.Happened) -> None:
        self.state, effects = receive(self.state, happened)
        for effect in effects:
            self.obey(effect)

    def obey(self, effect: moves.Effect) -> None:
        assert not isinstance(effect, moves.Prepare | moves.Commit | moves.Duck | moves.Hold), effect
        match effect:
            case moves.Stream(n=n):
                self.streamed += n
            case moves.Play(reply=reply, chunk=chunk):
                assert reply == self.live, "something of a reply that has ended reached the output"
                self.handed += chunk.samples.size
            case moves.Discard(reply=reply):
                assert reply == self.live
                self.ended.append(reply)
                self.live = None
            case moves.Settle(turn=turn, revision=revision):
                self.settles.append((turn, revision))
            case moves.Emit(event=event):
                self.note(event)
            case moves.End():
                self.over = True

    def note(self, event: events.Event) -> None:
        match event:
            case events.SpeechStart(turn=turn) | events.PartialTranscript(turn=turn):
                assert turn is not None
                assert turn not in self.user_ends
                self.opened.add(turn)
            case events.FinalTranscript(turn=turn):
                assert turn is not None
                assert turn not in self.user_ends
                self.opened.add(turn)
                self.finals[turn] = self.finals.get(turn, 0) + 1
                assert self.finals[turn] == 1
            case events.TurnEnd(who="user", turn=turn):
                assert turn is not None
                self.user_ends[turn] = self.user_ends.get(turn, 0) + 1
                assert self.user_ends[turn] == 1, "a turn ended twice"
            case events.TurnEnd(who="assistant"):
                self.assistant_ends += 1

    @rule(blocks=st.integers(1, 40), voice=st.booleans(), plays=st.booleans())
    def time(self, blocks: int, voice: bool, plays: bool) -> None:
        for _ in range(blocks):
            until = self.state.now + BLOCK if voice else 0
            before = self.streamed
            self.tell(moves.Heard(BLOCK, 0.95 if voice else 0.02, until, 0.0, 0.9 if voice else 0.0, 30.0))
            assert self.over or self.streamed == before + BLOCK, "the model hears every block, once"
            if plays and self.live is not None and self.handed > self.played:
                self.played = min(self.handed, self.played + OUT * BLOCK // RATE)
                self.tell(moves.Played(self.live, self.played, self.state.now - BLOCK))

    @precondition(lambda self: self.live is None and self.open is None and not self.over)
    @rule()
    def model_begins(self) -> None:
        self.number += 1
        self.open = self.live = self.number
        self.made = self.handed = self.played = 0
        self.begun += 1
        self.tell(moves.Began(self.number))

    @precondition(lambda self: self.open is not None)
    @rule(n=st.integers(1, 6000), text=st.sampled_from(["", " so", " it is.", " well,"]))
    def model_speaks(self, n: int, text: str) -> None:
        assert self.open is not None
        live = self.live == self.open
        self.made += n * live
        if text:
            self.tell(moves.Told(self.open, text))
        self.tell(moves.Sounded(self.open, moves.Chunk(np.zeros(n, np.float32), 0, 5)))
        if live and self.live is not None:
            assert self.handed == self.made, "samples are conserved"

    @precondition(lambda self: self.open is not None)
    @rule(how=st.sampled_from(["finished", "yielded", "failed"]))
    def model_stops(self, how: str) -> None:
        number, self.open = self.open, None
        assert number is not None
        if how == "finished":
            self.tell(moves.Finished(number))
        elif how == "yielded":
            self.tell(moves.Yielded(number))
        else:
            self.tell(moves.Failed("omni", "engine-failed", "it broke", reply=number))

    @precondition(lambda self: bool(self.settles))
    @rule(text=WORDS)
    def words_come(self, text: str) -> None:
        turn, revision = self.settles.pop(0)
        self.tell(moves.Understood(turn, revision, text, settled=True))

    @rule(what=st.sampled_from(["typed", "say", "interrupt", "press", "release", "mute", "stale"]))
    def app(self, what: str) -> None:
        number = max(1, self.number - 1)
        stale = moves.Sounded(number if number != self.live else 0, moves.Chunk(np.zeros(9, np.float32)))
        acts: dict[str, moves.Happened] = {
            "typed": moves.Typed("hello"),
            "say": moves.Say("hello"),
            "interrupt": moves.Interrupt(),
            "press": moves.Pressed(),
            "release": moves.Released(),
            "mute": moves.Muted(),
            "stale": stale,
        }
        self.tell(acts[what])
        self.tell(moves.Unmuted())

    @invariant()
    def one_end_for_each(self) -> None:
        if self.over:
            return
        assert self.assistant_ends == len(self.ended)
        assert self.begun - self.assistant_ends == (self.live is not None)
        assert (self.state.reply is None) == (self.live is None)
        waiting = set() if self.state.turn is None else {self.state.turn.id}
        owed = (
            {self.state.reply.owes.id} if self.state.reply is not None and self.state.reply.owes is not None else set()
        )
        assert self.opened - set(self.user_ends) <= waiting | owed, "a turn without an end"
        assert self.state.assistant in (Assistant.IDLE, Assistant.PREPARING, Assistant.SPEAKING)

    def teardown(self) -> None:
        if self.state.turn is not None and self.state.turn.held:
            self.tell(moves.Released())
        if self.open is not None:
            self.model_stops("finished")
        self.time(round(8.0 * RATE / BLOCK), voice=False, plays=True)
        for turn, revision in self.settles:
            self.tell(moves.Understood(turn, revision, "well", settled=True))
        self.time(round(8.0 * RATE / BLOCK), voice=False, plays=True)
        if not self.over:
            assert self.state.user is User.QUIET, "a state without a way out"
            assert self.live is None
        self.tell(moves.Stop())
        assert self.over
        assert self.opened <= set(self.user_ends)
        assert self.assistant_ends == self.begun


TestLed = Led.TestCase
TestLed.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
