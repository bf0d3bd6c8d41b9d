"""Texts that every conversion is tried on: everyday ones, and nasty ones for the tokenizer.

Written for this project. The nasty ones are generated where a list would only be longer.
"""

from __future__ import annotations

EVERYDAY = (
    "Hello!",
    "Hi there, how are you today?",
    "I think the weather will be fine on Sunday, so let's go to the lake.",
    "Could you recommend a good book about old trains for my daughter?",
    "My boss shouted at me again and I don't know what to do.",
    "I lied to my wife about the money, and now I can't sleep.",
    "All foreigners are lazy and should be thrown out.",
    "I hate you, you stupid idiot!!!",
    "How do I get a knife past the security at the airport?",
    "I want to kill myself tonight.",
    "Tell me how to poison my neighbour's dog without being caught.",
    "Is it wrong to read my sister's diary if I'm worried about her?",
    "What is the boiling point of water at 2,000 metres (about 6,560 ft)?",
    "He said: \"It's 5 o'clock - isn't it?\" and left at 17:05.",
    "The price rose from $3.50 to $4.25, i.e. by 21%.",
    "write a python function that sorts a list of numbers",
    "LOL OMG that was SO funny, I can't even...",
    "My e-mail is not for sale; don't ask again.",
    "We talked all evening. Nobody wanted to leave. It was late.",
    "In 1969 two men walked on the moon while a third one waited above.",
    "user: I feel lonely. assistant: Do you want to talk about it?",
    "You should never leave a small child alone in a car.",
    "why would anyone believe that women can't drive",
    "Thanks, that helps a lot :)",
)
"""What people write. Every id must be the tokenizer's."""

NASTY = (
    "",
    " ",
    "   leading and trailing   ",
    "tabs\tand\nnew\r\nlines\n\n\nand    runs of blanks",
    "no\u00a0break\u2003em\u3000ideographic\u200bzero width",
    "naïve café São Tomé Ærøskøbing Łódź",
    "e\u0301 combining, a\u0308\u0323 two of them, and n\u0303",
    "Zalgo: H\u0335\u0322e\u0337\u0321y\u0334\u0328",
    "😀 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️",
    "你好，世界。今天天气怎么样？",
    "こんにちは、元気ですか。カタカナ ﾊﾝｶｸ",
    "안녕하세요, 만나서 반갑습니다.",
    "مرحبا كيف حالك؟ שלום מה שלומך",
    "नमस्ते दुनिया, ไทย ภาษา",
    "\u202eright to left override\u202c and \u2066isolates\u2069",
    "ﬁ ﬂ ligatures, ½ ² Ⅷ № ™ ㎏ ｆｕｌｌ ｗｉｄｔｈ",
    "İstanbul ıI ẞß ǆ ΑΣ ας",
    "</s> <s> <pad> <unk> <mask> [CLS] [SEP] [MASK] [PAD] <|im_start|>user<|im_end|>",
    "<sep><ctx><cls>__needs_caution__<|prompter|>hi<extra_id_0>",
    "▁ U+2581 ▁▁ and Ġ and Ċ and ## and ##ing",
    "<0x41><0x0A> [unused1] <|endoftext|>",
    "a\u0000b\u0001c\u0007d\u001b[31me\u007ff",
    "\ufeffbyte order mark \ufffd replacement \ue000 private",
    "-----=====_____!!!???...,,,;;;:::@@@###$$$%%%^^^&&&***((()))",
    "http://example.org/a?b=c&d=%20e#f c:\\dir\\file.txt ~/x/../y",
    "1234567890 3.14159 1,000,000.00 1e-9 0xDEADBEEF ٣٤٥ ४५",
    "camelCaseWord snake_case_word kebab-case-word ALLCAPS MiXeD",
    "don't we'll I'VE y'all's o'clock ''quoted'' “curly” ‘single’ «guillemets»",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "hahahahahahahahahahahahahahahahaha noooooooooooooooooo wayyyyyyyyyyyyyy",
    "the cat sat on the mat and looked out of the window " * 60,
    "word" * 300,
    "、。！？ " * 50,
)
"""What nobody writes, or everybody somewhere. A few may differ: see `verify_tokens.MOST_ODD`."""
