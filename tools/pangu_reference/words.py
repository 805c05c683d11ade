"""The token ids of PanGu-Draw 3's two text towers, 77 of them, from the rules of their tokenizers.

Chinese: BERT's WordPiece over vocab.txt, no repair of the text. OpenCLIP: byte-pair merges over text
that is repaired by ftfy, unescaped twice, collapsed and lower-cased. Both are filled up with 0.
"""

import gzip
import html
import unicodedata

import ftfy
import regex

LENGTH = 77
START, END = 49406, 49407
CLS, SEP = 101, 102
PREFIXES = {"aesthetic": "義 ", "cartoon": "饅 ", "photography": "霙 "}
IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
              (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))
PARTS = regex.compile(r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|"
                      r"[^\s\p{L}\p{N}]+", regex.IGNORECASE)


class Chinese:
    def __init__(self, vocabulary):
        with open(vocabulary, encoding="utf-8") as lines:
            self.ids = {line.strip(): i for i, line in enumerate(lines)}

    @staticmethod
    def spaced(text):
        out = []
        for c in text:
            kind = unicodedata.category(c)
            if c in "\t\n\r" or kind == "Zs":
                out.append(" ")
            elif c == "\ufffd" or kind[0] == "C":
                continue
            elif any(low <= ord(c) <= high for low, high in IDEOGRAPHS):
                out.append(f" {c} ")
            else:
                out.append(c)
        return "".join(out)

    @staticmethod
    def parts(word):
        """Returns the words in lower case, without accents, cut at punctuation."""
        letters = unicodedata.normalize("NFD", word.lower())
        out = ""
        for c in letters:
            ascii_sign = 33 <= ord(c) <= 126 and not c.isalnum()
            if unicodedata.category(c) == "Mn":
                continue
            out += f" {c} " if ascii_sign or unicodedata.category(c)[0] == "P" else c
        return out.split()

    def pieces(self, word):
        found, at = [], 0
        while at < len(word):
            end = len(word)
            while end > at and ("##" if at else "") + word[at:end] not in self.ids:
                end -= 1
            if end == at or len(word) > 100:
                return [self.ids["[UNK]"]]
            found.append(self.ids[("##" if at else "") + word[at:end]])
            at = end
        return found

    def __call__(self, text):
        ids = []
        for word in self.spaced(text).split():
            if word in ("[CLS]", "[SEP]", "[UNK]"):
                ids.append(self.ids[word])
                continue
            for part in self.parts(word):
                ids += self.pieces(part)
        ids = [CLS, *ids]
        ids = [*ids[:LENGTH - 1], SEP]
        return ids + [0] * (LENGTH - len(ids))


class OpenClip:
    def __init__(self, merges):
        with gzip.open(merges, "rt", encoding="utf-8") as lines:
            pairs = [tuple(line.split()) for line in lines.read().split("\n")[1:48895]]
        shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        hidden = [b for b in range(256) if b not in shown]
        letters = [chr(b) for b in shown] + [chr(256 + i) for i in range(len(hidden))]
        self.letter = dict(zip(shown + hidden, letters))
        vocabulary = letters + [c + "</w>" for c in letters] + ["".join(pair) for pair in pairs]
        self.ids = {token: i for i, token in enumerate(vocabulary)}
        self.ranks = {pair: i for i, pair in enumerate(pairs)}

    def pieces(self, word):
        parts = [self.letter[b] for b in word.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            best = min(zip(parts, parts[1:]), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            joined, i = [], 0
            while i < len(parts):
                hit = tuple(parts[i:i + 2]) == best
                joined.append("".join(best) if hit else parts[i])
                i += 1 + hit
            parts = joined
        return [self.ids[part] for part in parts]

    def __call__(self, text):
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
        text = " ".join(text.split()).lower()
        ids = [START]
        special = {"<start_of_text>": START, "<end_of_text>": END}
        for part in PARTS.findall(text):
            ids += [special[part]] if part in special else self.pieces(part)
        ids = [*ids, END]
        if len(ids) > LENGTH:
            ids = [*ids[:LENGTH - 1], END]
        return ids + [0] * (LENGTH - len(ids))
