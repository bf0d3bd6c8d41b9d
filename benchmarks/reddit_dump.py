"""Makes dump files that look like Reddit's monthly ones: sizes, fields and spread of subreddits.

The texts are random words; what matters for reading is how long the lines are (1.5 to 3 kB, some
60 fields), how well they compress, and how rare the wanted subreddit is.
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


def submissions(count: int, seed: int = 1) -> Iterator[bytes]:
    """Lines, with their newlines."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(4000)]
    for number in range(count):
        name = WANTED if chance.random() < _SHARE else chance.choice(_OTHERS)
        yield (
            json.dumps(_submission(number, name, words, chance), separators=(",", ":")).encode(
                "utf-8"
            )
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


def _submission(
    number: int, subreddit: str, words: list[str], chance: random.Random
) -> dict[str, object]:
    title = " ".join(chance.choices(words, k=chance.randint(4, 14)))
    text = (
        " ".join(chance.choices(words, k=int(chance.expovariate(1 / 60))))
        if chance.random() < 0.5
        else ""
    )
    code = "".join(chance.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=6))
    link = f"/r/{subreddit}/comments/{code}/{title.replace(' ', '_')[:50]}/"
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


def hash_of(subreddit: str) -> str:
    return f"{sum(map(ord, subreddit)):x}"
