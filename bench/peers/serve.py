"""The protocol of child.py for engines in Python: requests from standard input, answers to standard output.

`serve` reads and answers; `NetworkEngine` serves whoever has networks: it holds the inputs, draws pictures by Euler's
method, and leaves nothing to the peers' own pipelines that would take them time. It imports no library of a peer.
"""
import contextlib
import io
import json
import os
import sys
import time

GUIDANCE = 7.5
LEAST_SIGMA, GREATEST_SIGMA = 0.0292, 14.6  # of Stable Diffusion's schedule


class Wire:
    """Takes standard output for the protocol alone: what libraries print goes to standard error."""

    def __init__(self):
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, **line):
        self.out.write(json.dumps(line) + "\n")
        self.out.flush()

    def hear(self):
        line = sys.stdin.readline()
        return json.loads(line) if line else {"do": "quit"}


@contextlib.contextmanager
def timed(answer):
    start = time.perf_counter()
    yield
    answer["seconds"] = time.perf_counter() - start


def serve(engine):
    """engine: has load(request), step(), decode(), picture(steps, tell), profile(of); tell(part) ends a part."""
    wire = Wire()
    wire.say(ready=True)
    while (asked := wire.hear())["do"] != "quit":
        answer, clock = {}, [time.perf_counter()]

        def tell(part):
            wire.say(part=part, seconds=time.perf_counter() - clock[0])
            wire.hear()
            clock[0] = time.perf_counter()

        try:
            with timed(answer):
                if asked["do"] == "load":
                    engine.load(asked)
                elif asked["do"] == "picture":
                    engine.picture(asked["steps"], tell)
                elif asked["do"] == "profile":
                    answer["kinds"] = engine.profile(asked["of"])
                else:
                    for _ in range(asked.get("calls", 1)):
                        {"step": engine.step, "decode": engine.decode}[asked["do"]]()
            # An engine that cannot do one thing alone says how long that took.
            answer["seconds"] = getattr(engine, "own_seconds", None) or answer["seconds"]
            if asked["do"] == "profile":
                answer["seconds"] = sum(answer["kinds"].values())
            wire.say(**answer)
        except Exception as error:  # noqa: BLE001: every failure of a peer is an answer
            wire.say(error=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
    wire.out.flush()
    os._exit(0)  # a peer's networks are not taken down one tensor after another


def sigmas_of(steps):
    """Returns steps + 1 levels of noise, evenly spaced in their logarithm, and 0."""
    ratio = (LEAST_SIGMA / GREATEST_SIGMA) ** (1 / max(1, steps - 1))
    return [GREATEST_SIGMA * ratio**k for k in range(steps)] + [0.0]


def png_of(pixels):
    """pixels: [B,3,H,W] f32 in [-1,1], of NumPy. Returns PNG files."""
    from PIL import Image
    levels = ((pixels.clip(-1, 1) + 1) * 127.5).round().astype("uint8").transpose(0, 2, 3, 1)
    files = []
    for level in levels:
        file = io.BytesIO()
        Image.fromarray(level).save(file, "PNG")
        files.append(file.getvalue())
    return files


class NetworkEngine:
    """Draws with `networks`, whose arrays are its own kind:
      load(request), noise(rows) -> latents, encode() -> conditions of two rows a picture,
      conditions() -> the same of random numbers, denoise(latents, t, conditions), decode(latents) -> NumPy [B,3,H,W],
      twice(latents), profiled(call) -> {kind: seconds}
    """

    def __init__(self, networks):
        self.networks = networks
        self.inputs = {}

    def load(self, request):
        self.images = request["batch"]
        self.networks.load(request)

    def input(self, name, make):
        if name not in self.inputs:
            self.inputs[name] = make()
        return self.inputs[name]

    def step(self):
        conditions = self.input("conditions", self.networks.conditions)
        self.networks.denoise(self.input("rows", lambda: self.networks.noise(2 * self.images)), 500.0, conditions)

    def decode(self):
        self.networks.decode(self.input("latents", lambda: self.networks.noise(self.images)))

    def profile(self, of):
        call = {"step": self.step, "decode": self.decode}[of]
        call()  # makes the inputs
        return self.networks.profiled(call)

    def picture(self, steps, tell):
        conditions, sigmas = self.networks.encode(), sigmas_of(steps)
        x = self.networks.noise(self.images) * sigmas[0]
        tell("prepare")
        for k, sigma in enumerate(sigmas[:-1]):
            rows = self.networks.twice(x / (sigma * sigma + 1) ** 0.5)
            eps = self.networks.denoise(rows, 999.0 * (1 - k / steps), conditions)
            with_prompt, without = eps[:self.images], eps[self.images:]
            x = x + (without + GUIDANCE * (with_prompt - without)) * (sigmas[k + 1] - sigma)
            tell("step")
        png_of(self.networks.decode(x))
        tell("decode")
