"""Makes dump files that look like Reddit's monthly ones: sizes, fields and spread of subreddits.

What matters for reading is how long the lines are (1.5 to 3 kB, some 60 fields), how well they
compress, how rare the wanted subreddit is, and how often each letter stands in the texts: a search
for rare bytes is quick only as long as they are rare. So the texts are English words, the common
ones often, in sentences with capitals, quotes, paragraphs and links.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

WANTED = "Gardening"
_SHARE = 0.01
_HEADS = ("Ask", "Real", "Old", "Just", "Daily", "Tiny")
_TAILS = ("Cars", "Cooking", "History", "News", "Music", "Maps", "Pets")
_OTHERS = tuple(f"{head}{tail}" for head in _HEADS for tail in _TAILS)
_VOCABULARY = """
the to and a i of it in that my is for was you but have on with me this be so not just are like
they we at what if about he do as or she can get all had because an there would out her when from
know up been how one your time no some really people am more them don't it's i'm think by any then
want now has his who even could did only good going back other than after too make were see say
also still much never something day work got way us well need should where him year years first
feel their being into over try right off most thing things lot bit again always few before since
help anyone better maybe find take look went come last long old every another job house money
friend friends week month school best bad made bought built brother problem probably
possible public able above book boyfriend subject subscribe object remember number november
garden tomatoes bean beans cabbage bulb bulbs bug bugs beetle compost bucket shovel mulch basil
plant plants planted watering rain soil roots leaves seedlings frost greenhouse fence neighbour
quick question quite equal quiet require square zone zero size freeze puzzle jazz lazy citizen
extra exactly expect next fix box mix explain experience june july january just adjust project
walk talk keep kept kind knife lake bike bread butter baby blue black brown green yellow white
kitchen window winter summer spring autumn morning evening tonight yesterday weekend holiday
doctor hospital office manager customer company apartment landlord contract insurance receipt
engine brake tyre wheel battery cable laptop keyboard browser software update version install
video movie album guitar concert ticket season chapter character villain soundtrack review
recipe onion garlic pepper salt flour oven vegetable chicken vinegar temperature minutes degrees
mother father sister daughter husband wife girlfriend uncle grandmother marriage divorce wedding
afraid anxious angry happy lonely tired excited jealous worried grateful honest obvious weird
advice opinion reason example difference difficult available comfortable terrible incredible
"""
_WORDS = _VOCABULARY.split()
_WEIGHTS = [1 / (place + 6) for place in range(len(_WORDS))]
"""How often the words stand: the common ones most, as in any text (Zipf)."""


def submissions(count: int, seed: int = 1) -> Iterator[bytes]:
    """Lines, with their newlines."""
    chance = random.Random(seed)
    for number in range(count):
        name = WANTED if chance.random() < _SHARE else chance.choice(_OTHERS)
        yield (
            json.dumps(_submission(number, name, chance), separators=(",", ":")).encode("utf-8")
            + b"\n"
        )


def write_dump(path: Path, count: int, *, level: int = 3) -> int:
    """Write a `.zst` with a window of 2^31 bytes, as the monthly files have; bytes of the text."""
    import zstandard

    settings = zstandard.ZstdCompressionParameters.from_level(level, window_log=31, enable_ldm=True)
    size = 0
    packer = zstandard.ZstdCompressor(compression_params=settings)
    with path.open("wb") as file, packer.stream_writer(file) as packed:
        for line in submissions(count):
            size += len(line)
            packed.write(line)
    return size


def _submission(number: int, subreddit: str, chance: random.Random) -> dict[str, object]:
    title = _sentence(chance, chance.randint(4, 14))
    text = _text(chance, chance.expovariate(1 / 60)) if chance.random() < 0.5 else ""
    code = "".join(chance.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=6))
    link = f"/r/{subreddit}/comments/{code}/{title.lower().replace(' ', '_')[:50]}/"
    created = 1_546_300_800 + number // 6
    nothing: dict[str, object] = dict.fromkeys(
        ("approved_at_utc", "author_flair_css_class", "author_flair_text", "banned_at_utc",
         "category", "content_categories", "distinguished", "link_flair_css_class",
         "link_flair_text", "media", "mod_note", "mod_reason_title", "removed_by_category",
         "secure_media", "suggested_sort", "view_count", "whitelist_status", "wls")
    )  # fmt: skip
    no = dict.fromkeys(
        ("archived", "author_patreon_flair", "can_gild", "can_mod_post", "clicked",
         "contest_mode", "edited", "hidden", "hide_score", "is_crosspostable", "is_meta",
         "is_original_content", "is_reddit_media_domain", "is_video", "locked", "media_only",
         "no_follow", "pinned", "quarantine", "saved", "send_replies", "spoiler", "stickied"),
        False,
    )  # fmt: skip
    return {
        "author": f"user_{chance.randrange(10**7)}",
        "author_created_utc": created - chance.randrange(10**8),
        "author_flair_richtext": [],
        "author_flair_type": "text",
        "author_fullname": f"t2_{code[::-1]}",
        "all_awardings": [],
        "created_utc": created,
        "domain": f"self.{subreddit}",
        **nothing,
        **no,
        "gilded": 0,
        "gildings": {"gid_1": 0, "gid_2": 0, "gid_3": 0},
        "id": code,
        "is_self": True,
        "link_flair_richtext": [],
        "link_flair_text_color": "dark",
        "link_flair_type": "text",
        "media_embed": {},
        "num_comments": chance.randrange(90),
        "num_crossposts": 0,
        "over_18": chance.random() < 0.1,
        "parent_whitelist_status": "all_ads",
        "permalink": link,
        "post_hint": "image",
        "preview": {
            "enabled": False,
            "images": [
                {
                    "id": code * 7,
                    "source": {
                        "url": f"https://preview.example/{code}.jpg?s={chance.getrandbits(128):x}",
                        "width": chance.randrange(3000),
                        "height": chance.randrange(3000),
                    },
                    "variants": {},
                }
            ],
        },
        "pwls": 6,
        "retrieved_on": created + 10**6,
        "score": int(chance.paretovariate(0.7)),
        "secure_media_embed": {},
        "selftext": text,
        "subreddit": subreddit,
        "subreddit_id": f"t5_{hash_of(subreddit)}",
        "subreddit_name_prefixed": f"r/{subreddit}",
        "subreddit_subscribers": chance.randrange(10**6),
        "subreddit_type": "public",
        "thumbnail": "self",
        "thumbnail_height": None,
        "thumbnail_width": None,
        "title": title,
        "total_awards_received": 0,
        "treatment_tags": [],
        "upvote_ratio": round(chance.random(), 2),
        "url": f"https://www.reddit.com{link}",
    }


def _text(chance: random.Random, words: float) -> str:
    """Sentences of about so many words; some in quotes, some with a link, now and then a break."""
    said: list[str] = []
    while words > 0:
        length = chance.randint(3, 22)
        words -= length
        sentence = _sentence(chance, length)
        kind = chance.random()
        if kind < 0.06:
            sentence = f'"{sentence}"'
        elif kind < 0.08:
            sentence += f" [Link](https://example.org/{chance.getrandbits(40):x})"
        said.append(sentence + ("\n\n" if chance.random() < 0.15 else " "))
    return "".join(said).rstrip()


def _sentence(chance: random.Random, length: int) -> str:
    words = chance.choices(_WORDS, _WEIGHTS, k=length)
    if length > 9:
        words[length // 2] += ","
    said = " ".join(words).replace(" i ", " I ").replace(" i'm ", " I'm ")
    return said[0].upper() + said[1:] + chance.choice("...?!")


def hash_of(subreddit: str) -> str:
    return f"{sum(map(ord, subreddit)):x}"
