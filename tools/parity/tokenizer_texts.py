"""Texts for the parity tests of the tokenizers: written by hand, then random from mixed alphabets.

They have only characters of Unicode 14, so that the references agree among themselves.
"""

import random
import unicodedata

BY_HAND = """a photo of a cat|A Photo Of A CAT, 8K, HDR!!!|一只戴着红色帽子的橘猫坐在窗台上看雨|一张照片，高清，细节丰富。|
ｆｕｌｌｗｉｄｔｈ　ＡＢＣ１２３！？|“引号”和《书名号》……|it's the dog's bone|don't we'll they've I'm he'd you're|
DON'T WE'LL|'s't're've'm'll'd|''s ''ll 'llx|o'clock rock'n'roll ‘curly’ “quotes”|
1234567890 3.14 1,000,000|x² H₂O ½ ¼ ①②③ ⅣⅤ ㎏ ㍿ ﬁne ﬂag ﬃ ﬅ ŉ Ǆ|🐳|👨‍👩‍👧‍👦 family|❤️ heart|
🇨🇳🇺🇸 flags|👍🏽👍🏿|🦄🌈✨|cafe\u0301|café|a\u0323\u0307 a\u0307\u0323|Å Å Ω Ω|한국어 김치찌개|
\u1112\u1161\u11ab|ctrl\u0001\u0002\u001fgone\u007f|\u0085nel\u0085|
a\u200bb\u200cc\u200dd\u2060e|\ufeffBOM|nb\u00a0sp em\u2003sp|\u2028ls\u2029|
tabs\tand\nnew\r\nlines  x| lead and trail |שלום עולם|مرحبا بالعالم|हिन्दी|ไทย|Привет, МИР|
γειά ΣΟΥ ΟΔΥΣΣΕΥΣ|İstanbul ıI|ſtraße 'ſ <ſtart_of_text>|
&amp;lt; &lt;b&gt; &hellip; &eacute; &EACUTE; &copy &notit; &#39; &#x41; &#0; &#128; &#xD800; &#1114112; &#59;|
&amp;amp;amp;|<b>&lt;</b> &amp;|<start_of_text> a <end_of_text> b|!<end_of_text>|
<END_OF_TEXT>|(masterpiece:1.2), [blurry], {a|b}|<lora:x:0.8>|
https://example.com/a?b=c&d=e#f user@example.com|state-of-the-art|C++20, C#, F#|
\x1b[36;44mblue\x1b[0m|Ã© cafÃ© â€œquotesâ€\x9d|voilÃ  le travail|Ã la mode|sÃ³|schÃ¶n|
Ã¤Ã¶Ã¼|â€™|donâ€™t|ï¼Œ|ä¸­æ–‡|ðŸ˜€|Ã‚Â©|ÃƒÂ©|æ¼¢å\xad—|Â£100|100â‚¬|naÃ¯ve fiancÃ©e|
piÃ±ata\x85|\x93quoted\x94|doesn\x92t|ÅŸ Å¡|L’été à la plage|Été, déjà vu, ÀÉÎ|
Ø§Ù„Ø¹Ø±Ø¨ÙŠØ©|×©×œ×•×|Ð¿Ñ€Ð¸Ð²ÐµÑ‚|œuvre, cœur|½×²|™®©|£5 €6 ¥7|¿Qué? ¡Hola!|«guillemets»|
l’amour|naïve|Ångström ÅNGSTRÖM|ÃÃÃ|Â Â Â|©®|\ufffd|x\ufffdy|â€�|e\u0300\u0301\u0302\u0303|
zalgo Z̸̧̢͖͚͙̞͓a̸l̷g̵o̶|\U00020000|\u0345\u03b9\u0345|aaa''bbb|a_b__c|...|---|
,,,,|，，，|。。。|;:'\"|!|!!|hi!there!|line1\r\n\r\nline2|$#%^&*()|\u3000\u3000|
\u00ad soft\u00adhyphen|ŀ ĳ Ĳ|ﾊﾝｶｸ ｶﾞ|￥￡￠|Kelvin K Å"""


WITH_BARS = ["a | b || c", "<|startoftext|>", "<|endoftext|>", "a<|endoftext|>b", "<|StartOfText|>x",
             "x<|ENDOFTEXT|>y", "<|endoftext|>!!", "<|startoftext|<|endoftext|>", "{a|b} [a|b]",
             "[CLS] [SEP] [MASK] [UNK] [PAD] [cls] x[SEP]y", "", " "]
LONG = ["x" * 101, "word" * 30, "a" * 12000, "红" * 300, "!" * 500, "1" * 300, "é" * 5000, "ab " * 2000,
        "pneumonoultramicroscopicsilicovolcanoconiosis" * 3, "不" * 74 + "，好", "a, " * 60]
ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGH etaoin", "0123456789",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", " \t\n\r\u00a0\u2003\u3000\u200b",
    "一二三四五六七八九十红蓝绿猫狗龍鳳，。！？、；：“”《》", "éèêëàâäôöûüçñßøåæœŒÀÉÖÜ",
    "\u0327\u0323\u0300\u0301\u0302\u0303\u0308", "αβγδεΑΒΓΣσςάέ", "абвгдеАБВГЁё", "אבגדהمرحباع",
    "가각한글\u1100\u1161\u11a8", "あいうアイウｱｲｳﾞ", "😀🐳👨‍👩‍👧❤️🇨🇳👍🏽✨", "ＡＢＣａｂｃ１２３，！",
    "ﬁﬂﬀŉǅĲ²³½①Ⅳ", "\x00\x01\x1b\x7f\x85\x9f\ufeff\u200d\u202e\ufffd", "'s't're've'll'd'm", " 'SſK",
    "ÃÂâ€™œžŸ©®°·»¡¿£¢¥ðÐØÙ¤¦¨ "]
TAILS = ["<|endoftext|>", "<|startoftext|>", "<start_of_text>", "<end_of_text>", "[SEP]", "[UNK]", "&amp;",
         "&#233;", "&Eacute", "<", "&lt;b", "BREAK"]
WORDS = ("café naïve “quoted” — dash… it’s £5 €6 ©2020 日本語 中文，你好 привет שלום 😀🐳 ñandú Ångström "
         "à la mode ½ × ÷ œuvre").split()

def by_hand():
    return [text for text in BY_HAND.replace("|\n", "|").split("|") if text] + WITH_BARS + LONG


REAL = len(by_hand())  # how many texts are at the beginning of the list


def all_texts(count=3000, seed=7):
    chance, texts = random.Random(seed), by_hand()
    for _ in range(count):
        alphabets = chance.choices(ALPHABETS, k=chance.randint(1, 4))
        text = "".join(chance.choice(chance.choice(alphabets)) for _ in range(chance.randint(0, 40)))
        if chance.random() < 0.1:
            text += chance.choice(TAILS) + text[:5]
        texts.append(text)
    return texts


def every_character():
    """Returns each assigned character of the basic plane, and one in eleven of the others."""
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (c < 0x10000 or c % 11 == 0)]
    known = [chr(c) for c in points if unicodedata.category(chr(c)) not in ("Cn", "Co")]
    return [" ".join(f"a{c}1{c}{c}b" for c in known[i:i + 16]) for i in range(0, len(known), 16)]


def misread(count, seed=11):
    """Words whose UTF-8 was read as Latin-1 or Windows-1252, some of them twice."""
    chance, texts = random.Random(seed), []
    for _ in range(count):
        words = chance.choices(WORDS, k=chance.randint(1, 6))
        for i, word in enumerate(words):
            if chance.random() < 0.6:
                encoded = word.encode()
                if chance.random() < 0.5:
                    word = encoded.decode("latin-1")
                else:
                    word = "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in encoded)
                if chance.random() < 0.15:
                    word = word.encode().decode("latin-1")
                words[i] = word.replace("\xa0", " ") if chance.random() < 0.1 else word
        texts.append(" ".join(words))
    return texts


def with_words(words, count, seed=13):
    chance, texts = random.Random(seed), []
    for _ in range(count):
        parts = chance.choices([*words, *WORDS, "a", " ", "<", "-Toy>", "SKS", "dog"], k=chance.randint(1, 8))
        parts = [part.upper() if chance.random() < 0.2 else part for part in parts]
        texts.append(chance.choice(["", " "]).join(parts))
    return texts


def prompts(count, seed=17):
    chance = random.Random(seed)
    made = ["", "a cat", "(a:1.2)(b)", "((a)b", "[a]]", r"\(a\) \\ \x \\", "(a:1.2.3)", "(a : 1.5 )", "a:1.2)",
            "[a:b:0.5] [c|d]", "a BREAK b", "BREAK", "a BREAK BREAK b BREAK", "xBREAK BREAKs 红BREAK _BREAK",
            "(a, b:0.9) [c] <|endoftext|> (d)", "word, " * 90, "word " * 200, ("a " * 70 + ", ") + "b " * 30,
            "a " * 75 + ", b", "a " * 74 + ", b c", "(((" + "a " * 80 + ":1.3)", "一只猫，" * 40]
    pieces = ["(", ")", "[", "]", ":", ":1.2)", ":0.5)", ": -1 )", ":+.5)", ":1.)", "\\", "\\(", "\\)", " ", ",", ", ",
              "cat", "a dog", "红色的猫", "it's", "\n", "|", "1.5", "masterpiece", "x" * 20, "\u3000"]
    for _ in range(count):
        parts = ["".join(chance.choices(pieces, k=chance.choice((3, 10, 30, 150))))
                 for _ in range(chance.choice((1, 1, 2, 3)))]
        made.append(" BREAK ".join(parts))
    return made
