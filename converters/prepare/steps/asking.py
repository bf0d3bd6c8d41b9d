"""Tells questions from statements by how their sentences begin; used by the step `question`.

Rules of thumb for English without question marks, as people type it, and the commonest question
words of some other languages. It parses nothing; measured in
tests/converters/prepare/test_steps_question.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKS = re.compile("[?？؟⁇\u037e]")  # the last is the Greek one
_SENTENCE = re.compile(r"[.!…\n。！।]+\s*|, (?:but|so|and|also) ")
_TRIMMED = " \t,:;\"'()*-–—“”"
_CHARACTERS = 2000
"""A long post is judged by its beginning."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_LEADS = _set(
    "so but and or ok okay well hey hi hello guys please pls hmm um also just yo man dude lol then"
    " now like seriously honestly wait oh anyway question reddit everyone ladies folks bro"
)
_PERSONS = _set(
    "i you u ya he she it we they anyone anybody someone somebody everyone people y'all"
)
_THINGS = _set(
    "this that these those there any my your ur his her our their its the a an some all god women"
    " men girls guys kids other one dogs cats"
)
_SUBJECTS = _PERSONS | _THINGS
_ARTICLES = _set("a an the my his her your our")
# What may follow each auxiliary in a question. Left out is what an order ("do the dishes"), a wish
# ("have a nice day") or a dropped subject ("was a great day") begins with.
_AFTER = {
    **dict.fromkeys(
        _set("do don't dont"), (_PERSONS - {"it"}) | _set("these those women men dogs")
    ),
    **dict.fromkeys(_set("does did doesn't doesnt didn't didnt"), _SUBJECTS),
    **dict.fromkeys(_set("is are isn't isnt aren't arent were weren't ain't"), _SUBJECTS),
    **dict.fromkeys(_set("am was wasn't wasnt"), _SUBJECTS - _ARTICLES),
    **dict.fromkeys(_set("can could will would should shall"), _SUBJECTS),
    **dict.fromkeys(_set("can't cant couldn't won't wont wouldn't shouldn't"), _PERSONS),
    **dict.fromkeys(_set("has hasn't haven't"), _SUBJECTS - {"a", "an"}),
    "have": _PERSONS - {"it"} | {"any"},
    "had": _set("you anyone"),
    "may": _set("i we"),
}
_CONTRACTED = _set(
    "what's whats who's whos where's wheres how's hows when's why's what're who're where'd how'd"
    " why'd"
)
_AUXILIARIES = frozenset(_AFTER) | _set("must might been")
_STATING = _set("i you he she it we they")
"""After a question word they begin a clause: "what I want", "when she came"."""
_NEXT = {
    "what": _set("about if to kind sort time else happens happened makes made"),
    "how": _set("to come about much many long often old far bad"),
    "why": _set("not would so does bother are"),
    "where": _set("to else"),
    "when": frozenset[str](),
    "which": _set("one of"),
    "who": _set("else wants here"),
    "whose": frozenset[str](),
    "whom": frozenset[str](),
}
_NOT_ASKED = _set("cares knows knew wants whoever would've")
_ANY_NEXT = {
    "any": _set(
        "idea ideas advice tips thoughts suggestions recommendations help recs chance way news one"
        " good reason"
    ),
    **dict.fromkeys(
        _set("anyone anybody someone somebody"),
        _set(
            "know knows got have has tried try seen heard want wants feel ever notice noticed think"
            " remember up else familiar recommend here play"
        ),
    ),
    "thoughts": _set("on about"),
    "ever": _set("wonder wondered notice noticed feel felt been had"),
    "got": _set("any"),
    "wanna": _set("know bet"),
    "wondering": _set("if whether what how why where who when"),
    "you": _set("think ok okay there ever"),
    "tell": _set("me"),
}
_ALONE = _set("aita wibta dae eli5 why how what who where when really huh")
_INSIDE = re.compile(
    r"\bwonder(?:ing|ed)? (?:if|whether|what|how|why|where|who|when)\b"
    r"|\b(?:want|need|like|love) to know (?:if|whether|what|how|why|where|who|when)\b"
    r"|\b(?:does|can|could|would) (?:anyone|anybody|someone|somebody)\b"
    r"|\b(?:can|could|would|will) (?:you|u) (?:please |pls )?(?:tell|explain|help|show|give|say)\b"
    r"|\btell me (?:how|why|what|where|who|when|if)\b|\bwhat should i\b|\bam i wrong\b"
    r"|,? (?:isn't it|aren't they|don't you think|innit)\W*$"
)
_HINTS = (
    *("wonder", "to know", "anyone", "anybody", "someone", "somebody", "n you", "ld you", "ll you"),
    *("n u ", "ld u ", "ll u ", "tell me", "what should i", "am i wrong", "isn't it", "innit"),
    *("aren't they", "don't you think"),
)
"""One of them is in every text in which the pattern above finds something, and in few others."""
_ABROAD = re.compile(
    r"¿|吗|嗎|什么|什麼|怎么|怎麼|为什么|為什麼|谁|哪里|哪儿|多少|か$|なぜ|どうして|どこ|なんで"
    r"|(?:까|나요|가요)$|क्या|क्यों|कैसे|कहाँ|कौन|\bm[ıiuü]s?[ıiuü]?n?$"
)
_FIRST_ABROAD = _set(
    "هل لماذا كيف متى أين ماذا qué cómo cuándo dónde quién quiénes cuál cuáles cuánto cuánta adónde"
    " pourquoi combien est-ce qu'est-ce où quel quelle quels quelles warum wieso weshalb wann wer"
    " wohin woher welche welcher welches perché dove quanto quale onde quem qual quais waarom hoe"
    " wanneer welke почему зачем как когда где кто что куда откуда сколько какой какая какие"
    " dlaczego kiedy gdzie kto czy neden nasıl nerede kim"
)
_TWO_ABROAD = {
    "por": _set("qué que"), "was": _set("ist sind soll kann macht mache heißt"),
    "wie": _set("kann ist geht viel viele lange macht heißt komme mache oft alt"),
    "wo": _set("ist sind kann finde gibt"), "kann": _set("ich man mir jemand"),
    "kennt": _set("jemand"), "weiß": _set("jemand"), "hat": _set("jemand"),
    "comment": _set("faire puis peut tu je vous on ça est"), "qui": _set("est a peut"),
    "come": _set("si posso faccio va stai"), "che": _set("cosa"), "cosa": _set("è devo fai"),
    "como": _set("faço é posso se você"), "o": _set("que"), "wat": _set("is zijn moet kan"),
    "waar": _set("is kan"), "можно": _set("ли"), "jak": _set("to się mogę zrobić"),
}  # fmt: skip


def is_question(text: str) -> bool:
    """Whether the text asks something, anywhere in it."""
    if "?" in text or (not text.isascii() and _MARKS.search(text)):
        return True
    lower = text[:_CHARACTERS].lower().replace("’", "'")
    for sentence in _SENTENCE.split(lower):
        words = sentence.split()
        if words and (_asks(words) or _asks_abroad(words, sentence)):
            return True
    for hint in _HINTS:  # a third of the time of a pattern
        if hint in lower:
            return _INSIDE.search(lower) is not None
    return False


def _asks(words: Sequence[str]) -> bool:
    at = 0
    while (first := words[at].strip(_TRIMMED)) in _LEADS and at < 4:
        at += 1
        if at == len(words):
            return False
    then = words[at + 1].strip(_TRIMMED) if at + 1 < len(words) else ""
    if not then:
        return first in _ALONE
    if first in _AFTER:
        return then in _AFTER[first]
    if first in _NEXT:
        return _asks_with(first, then, words[at + 2 : at + 5])
    return first in _CONTRACTED or then in _ANY_NEXT.get(first, ()) or first in _ALONE


def _asks_with(word: str, then: str, rest: Sequence[str]) -> bool:
    """Whether a sentence asks that begins with these two words; the first is a question word."""
    if then in _NEXT[word] or then in _AUXILIARIES:
        return True
    if then in _STATING or then in _NOT_ASKED:
        return False
    if word == "who":  # "who ate my cake", not "who the man is"
        return then not in _SUBJECTS
    return any(later.strip(_TRIMMED) in _AUXILIARIES for later in rest)


def _asks_abroad(words: Sequence[str], sentence: str) -> bool:
    first = words[0].strip(_TRIMMED)
    if first in _FIRST_ABROAD:
        return True
    if len(words) > 1 and words[1] in _TWO_ABROAD.get(first, ()):
        return True
    return not sentence.isascii() and _ABROAD.search(sentence) is not None
