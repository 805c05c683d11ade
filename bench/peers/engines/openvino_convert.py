"""Makes OpenVINO's networks (IR files) of a model's weights, once, into the cache of the bench.

  openvino_convert.py MODEL {bf16,int8,w8a8} CACHE

bf16: the weights, which are bf16, as f16 on disk, computed in bf16 or f32. int8: NNCF's compressed weights. w8a8: NNCF's post-training quantisation
of the denoiser, calibrated with random inputs: with random weights only its speed means something. Decoders of w8a8
have int8 weights.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from models import MODELS  # noqa: E402
from weights import weights_of  # noqa: E402

CALIBRATION = 2  # inputs
CALIBRATION_SIDE = 16  # latent pixels


def path_of(cache, model, network, weights):
    return pathlib.Path(cache) / "openvino" / model / f"{network}-{weights}.xml"


def networks_of(model):
    return ["unet", "vae", *(["unet_texture"] if model == "mini" else []), *MODELS[model].text_encoders]


def is_converted(model, weights, cache):
    return all(path_of(cache, model, network, own_weights(network, weights)).exists() for network in networks_of(model))


def own_weights(network, weights):
    """Returns how a network's weights are kept: text encoders always as for bf16."""
    return weights if network in ("unet", "vae", "unet_texture") else "bf16"


def save(network, path):
    """Writes the two files of a network so that the one that is looked for is there when both are whole."""
    import openvino
    part = path.with_name(path.stem + ".part.xml")
    openvino.save_model(network, part, compress_to_fp16=True)
    part.with_suffix(".bin").rename(path.with_suffix(".bin"))
    part.rename(path)


def wrapped_unet(torch, folder, facts):
    from diffusers import UNet2DConditionModel
    names = list(facts.condition_shapes(1))

    class Denoiser(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = UNet2DConditionModel.from_pretrained(folder, torch_dtype=torch.bfloat16, local_files_only=True)

        def forward(self, latents, t, context, first=None, second=None):
            more = dict(zip(names[1:], (first, second)))
            added = {name: more[name] for name in ("text_embeds", "time_ids") if name in more}
            return self.unet(latents, t, context, class_labels=more.get("class_labels"),
                             added_cond_kwargs=added or None, return_dict=False)[0]

    shapes = list(facts.condition_shapes(2).values())
    inputs = (torch.randn(2, facts.channels, CALIBRATION_SIDE, CALIBRATION_SIDE), torch.tensor([500.0]),
              *(torch.randn(shape) for shape in shapes))
    return Denoiser(), inputs


def wrapped_decoder(torch, folder, facts):
    from diffusers import AutoencoderKL

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.bfloat16, local_files_only=True)

        def forward(self, latents):
            return self.vae.decode(latents, return_dict=False)[0]

    return Decoder(), (torch.randn(1, facts.channels, CALIBRATION_SIDE, CALIBRATION_SIDE),)


def wrapped_text(torch, folder, facts):
    import transformers

    class Text(torch.nn.Module):
        def __init__(self):
            super().__init__()
            kind = getattr(transformers, facts.text_encoders[folder.name])
            self.encoder = kind.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True,
                                                attn_implementation="eager")

        def forward(self, ids):
            found = self.encoder(ids, output_hidden_states=True)
            states = found.hidden_states[facts.layer] if facts.layer != -1 else found.last_hidden_state
            return (states, found.text_embeds) if hasattr(found, "text_embeds") else states

    return Text(), (torch.randint(5, 1000, (2, facts.tokens)),)


def convert_plain(model, network, cache):
    import openvino
    import torch
    from openvino.frontend.pytorch import patch_model
    folder, facts = weights_of(model, cache) / network, MODELS[model]
    wrap = (wrapped_unet if network.startswith("unet") else wrapped_decoder if network == "vae" else wrapped_text)
    with torch.no_grad():
        module, inputs = wrap(torch, folder, facts)
        module = module.eval().requires_grad_(False)
        if wrap is not wrapped_text:
            # Keeps weights in 16 bits while the network is traced in f32.
            getattr(patch_model, "__make_16bit_traceable")(module)
        converted = openvino.convert_model(module, example_input=inputs)
    save(converted, path_of(cache, model, network, "bf16"))


def quantised(model, network, weights, cache):
    import nncf
    import numpy as np
    import openvino
    plain = openvino.Core().read_model(path_of(cache, model, network, "bf16"))
    if weights == "int8" or not network.startswith("unet"):
        return nncf.compress_weights(plain)
    facts, random = MODELS[model], np.random.default_rng(1)
    shapes = list(facts.condition_shapes(2).values())

    def inputs():
        latents = random.standard_normal((2, facts.channels, CALIBRATION_SIDE, CALIBRATION_SIDE), "float32")
        return [latents, np.array([500.0], "float32"), *(random.standard_normal(shape, "float32") for shape in shapes)]

    parameters = nncf.AdvancedQuantizationParameters(
        disable_bias_correction=True,
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=-1, convolution=-1))
    return nncf.quantize(plain, nncf.Dataset([inputs() for _ in range(CALIBRATION)]), subset_size=CALIBRATION,
                         model_type=nncf.ModelType.TRANSFORMER, advanced_parameters=parameters)


def convert(model, weights, cache):
    for network in networks_of(model):
        for step in dict.fromkeys(("bf16", own_weights(network, weights))):
            path = path_of(cache, model, network, step)
            if path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            print(f"converting {model}/{network} for OpenVINO, {step}", flush=True)
            if step == "bf16":
                convert_plain(model, network, cache)
            else:
                save(quantised(model, network, step, cache), path)


if __name__ == "__main__":
    convert(*sys.argv[1:4])
