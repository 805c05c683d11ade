"""Dumps trajectories, sigma lists and noise of the reference libraries for tests/parity/samplers_test.cpp.

  dump_samplers.py OUT_DIR

The network is a closed form (the posterior mean of a mixture of two Gaussians, element by element), so that what is
compared is the scheduler alone. OUT_DIR/cases.json lists the cases, OUT_DIR/tensors.safetensors holds "CASE/..." of
each: latents in the VE scale after every step, the sigmas visited and the noise consumed. Schedulers are those of
diffusers; samplers that only k-diffusion has are written again from their formulas in sampler_formulas.py ("formula"
cases).
"""
import functools
import importlib
import json
import math
import os
import sys
import types

import diffusers  # noqa: F401  (looks for its own optional packages before the stand-in below is there)
import mpmath
import numpy as np
import torch
from safetensors.torch import save_file

from sampler_formulas import SHAPE, BrownianPath, Noise, denoise, formula_paths, web_ui_lists

SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")

# DPMSolverSDE imports torchsde for its own Brownian tree, which is replaced by a recorded path below.
sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))


@functools.cache
def beta_quantile(p, alpha, beta):
    low, high = mpmath.mpf(0), mpmath.mpf(1)
    for _ in range(60):
        middle = (low + high) / 2
        if mpmath.betainc(alpha, beta, 0, middle, regularized=True) < p:
            low = middle
        else:
            high = middle
    return float((low + high) / 2)


def integrate(function, low, high, epsrel):
    """Integrates exactly the cubics that LMS needs."""
    nodes, weights = np.polynomial.legendre.leggauss(5)
    low, high = float(low), float(high)
    values = [float(function((low + high) / 2 + (high - low) / 2 * node)) for node in nodes]
    return (high - low) / 2 * float(np.dot(weights, values)), 0.0


def scheduler_module(name):
    """Returns a scheduler's module; the two functions that it takes from scipy are replaced by those above, so that
    scipy is not needed."""
    module = importlib.import_module(f"diffusers.schedulers.scheduling_{name}")
    module.is_scipy_available = lambda: True
    module.scipy = types.SimpleNamespace(
        stats=types.SimpleNamespace(beta=types.SimpleNamespace(ppf=lambda p, a, b: beta_quantile(float(p), a, b)))
    )
    module.integrate = types.SimpleNamespace(quad=integrate)
    return module


CLASSES = {
    "EulerDiscrete": "euler_discrete", "EulerAncestralDiscrete": "euler_ancestral_discrete",
    "HeunDiscrete": "heun_discrete", "KDPM2Discrete": "k_dpm_2_discrete",
    "KDPM2AncestralDiscrete": "k_dpm_2_ancestral_discrete", "DPMSolverMultistep": "dpmsolver_multistep",
    "DPMSolverSinglestep": "dpmsolver_singlestep", "DPMSolverSDE": "dpmsolver_sde", "LMSDiscrete": "lms_discrete",
    "DDIM": "ddim", "DDPM": "ddpm", "UniPCMultistep": "unipc_multistep", "LCM": "lcm",
}
VP = {"DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "DDIM", "DDPM", "LCM"}  # sample is x_net


def make_scheduler(name, **config):
    return getattr(scheduler_module(CLASSES[name]), name + "Scheduler")(**{**SD, **config})


def network(x_net, sigma, prediction):
    x = x_net.double() * math.sqrt(1 + sigma**2)
    x0 = denoise(x, sigma)
    eps, signal = (x - x0) / sigma, 1 / math.sqrt(1 + sigma**2)
    return {"epsilon": eps, "sample": x0, "v_prediction": signal * eps - sigma * signal * x0}[prediction]


def model_sigma(scheduler):
    """Returns the noise level of the coming call of the network; to be called after scale_model_input."""
    kind, i = type(scheduler).__name__, scheduler.step_index
    if kind.startswith("KDPM2") and not scheduler.state_in_first_order:
        return float(scheduler.sigmas_interpol[i - (1 if "Ancestral" in kind else 0)])
    if kind.startswith("DPMSolverSDE") and not scheduler.state_in_first_order:
        return float(scheduler.mid_point_sigma)
    return float(scheduler.sigmas[i])


def sigmas_of_alphas(scheduler):
    """Returns for DDIM, DDPM and LCM the sigmas of the timesteps and of the last step's end."""
    levels = [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps]
    levels.append(float(getattr(scheduler, "final_alpha_cumprod", 1.0)))
    return [math.sqrt((1 - level) / level) for level in levels]


class Cases:
    def __init__(self):
        self.cases, self.tensors = [], {}

    def add(self, kind, name, tensors, **what):
        self.cases.append({"kind": kind, "name": name, **what})
        for key, tensor in tensors.items():
            self.tensors[f"{name}/{key}"] = tensor.clone().contiguous()

    def run(self, sampler, scheduler_name, n, prediction="epsilon", options=None, label="", step=None, every=1,
            **config):
        """Makes one drawing by a scheduler of diffusers. every: how many of its steps are one step of ours."""
        module = scheduler_module(CLASSES[scheduler_name])
        noise = Noise(17)
        if hasattr(module, "randn_tensor"):
            module.randn_tensor = noise
        scheduler = make_scheduler(scheduler_name, prediction_type=prediction, **config)
        if config.get("rescale_betas_zero_snr") and scheduler_name in ("DDIM", "LCM"):
            scheduler.alphas_cumprod[-1] = 2**-24  # as the other schedulers do; an infinite sigma has no VE latents
        scheduler.set_timesteps(n)
        if scheduler_name == "DPMSolverSDE":
            scheduler.noise_sampler = BrownianPath(noise)
        by_alphas = scheduler_name in ("DDIM", "DDPM", "LCM")
        if by_alphas:
            sigmas = sigmas_of_alphas(scheduler)
        else:
            sigmas = list(dict.fromkeys(float(s) for s in scheduler.sigmas))  # second-order ones repeat them
        start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3)).double() * sigmas[0]
        vp = scheduler_name in VP
        x, path, kept = start / (math.sqrt(1 + sigmas[0] ** 2) if vp else 1.0), [], [sigmas[0]]
        for i, t in enumerate(scheduler.timesteps):
            x_net = scheduler.scale_model_input(x, t)
            if not vp:
                sigma = model_sigma(scheduler)
            else:
                sigma = sigmas[i]
            x = scheduler.step(network(x_net, sigma, prediction), t, x, **(step or {})).prev_sample
            if not getattr(scheduler, "state_in_first_order", True) and i + 1 < len(scheduler.timesteps):
                continue  # half of a step; the last step is a single call
            done = len(path) + 1
            path.append(x.double() * (math.sqrt(1 + sigmas[done] ** 2) if vp else 1.0))
        if every > 1:
            chosen = list(range(0, len(sigmas) - 1, every)) + [len(sigmas) - 1]
            sigmas, path = [sigmas[i] for i in chosen], [path[i - 1] for i in chosen[1:]]
        name = f"{sampler} {scheduler_name} {prediction} n={n}{' ' + label if label else ''}"
        tensors = {"start": start, "sigmas": torch.tensor(sigmas, dtype=torch.float64), "path": torch.stack(path)}
        if noise.given:
            tensors["noise"] = torch.stack(noise.given)
        self.add("path", name, tensors, sampler=sampler, prediction=prediction, options=options or {},
                 zero_snr=bool(config.get("rescale_betas_zero_snr")), consistency=scheduler_name == "LCM")

    def formula(self, sampler, sigmas, step_by_step, options):
        """The same for a function (x, guess, i, noise) -> x of this file, in f64."""
        noise = Noise(23)
        x = start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3)).double() * sigmas[0]
        path = []
        for i in range(len(sigmas) - 1):
            x = step_by_step(x, i, noise)
            path.append(x)
        name = f"{sampler} formula {json.dumps(options)} to {sigmas[-1]:.2g}".replace('"', "")
        tensors = {"start": start, "sigmas": torch.tensor(sigmas, dtype=torch.float64), "path": torch.stack(path)}
        if noise.given:
            tensors["noise"] = torch.stack(noise.given)
        self.add("path", name, tensors, sampler=sampler, prediction="epsilon", options=options, zero_snr=False,
                 consistency=False)


def diffusers_paths(cases):
    for prediction in ("epsilon", "v_prediction", "sample"):
        for spacing in ("leading", "linspace", "trailing"):
            config = dict(prediction=prediction, timestep_spacing=spacing, steps_offset=1, label=spacing)
            cases.run("euler", "EulerDiscrete", 12, **config)
            cases.run("heun", "HeunDiscrete", 12, **config)
            cases.run("lms", "LMSDiscrete", 12, **config)
            cases.run("dpmpp_2m", "DPMSolverMultistep", 12, **config)
            cases.run("unipc", "UniPCMultistep", 12, **config)
            cases.run("unipc", "UniPCMultistep", 11, options={"order": 3}, solver_order=3, **config)
            cases.run("dpmpp_2m_sde", "DPMSolverMultistep", 12, algorithm_type="sde-dpmsolver++", **config)
            cases.run("ddpm", "DDPM", 20, clip_sample=False, **config)
            if prediction != "sample":
                cases.run("euler_a", "EulerAncestralDiscrete", 12, **config)
                cases.run("dpm2", "KDPM2Discrete", 12, **config)
                cases.run("dpm2_a", "KDPM2AncestralDiscrete", 12, **config)
                cases.run("dpmpp_sde", "DPMSolverSDE", 12, **config)
            if spacing != "linspace":  # see sample_ddim
                ddim = dict(config, clip_sample=False)
                cases.run("ddim", "DDIM", 20, **ddim)
                for eta in (0.3, 1.0):
                    cases.run("ddim", "DDIM", 20, options={"eta": eta}, step={"eta": eta},
                              **dict(ddim, label=f"{spacing} eta {eta}"))
                if spacing == "leading":
                    cases.run("ddim", "DDIM", 20, set_alpha_to_one=False, **dict(ddim, label="to sigma_min"))
        for n in (1, 4, 8):
            cases.run("lcm", "LCM", n, prediction=prediction)
    for curve in ("karras", "exponential", "beta"):
        config = {f"use_{curve}_sigmas": True, "label": curve}
        for sampler, scheduler in (("euler", "EulerDiscrete"), ("heun", "HeunDiscrete"), ("lms", "LMSDiscrete"),
                                   ("dpm2", "KDPM2Discrete"), ("dpm2_a", "KDPM2AncestralDiscrete"),
                                   ("dpmpp_sde", "DPMSolverSDE"), ("dpmpp_2m", "DPMSolverMultistep"),
                                   ("unipc", "UniPCMultistep")):
            cases.run(sampler, scheduler, 15, **config)
        cases.run("dpmpp_2m_sde", "DPMSolverMultistep", 15, algorithm_type="sde-dpmsolver++", **config)
        # Third order starts with the "heun" form of the second; from 15 steps on it ends at full order.
        cases.run("dpmpp_3m_sde", "DPMSolverMultistep", 18, options={"eta": 0.0}, solver_order=3, solver_type="heun",
                  **dict(config, label=f"order 3 {curve}"))
    # Its intermediate sigma is the geometric middle only where the list is geometric.
    cases.run("dpmpp_2s_a", "DPMSolverSinglestep", 13, options={"eta": 0.0}, every=2, use_exponential_sigmas=True,
              lower_order_final=True, label="every second")
    for n in (1, 2, 3):
        cases.run("dpmpp_2m", "DPMSolverMultistep", n, timestep_spacing="trailing", label="few")
        cases.run("unipc", "UniPCMultistep", n, timestep_spacing="trailing", label="few")
        cases.run("lms", "LMSDiscrete", n, timestep_spacing="trailing", label="few")
    for sampler, scheduler in (("euler", "EulerDiscrete"), ("euler_a", "EulerAncestralDiscrete"),
                               ("dpmpp_2m", "DPMSolverMultistep"), ("unipc", "UniPCMultistep"), ("ddim", "DDIM")):
        extra = {"clip_sample": False} if sampler == "ddim" else {}
        cases.run(sampler, scheduler, 20, prediction="v_prediction", rescale_betas_zero_snr=True,
                  timestep_spacing="trailing", label="zero SNR", **extra)


def lists(cases):
    """Sigmas and timesteps of diffusers for every rule, spacing and curve."""

    def add(name, n, tensors, **what):
        usual = dict(rule="euler", spacing="linspace", offset=1, zero_snr=False, ends=False, table="sd15")
        cases.add("list", f"{name} n={n}", tensors, n=n, **{**usual, **what})

    def make_exact(scheduler_name, **config):
        """Recomputes the table in f64: diffusers' own is good to 1e-6, but 1 - 0.99915 in f32 only to 3.5e-5."""
        scheduler = make_scheduler(scheduler_name, **config)
        betas = np.linspace(SD["beta_start"] ** 0.5, SD["beta_end"] ** 0.5, 1000) ** 2
        table = np.cumprod(1 - betas)
        if config.get("rescale_betas_zero_snr"):
            roots = np.sqrt(table)
            table = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
            table[-1] = 2**-24
        assert np.allclose(table, scheduler.alphas_cumprod, rtol=2e-6)
        scheduler.alphas_cumprod = torch.from_numpy(table)
        return scheduler

    rules = {"euler": "EulerDiscrete", "ddim": "DDIM", "dpm_solver": "DPMSolverMultistep"}
    for rule, scheduler_name in rules.items():
        for spacing, offset in (("leading", 0), ("leading", 1), ("linspace", 0), ("trailing", 0)):
            for n in (2, 7, 10, 25, 30, 50, 61, 499):
                scheduler = make_exact(scheduler_name, timestep_spacing=spacing, steps_offset=offset)
                scheduler.set_timesteps(n)
                tensors = {"timesteps": scheduler.timesteps.double()[:n]}  # NumPy's arange may give n + 1
                if hasattr(scheduler, "sigmas"):
                    tensors["sigmas"] = scheduler.sigmas.double()[:n]
                add(f"normal {scheduler_name} {spacing} {offset}", n, tensors, list="normal", rule=rule,
                    spacing=spacing, offset=offset)
        for curve in ("karras", "exponential", "beta"):
            for spacing in ("leading", "linspace") if rule != "ddim" else ():
                for n in (1, 5, 20):
                    if n == 1 and rule == "euler" and spacing == "linspace":
                        continue  # NumPy's linspace of one number is its start, t = 0
                    config = {f"use_{curve}_sigmas": True}
                    scheduler = make_exact(scheduler_name, timestep_spacing=spacing, steps_offset=1, **config)
                    scheduler.set_timesteps(n)
                    add(f"{curve} {scheduler_name} {spacing}", n, {"sigmas": scheduler.sigmas.double()}, list=curve,
                        rule=rule, spacing=spacing, ends=rule == "euler")
    for n in (5, 20, 50):
        scheduler = make_exact("EulerDiscrete", timestep_spacing="trailing", rescale_betas_zero_snr=True)
        scheduler.set_timesteps(n)
        tensors = {"sigmas": scheduler.sigmas.double(), "timesteps": scheduler.timesteps.double()}
        add("normal zero-SNR", n, tensors, list="normal", spacing="trailing", zero_snr=True)
    for n in (1, 4, 7, 50):
        scheduler = make_exact("LCM")
        scheduler.set_timesteps(n)
        sigmas = torch.tensor(sigmas_of_alphas(scheduler), dtype=torch.float64)
        add("lcm LCM", n, {"timesteps": scheduler.timesteps.double(), "sigmas": sigmas}, list="lcm")
    published = importlib.import_module("diffusers.schedulers.scheduling_utils").AysSchedules
    for key, table in (("StableDiffusionSigmas", "sd15"), ("StableDiffusionXLSigmas", "sdxl")):
        sigmas = torch.tensor(published[key], dtype=torch.float64)
        add(f"align_your_steps {table}", 10, {"sigmas": sigmas}, list="align_your_steps", table=table)
    for name, n, options, sigmas in web_ui_lists():
        rho = f" rho {options['rho']}" if options else ""
        add(f"{name} formula{rho}", n, {"sigmas": torch.tensor(sigmas, dtype=torch.float64)}, list=name, **options)
    for zero_snr in (False, True):
        alpha_bars = make_scheduler("DDIM", rescale_betas_zero_snr=zero_snr).alphas_cumprod.double()
        cases.add("table", "zero-SNR" if zero_snr else "usual", {"alpha_bars": alpha_bars}, zero_snr=zero_snr)


def tails(cases):
    """Dumps the steps that diffusers' image-to-image pipelines keep."""
    from diffusers import StableDiffusionImg2ImgPipeline

    rows = []
    for n in (1, 4, 10, 30, 50, 100):
        scheduler = make_scheduler("EulerDiscrete")
        scheduler.set_timesteps(n)
        for strength in (0.05, 0.29, 0.3, 0.57, 0.7, 0.75, 0.8, 0.99, 1.0):
            holder = types.SimpleNamespace(scheduler=scheduler)
            kept, _ = StableDiffusionImg2ImgPipeline.get_timesteps(holder, n, strength, "cpu")
            rows.append([n, strength, len(kept)])
    cases.add("tail", "tails", {"rows": torch.tensor(rows, dtype=torch.float64)})


def noises(cases):
    shapes = [(4, 8, 8), (3, 1, 1), (1, 3, 5), (1, 4, 4), (1, 1, 17), (4, 33, 31)]
    for seed in (0, 42, 2**32 - 1):
        state = np.random.RandomState(seed)
        drawn = {str(i): torch.from_numpy(state.randn(*shape).astype(np.float32)) for i, shape in enumerate(shapes)}
        cases.add("noise", f"numpy seed={seed}", drawn, noise="numpy", seed=seed, shapes=shapes)
    for seed in (0, 1, 2**32 - 1, 2**32 + 3, 2**63 - 1, 2**63 + 5, 2**64 - 1):
        generator = torch.Generator().manual_seed(seed if seed < 2**63 else seed - 2**64)
        drawn = {str(i): torch.randn((1, *shape), generator=generator)[0] for i, shape in enumerate(shapes)}
        cases.add("noise", f"torch-cpu seed={seed}", drawn, noise="torch-cpu", seed=seed, shapes=shapes)


def drawings(cases):
    """Draws the start and the steps from one generator a picture, as diffusers' pipelines do, in f32."""
    seeds = [5, 2**40 + 7]
    for sampler, scheduler_name in (("euler_a", "EulerAncestralDiscrete"), ("dpm2_a", "KDPM2AncestralDiscrete"),
                                    ("dpmpp_2m_sde", "DPMSolverMultistep"), ("ddpm", "DDPM"), ("lcm", "LCM")):
        module = scheduler_module(CLASSES[scheduler_name])
        module.randn_tensor = importlib.import_module("diffusers.utils.torch_utils").randn_tensor
        config = {"algorithm_type": "sde-dpmsolver++"} if sampler == "dpmpp_2m_sde" else {}
        if sampler == "ddpm":
            config = {"clip_sample": False}
        scheduler = make_scheduler(scheduler_name, **config)
        scheduler.set_timesteps(8)
        vp = scheduler_name in VP
        by_alphas = scheduler_name in ("DDPM", "LCM")
        sigmas = sigmas_of_alphas(scheduler) if by_alphas else list(dict.fromkeys(float(s) for s in scheduler.sigmas))
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        x = module.randn_tensor(SHAPE, generator=generators, dtype=torch.float32)
        x = x if vp else x * sigmas[0]
        for i, t in enumerate(scheduler.timesteps):
            x_net = scheduler.scale_model_input(x, t)
            sigma = sigmas[i] if vp else model_sigma(scheduler)
            x = scheduler.step(network(x_net, sigma, "epsilon").float(), t, x, generator=generators).prev_sample
        cases.add("drawing", f"{sampler} {scheduler_name} with its own torch noise",
                  {"sigmas": torch.tensor(sigmas, dtype=torch.float64), "end": x}, sampler=sampler, seeds=seeds,
                  unit_variance=vp, consistency=scheduler_name == "LCM")


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    cases = Cases()
    with torch.no_grad():
        for part in (diffusers_paths, formula_paths, lists, tails, noises, drawings):
            part(cases)
    names = [case["name"] for case in cases.cases]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
    save_file(cases.tensors, os.path.join(folder, "tensors.safetensors"))
    with open(os.path.join(folder, "cases.json"), "w") as file:
        json.dump(cases.cases, file)
    print(len(names), "cases")


if __name__ == "__main__":
    main()
