"""Dumps what transformers' CLIP text and vision models compute, layer by layer, for tests/parity/clip_test.cpp.

  dump_clip.py OUT_DIR

For every text case: OUT_DIR/text/NAME/{config.json, weights.safetensors, tensors.safetensors}; likewise vision/NAME.
Random weights of fixed seeds, tiny widths, the topology of the encoder that the case is named after. In
tensors.safetensors "in/NAME" are inputs, "out/NAME" results and "layer/NAME" outputs of layers.
"""
import json
import os
import re
import sys

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from watched import watch

VOCABULARY = 1000
EOS = 999
CLIP_L = dict(
    vocab_size=VOCABULARY, hidden_size=128, intermediate_size=512, num_hidden_layers=12, num_attention_heads=2,
    max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=128, bos_token_id=0, eos_token_id=2,
    pad_token_id=1,
)
OPENCLIP_H = dict(CLIP_L, hidden_size=192, intermediate_size=768, num_hidden_layers=23, num_attention_heads=3,
                  hidden_act="gelu", projection_dim=96)
OPENCLIP_BIGG = dict(CLIP_L, hidden_size=256, intermediate_size=1024, num_hidden_layers=32, num_attention_heads=4,
                     hidden_act="gelu", projection_dim=256)
# name -> (configuration, has a projection, how many tokens textual inversion added)
TEXT = {
    "sd1_clip_l": (CLIP_L, False, 0),
    "sd1_textual_inversion": (CLIP_L, False, 3),
    "sd2_openclip_h": (OPENCLIP_H, False, 0),
    "sdxl_openclip_bigg": (OPENCLIP_BIGG, True, 0),
    "pangu_chinese_clip": (dict(CLIP_L, num_hidden_layers=11), False, 0),
    "clip_l_projected_true_eos": (dict(CLIP_L, num_hidden_layers=2, eos_token_id=EOS, projection_dim=80), True, 2),
}
VIT_L = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=24, num_attention_heads=2, image_size=224,
             patch_size=14, hidden_act="quick_gelu", projection_dim=96)
VISION = {
    "sd_image_variations": VIT_L,
    "patch_32_gelu": dict(VIT_L, num_hidden_layers=2, patch_size=32, hidden_act="gelu"),
}
# Sizes of pictures for the preprocessing: upright, wide, small (enlarged), exact.
PICTURES = [(317, 512), (640, 401), (100, 151), (224, 224), (225, 223)]


def randomise_norms(model, generator):
    """Randomises norms and biases, which start as the identity and would hide a mistake in them."""
    for name, parameter in model.named_parameters():
        if re.search(r"(norm[^.]*\.(weight|bias)|\.bias)$", name):
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
        elif "embedding" not in name:
            parameter.data *= 3


def prompts(generator, last):
    """Three prompts of the layout [start, words.., end, padding]: padded with the end, with 0, and full."""
    ids = torch.randint(1, last + 1, (3, 77), generator=generator)
    ids[ids == EOS] = 17
    ids[:, 0] = 998
    ids[0, 12:] = EOS
    ids[1, 40] = EOS
    ids[1, 41:] = 0
    ids[2, 76] = EOS
    return ids


def layers_of(model, pattern, prefix):
    def label_of(name):
        full = name if name.startswith(prefix) else f"{prefix}.{name}"
        return f"layer/{full}" if re.match(pattern, full) else None

    return watch(model, label_of)


def save(folder, model, tensors, prefix):
    os.makedirs(folder, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(model.config.to_dict(), file)
    known = (prefix, "text_projection", "visual_projection")
    save_file({k if k.startswith(known) else f"{prefix}.{k}": v.contiguous() for k, v in model.state_dict().items()},
              os.path.join(folder, "weights.safetensors"))
    save_file(tensors, os.path.join(folder, "tensors.safetensors"))


def dump_text(folder, config, projected, added, generator):
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    model = kind(CLIPTextConfig(**config)).eval()
    randomise_norms(model, generator)
    found = {}
    ids = prompts(generator, VOCABULARY - 10)
    asked = model
    if added:
        extra = torch.randn(added, config["hidden_size"], generator=generator)
        ids[0, 3] = VOCABULARY
        ids[2, 50] = VOCABULARY + added - 1
        asked = kind(CLIPTextConfig(**dict(config, vocab_size=VOCABULARY + added))).eval()
        state = dict(model.state_dict())
        table = next(k for k in state if k.endswith("token_embedding.weight"))
        state[table] = torch.cat([state[table], extra])
        asked.load_state_dict(state)
        found["in/added"] = extra
    layers = layers_of(asked, r"text_model\.(embeddings|encoder\.layers\.\d+|final_layer_norm)$", "text_model")
    result = asked(ids, output_hidden_states=True)
    found.update(layers)
    found["in/ids"] = ids
    found["out/last_hidden"] = result.last_hidden_state
    if projected:
        found["out/text_embeds"] = result.text_embeds
    else:
        found["out/pooled"] = result.pooler_output
    for index, state in enumerate(result.hidden_states):
        found[f"out/hidden/{index:02d}"] = state
    save(folder, model, {k: v.clone().contiguous() for k, v in found.items()}, "text_model")


def dump_vision(folder, config, generator):
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**config)).eval()
    randomise_norms(model, generator)
    layers = layers_of(model, r"vision_model\.(embeddings|pre_layrnorm|encoder\.layers\.\d+|post_layernorm)$",
                       "vision_model")
    pixels = torch.randn(2, 3, 224, 224, generator=generator)
    result = model(pixels)
    found = dict(layers)
    found["in/pixels"] = pixels
    found["out/image_embeds"] = result.image_embeds
    found["out/last_hidden"] = result.last_hidden_state
    save(folder, model, {k: v.clone().contiguous() for k, v in found.items()}, "vision_model")


def dump_pictures(path, generator):
    """Dumps smooth pictures with a few hard edges, as the reference processor prepares them."""
    found = {}
    processor = CLIPImageProcessorPil()
    for index, (height, width) in enumerate(PICTURES):
        coarse = torch.rand(1, 3, 9, 11, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        hard = torch.nn.functional.interpolate(coarse, (height, width), mode="nearest")
        picture = (torch.cat([smooth[..., : width // 2], hard[..., width // 2:]], -1)[0] * 255).round().byte()
        image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
        found[f"in/{index}"] = picture
        found[f"out/{index}"] = processor(images=image, return_tensors="pt")["pixel_values"]
    save_file({k: v.contiguous() for k, v in found.items()}, path)


@torch.no_grad()
def main():
    folder = sys.argv[1]
    for seed, (name, (config, projected, added)) in enumerate(TEXT.items()):
        torch.manual_seed(seed)
        dump_text(os.path.join(folder, "text", name), config, projected, added, torch.Generator().manual_seed(seed))
    for seed, (name, config) in enumerate(VISION.items()):
        torch.manual_seed(100 + seed)
        dump_vision(os.path.join(folder, "vision", name), config, torch.Generator().manual_seed(100 + seed))
    dump_pictures(os.path.join(folder, "pictures.safetensors"), torch.Generator().manual_seed(7))


if __name__ == "__main__":
    main()
