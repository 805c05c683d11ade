"""OpenVINO as an engine of the bench: networks that openvino_convert.py made, compiled for this shape, bf16 or f32.

It imports no PyTorch, as a program that ships OpenVINO would not.
"""
import pathlib
import sys

import numpy as np
import openvino

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from engines.openvino_convert import path_of  # noqa: E402
from models import MODELS  # noqa: E402
from serve import NetworkEngine, serve  # noqa: E402

# Kinds of OpenVINO's nodes by a part of their type; the first that fits.
KINDS = (("attention", ("ScaledDotProduct", "MHA", "SDPA", "Softmax")), ("convolution", ("Conv",)),
         ("linear", ("FullyConnected", "MatMul", "Gemm")),
         ("norm and activation", ("MVN", "Norm", "Swish", "Gelu", "Sigmoid")),
         ("copies", ("Reorder", "Transpose", "Concat", "Interpolate", "Reshape", "Split", "Convert", "StridedSlice")),
         ("sums", ("Eltwise", "Add", "Multiply", "Subgraph", "Math")))


def kind_of(node):
    return next((kind for kind, parts in KINDS if any(part in node for part in parts)), "other")


class OpenVinoNetworks:
    def load(self, request):
        self.request, self.model = request, MODELS[request["model"]]
        self.random = np.random.default_rng(1)
        self.core, rows = openvino.Core(), 2 * request["batch"]
        self.configuration = {"INFERENCE_PRECISION_HINT": request["dtype"], "PERFORMANCE_HINT": "LATENCY",
                              "INFERENCE_NUM_THREADS": request["threads"],
                              "PERF_COUNT": "YES" if request.get("profile") else "NO"}
        shapes = [self.model.latent_shape(rows, request), (1,), *self.model.condition_shapes(rows).values()]
        if "denoiser" in request["parts"]:
            self.denoisers = [self.compiled("unet", shapes)]
            if request["model"] == "mini" and "text" in request["parts"]:
                self.denoisers.append(self.compiled("unet_texture", shapes))
        if "decoder" in request["parts"]:
            self.decoder = self.compiled("vae", [self.model.latent_shape(request["batch"], request)])
        if "text" in request["parts"]:
            self.encoders = [self.compiled(name, [(2, self.model.tokens)], "bf16") for name in self.model.text_encoders]

    def compiled(self, network, shapes, weights=None):
        path = path_of(self.request["cache"], self.request["model"], network, weights or self.request["weights"])
        model = self.core.read_model(path)
        model.reshape({i: list(shape) for i, shape in enumerate(shapes)})
        made = self.core.compile_model(model, "CPU", self.configuration)
        used = made.get_property("INFERENCE_PRECISION_HINT")
        # It takes another type without a word where the processor has no instructions for this one.
        if used != getattr(openvino.Type, self.request["dtype"]):
            raise RuntimeError(f"expected networks in {self.request['dtype']}, OpenVINO computes in {used.get_type_name()}")
        return made.create_infer_request()

    def called(self, request, inputs):
        self.last = request
        request.infer(dict(enumerate(inputs)))
        return request.get_output_tensor(0).data

    def noise(self, rows):
        return self.random.standard_normal(self.model.latent_shape(rows, self.request), "float32")

    def twice(self, x):
        return np.concatenate([x, x])

    def conditions(self):
        shapes = self.model.condition_shapes(2 * self.request["batch"])
        return {name: self.random.standard_normal(shape, "float32") for name, shape in shapes.items()}

    def encode(self):
        ids = self.random.integers(5, 1000, (2, self.model.tokens))
        outputs = []
        for encoder in self.encoders:
            states = self.called(encoder, [ids]).copy()
            pooled = encoder.get_output_tensor(1).data.copy() if len(encoder.model_outputs) > 1 else None
            outputs.append(_Output(states, pooled))
        return self.model.conditions_of(outputs, np.concatenate, self.request["batch"], self.numbers)

    def numbers(self, rows):
        return np.zeros((rows, self.model.size_numbers), "float32")

    def denoise(self, x, t, conditions):
        # The second network of models/mini serves the lower half of the noise.
        denoiser = self.denoisers[-1] if t < 500 else self.denoisers[0]
        return self.called(denoiser, [x.astype("float32"), np.array([t], "float32"), *conditions.values()])

    def decode(self, latents):
        return self.called(self.decoder, [latents.astype("float32")])

    def profiled(self, call):
        call()
        kinds = {}
        for node in self.last.profiling_info:
            kind = kind_of(node.node_type)
            kinds[kind] = kinds.get(kind, 0.0) + node.real_time.total_seconds()
        return kinds


class _Output:
    """What conditions_of reads of an encoder's output; only the layer that the model uses was converted."""

    def __init__(self, states, pooled):
        self.last_hidden_state, self.text_embeds = states, pooled
        self.hidden_states = {-2: states}


if __name__ == "__main__":
    serve(NetworkEngine(OpenVinoNetworks()))
