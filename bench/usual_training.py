"""The usual training of a denoiser with diffusers and PyTorch, for benches that train beside it: UNet2DConditionModel,
channels-last, torch's fused AdamW, clipping, EMA by torch._foreach_lerp_, batches stacked in a loader thread out of the
latents and captions that `pangu-draw train` has cached. bf16 is autocast over f32 weights.
"""
import contextlib
import json
import pathlib
import queue
import sys
import threading

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file


def own_part(parameter):
    """What this process has of a parameter that is divided among processes."""
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


class UsualTraining:
    """config: the keys of a denoiser's training file, paths resolved; batch: samples of a step of this process. wrap makes
    of the network what is called, and has its parameters afterwards; keep_layout leaves weights as they are made, for
    wrappers that take no channels-last ones (inputs are channels-last all the same)."""

    def __init__(self, config, batch, precision="bf16", wrap=None, keep_layout=False):
        self.batch = batch
        self.config = config
        self.read_cache()
        self.config_of_network = json.loads(pathlib.Path(config["network_config"]).read_text())
        torch.manual_seed(0)
        unet = UNet2DConditionModel.from_config(self.config_of_network).train()
        if not keep_layout:
            unet = unet.to(memory_format=torch.channels_last)
        self.model = wrap(unet) if wrap else unet
        self.parameters = list(self.model.parameters())
        self.averages = [own_part(p).detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config["learning_rate"], fused=True)
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        self.alphas = torch.cumprod(1 - betas, 0).float()
        self.cast = (lambda: torch.autocast("cpu", torch.bfloat16)) if precision == "bf16" else contextlib.nullcontext
        self.batches, self.stop = queue.Queue(4), threading.Event()
        self.loader = threading.Thread(target=self.load, daemon=True)
        self.loader.start()

    def read_cache(self):
        config = self.config
        caches = sorted({path.parent for path in pathlib.Path(config["cache_dir"]).glob("*/latents*.safetensors")})
        if len(caches) != 1:
            sys.exit(f"{sys.argv[0]}: expected one cache in {config['cache_dir']}, found {len(caches)}")
        latents, self.captions = ([x for path in sorted(caches[0].glob(f"{name}*.safetensors"))
                                   for x in load_file(path).values()] for name in ("latents", "captions"))
        shape = torch.Size(latents[0].shape[:1]) + torch.Size([config["resolution"] // 16] * 2)
        self.latents = [x for x in latents if x.shape == shape]
        if not self.latents:
            sys.exit(f"{sys.argv[0]}: expected cached latents of shape {tuple(shape)}, found none")

    def make_batch(self):
        crop = self.config.get("latent_crop", 0)
        x = torch.stack([self.latents[i] for i in torch.randint(len(self.latents), (self.batch,))]).float()
        if crop:
            y0, x0 = torch.randint(x.shape[2] - crop + 1, (2,)).tolist()
            x = x[:, :, y0:y0 + crop, x0:x0 + crop]
        words = [self.captions[i] for i in torch.randint(len(self.captions), (self.batch,))]
        length = max(len(w) for w in words)
        context = torch.zeros(self.batch, length, words[0].shape[1])
        mask = torch.zeros(self.batch, length, dtype=torch.bool)
        for row, w in enumerate(words):
            context[row, :len(w)], mask[row, :len(w)] = w.float(), True
        return x, context, mask

    def load(self):
        while not self.stop.is_set():
            item = self.make_batch()
            while not self.stop.is_set():
                try:
                    self.batches.put(item, timeout=0.2)
                    break
                except queue.Full:
                    pass

    def pooled(self, context, mask):
        """What a network with a projection of pooled captions is told: the mean of the tokens."""
        if self.config_of_network.get("class_embed_type") != "projection":
            return {}
        counted = mask[..., None].float()
        return {"class_labels": (context * counted).sum(1) / counted.sum(1)}

    def step(self):
        x, context, mask = self.batches.get()
        low, high = self.config.get("min_timestep", 0), self.config.get("max_timestep", 1000)
        t = torch.randint(low, high, (self.batch,))
        a = self.alphas[t].view(-1, 1, 1, 1)
        noise = torch.randn_like(x)
        noisy = (a.sqrt() * x + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        target = a.sqrt() * noise - (1 - a).sqrt() * x
        with self.cast():
            out = self.model(noisy, t, context, encoder_attention_mask=mask, **self.pooled(context, mask)).sample
        loss = (out.float() - target).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        torch._foreach_lerp_(self.averages, [own_part(p).detach() for p in self.parameters], 0.001)

    def end(self):
        self.stop.set()
        self.loader.join()
