"""Names the main colour of a cut-out, when it plainly has one.

Counts opaque pixels by hue, saturation and value; a colour must hold 60 % of them. White and black
are not named (they are often outline or paper). A name that already says a colour gets none.
"""
import io

import numpy as np
from PIL import Image

NAMES = {"red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色",
         "purple": "紫色", "pink": "粉色", "brown": "棕色", "grey": "灰色"}
IN_NAME_EN = set(NAMES) | {"white", "black", "golden", "gold", "silver", "bronze", "gray"}
IN_NAME_ZH = "红橙黄绿蓝紫粉棕褐灰白黑金银铜青"
SHARE = 0.6


def classify(hsv: np.ndarray) -> np.ndarray:
    """hsv: [N,3] u8 (Pillow's HSV: hue 0..255 is a full turn) -> [N] names, "" for none."""
    hue = hsv[:, 0].astype(float) * 360 / 256
    saturation, value = hsv[:, 1] / 255, hsv[:, 2] / 255
    out = np.full(len(hsv), "", dtype=object)
    vivid = (saturation > 0.35) & (value > 0.3)
    for name, low, high in (("red", 0, 16), ("orange", 16, 40), ("yellow", 40, 66),
                            ("green", 66, 168), ("blue", 168, 252), ("purple", 252, 300),
                            ("pink", 300, 345), ("red", 345, 361)):
        out[vivid & (hue >= low) & (hue < high)] = name
    warm = (hue < 42) | (hue > 345)
    out[(saturation > 0.2) & (value > 0.2) & (value < 0.72) & (hue < 42)] = "brown"
    out[warm & (saturation > 0.2) & (saturation <= 0.55) & (value > 0.85) & ((hue < 12) | (hue > 330))] = "pink"
    out[(saturation < 0.15) & (value > 0.3) & (value < 0.85)] = "grey"
    return out


def main_colour(webp: bytes, name_en: str, name_zh: str) -> tuple[str, str] | None:
    if set(name_en.replace("-", " ").split()) & IN_NAME_EN or set(name_zh) & set(IN_NAME_ZH):
        return None
    image = Image.open(io.BytesIO(webp)).convert("RGBA").resize((64, 64), Image.BOX)
    pixels = np.asarray(image).reshape(-1, 4)
    opaque = pixels[pixels[:, 3] > 200][:, :3]
    if len(opaque) == 0:
        return None
    hsv = np.asarray(Image.fromarray(opaque[None]).convert("HSV"))[0]
    found, counts = np.unique(classify(hsv), return_counts=True)
    best = int(np.argmax(counts))
    if found[best] == "" or counts[best] < SHARE * len(opaque):
        return None
    return found[best], NAMES[found[best]]
