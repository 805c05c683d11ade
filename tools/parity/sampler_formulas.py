"""The network and the noise of dump_samplers.py, and samplers and lists that diffusers lacks, written from their
definitions.

The samplers are not for use: they have quadrature instead of closed forms, and polynomials instead of weights.
"""
import math

import numpy as np
import torch

SHAPE = (2, 4, 5, 6)
SPREAD, CENTRE = 0.4, 1.0  # of the mixture 1/2 N(-CENTRE, SPREAD^2) + 1/2 N(CENTRE, SPREAD^2)


def denoise(x, sigma):
    spread = SPREAD**2 + sigma**2
    return (SPREAD**2 * x + sigma**2 * CENTRE * torch.tanh(CENTRE * x / spread)) / spread


class Noise:
    """Returns normals in the order of the calls, and keeps all of them."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.given = []

    def __call__(self, *_arguments, **_keywords):
        self.given.append(torch.randn(SHAPE, generator=self.generator, dtype=torch.float64))
        return self.given[-1]


class BrownianPath:
    """The noise of DPMSolverSDE: W(sigma) - W(sigma_next) over sqrt(sigma - sigma_next), of one path W."""

    def __init__(self, noise):
        self.noise, self.at = noise, {}

    def __call__(self, sigma, sigma_next):
        a, b = float(sigma), float(sigma_next)
        self.at.setdefault(a, torch.zeros(SHAPE, dtype=torch.float64))
        if b not in self.at:
            last = min(self.at)
            self.at[b] = self.at[last] + self.noise() * math.sqrt(last - b)
        return (self.at[b] - self.at[a]) / math.sqrt(a - b)


def formula_paths(cases):
    """Exponential integrators in lambda = -log(sigma) and Karras' steps, written from their definitions."""
    curve = [float(s) for s in np.exp(np.linspace(math.log(14.0), math.log(0.03), 14))]
    uneven = [s * (1 + 0.2 * math.sin(7 * i)) for i, s in enumerate(curve)]
    nodes, weights = np.polynomial.legendre.leggauss(40)

    def moment(k, power):
        """The integral over u from 0 to 1 of k exp(-k (1 - u)) u^power."""
        u = (nodes + 1) / 2
        return float(np.sum(weights / 2 * k * np.exp(-k * (1 - u)) * u**power))

    def split(sigma, end, eta):
        up = min(end, eta * math.sqrt(end**2 / sigma**2 * (sigma**2 - end**2)))
        return math.sqrt(end**2 - up**2), up

    for sigmas in (uneven + [0.0], uneven):
        for eta in (0.4, 1.0):

            def ancestral_2s(x, i, noise):
                sigma, end = sigmas[i], sigmas[i + 1]
                down, up = split(sigma, end, eta)
                x0 = denoise(x, sigma)
                if down == 0:
                    return x0
                h = math.log(sigma / down)
                middle = math.exp(-(-math.log(sigma) + h / 2))
                inner = math.exp(-h / 2) * x + (1 - math.exp(-h / 2)) * x0
                return math.exp(-h) * x + (1 - math.exp(-h)) * denoise(inner, middle) + up * noise()

            def ancestral_dpm2(x, i, noise):
                sigma, end = sigmas[i], sigmas[i + 1]
                down, up = split(sigma, end, eta)
                slope = (x - denoise(x, sigma)) / sigma
                if down == 0:
                    return x + slope * (down - sigma)
                middle = math.exp((math.log(sigma) + math.log(down)) / 2)
                inner = x + slope * (middle - sigma)
                return x + (inner - denoise(inner, middle)) / middle * (down - sigma) + up * noise()

            def sde(x, i, noise):
                sigma, end = sigmas[i], sigmas[i + 1]
                x0 = denoise(x, sigma)
                if end == 0:
                    return x0
                path = BrownianPath(noise)
                middle = math.exp((math.log(sigma) + math.log(end)) / 2)
                down, up = split(sigma, middle, eta)
                inner = x0 + (x - x0) * down / sigma + up * path(sigma, middle)
                down, up = split(sigma, end, eta)
                x0 = denoise(inner, middle)
                path(middle, end)
                return x0 + (x - x0) * down / sigma + up * path(sigma, end)

            def multistep(order):
                guesses = []

                def step(x, i, noise):
                    if i == 0:
                        guesses.clear()
                    sigma, end = sigmas[i], sigmas[i + 1]
                    guesses.insert(0, denoise(x, sigma))
                    if end == 0:
                        return guesses[0]
                    h = math.log(sigma / end)
                    k = (1 + eta) * h
                    back = [math.log(sigmas[i - j - 1] / sigmas[i - j]) / h for j in range(min(i, order - 1))]
                    x = math.exp(-k) * x + moment(k, 0) * guesses[0]
                    if len(back) >= 1:
                        first = (guesses[0] - guesses[1]) / back[0]
                        if order == 2:  # midpoint form: half the change, with the weight of x0 itself
                            x = x + moment(k, 0) / 2 * first
                        elif len(back) == 1:
                            x = x + moment(k, 1) * first
                        else:
                            bend = (first - (guesses[1] - guesses[2]) / back[1]) / (back[0] + back[1])
                            # u^2 / 2: the half weight of the reference codes.
                            x = x + moment(k, 1) * (first + back[0] * bend) + moment(k, 2) / 2 * bend
                    return x + end * math.sqrt(1 - math.exp(-2 * eta * h)) * noise()

                return step

            cases.formula("dpmpp_2s_a", sigmas, ancestral_2s, {"eta": eta})
            cases.formula("dpm2_a", sigmas, ancestral_dpm2, {"eta": eta})
            cases.formula("dpmpp_sde", sigmas, sde, {"eta": eta})
            cases.formula("dpmpp_2m_sde", sigmas, multistep(2), {"eta": eta})
            cases.formula("dpmpp_3m_sde", sigmas, multistep(3), {"eta": eta})
        for order in (1, 2, 3, 4):
            slopes = []

            def lms(x, i, _noise):
                if i == 0:
                    slopes.clear()
                slopes.insert(0, ((x - denoise(x, sigmas[i])) / sigmas[i], sigmas[i]))
                del slopes[order:]
                for j, (slope, at) in enumerate(slopes):
                    basis = np.poly1d([1.0])
                    for m, (_, other) in enumerate(slopes):
                        if m != j:
                            basis *= np.poly1d([1.0, -other]) / (at - other)
                    integral = basis.integ()
                    x = x + slope * float(integral(sigmas[i + 1]) - integral(sigmas[i]))
                return x

            cases.formula("lms", sigmas, lms, {"order": order})


def web_ui_lists():
    """Yields (list, n, its options, sigmas) of the web UIs' own lists, with the 0 at the end.

    sgm_uniform, simple, ddim_uniform: modules/sd_schedulers.py of A1111's web UI and comfy/samplers.py of ComfyUI;
    polyexponential: k_diffusion/sampling.py.
    """
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    bars = np.cumprod(1 - betas)
    table = np.sqrt((1 - bars) / bars)  # of t = 0 ... 999
    last = len(table) - 1

    def at(t):
        """The sigma at t; log(sigma) is linear in t between entries."""
        return math.exp(np.interp(t, np.arange(len(table)), np.log(table)))

    for n in (1, 2, 7, 20, 30, 50, 333, 1000):
        yield "sgm_uniform", n, {}, [*map(at, np.linspace(last, 0, n + 1)[:-1]), 0.0]
        yield "simple", n, {}, [*(table[last - int(i * len(table) / n)] for i in range(n)), 0.0]
        yield "ddim_uniform", n, {}, [*table[1 :: len(table) // n][::-1], 0.0]
        for rho in (0.5, 1.0, 3.0):
            share = np.linspace(1, 0, n) ** rho  # of the way from the least noise to the most, in log(sigma)
            yield "polyexponential", n, {"rho": rho}, [*table[0] * (table[-1] / table[0]) ** share, 0.0]
