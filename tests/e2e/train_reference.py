"""The usual trainings in PyTorch and diffusers (a LoRA, all weights, a ControlNet, inpainting models), with the pictures,
order, times, noise and masks of `pangu-draw train`: what the program's losses, gradients and weights are compared with.

Randomness is the program's: counter-based numbers (Philox4x32-10, Salmon et al. 2011) by streams, as src/core/rng.h and
src/train say.
"""

import math

import numpy as np
import torch

WORD = 0xFFFFFFFF
NOISE, TIME, MASK, ORDER = 1 << 56, 3 << 56, 5 << 56, 0x626F7264
EPOCH = 0x9E3779B97F4A7C15


def philox(seed, stream, block):
    c = [block & WORD, block >> 32, stream & WORD, stream >> 32]
    k0, k1 = seed & WORD, seed >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & WORD, (p0 >> 32) ^ c[3] ^ k1, p0 & WORD]
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c


def normals(seed, stream, shape):
    numbers = []
    count = math.prod(shape)
    for block in range((count + 3) // 4):
        words = philox(seed, stream, block)
        for pair in (0, 2):
            radius = math.sqrt(-2.0 * math.log((words[pair] + 1.0) * 2.0**-32))
            angle = 2.0 * math.pi * words[pair + 1] * 2.0**-32
            numbers += [radius * math.cos(angle), radius * math.sin(angle)]
    return torch.tensor(np.array(numbers[:count], dtype=np.float32).reshape(shape))


class Rng:
    def __init__(self, seed, stream):
        self.seed, self.stream, self.block, self.words = seed, stream % 2**64, 0, []

    def bits(self):
        if not self.words:
            self.words = philox(self.seed, self.stream, self.block)
            self.block += 1
        return self.words.pop(0)

    def long(self):
        return (self.bits() << 32) | self.bits()

    def below(self, bound):
        return (self.long() * bound) >> 64

    def uniform(self):
        return (self.long() >> 11) * 2.0**-53


def permuted(place, size, seed, stream):
    """What a keyed permutation of 0 .. size-1 has at `place` (src/data/permutation.h)."""
    half = ((size - 1).bit_length() + 1) // 2
    mask = (1 << half) - 1
    while size > 1:
        left, right = place >> half, place & mask
        for r in range(8):
            left, right = right, left ^ (philox(seed, stream, right << 3 | r)[0] & mask)
        place = left << half | right
        if place < size:
            return place
    return 0


def size_in(least, most, shorter, rng):
    least = max(1, shorter * least // 256)
    return least + rng.below(max(least, shorter * most // 256) - least + 1)


def draw_segment(mask, start, end, brush):
    """Pixels whose distance from the line is at most half of the brush, as src/image/random_mask.h says."""
    y, x = np.mgrid[:mask.shape[0], :mask.shape[1]].astype(np.int64)
    dx, dy = end[0] - start[0], end[1] - start[1]
    px, py = x - start[0], y - start[1]
    along, length2 = px * dx + py * dy, dx * dx + dy * dy
    at_start = 4 * (px**2 + py**2) <= brush**2
    at_end = 4 * ((x - end[0])**2 + (y - end[1])**2) <= brush**2
    beside = 4 * (px * dy - py * dx)**2 <= brush**2 * length2
    mask[np.where(along <= 0, at_start, np.where(along >= length2, at_end, beside))] = 1


def random_mask(width, height, rng):
    """[height,width], 1 where a network draws: rectangles or strokes (src/image/random_mask.h)."""
    mask = np.zeros((height, width), dtype=np.uint8)
    shorter = min(width, height)
    if rng.below(2) == 0:
        for _ in range(1 + rng.below(4)):
            w, h = size_in(30, 150, shorter, rng), size_in(30, 150, shorter, rng)
            x, y = rng.below(width - w + 1), rng.below(height - h + 1)
            mask[y:y + h, x:x + w] = 1
        return mask
    for _ in range(1 + rng.below(5)):
        at = rng.below(width), rng.below(height)
        for _ in range(1 + rng.below(5)):
            angle = 2 * math.pi * rng.uniform()
            length, brush = size_in(10, 209, shorter, rng), size_in(5, 104, shorter, rng)
            end = (min(max(math.floor(at[0] + length * math.cos(angle) + 0.5), 0), width - 1),
                   min(max(math.floor(at[1] + length * math.sin(angle) + 0.5), 0), height - 1))
            draw_segment(mask, at, end, brush)
            at = end
    return mask


class Change(torch.nn.Module):
    """scale * up(down(x)) beside a frozen layer."""

    def __init__(self, layer, down, up, scale):
        super().__init__()
        self.down, self.up, self.scale = torch.nn.Parameter(down.clone()), torch.nn.Parameter(up.clone()), scale
        self.options = {} if down.dim() == 2 else {"stride": layer.stride, "padding": layer.padding}
        layer.register_forward_hook(lambda _, inputs, output: output + self.of(inputs[0]))

    def of(self, x):
        if self.down.dim() == 2:
            return torch.nn.functional.linear(torch.nn.functional.linear(x, self.down), self.up) * self.scale
        inner = torch.nn.functional.conv2d(x, self.down, **self.options)
        return torch.nn.functional.conv2d(inner, self.up) * self.scale


class Training:
    """The training of a denoiser, of which a subclass says what learns: parameters(), and what predicted() takes.
    data: (latent [C,h,w], keyword arguments of the UNet, each [1,...]) of every picture. prediction: what the network
    predicts."""

    def __init__(self, unet, alphas_cumprod, data, prediction="epsilon", seed=0, batch=1, times=(0, 1000)):
        self.unet, self.data, self.seed, self.batch, self.times = unet, data, seed, batch, times
        self.bars, self.prediction = alphas_cumprod.double(), prediction

    def predicted(self, x, t, told):
        return self.unet(x, t, **told).sample

    def told(self, item, sample):
        """What the UNet is told of a picture in the run's sample of this number."""
        return self.data[item][1]

    def rate_factor(self, _):
        """Of the learning rate, by a parameter's name."""
        return 1

    def items(self, batch):
        """As src/data/batch_order.h says, of pictures of one shape."""
        count = len(self.data)
        batches = max(1, count // self.batch)
        stream = (ORDER + batch // batches * EPOCH) % 2**64
        first = permuted(batch % batches, batches, self.seed, stream) * self.batch
        return [permuted((first + k) % count, count, self.seed, (stream + 1) % 2**64) for k in range(self.batch)]

    def loss(self, batch):
        items = self.items(batch)
        draw = Rng(self.seed, TIME + batch).uniform()
        low, high = self.times
        t = [low + min(high - low - 1, int((k + draw) / self.batch * (high - low))) for k in range(self.batch)]
        x0 = torch.stack([self.data[i][0] for i in items])
        noise = torch.stack([normals(self.seed, NOISE + batch * self.batch + k, x0[k].shape) for k in range(self.batch)])
        keep = self.bars[t].sqrt().float().view(-1, 1, 1, 1)
        add = (1 - self.bars[t]).sqrt().float().view(-1, 1, 1, 1)
        told = [self.told(item, batch * self.batch + k) for k, item in enumerate(items)]
        join = {key: torch.cat([one[key] for one in told]) for key in told[0] if key != "added_cond_kwargs"}
        if "added_cond_kwargs" in told[0]:
            join["added_cond_kwargs"] = {key: torch.cat([one["added_cond_kwargs"][key] for one in told])
                                         for key in told[0]["added_cond_kwargs"]}
        predicted = self.predicted(keep * x0 + add * noise, torch.tensor(t), join)
        wanted = {"epsilon": noise, "v_prediction": keep * noise - add * x0, "sample": x0}[self.prediction]
        return torch.nn.functional.mse_loss(predicted, wanted)

    def gradients(self):
        self.loss(0).backward()
        return {name: parameter.grad for name, parameter in self.parameters()}

    def train(self, steps, rate):
        """The losses; what learns is trained afterwards."""
        # As the program: tensors of one dimension do not decay.
        groups = [{"params": [p], "weight_decay": 0.01 if p.dim() > 1 else 0.0, "lr": rate * self.rate_factor(name)}
                  for name, p in self.parameters()]
        optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.999), eps=1e-8)
        losses = []
        for step in range(steps):
            optimiser.zero_grad()
            loss = self.loss(step)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses


class LoraTraining(Training):
    """initial: the weights of the changes by kohya's names."""

    def __init__(self, unet, alphas_cumprod, data, initial, alpha, **options):
        super().__init__(unet, alphas_cumprod, data, **options)
        unet.requires_grad_(False)
        self.changes = {}
        for path, layer in unet.named_modules():
            name = "lora_unet_" + path.replace(".", "_")
            if f"{name}.lora_down" in initial:
                down, up = initial[f"{name}.lora_down"], initial[f"{name}.lora_up"]
                self.changes[name] = Change(layer, down, up, alpha / down.shape[0])
        assert len(self.changes) * 2 == len(initial), "every change has its layer"

    def parameters(self):
        for name, change in self.changes.items():
            yield f"{name}.lora_down", change.down
            yield f"{name}.lora_up", change.up


class TextLoraTraining(LoraTraining):
    """The same of text encoders, with or without changes of the UNet. encoders: the encoder of transformers by the prefix
    of its names. What the data hold beside a latent is a function that gives the UNet's keyword arguments: it is called in
    every step. text_factor: of the learning rate."""

    def __init__(self, unet, encoders, alphas_cumprod, data, initial, alpha, text_factor=1, **options):
        super().__init__(unet, alphas_cumprod, data, {name: value for name, value in initial.items()
                                                      if name.startswith("lora_unet_")}, alpha, **options)
        self.text_factor = text_factor
        for prefix, encoder in encoders.items():
            encoder.requires_grad_(False)
            for path, layer in encoder.named_modules():
                # Newer versions of transformers leave out "text_model.".
                whole = path if path.startswith("text_model.") else "text_model." + path
                name = prefix + whole.replace(".", "_")
                if f"{name}.lora_down" in initial:
                    down, up = initial[f"{name}.lora_down"], initial[f"{name}.lora_up"]
                    self.changes[name] = Change(layer, down, up, alpha / down.shape[0])
        assert len(self.changes) * 2 == len(initial), "every change has its layer"

    def told(self, item, _):
        return self.data[item][1]()

    def rate_factor(self, name):
        return self.text_factor if name.startswith("lora_te") else 1


class FullTraining(Training):
    """All weights of the UNet."""

    def __init__(self, unet, *arguments, **options):
        super().__init__(unet, *arguments, **options)
        unet.train().requires_grad_(True)

    def parameters(self):
        yield from self.unet.named_parameters()


class ControlTraining(Training):
    """A diffusers ControlNetModel beside the UNet, as diffusers' train_controlnet.py. Of the data's keyword arguments
    `controlnet_cond` is the control picture, [1,3,H,W] in [0,1]."""

    def __init__(self, unet, control, *arguments, **options):
        super().__init__(unet, *arguments, **options)
        unet.requires_grad_(False)
        self.control = control.train().requires_grad_(True)

    def parameters(self):
        yield from self.control.named_parameters()

    def predicted(self, x, t, told):
        told = dict(told)
        seen = told.pop("controlnet_cond")
        down, middle = self.control(x, t, controlnet_cond=seen, return_dict=False, **told)
        return self.unet(x, t, down_block_additional_residuals=down, mid_block_additional_residual=middle, **told).sample


class Masked:
    """In front of a training of a UNet of nine input channels: what it is told beside the noisy latent is a random mask
    and the latent of the picture whose masked part is grey, as in diffusers' inpainting pipelines."""

    def tell_masks(self, pixels, encode, whole=0.25, own=None):
        """pixels: [1,3,H,W] in [-1,1] of every picture. encode: pixels -> latents as the UNet sees them. whole: the share
        of samples that are masked as a whole. own: a mask [H,W] of every picture, in place of random ones."""
        self.pixels, self.encode, self.whole, self.own = pixels, encode, whole, own
        return self

    def told(self, item, sample):
        pixels, rng = self.pixels[item], Rng(self.seed, MASK + sample)
        height, width = pixels.shape[2:]
        if rng.uniform() < self.whole:
            mask = np.ones((height, width), dtype=np.uint8)
        else:
            mask = self.own[item] if self.own else random_mask(width, height, rng)
        mask = torch.from_numpy(mask).float()[None, None]
        with torch.no_grad():
            seen = self.encode(pixels * (1 - mask))
        corners = torch.nn.functional.interpolate(mask, seen.shape[2:], mode="nearest")
        return super().told(item, sample) | {"behind": torch.cat([corners, seen], 1)}

    def predicted(self, x, t, told):
        told = dict(told)
        return super().predicted(torch.cat([x, told.pop("behind")], 1), t, told)


class MaskedFullTraining(Masked, FullTraining):
    """All weights of an inpainting model's UNet."""


class MaskedLoraTraining(Masked, LoraTraining):
    """A LoRA of an inpainting model."""
