"""Numbers, dates, money, units and abbreviations: as words that every voice reads alike, found again where they stood."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice.reading import reading
from locara.voice.reading_english_numbers import below_hundred, ordinal, year
from locara.voice.speakable import speakable


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("It costs $5.", "It costs 5 dollars."),
        ("It costs $1, or $1,299.99.", "It costs 1 dollar, or 1,299 dollars and 99 cents."),
        ("$0.99 and €1.00", "99 cents and 1 euro"),
        ("$2.5 billion, £7.50, 20€ and 3 USD", "2.5 billion dollars, 7 pounds and 50 pence, 20 euros and 3 US dollars"),
        ("$5-10 or $5–$10", "5 to 10 dollars or 5 to 10 dollars"),
        ("$5/month", "5 dollars per month"),
        ("$10k", "10 thousand dollars"),
    ],
)
def test_money_is_read_with_its_name_after_the_number(clause: str, text: str) -> None:
    assert speakable(clause).text == text


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("in 1999 and 2024", "in nineteen ninety nine and twenty twenty four"),
        ("in 1905 or in 2007", "in nineteen oh five or in 2007"),
        ("in 1500 homes", "in 1500 homes"),
        ("in 1900 people knew", "in 1900 people knew"),
        ("1234 steps", "1234 steps"),
        ("the 1990s and the '80s", "the nineteen nineties and the eighties"),
        ("1939-45 and 2010–2015", "nineteen thirty nine to forty five and twenty ten to twenty fifteen"),
        ("on 2024-05-01", "on May 1st, twenty twenty four"),
        ("on 05/01/2024", "on May 1st, twenty twenty four"),
        ("on 31/12/2024", "on December 31st, twenty twenty four"),
        ("on May 1, 2024", "on May 1st, twenty twenty four"),
        ("by Jan. 5", "by January 5th"),
        ("on 3 June 1944", "on 3rd June nineteen forty four"),
        ("May 20 people come?", "May 20 people come?"),
    ],
)
def test_years_and_dates_are_read_as_people_say_them(clause: str, text: str) -> None:
    assert speakable(clause).text == text


def test_a_british_date_has_its_day_first() -> None:
    assert speakable("on 05/01/2024", "en-GB").text == "on January 5th, twenty twenty four"


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("at 10:30", "at 10 30"),
        ("at 10:00", "at 10 o'clock"),
        ("at 7:05 pm", "at 7 oh 5 PM"),
        ("at 7pm", "at 7 PM"),
        ("at 10 a.m. today", "at 10 a.m. today"),
        ("a 3:2 ratio", "a 3 to 2 ratio"),
        ("at 99:99", "at 99:99"),
        ("Call 555-1234.", "Call 5 5 5, 1 2 3 4."),
        ("+1 (555) 123-4567", "plus 1, 5 5 5, 1 2 3, 4 5 6 7"),
        ("5-10 days, 50-50", "5 to 10 days, 50 50"),
        ("1/2 cup, 3/4, 1½ and 2⅔ cups", "one half cup, three quarters, 1 and a half and 2 and two thirds cups"),
        ("1 1/2 cups", "1 and one half cups"),
        ("8/10, 24/7", "8 out of 10, 24 7"),
        ("-5 degrees, −3 °C", "minus 5 degrees, minus 3 degrees Celsius"),
        ("192.168.1.1 and 2.0.1", "192 dot 168 dot 1 dot 1 and 2 point 0 point 1"),
        ("1.000.000 and 1,000,000", "1000000 and 1,000,000"),
        ("COVID-19, a 5-year-old, twenty-one", "COVID-19, a 5-year-old, twenty-one"),
    ],
)
def test_times_and_numbers_with_signs_become_words(clause: str, text: str) -> None:
    assert speakable(clause).text == text


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("Dr. Smith and Prof. Lee", "Doctor Smith and Professor Lee"),
        ("St. Mary on Main St. is", "Saint Mary on Main Street is"),
        ("the U.S. Army", "the US Army"),
        ("J. K. Rowling", "J K Rowling"),
        ("Henry VIII, World War II and Chapter IV", "Henry the 8th, World War 2 and Chapter 4"),
        ("I am an IV nurse", "I am an I V nurse"),
        ("Fig. 3, pp. 5-7, ca. 1500", "Figure 3, pages 5 to 7, circa fifteen hundred"),
        ("AT&T, R&D", "A.T. and T, R and D"),
        ("he/she and/or they", "he or she and or they"),
        ("2+2=4, x² and 10^6", "2 plus 2 equals 4, x squared and 10 to the power of 6"),
        ("10 / 2 = 5, 5 - 3 = 2", "10 divided by 2 equals 5, 5 minus 3 equals 2"),
        ("5 > 3 but Settings > Apps", "5 is greater than 3 but Settings > Apps"),
        ("5 sq ft, 2 tbsp, 30 s and 747s", "5 square feet, 2 tablespoons, 30 seconds and 747s"),
        ("10 Mbit/s, 5 µg, 37° C", "10 megabits per second, 5 micrograms, 37 degrees Celsius"),
        ("ask me@x.org", "ask me at x dot org"),
        ("Node.js, example.com, 3.5", "Node dot js, example dot com, 3.5"),
        ("It was I. Then plan B. Go", "It was I. Then plan B. Go"),
    ],
)
def test_abbreviations_and_signs_become_words(clause: str, text: str) -> None:
    assert speakable(clause).text == text


def test_another_language_keeps_its_signs_and_has_its_own_words_for_what_is_left_out() -> None:
    assert speakable("am 1.5. für 3,50 € um 10:30", "de").text == "am 1.5. für 3,50 € um 10:30"
    assert speakable("Hier ```x = 1``` ist", "de").text == "Hier Code ausgelassen. ist"
    assert speakable("Hier ```x = 1``` ist", "fi").text == "Hier ist"
    assert reading("en-US") == reading("en_us")


@given(st.integers(0, 9999))
def test_every_year_has_a_name_and_round_numbers_stay(number: int) -> None:
    said = year(number)
    assert said == str(number) or (1100 <= number < 2100 and not any(map(str.isdigit, said)))
    assert ordinal(number).startswith(str(number))
    assert " zero" not in below_hundred(number % 100)


@pytest.mark.parametrize("number", ["$1,299.99", "2024-05-01", "3/4", "10:30", "555-1234", "1999", "5–10", "½"])
def test_a_number_of_many_words_lies_within_its_own_characters(number: str) -> None:
    clause = f"It was in {number}, they said"
    spoken = speakable(clause)
    begins, ends = clause.index(number), clause.index(number) + len(number)
    tail = spoken.text.index(", they said")
    assert spoken.original(tail) == ends
    places = [spoken.original(at) for at in range(len("It was in "), tail)]
    assert all(begins <= place <= ends for place in places)
    assert all(a <= b for a, b in pairwise(places))


SIGNS = "$ € £ 5 10 1999 2024 - – / : . , % ° C km h m s am pm T01 May Jan. 1st + = ^ × ½ XIV II Dr. St. # @ & ( ) ~ <"
NUMBERS = st.sampled_from([*SIGNS.split(), " ", " ", "in ", "of "])


@given(st.lists(NUMBERS, max_size=25).map("".join))
def test_whatever_stands_beside_a_number_places_rise_and_letters_are_never_lost(clause: str) -> None:
    spoken = speakable(clause)
    places = [spoken.original(at) for at in range(len(spoken.text) + 1)]
    assert places == sorted(places)
    assert all(0 <= place <= len(clause) for place in places)
    assert spoken.text or not any(map(str.isalnum, clause))
