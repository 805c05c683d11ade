"""Writes the golden file of the Unigram tokenizer: texts, and their ids by Hugging Face tokenizers.

The vocabulary is cut to the pieces that occur in the texts, which cannot change any segmentation,
so that the golden file stays small. Usage: dump_unigram.py FOLDER_WITH_TOKENIZER_JSON OUT_FOLDER
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer

TEXTS = """a red apple, 3D render|A Red Apple|蓝色的鲸鱼,扁平图标|蓝色的鲸鱼，扁平图标|一个红苹果、三维渲染。
passage: two cats sleeping on a sofa|passage: 两只猫睡在沙发上|query: automobile|小汽车|T-Rex and DNA on a DVD
ｆｕｌｌｗｉｄｔｈ　ＡＢＣ１２３！？|全角空格　在中间|“引号”和《书名号》……|①②③ ⅣⅤ ㎏ ㍿ ﬁne ﬂag
café|cafe\u0301|naïve|nai\u0308ve|a\u0323\u0307|a\u0307\u0323|Å Å|Ω Ω|½ ¼ x² H₂O|1/2 3.14 -5 1,000,000
🐳|a 🐳 in the sea|👨‍👩‍👧‍👦 family|❤️ heart|🇨🇳 flag|👍🏽|🦄🌈✨|☀️晴天☔
  leading and trailing  |tabs\tand\nnew\r\nlines|a\u200bb\u200cc\u200dd|\ufeffBOM|nb\u00a0sp|em\u2003sp|\u2028ls\u2029
ctrl\u0001\u0002\u001fgone|del\u007fgone|\u0085nel\u0085|▁metaspace▁here|\ufffdreplaced|soft\u00adhyphen
it's the dog's bone|don't|state-of-the-art|e.g. i.e. etc.|C++20, C#, F#|user@example.com|https://example.com/a?b=c&d=e#f
(masterpiece:1.2), [blurry], {a|b}|<lora:x:0.8>|a/b\\c|50% off $9.99 €5 ¥100 £3|~tilde~ _under_ *star* `tick` ^caret^ |
一只戴着红色帽子的橘猫坐在窗台上看雨|三只小猪和一只大灰狼|狗在香蕉的左边|上边是月亮，下边是海|龍與鳳凰|繁體中文測試：藍色的鯨魚
齉龘靐龗|𠀀𠮷𪚥|﨎神|寿司とラーメン|スシ|김치찌개|Привет мир|γειά σου|שלום|مرحبا|हिन्दी|ไทย
pneumonoultramicroscopicsilicovolcanoconiosis|supercalifragilisticexpialidocious|Llanfairpwllgwyngyll|zzzzzzzzzzzzzzzzzzzz
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|一一一一一一一一一一一一一一一一一一一一
哈哈哈哈哈哈|!!!???|.......|---|,,,|，，，|。。。|;:'"|α β γ|→ ← ↑ ↓|★☆◆|♥♦♣♠|©®™|№ 5|℃ ℉|㊙ ㊗
watercolor of a lighthouse at dawn|an owl reading a book under a lamp|a slice of watermelon|a photo cut-out of a bee
油画风格的向日葵|赛博朋克城市夜景|水墨山水|像素风格的机器人|一杯咖啡和牛角面包|宇航员在月球上骑马|喷火的绿色巨龙|生日快乐蛋糕
iPhone拍摄的猫|3D渲染的apple|一只cat|cat一只|2只狗和10朵花|第１名|Ａpple|ＤＮＡ
x|一|,|，| |\u3000|\u200b|""".replace("\n", "|")


def all_texts():
    decoded = [text.replace("\\t", "\t").replace("\\n", "\n") for text in TEXTS.split("|")]
    decoded += ["line one\nline two\r\nthree", "pipe | inside", "x" * 300, "红" * 300,
                "a very long prompt with many words " * 20, "very long 提示词 " * 30]
    return decoded


def main():
    folder, out = map(pathlib.Path, sys.argv[1:3])
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    full, texts = Tokenizer.from_str(json.dumps(spec)), all_texts()
    used = set()
    for text in texts:
        for word, _ in full.pre_tokenizer.pre_tokenize_str(full.normalizer.normalize_str(text)):
            used.update(word[i:j] for i in range(len(word)) for j in range(i + 1, i + 33))
    vocabulary = spec["model"]["vocab"]
    lowest = min(vocabulary, key=lambda row: row[1])
    spec["model"]["vocab"] = [row for i, row in enumerate(vocabulary)
                              if i < 4 or row[0] in used or row is lowest]
    small = Tokenizer.from_str(json.dumps(spec))
    golden = []
    for text in texts:
        ids = small.encode(text).ids
        if [small.id_to_token(i) for i in ids] != [full.id_to_token(i) for i in full.encode(text).ids]:
            raise RuntimeError(f"the cut vocabulary segments differently: {text!r}")
        golden.append({"text": text, "ids": ids})
    out.mkdir(parents=True, exist_ok=True)
    (out / "unigram_tokenizer.json").write_text(
        json.dumps(spec, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in golden)
    (out / "unigram_golden.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(golden)} texts, {len(spec['model']['vocab'])} pieces")


if __name__ == "__main__":
    main()
