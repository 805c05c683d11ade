"""The models that the bench draws with: what their networks read, and the requests that load them.

A model is a folder of random weights (weights.py); mini is the one that comes with the program.
"""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class BenchModel:
    title: str
    size_px: int
    downscale: int = 8
    channels: int = 4  # of latents
    tokens: int = 77
    context: int = 768
    pooled: int = 0
    size_numbers: int = 0
    class_labels: int = 0
    text_encoders: dict = field(default_factory=dict)  # folder -> class of transformers
    layer: int = -1  # of the text encoders, counted from behind
    steps: int = 20  # of a whole picture
    experts_in_memory: int = 0  # at most so many at once; 0: all
    # A sample is so many steps, or decodings, on end. Above 1, for steps of a few milliseconds, a picture has no probe
    # inside: a probe leaves threads asleep and caches cold, which no drawing meets between its steps.
    calls: int = 1

    def latent_shape(self, rows, request):
        return rows, self.channels, request["height"] // self.downscale, request["width"] // self.downscale

    def condition_shapes(self, rows):
        """Returns the shapes of what the denoiser reads beside latents and time, by name."""
        shapes = {"context": (rows, self.tokens, self.context)}
        if self.pooled:
            shapes["text_embeds"] = (rows, self.pooled)
            shapes["time_ids"] = (rows, self.size_numbers)
        if self.class_labels:
            shapes["class_labels"] = (rows, self.class_labels)
        return shapes

    def conditions_of(self, outputs, join, images, numbers):
        """Makes the conditions of `images` pictures of the encoders' outputs for two rows, with and without prompt.

        join(list) puts arrays one behind another in the first axis; numbers(rows) are the sizes.
        """
        def rows(two):
            return join([two[:1]] * images + [two[1:]] * images)

        states = [output.hidden_states[self.layer] if self.layer != -1 else output.last_hidden_state
                  for output in outputs]
        context = states[0]
        if len(states) > 1:
            context = join([state.swapaxes(0, 2) for state in states]).swapaxes(0, 2)
        found = {"context": rows(context)}
        if self.pooled:
            found["text_embeds"] = rows(outputs[-1].text_embeds)
            found["time_ids"] = numbers(2 * images)
        if self.class_labels:
            found["class_labels"] = rows(context.mean(1))
        return found


CLIP, PROJECTED = "CLIPTextModel", "CLIPTextModelWithProjection"
MODELS = {
    "sd15": BenchModel("Stable Diffusion 1.5", 512, text_encoders={"text_encoder": CLIP}),
    "sdxl": BenchModel("SDXL", 1024, context=2048, pooled=1280, size_numbers=6, layer=-2,
                       text_encoders={"text_encoder": CLIP, "text_encoder_2": PROJECTED}),
    "pangu3": BenchModel("PanGu-Draw 3", 512, context=2048, pooled=1280, size_numbers=1, layer=-2,
                         text_encoders={"text_encoder": CLIP, "text_encoder_2": PROJECTED}, steps=40, experts_in_memory=1),
    "mini": BenchModel("models/mini", 256, downscale=16, channels=16, tokens=16, context=384, class_labels=384,
                       text_encoders={"text_encoder": "BertModel"}, calls=10),
    "tiny": BenchModel("tiny networks of the smoke test", 128, context=64, text_encoders={"text_encoder": CLIP},
                       steps=2),
}


def load_request(name, folder, batch, threads, parts, tokenizers, options):
    """Returns the request that loads a model's networks; parts: of "denoiser", "decoder", "text"."""
    size = MODELS[name].size_px
    return {"do": "load", "model": name, "folder": str(folder), "width": size, "height": size, "batch": batch,
            "threads": threads, "parts": list(parts), "experts_in_memory": MODELS[name].experts_in_memory,
            "tokenizers": str(tokenizers), "dtype": "bf16", **options}
