"""PanGu-Draw 3's four networks as functions of a dictionary of tensors, under the names of its files.

Structure: LDM's UNet (input_blocks, middle_block, output_blocks) with linear projections, label_emb
for the vector y and heads of 64; Chinese CLIP's and OpenCLIP's text towers; the decoder of SDXL's
autoencoder. Widths, depths and counts are read off the tensors. MindSpore calls the weight of a norm
gamma, its bias beta, and an embedding's weight embedding_table.
"""

import math

import torch
import torch.nn.functional as F

HEAD = 64
GROUPS = 32


class Weights:
    """A view of a dictionary below a prefix."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, name):
        return self.tensors[self.prefix + name]

    def __contains__(self, name):
        return self.prefix + name in self.tensors

    def below(self, *names):
        return Weights(self.tensors, self.prefix + "".join(f"{name}." for name in names))

    def count(self, name):
        """Returns how many items the list `name` has."""
        start = f"{self.prefix}{name}."
        items = {key[len(start):].split(".")[0] for key in self.tensors if key.startswith(start)}
        return len(items)

    def linear(self, name, x):
        bias = self[f"{name}.bias"] if f"{name}.bias" in self else None
        return F.linear(x, self[f"{name}.weight"], bias)

    def conv(self, name, x, stride=1):
        weight = self[f"{name}.weight"]
        return F.conv2d(x, weight, self[f"{name}.bias"], stride=stride, padding=weight.shape[-1] // 2)

    def group_norm(self, name, x, eps):
        return F.group_norm(x, GROUPS, self[f"{name}.gamma"], self[f"{name}.beta"], eps)

    def layer_norm(self, name, x):
        gamma = self[f"{name}.gamma"]
        return F.layer_norm(x, gamma.shape, gamma, self[f"{name}.beta"], 1e-5)


def attention(q, k, v, heads, mask=None):
    """softmax(q k' / sqrt(d) + mask) v for each head; [B,L,heads*d] all three."""
    def split(x):
        return x.unflatten(2, (heads, -1)).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores + mask
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def sinusoid(values, width):
    """Sinusoids [B] -> [B,width], cosines first, periods up to 10000."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = values.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


# UNet.

def residual(w, x, emb):
    h = w.conv("in_layers.2", F.silu(w.group_norm("in_layers.0", x, 1e-5)))
    h = h + w.linear("emb_layers.1", F.silu(emb))[:, :, None, None]
    h = w.conv("out_layers.3", F.silu(w.group_norm("out_layers.0", h, 1e-5)))
    return h + (w.conv("skip_connection", x) if "skip_connection.weight" in w else x)


def cross(w, x, context):
    heads = w["to_q.weight"].shape[0] // HEAD
    out = attention(w.linear("to_q", x), w.linear("to_k", context), w.linear("to_v", context), heads)
    return w.linear("to_out.0", out)


def transformer(w, x, context):
    b, c, height, width = x.shape
    h = w.group_norm("norm", x, 1e-6).flatten(2).transpose(1, 2)
    h = w.linear("proj_in", h)
    for i in range(w.count("transformer_blocks")):
        block = w.below("transformer_blocks", i)
        own = block.layer_norm("norm1", h)
        h = cross(block.below("attn1"), own, own) + h
        h = cross(block.below("attn2"), block.layer_norm("norm2", h), context) + h
        value, gate = block.linear("ff.net.0.proj", block.layer_norm("norm3", h)).chunk(2, -1)
        h = block.linear("ff.net.2", value * F.gelu(gate)) + h
    return w.linear("proj_out", h).transpose(1, 2).reshape(b, c, height, width) + x


def block(w, x, emb, context):
    for i in range(8):
        part = w.below(i)
        if "in_layers.0.gamma" in part:
            x = residual(part, x, emb)
        elif "proj_in.weight" in part:
            x = transformer(part, x, context)
        elif "op.weight" in part:
            x = part.conv("op", x, stride=2)
        elif "conv.weight" in part:
            x = part.conv("conv", F.interpolate(x, scale_factor=2, mode="nearest"))
        elif "weight" in part:
            x = w.conv(str(i), x)
        else:
            return x


def unet(tensors, x, t, context, y):
    """x: [B,4,h,w] in the network's scale, t: [B], context: [B,77,D], y: [B,P] -> eps."""
    w = Weights(tensors, "model.diffusion_model.")
    emb = sinusoid(t, w["time_embed.0.weight"].shape[1])
    emb = w.linear("time_embed.2", F.silu(w.linear("time_embed.0", emb)))
    emb = emb + w.linear("label_emb.0.2", F.silu(w.linear("label_emb.0.0", y)))
    skips = []
    for i in range(w.count("input_blocks")):
        x = block(w.below("input_blocks", i), x, emb, context)
        skips.append(x)
    x = block(w.below("middle_block"), x, emb, context)
    for i in range(w.count("output_blocks")):
        x = block(w.below("output_blocks", i), torch.cat([x, skips.pop()], 1), emb, context)
    return w.conv("out.2", F.silu(w.group_norm("out.0", x, 1e-5)))


# Text towers.

def causal(length):
    return torch.full((length, length), -math.inf).triu(1)


def chinese_clip(tensors, ids):
    """ids: [B,77] -> the last layer's states after the final norm, [B,77,D]."""
    w = Weights(tensors, "conditioner.embedders.0.transformer.text_model.")
    x = w["embeddings.token_embedding.embedding_table"][ids]
    x = x + w["embeddings.position_embedding.embedding_table"][:ids.shape[1]]
    for i in range(w.count("encoder.layers")):
        layer = w.below("encoder.layers", i)
        h = layer.layer_norm("layer_norm1", x)
        q, k, v = (layer.linear(f"self_attn.{n}_proj", h) for n in "qkv")
        x = x + layer.linear("self_attn.out_proj",
                             attention(q, k, v, x.shape[2] // HEAD, causal(ids.shape[1])))
        h = layer.linear("mlp.fc1", layer.layer_norm("layer_norm2", x))
        x = x + layer.linear("mlp.fc2", h * torch.sigmoid(1.702 * h))
    return w.layer_norm("final_layer_norm", x)


def open_clip(tensors, ids):
    """ids: [B,77] -> states before the last layer, without the final norm, and the pooled text."""
    w = Weights(tensors, "conditioner.embedders.1.model.")
    x = w["token_embedding.embedding_table"][ids] + w["positional_embedding"][:ids.shape[1]]
    for i in range(w.count("transformer.resblocks")):
        penultimate = x
        layer = w.below("transformer.resblocks", i)
        h = layer.layer_norm("ln_1", x)
        q, k, v = F.linear(h, layer["attn.in_proj_weight"], layer["attn.in_proj_bias"]).chunk(3, -1)
        x = x + layer.linear("attn.out_proj",
                             attention(q, k, v, x.shape[2] // HEAD, causal(ids.shape[1])))
        x = x + layer.linear("mlp.c_proj", F.gelu(layer.linear("mlp.c_fc", layer.layer_norm("ln_2", x))))
    last = w.layer_norm("ln_final", x)
    pooled = last[torch.arange(len(ids)), ids.argmax(1)] @ w["text_projection"]
    return penultimate, pooled


# Decoder of the autoencoder.

def plain_residual(w, x):
    h = w.conv("conv1", F.silu(w.group_norm("norm1", x, 1e-6)))
    h = w.conv("conv2", F.silu(w.group_norm("norm2", h, 1e-6)))
    return h + (w.conv("nin_shortcut", x) if "nin_shortcut.weight" in w else x)


def plain_attention(w, x):
    h = w.group_norm("norm", x, 1e-6)
    q, k, v = (w.conv(name, h).flatten(2).transpose(1, 2) for name in "qkv")
    out = attention(q, k, v, 1).transpose(1, 2).reshape(x.shape)
    return x + w.conv("proj_out", out)


def decode(tensors, z):
    """z: [B,4,h,w], latents of the autoencoder itself -> [B,3,8h,8w], about [-1,1]."""
    w = Weights(tensors, "first_stage_model.")
    x = w.conv("post_quant_conv", z)
    w = w.below("decoder")
    x = w.conv("conv_in", x)
    x = plain_residual(w.below("mid.block_1"), x)
    x = plain_attention(w.below("mid.attn_1"), x)
    x = plain_residual(w.below("mid.block_2"), x)
    for level in reversed(range(w.count("up"))):
        up = w.below("up", level)
        for i in range(up.count("block")):
            x = plain_residual(up.below("block", i), x)
        if level > 0:
            x = up.conv("upsample.conv", F.interpolate(x, scale_factor=2, mode="nearest"))
    return w.conv("conv_out", F.silu(w.group_norm("norm_out", x, 1e-6)))
