"""diffusers + PyTorch as an engine of the bench: bf16 or f32, channels-last unless it is told otherwise, torch.compile; on the
CPU, or on the device that it is told."""
import pathlib
import sys

import diffusers
import torch
import transformers
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from models import MODELS  # noqa: E402
from serve import NetworkEngine, serve  # noqa: E402

# Kinds of operators by a part of their name; the first that fits.
KINDS = (("attention", ("attention", "softmax")), ("convolution", ("conv",)),
         ("linear", ("addmm", "aten::mm", "bmm", "matmul", "linear")),
         ("norm and activation", ("norm", "silu", "gelu", "rowwise", "welford", "moments")),
         ("copies", ("copy", "cat", "clone", "upsample", "contiguous")),
         ("sums", ("add", "mul", "div", "sub")))


def kind_of(name):
    return next((kind for kind, parts in KINDS if any(part in name.lower() for part in parts)), "other")


class TorchNetworks:
    def load(self, request):
        torch.set_num_threads(request["threads"])
        torch.manual_seed(1)
        self.request, self.model = request, MODELS[request["model"]]
        self.device = request.get("device", "cpu")
        self.dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[request["dtype"]]
        folder = pathlib.Path(request["folder"])
        layout = torch.channels_last if request.get("channels_last", True) else torch.contiguous_format

        def read(kind, name):
            network = kind.from_pretrained(folder / name, torch_dtype=self.dtype, local_files_only=True).eval()
            return network.requires_grad_(False).to(self.device)

        def denoiser(name):
            unet = read(diffusers.UNet2DConditionModel, name).to(memory_format=layout)
            return torch.compile(unet) if request.get("compile") else unet

        if "denoiser" in request["parts"]:
            self.denoisers = [denoiser("unet")]
            if request["model"] == "mini" and "text" in request["parts"]:
                self.denoisers.append(denoiser("unet_texture"))
        if "decoder" in request["parts"]:
            self.vae = read(diffusers.AutoencoderKL, "vae").to(memory_format=layout)
        if "text" in request["parts"]:
            self.encoders = [read(getattr(transformers, kind), name)
                             for name, kind in self.model.text_encoders.items()]
        self.layout = layout

    def noise(self, rows):
        x = torch.randn(self.model.latent_shape(rows, self.request), dtype=self.dtype, device=self.device)
        return x.contiguous(memory_format=self.layout)

    def twice(self, x):
        return torch.cat([x, x])

    def conditions(self):
        return {name: torch.randn(shape, dtype=self.dtype, device=self.device)
                for name, shape in self.model.condition_shapes(2 * self.request["batch"]).items()}

    def encode(self):
        with torch.inference_mode():
            ids = torch.randint(5, 1000, (2, self.model.tokens), device=self.device)
            return self.model.conditions_of([encoder(ids, output_hidden_states=True) for encoder in self.encoders],
                                            torch.cat, self.request["batch"], self.numbers)

    def numbers(self, rows):
        return torch.zeros((rows, self.model.size_numbers), dtype=self.dtype, device=self.device)

    def denoise(self, x, t, conditions):
        with torch.inference_mode():
            added = {name: conditions[name] for name in ("text_embeds", "time_ids") if name in conditions}
            # The second network of models/mini serves the lower half of the noise.
            denoiser = self.denoisers[-1] if t < 500 else self.denoisers[0]
            result = denoiser(x, t, conditions["context"], class_labels=conditions.get("class_labels"),
                              added_cond_kwargs=added or None, return_dict=False)[0]
            if self.device != "cpu":
                torch.cuda.synchronize()  # or the launch alone would be timed
            return result

    def decode(self, latents):
        with torch.inference_mode():
            return self.vae.decode(latents, return_dict=False)[0].float().cpu().numpy()

    def profiled(self, call):
        with profile(activities=[ProfilerActivity.CPU]) as found:
            call()
        kinds = {}
        for event in found.key_averages():
            kind = kind_of(event.key)
            kinds[kind] = kinds.get(kind, 0.0) + event.self_cpu_time_total * 1e-6
        return kinds


if __name__ == "__main__":
    serve(NetworkEngine(TorchNetworks()))
