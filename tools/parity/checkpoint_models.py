"""Makes tiny models of every family with random weights of fixed seeds, for the parity tests of checkpoints.

Topology (levels, places of attention, depths of transformers, kinds of text towers) is that of the released models;
widths and layers of towers are small. Heads are 64 wide where the released ones are, and 8 a level in Stable Diffusion
1.
"""

import re

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import (CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig,
                          CLIPVisionModelWithProjection)

DOWN4 = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
UP4 = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
SD1 = dict(sample_size=64, in_channels=4, out_channels=4, down_block_types=DOWN4, up_block_types=UP4,
           block_out_channels=[32, 64, 96, 96], layers_per_block=2, attention_head_dim=8,
           cross_attention_dim=64)
SD2 = dict(SD1, block_out_channels=[64, 128, 192, 192], attention_head_dim=[1, 2, 3, 3],
           use_linear_projection=True)
SDXL = dict(sample_size=128, in_channels=4, out_channels=4,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            block_out_channels=[32, 64, 128], layers_per_block=2,
            transformer_layers_per_block=[1, 2, 10], attention_head_dim=[1, 1, 2],
            cross_attention_dim=64 + 128, use_linear_projection=True,
            addition_embed_type="text_time", addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=128 + 6 * 256)
REFINER = dict(SDXL, down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                       "DownBlock2D"],
               up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
               block_out_channels=[32, 64, 128, 128], transformer_layers_per_block=4,
               attention_head_dim=[1, 1, 2, 2], cross_attention_dim=128,
               projection_class_embeddings_input_dim=128 + 5 * 256)
SSD_1B = dict(SDXL, mid_block_type="UNetMidBlock2D", transformer_layers_per_block=[1, [2, 2], [4, 4]],
              reverse_transformer_layers_per_block=[[4, 4, 10], [2, 1, 1], 1])
PANGU = dict(SDXL, block_out_channels=[32, 64, 64], attention_head_dim=1,
             projection_class_embeddings_input_dim=128 + 256)
VAE = dict(in_channels=3, out_channels=3, latent_channels=4, sample_size=64,
           down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
           block_out_channels=[32, 64, 96, 96], layers_per_block=2, norm_num_groups=32)
ENDS = dict(vocab_size=49408, bos_token_id=49406, eos_token_id=49407, pad_token_id=1,
            max_position_embeddings=77, layer_norm_eps=1e-5)
CLIP = dict(ENDS, hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=1,
            projection_dim=64, hidden_act="quick_gelu")
OPENCLIP = dict(ENDS, hidden_size=128, intermediate_size=512, num_hidden_layers=4,
                num_attention_heads=2, projection_dim=128, hidden_act="gelu", pad_token_id=0)
SD2_CLIP = dict(OPENCLIP, hidden_size=64, intermediate_size=256, num_attention_heads=1,
                projection_dim=64)
VISION = dict(hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=1,
              image_size=224, patch_size=56, projection_dim=64, hidden_act="quick_gelu")


def randomised(model, seed, gains=()):
    """Randomises norms and zero convolutions, which start as the identity or zero and would hide a mistake in them.

    `gains`: pairs (pattern of names, factor) for weights that would have too little influence otherwise.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if re.search(r"(norm[^.]*|ln_\w+)\.(weight|bias)$", name):
                value += 0.2 * torch.randn(value.shape, generator=generator)
            elif not value.any():
                value += 0.05 * torch.randn(value.shape, generator=generator)
            for pattern, factor in gains:
                if re.search(pattern, name):
                    value *= factor
    return model.eval()


def unet(config, seed):
    torch.manual_seed(seed)
    return randomised(UNet2DConditionModel(**config), seed, [(r"attn2\.to_(v|out\.0)\.weight$", 3.0)])


def vae(scaling_factor, seed):
    """Its pictures use the whole range of brightness, so that they can differ."""
    torch.manual_seed(seed)
    model = randomised(AutoencoderKL(**VAE, scaling_factor=scaling_factor), seed)
    with torch.no_grad():
        latents = 20 * torch.randn((2, 4, 16, 16), generator=torch.Generator().manual_seed(seed))
        gain = 0.5 / model.decode(latents).sample.std()
        model.decoder.conv_out.weight *= gain
        model.decoder.conv_out.bias *= gain
    return model


def text(config, seed, projection):
    torch.manual_seed(seed)
    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    return randomised(kind(CLIPTextConfig(**config)), seed)


def vision(seed):
    torch.manual_seed(seed)
    return randomised(CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION)), seed)


def controlnet(network, seed):
    torch.manual_seed(seed)
    model = ControlNetModel.from_unet(network, conditioning_embedding_out_channels=(16, 32, 96, 256))
    return randomised(model, seed)


def state_of(model):
    """Returns the state under the names that published folders have: with "text_model.", without buffers."""
    state = {key: value.detach().clone() for key, value in model.state_dict().items()
             if not key.endswith("position_ids")}
    if isinstance(model, CLIPTextModel) and not any(key.startswith("text_model.") for key in state):
        state = {"text_model." + key: value for key, value in state.items()}
    return state
