from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.prepare.draft import KEEP, Draft
from converters.prepare.steps.asking import is_question
from converters.prepare.steps.question import Question, QuestionSettings

# Own sentences, written as people type: one a line.
ASKING = """
Is it wrong to read my sister's diary?
what should i do about my roommate
does anyone know a good dentist
Anyone know how to fix a bike chain
how do i tell my boss i quit
Why are cats like this
can i eat this after two days
could someone explain taxes to me
should I text him back
do you think she likes me
are we allowed to park here
is there a way to undo this
how to boil an egg
how come nobody told me
what's the best way to learn piano
whats a good name for a dog
who ate my lunch
who is going to the party tonight
where can I buy cheap plants
when does the store open
which one looks better
which of these shoes would you wear
any advice on moving to a new city
any tips for a first date
thoughts on pineapple pizza
am i the only one who hates mondays
aita for leaving early
have you ever been so tired you cried
has anybody tried the new ramen place
would it be rude to say no
will they let me in without a ticket
did he really say that
so what happens now
ok but why is the sky blue
hey guys, can you help me with this
I was wondering if you could lend me your drill
i want to know why my plants keep dying
My cat stopped eating. What should I do
I failed my exam. am i stupid
You're coming tomorrow, right?
you ok
please tell me how to get out of this
why not just leave
why would anyone do that
what if i just never go back
what about the other one
what kind of bird sings at night
how long does it take to get over somebody
how much is too much coffee
how bad is it if i skip one day
whose turn is it
isn't it strange that nobody called
don't you ever get bored
can't you just ask them
where's the nearest bus stop
ever wonder what dogs dream about
got any plans for the weekend
is the moon older than the sea
are dogs smarter than cats
was it worth it
could you please help me write a letter
can anybody recommend a quiet cafe
¿Dónde está mi abrigo
por qué no me llamas
pourquoi le ciel est bleu
est-ce que tu viens demain
où est la gare
warum schläft er so lange
wie kann ich das reparieren
kennt jemand einen guten arzt
perché non rispondi
como faço para cozinhar arroz
waarom is het zo koud
почему ты не спишь
你吃饭了吗
どこへ行きますか
""".strip().splitlines()
STATING = """
I love rainy days.
My neighbour waters her plants at night
what a beautiful morning
how nice of you to say that
What I want is some peace and quiet
what he did was not ok
When I was young we had no phones
when she gets home we will eat
Why I stopped eating sugar
who cares
Do the dishes before you go out
do not open that door
don't be late
Have a nice day
have some cake, it is good
may the best team win
was a great day at the lake
had a long talk with my father
Should have stayed in bed today
will do that tomorrow
would love to see you again
can not believe it is over
can't wait for the weekend
is what it is
I know how to swim
I don't know what to say
nobody knows where he went
She asked me to water the plants.
he told me who won
The question is too hard for me
I wonder about the stars a lot
Thank you so much for your help
so I went home and slept
and then it started to rain
ok that was fun
hey everyone, I finally did it
just finished my first marathon
You should drink more water
you know nothing about it
Anyone can learn to draw
anyone who likes tea is my friend
someone stole my bike
somebody left the light on
any day now the snow will come
Some people never learn
which is why I left
where I come from we eat late
however you do it, be careful
whatever happens, I am here
How I met my best friend
I have two cats and a dog
There is a spider in my shoe
This is the best soup ever
if you need me I am in the garden
Please close the window
tell him I said hello
Let's go to the park
give me a minute
No way, that is amazing!
That is so funny lol
he is the one who called
who would've thought
it depends on how you cook it
I'm going to bed now
I think my boss hates me
me gusta el café por la mañana
je suis fatigué aujourd'hui
ich gehe jetzt nach hause
oggi fa molto caldo
hoje eu vou para a praia
ik ga morgen naar zee
я иду домой
我喜欢喝茶
今日は寒いです
""".strip().splitlines()


def test_measured_on_the_table() -> None:
    wrong_no = [text for text in ASKING if not is_question(text)]
    wrong_yes = [text for text in STATING if is_question(text)]
    found = len(ASKING) - len(wrong_no)
    precision, recall = found / (found + len(wrong_yes)), found / len(ASKING)
    print(f"question: precision {precision:.3f}, recall {recall:.3f}")
    print("missed:", wrong_no, "\ntaken for one:", wrong_yes)
    assert len(ASKING) + len(STATING) >= 120
    assert precision >= 0.9
    assert recall >= 0.9


def test_marks_of_other_scripts_ask() -> None:
    for text in ("tea？", "شاي؟", "τσάι\u037e", "¿té"):
        assert is_question(text), text


def draft_of(text: str, kind: str = "") -> Draft:
    return Draft("1", "s", "t", "", kind, text, [], (), ())


def test_the_kind_is_noted_and_a_given_kind_stays() -> None:
    step = Question(QuestionSettings())
    asked, given_kind = draft_of("is it late"), draft_of("it is late", "moral")
    assert step.apply(asked) == step.apply(given_kind) == KEEP
    assert (asked.kind, asked.notes) == ("question", {"question": 1})
    assert (given_kind.kind, given_kind.notes) == ("moral", {"statement": 1})


@pytest.mark.parametrize(
    ("keep", "reasons"), [("question", (KEEP, "statement")), ("statement", ("question", KEEP))]
)
def test_one_kind_can_be_kept(keep: str, reasons: tuple[str, str]) -> None:
    step = Question(QuestionSettings(keep=keep))  # type: ignore[arg-type]
    assert (step.apply(draft_of("is it late")), step.apply(draft_of("it is late"))) == reasons


@given(st.text(max_size=80))
def test_nothing_raises(text: str) -> None:
    assert is_question(text + "?")
    assert is_question(text) in (True, False)
