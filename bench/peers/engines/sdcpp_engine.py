"""stable-diffusion.cpp as an engine of the bench, by its PyPI package, f16 weights or those of the request.

It draws whole pictures only. A step is therefore what passes between two calls of its progress callback, which holds
the drawing until the next request; decoding is what passes from the last of them to the picture.
"""
import pathlib
import queue
import sys
import threading
import time

import stable_diffusion_cpp

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from serve import serve  # noqa: E402

PROMPT = "a red fox in the snow, oil painting"


class Drawing:
    """A drawing on a thread of its own, stopped after every part until `next` lets it go on."""

    def __init__(self, engine, steps):
        self.parts, self.go = queue.Queue(), queue.Queue()
        self.start = time.perf_counter()

        def ends(part):
            self.parts.put((part, time.perf_counter() - self.start))
            self.go.get()
            self.start = time.perf_counter()

        def draw():
            try:
                pictures = engine.network.generate_image(
                    prompt=PROMPT, width=engine.request["width"], height=engine.request["height"], cfg_scale=7.5,
                    sample_method="euler", sample_steps=steps, batch_count=engine.request["batch"], seed=1,
                    progress_callback=lambda step, *_: ends("step" if step else "prepare"))
                assert pictures, "no picture"
                ends("decode")
            except Exception as error:  # noqa: BLE001
                self.parts.put((error, 0.0))

        threading.Thread(target=draw, daemon=True).start()

    def next(self, wanted=None):
        """Returns (part, seconds) of the next part, or of the next one of that name."""
        while True:
            part, seconds = self.parts.get()
            if isinstance(part, Exception):
                raise part
            if wanted in (None, part):
                return part, seconds
            self.go.put(True)


class SdCpp:
    def load(self, request):
        self.request, self.drawing = request, None
        self.planned = max(1, request.get("planned_steps", 1))
        self.network = stable_diffusion_cpp.StableDiffusion(model_path=request["folder"], wtype=request.get("weights", "f16"),
                                                            n_threads=request["threads"], vae_decode_only=True,
                                                            verbose=False)
        self.own_seconds = None

    def part(self, name, steps):
        if self.drawing is None:
            self.drawing = Drawing(self, steps)
        else:
            self.drawing.go.put(True)
        _, self.own_seconds = self.drawing.next(name)

    def step(self):
        self.part("step", self.planned)

    def decode(self):
        self.part("decode", 1)
        self.drawing = None

    def profile(self, of):
        raise NotImplementedError("it has no profile")

    def picture(self, steps, tell):
        drawing = Drawing(self, steps)
        while True:
            part, _ = drawing.next()
            tell(part)
            drawing.go.put(True)
            if part == "decode":
                self.own_seconds = None
                return


if __name__ == "__main__":
    serve(SdCpp())
