"""The phrases that the built-in responder understands, as data: a kind of wish, and how people say it.

What may live here: the table. A starred word must be heard, and so must a ``<slot>``: ``<sum>`` is an arithmetic
expression, ``<duration>`` a length of time, ``<quantity>`` any amount of a unit, ``<unit>`` a unit's name.
"""

from __future__ import annotations

from typing import Literal

from locara.engines.responder_words import Phrase

Kind = Literal[
    "time", "date", "elsewhere", "sum", "convert", "timer-set", "timer-cancel", "timer-left", "timer-list", "alarm",
    "remember", "recall", "recall-all", "again", "echo", "greeting", "how-are-you", "thanks", "bye", "who", "help",
    "stop", "unknown", "nothing",
]  # fmt: skip

_WHOLE: dict[Kind, str] = {
    "time": """
        what *time is it
        what *time is it right now
        what is the *time
        what is the current *time
        tell me the *time
        tell me what *time it is
        do you know what *time it is
        do you have the *time
        the *time please
        *time
        how *late is it""",
    "date": """
        what *day is it
        what *day is it today
        what *day is it *tomorrow
        what *day is *today
        what *day is *tomorrow
        what *day was *yesterday
        what is the *day today
        what *day of the *week is it
        which *day is it
        what is the *date
        what is the *date today
        what is the *date *tomorrow
        what is *today is *date
        what is *today's *date
        what is *tomorrow's *date
        tell me the *date
        tell me what *day it is
        what *month is it
        what *year is it
        *date""",
    "sum": """
        <sum>
        what is <sum>
        how much is <sum>
        calculate <sum>
        compute <sum>
        tell me what <sum> is
        what do you get for <sum>
        what does <sum> make
        <sum> equals""",
    "convert": """
        convert <quantity> to <unit>
        convert <quantity> into <unit>
        <quantity> to <unit>
        <quantity> in <unit>
        what is <quantity> in <unit>
        how much is <quantity> in <unit>
        how many <unit> in <quantity>
        how many <unit> are in <quantity>
        how many <unit> are there in <quantity>
        how many <unit> is <quantity>
        how many <unit> make <quantity>
        convert <quantity> <quantity>""",
    "timer-set": """
        set a *timer for <duration>
        set the *timer to <duration>
        set a <duration> *timer
        start a *timer for <duration>
        start a <duration> *timer
        *timer for <duration>
        *timer <duration>
        <duration> *timer
        give me a <duration> *timer
        start *timing <duration>
        *timer
        set a *timer
        start a *timer
        set a new *timer
        set an *alarm in <duration>
        set an *alarm for <duration> from now
        *remind me in <duration>
        *remind me <duration> from now
        *wake me up in <duration>
        *wake me in <duration>
        count *down from <duration>
        count *down <duration>
        *countdown <duration>""",
    "timer-cancel": """
        *cancel the *timer
        *cancel the *time
        *cancel all *timers
        *cancel my <duration> *timer
        *stop the *timer
        *stop all *timers
        *stop the <duration> *timer
        *cancel the *timer for <duration>
        *stop the *timer for <duration>
        *delete the *timer
        *delete all *timers
        *delete the <duration> *timer
        *remove the *timer
        *clear the *timers
        *end the *timer
        turn *off the *timer
        *turnoff the *timer
        turn *off the <duration> *timer
        turn the *timer *off
        *switch *off the *timer
        *forget the *timer""",
    "timer-left": """
        how much time is *left
        how much time is *left on my *timer
        how much time *left
        how long is *left
        how long is *left on the *timer
        how long is *left on the <duration> *timer
        how much time is *left on the <duration> *timer
        how much *longer
        how many minutes are *left
        how many minutes are *left on the *timer
        how much is *left on the *timer
        how *long does the *timer have
        how *long until the *timer is done
        when does my *timer go *off
        when does the *timer *ring
        when is the *timer *done
        when will the *timer go *off
        check the *timer
        is the *timer still *running""",
    "timer-list": """
        what *timers do i have
        which *timers are running
        what *timers are running
        *list my *timers
        *list all *timers
        *show me all the *timers
        *show my *timers
        tell me my *timers
        how *many *timers are there
        how *many *timers do i have
        are there any *timers
        do i have any *timers""",
    "alarm": """
        set an *alarm
        set an *alarm for tomorrow morning
        *wake me up tomorrow
        *wake me up in the morning""",
    "recall-all": """
        what did i *tell you
        what have i *told you
        what did i *ask you to *remember
        what do you *remember
        what do you *remember about me
        what do you know about me
        what should you *remember
        tell me everything you *remember
        read me my *notes
        what are my *notes""",
    "again": """
        *say that *again
        *say it *again
        can you *repeat that
        *repeat that please
        *repeat
        *repeat what you said
        *again please
        *one *more *time
        what did you *say
        what did you just *say
        *what was *that
        *pardon
        *pardon me
        come *again""",
    "greeting": """
        *hello
        *hello there
        *hello locara
        *hi
        *hi there
        *hey there
        good *morning
        good *afternoon
        good *evening""",
    "how-are-you": """
        *how *are *you
        *hello *how *are *you
        *hello there *how *are *you
        *how *are *you doing
        *how *are *you today""",
    "thanks": """
        *thank *you
        *thank *you very much
        *thank *you so much
        *thanks
        *thanks a lot
        *thanks very much""",
    "bye": """
        *bye
        *bye *bye
        *goodbye
        good *bye
        good *night
        see you *later
        see you *soon
        see you *tomorrow""",
    "who": """
        *who *are *you
        *what *are *you
        *who am i *talking to
        *what is *your *name
        *what's *your *name
        tell me about *yourself
        how *old *are *you
        are *you a *robot
        are *you a *computer
        are *you a language *model
        are *you an *ai""",
    "help": """
        *help
        *help me
        *what *can *you *do
        *what *can i *ask you
        *what *can i *say
        how can you *help me
        *what do you *know
        what are your *skills""",
    "stop": """
        *stop
        *stop it
        be *quiet
        *cancel
        *never *mind
        *nevermind
        *nothing
        *no
        *no *thanks
        *okay
        *forget it""",
}

_OPENING: dict[Kind, str] = {
    "elsewhere": """
        what *time is it *in
        what is the *time *in""",
    "echo": """
        *repeat *after *me
        *say *after *me
        *repeat these *words""",
    "remember": """
        *remember that
        *remember
        don't *forget that
        do *not *forget that
        do *not *forget
        make a *note that
        take a *note that
        keep in *mind that""",
    "alarm": """
        set an *alarm *for
        set my *alarm *for
        *wake me up *at
        *wake me *at
        *remind me *at""",
    "recall": """
        do you *remember
        do you *know
        what did i *say *about
        what did i *tell you *about
        what do you *remember *about
        what do you *know *about
        did i *tell you
        remind me""",
}


def _table(source: dict[Kind, str]) -> tuple[tuple[Kind, Phrase], ...]:
    return tuple(
        (kind, Phrase.of(line)) for kind, lines in source.items() for line in lines.split("\n") if line.strip()
    )


WHOLE = _table(_WHOLE)
"""Phrases that are the whole sentence."""
OPENING = _table(_OPENING)
"""Phrases that begin a sentence; what follows is the user's own words."""
