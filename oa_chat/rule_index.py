"""Which rules share words with a message: BM25 over one document per rule.

A rule's document is its text and all its examples together: on the development messages that
finds the right rule more often than comparing with each example alone (docs/rulebook.md has the
numbers). Pairs of neighbouring words count as well, since "hits me" and "I hit" are different
messages made of the same words.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

_SATURATION = 1.5  # BM25's k1
_LENGTH = 0.4  # BM25's b
_PAIR_WEIGHT = 0.5
_PRONOUN_WEIGHT = 0.4
_WINDOW = 40  # words; a longer text is judged in pieces, for a sum over many words proves nothing
_MAX_WORDS = 800
_MAX_CHARACTERS = 12_000

_WORD = re.compile(r"[^\W_]+")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff'’`]")
# fmt: off
_STOP = frozenset({
    "a", "an", "the", "of", "to", "in", "on", "at", "for", "and", "or", "but", "so", "is",
    "are", "was", "were", "be", "been", "being", "am", "do", "does", "did", "have", "has",
    "had", "it", "its", "this", "that", "these", "those", "there", "then", "than", "as", "with",
    "by", "from", "about", "into", "just", "really", "very", "too", "also", "can", "could",
    "would", "should", "will", "shall", "may", "might", "im", "ive", "id", "ill", "dont",
    "doesnt", "didnt", "cant", "wont", "isnt", "arent", "wasnt", "not", "no", "if", "when",
    "how", "what", "who", "which", "why", "where", "some", "any", "all", "up", "out", "over",
    "now", "one", "get", "got", "go", "gonna", "going", "wanna",
})
# fmt: on
# fmt: off
_PRONOUNS = frozenset({
    "i", "me", "my", "mine", "myself", "you", "your", "he", "him", "his", "she", "her", "hers",
    "they", "them", "their", "we", "us", "our",
})
# fmt: on
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("edly", ""), ("ed", ""), ("ly", ""))
_PLURALS = (("es", ""), ("s", ""))


def words(text: str) -> list[str]:
    """The words of a text as typed, in lower case; the middle of a huge text is left out."""
    if len(text) > _MAX_CHARACTERS:
        half = _MAX_CHARACTERS // 2
        text = f"{text[:half]} {text[-half:]}"
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    return _WORD.findall(plain)[:_MAX_WORDS]


def stem(word: str) -> str:
    """A word without its common English endings; crude on purpose, and the same for both sides."""
    for ending, replacement in (*_ENDINGS, *_PLURALS):
        kept = len(word) - len(ending)
        if kept < 3 or not word.endswith(ending) or (ending == "s" and word[-2] in "su"):
            continue
        word = word[:kept] + replacement
        if ending in ("ing", "ed") and len(word) > 3 and word[-1] == word[-2] not in "ls":
            word = word[:-1]
        break
    return word[:-1] if len(word) > 3 and word[-1] == "e" else word


class RuleIndex:
    """An inverted index: for each word, the documents that contain it and what it is worth."""

    def __init__(self, documents: Iterable[Sequence[str]], same_words: Mapping[str, str]) -> None:
        self._same = same_words
        counts = [
            Counter(f for text in texts for f in set(self._features(self._terms(text))))
            for texts in documents
        ]
        frequency = Counter(feature for document in counts for feature in document)
        mean_length = sum(map(len, counts)) / max(1, len(counts)) or 1.0
        self._total = len(counts)
        self._postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        self._rarity = {feature: self._rarity_of(times) for feature, times in frequency.items()}
        for number, document in enumerate(counts):
            length = 1 - _LENGTH + _LENGTH * len(document) / mean_length
            for feature, times in document.items():
                rarity = self._rarity[feature]
                tf = times * (_SATURATION + 1) / (times + _SATURATION * length)
                self._postings[feature].append((number, _weight(feature) * rarity * tf))

    def scores(self, message: str) -> dict[int, float]:
        """The score of each document that shares a word with the message."""
        terms = self._terms(message)
        best: dict[int, float] = {}
        for start in range(0, max(1, len(terms) - _WINDOW // 2), _WINDOW // 2):
            for number, score in self._window(terms[start : start + _WINDOW]).items():
                if score > best.get(number, 0.0):
                    best[number] = score
        return best

    def shared(self, message: str, number: int) -> tuple[str, ...]:
        """The words and pairs of a message that a document has too, worth most first.

        As typed, in lower case; of the 40 words that `scores` found best for the document.
        """
        kept = [word for word in words(message) if word not in _STOP]
        terms = [stem(self._same.get(word, word)) for word in kept]
        typed = dict(zip(self._features(terms), self._features(kept), strict=True))

        def worth(start: int) -> dict[str, float]:
            features = dict.fromkeys(self._features(terms[start : start + _WINDOW]))
            rows = {feature: dict(self._postings.get(feature, ())) for feature in features}
            return {feature: row[number] for feature, row in rows.items() if number in row}

        starts = range(0, max(1, len(terms) - _WINDOW // 2), _WINDOW // 2)
        best = max(map(worth, starts), key=lambda found: sum(found.values()))
        ordered = sorted(best, key=lambda feature: -best[feature])
        return tuple(typed[feature].replace("_", " ") for feature in ordered)

    def weight(self, message: str) -> float:
        """What a short message's words are worth in all; infinite if it is judged in pieces.

        Three words cannot score what thirty can, so a threshold has to know.
        """
        terms = self._terms(message)
        if len(terms) > _WINDOW:
            return math.inf
        unknown = self._rarity_of(0)
        features = set(self._features(terms))
        return sum(_weight(feature) * self._rarity.get(feature, unknown) for feature in features)

    def _rarity_of(self, frequency: int) -> float:
        return math.log1p((self._total - frequency + 0.5) / (frequency + 0.5))

    def _window(self, terms: Sequence[str]) -> dict[int, float]:
        found: defaultdict[int, float] = defaultdict(float)
        for feature in dict.fromkeys(self._features(terms)):
            for number, worth in self._postings.get(feature, ()):
                found[number] += worth
        return found

    def _terms(self, text: str) -> list[str]:
        kept = (word for word in words(text) if word not in _STOP)
        return [stem(self._same.get(word, word)) for word in kept]

    @staticmethod
    def _features(terms: Sequence[str]) -> list[str]:
        return [*terms, *(f"{first}_{second}" for first, second in pairwise(terms))]


def _weight(feature: str) -> float:
    if "_" in feature:
        return _PAIR_WEIGHT
    return _PRONOUN_WEIGHT if feature in _PRONOUNS else 1.0
