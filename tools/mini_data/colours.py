"""Names the main colour of a cut-out, when it plainly has one.

Counts opaque pixels by hue, saturation and value; a colour must hold 65 % of them. White and black
are not named (they are often outline or paper). A name that already says a colour gets none.
"""
import io

import numpy as np
from PIL import Image

NAMES = {"red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色",
         "purple": "紫色", "pink": "粉色", "brown": "棕色", "grey": "灰色"}
IN_NAME_EN = set(NAMES) | {"white", "black", "golden", "gold", "silver", "bronze", "gray"}
IN_NAME_ZH = "红橙黄绿蓝紫粉棕褐灰白黑金银铜青"
SHARE = 0.65


def classify(hsv: np.ndarray) -> np.ndarray:
    """hsv: [N,3] u8 (Pillow's HSV: hue 0..255 is a full turn) -> [N] names, "" for none."""
    hue = hsv[:, 0].astype(float) * 360 / 256
    saturation, value = hsv[:, 1] / 255, hsv[:, 2] / 255
    out = np.full(len(hsv), "", dtype=object)
    vivid = (saturation > 0.4) & (value > 0.45)
    for name, low, high in (("yellow", 43, 62), ("green", 80, 165), ("blue", 188, 250),
                            ("purple", 256, 300), ("pink", 300, 337)):
        out[vivid & (hue >= low) & (hue < high)] = name
    reddish = (hue >= 337) | (hue < 14)
    out[reddish] = ""
    out[vivid & reddish & (saturation > 0.68)] = "red"
    out[reddish & (saturation > 0.2) & (saturation < 0.55) & (value > 0.8)] = "pink"
    # Tan and skin tones lie between orange and brown and are named neither.
    orange = (hue >= 14) & (hue < 38)
    out[orange & (saturation > 0.7) & (value > 0.8)] = "orange"
    out[(hue < 42) & (saturation > 0.25) & (value > 0.2) & (value < 0.62)] = "brown"
    out[(saturation < 0.15) & (value > 0.35) & (value < 0.8)] = "grey"
    return out


def main_colour(webp: bytes, name_en: str, name_zh: str) -> tuple[str, str] | None:
    if set(name_en.replace("-", " ").split()) & IN_NAME_EN or set(name_zh) & set(IN_NAME_ZH):
        return None
    image = Image.open(io.BytesIO(webp)).convert("RGBA").resize((64, 64), Image.NEAREST)
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
