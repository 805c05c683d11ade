"""Adapters, embeddings and prompts as people bring them: `draw` gives the picture that their formulas say, or refuses
with the reason, or says what it leaves out.

Usage: adapters_test.py PROGRAM. Skipped (77) without diffusers. Models are tiny, with random weights. Changes are merged
into the weights of a copy of the model here, by their formulas (LoRA: Hu et al. 2021; LoHa, LoKr: Yeh et al. 2023; DoRA:
Liu et al. 2024), and both are drawn.
"""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from program import PROGRAM, reference_imports, run_as_user

with reference_imports("tools/parity", "tools"):
    import numpy as np
    import torch
    from diffusers import DDIMScheduler
    from PIL import Image
    from safetensors.torch import load_file, save_file
    import dump_coop

PROMPT = "a cat with a hat"
BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
LINEAR, CONTEXT = f"{BLOCK}.attn1.to_out.0", f"{BLOCK}.attn2.to_k"
CONV, NORM = "down_blocks.1.resnets.0.conv2", f"{BLOCK}.norm1"
TEXT = "encoder.layers.1.mlp.fc1"
# f32 products in another order move a byte by one here and there; the changes move the picture by more than 1.
SAME, OTHER = 0.02, 1.0


def kohya(module):
    return "lora_unet_" + module.replace(".", "_")


def norms(weight, axis):
    return torch.linalg.vector_norm(weight, dim=[i for i in range(weight.dim()) if i != axis], keepdim=True)


class Adapters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        torch.manual_seed(3)
        cls.pipe = dump_coop.sd15(cls.folder / "words")
        cls.pipe.save_pretrained(cls.folder / "sd15")
        dump_coop.sdxl(cls.folder / "words").save_pretrained(cls.folder / "sdxl")
        cls.unet = load_file(cls.folder / "sd15/unet/diffusion_pytorch_model.safetensors")
        cls.alone = cls.draw()

    @classmethod
    def run_draw(cls, *flags, prompt=PROMPT, model="sd15", steps=2, size=64):
        """Flags that begin with @ are files of the test's folder."""
        named = [str(cls.folder / flag[1:]) if str(flag).startswith("@") else str(flag) for flag in flags]
        where = ["--model", cls.folder / model] if model else []
        return run_as_user(
            "draw", prompt, *where, "--size", str(size), "--steps", str(steps), "--seed", "5", "--dtype", "f32",
            "--threads", "1", "--quiet", *named, "--out", cls.folder / "out.png")

    @classmethod
    def draw(cls, *flags, warns=(), **more):
        """The picture; every one of `warns` must be in what is said, and no warning is if there is none."""
        (cls.folder / "out.png").unlink(missing_ok=True)
        done = cls.run_draw(*flags, **more)
        assert done.returncode == 0, (flags, done.stderr)
        for words in warns:
            assert words in done.stderr, (flags, words, done.stderr)
        # Pictures are smaller here than the model likes.
        others = [line for line in done.stderr.splitlines() if "warning: " in line and "warning: size: " not in line]
        assert warns or not others, (flags, done.stderr)
        return np.asarray(Image.open(cls.folder / "out.png").convert("RGB"), dtype=np.int32)

    def refused(self, words, *flags, **more):
        (self.folder / "out.png").unlink(missing_ok=True)
        done = self.run_draw(*flags, **more)
        self.assertEqual(done.returncode, 2, f"{flags}: {done.stderr}")
        self.assertFalse((self.folder / "out.png").exists())
        for word in words:
            self.assertIn(word, done.stderr, flags)

    def save(self, name, tensors):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
        return f"@{name}"

    def drawn_merged(self, changed, **more):
        """The picture of the model with these tensors of its UNet instead of its own."""
        shutil.rmtree(self.folder / "merged", ignore_errors=True)
        shutil.copytree(self.folder / "sd15", self.folder / "merged")
        save_file({**self.unet, **changed}, self.folder / "merged/unet/diffusion_pytorch_model.safetensors")
        return self.draw(model="merged", **more)

    def check_same(self, one, other, moved=None):
        self.assertLess(np.abs(one - other).mean(), SAME)
        base = self.alone if moved is None else moved
        self.assertGreater(np.abs(other - base).mean(), OTHER)

    def factors(self, module, rank=4, loud=1.0):
        weight = self.unet[module + ".weight"]
        down = torch.randn(rank, weight.shape[1], *weight.shape[2:]) * 0.3 * loud
        return down, torch.randn(weight.shape[0], rank, *([1] * (weight.dim() - 2))) * loud

    def product(self, module, down, up):
        return (up.flatten(1) @ down.flatten(1)).reshape(self.unet[module + ".weight"].shape)

    def test_dora_of_every_trainer(self):
        for axis, weight in ((0, 1.0), (1, 1.0), (1, 0.6)):
            changed, lyco, peft = {}, {}, {}
            for module in (LINEAR, CONTEXT, CONV):
                base = self.unet[module + ".weight"]
                down, up = self.factors(module)
                sums = base + 0.5 * self.product(module, down, up)
                wanted = norms(base, axis) * (1 + torch.rand(1))
                full = wanted * sums / norms(sums, axis)
                changed[module + ".weight"] = base + weight * (full - base)
                key = kohya(module)
                lyco |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.dora_scale": wanted,
                         f"{key}.alpha": torch.tensor(2.0)}
                vector = wanted.flatten() if base.dim() == 2 else wanted.transpose(0, 1)
                key = f"base_model.model.{module}"
                peft |= {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up,
                         f"{key}.lora_magnitude_vector": vector}
            want = self.drawn_merged(changed)
            self.check_same(self.draw("--lora", f"{self.save('dora.safetensors', lyco)}:{weight}"), want)
            if axis == 0:  # PEFT's are of rows
                self.save("peft_dora/adapter_model.safetensors", peft)
                (self.folder / "peft_dora/adapter_config.json").write_text(
                    json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 2, "use_dora": True}))
                self.check_same(self.draw("--lora", "@peft_dora"), want)
        self.save("peft_dora/adapter_model.safetensors", {k: v for k, v in peft.items() if "magnitude" not in k})
        self.refused(["DoRA's norms", "lora_magnitude_vector"], "--lora", "@peft_dora")

    def test_loha_and_lokr(self):
        changed, loha, lokr, by_lokr = {}, {}, {}, {}
        for module in (LINEAR, CONTEXT, CONV):
            base, key = self.unet[module + ".weight"], kohya(module)
            out, inside = base.shape[0], base[0].numel()
            w1a, w1b, w2a, w2b = torch.randn(out, 4), torch.randn(4, inside), torch.randn(out, 4), torch.randn(4, inside)
            changed[module + ".weight"] = base + (0.05 * 0.5 * (w1a @ w1b) * (w2a @ w2b)).reshape(base.shape)
            loha |= {f"{key}.hada_w1_a": 0.05 * w1a, f"{key}.hada_w1_b": w1b, f"{key}.hada_w2_a": w2a,
                     f"{key}.hada_w2_b": w2b, f"{key}.alpha": torch.tensor(2.0)}
            w1, a, b = torch.randn(4, 8), torch.randn(out // 4, 2), torch.randn(2, inside // 8)
            large = (a @ b).reshape(out // 4, base.shape[1] // 8, *base.shape[2:])
            product = torch.einsum("ab,cd...->acbd...", w1, large).reshape(base.shape)
            by_lokr[module + ".weight"] = base + 0.1 * product
            lokr |= {f"{key}.lokr_w1": 0.1 * w1, f"{key}.lokr_w2_a": a, f"{key}.lokr_w2_b": b}
        self.check_same(self.draw("--lora", self.save("loha.safetensors", loha)), self.drawn_merged(changed))
        self.check_same(self.draw("--lora", self.save("lokr.safetensors", lokr)), self.drawn_merged(by_lokr))

    def test_differences_of_weights_norms_and_biases(self):
        added = {LINEAR + ".weight": "diff", LINEAR + ".bias": "diff_b", NORM + ".weight": "w_norm",
                 NORM + ".bias": "b_norm"}
        tensors, changed = {}, {}
        for name, ending in added.items():
            change = torch.randn(self.unet[name].shape)
            tensors[f"{kohya(name.rpartition('.')[0])}.{ending}"] = change
            changed[name] = self.unet[name] + 0.5 * change
        lora = self.save("differences.safetensors", tensors)
        self.check_same(self.draw("--lora", f"{lora}:0.5"), self.drawn_merged(changed))

    def test_what_peft_says_beside_the_weights_counts(self):
        down, up = self.factors(CONTEXT)
        key = f"base_model.model.{CONTEXT}"
        self.save("peft/adapter_model.safetensors", {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up})

        def with_config(**config):
            (self.folder / "peft/adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, **config}))
            return self.draw("--lora", "@peft/adapter_model.safetensors")

        def merged(scale):
            return self.drawn_merged({CONTEXT + ".weight":
                                      self.unet[CONTEXT + ".weight"] + scale * self.product(CONTEXT, down, up)})

        self.check_same(with_config(lora_alpha=16), merged(4))
        self.check_same(with_config(lora_alpha=8, use_rslora=True), merged(4))
        self.check_same(with_config(lora_alpha=1, alpha_pattern={"attn2.to_k": 12}), merged(3))
        (self.folder / "peft/adapter_config.json").write_text(json.dumps({"peft_type": "OFT"}))
        self.refused(["adapter_config.json", "OFT"], "--lora", "@peft/adapter_model.safetensors")

    def test_modules_that_do_not_fit_are_left_out_and_named(self):
        parts = {}
        for module in (LINEAR, CONTEXT):
            down, up = self.factors(module)
            parts |= {f"{kohya(module)}.lora_down.weight": down, f"{kohya(module)}.lora_up.weight": up}
        fits = self.draw("--lora", self.save("fits.safetensors", parts))
        layer = "lora_te_text_model_encoder_layers_23_self_attn_q_proj"
        other = {f"{layer}.lora_down.weight": torch.randn(4, 64), f"{layer}.lora_up.weight": torch.randn(64, 4)}
        more = self.draw("--lora", self.save("more.safetensors", {**parts, **other, "steps_done": torch.ones(1)}),
                         warns=["1 of 3 modules do not fit", layer, "'steps_done'"])
        self.check_same(more, fits)
        self.refused([layer, "text_encoder"], "--lora", self.save("none.safetensors", other))

    def test_numbers_that_are_not_finite_are_refused(self):
        down, up = self.factors(LINEAR)
        key = kohya(LINEAR)
        good = self.save("good.safetensors", {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up})
        for bad in (float("nan"), float("inf")):
            broken = up.clone()
            broken[1, 2] = bad
            file = self.save("broken.safetensors", {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": broken})
            self.refused(["broken.safetensors", f"{key}.lora_up.weight", "finite"], "--lora", file)
        self.refused(["good.safetensors", "1e+30"], "--lora", f"{good}:1e30")
        huge = self.save("huge.safetensors", {f"{key}.lora_down.weight": down * 1e30, f"{key}.lora_up.weight": up * 1e30})
        self.refused(["huge.safetensors", LINEAR, "finite"], "--lora", huge)

    def test_other_kinds_are_named_by_draw_and_inspect(self):
        for ending, kind in (("oft_blocks", "OFT"), ("boft_R.default", "BOFT"), ("on_input", "IA3"), ("a1.weight", "GLoRA")):
            file = self.save("kind.safetensors", {f"{kohya(LINEAR)}.{ending}": torch.randn(2, 2)})
            self.refused([kind], "--lora", file)
            said = subprocess.run([PROGRAM, "inspect", self.folder / "kind.safetensors"], capture_output=True, text=True,
                                  check=True).stdout
            self.assertIn(f"not supported: {kind}", said)

    def test_embeddings_in_every_form(self):
        vectors, wide = torch.randn(2, 64), torch.randn(2, 96)
        word = {"prompt": "a cat, zorbyx, in snow"}
        plain = self.draw(**word)
        want = self.draw("--embedding", self.save("a/zorbyx.safetensors", {"emb_params": vectors}), **word)
        self.assertGreater(np.abs(want - plain).mean(), OTHER)
        for number, name in enumerate(("string_to_param.*", "clip_l", "text_encoders_0")):
            file = self.save(f"b{number}/zorbyx.safetensors", {name: vectors})
            self.check_same(self.draw("--embedding", file, **word), want, moved=plain)
        # In a LoRA: the LoRA alone does nothing here.
        down, up = self.factors(LINEAR)
        silent = {f"{kohya(LINEAR)}.lora_down.weight": down, f"{kohya(LINEAR)}.lora_up.weight": torch.zeros_like(up)}
        for name in ("emb_params", "string_to_param.*"):
            file = self.save("bundle.safetensors", {**silent, f"bundle_emb.zorbyx.{name}": vectors})
            self.check_same(self.draw("--lora", file, **word), want, moved=plain)
        # ComfyUI's way to name it.
        named = self.draw("--embedding", "@a/zorbyx.safetensors", prompt="a cat, embedding:zorbyx, in snow")
        self.check_same(named, want, moved=plain)
        xl = {"model": "sdxl", **word}
        plain = self.draw(**xl)
        want = self.draw("--embedding", self.save("c/zorbyx.safetensors", {"clip_l": vectors, "clip_g": wide}), **xl)
        self.assertGreater(np.abs(want - plain).mean(), OTHER)
        file = self.save("d/zorbyx.safetensors", {"text_encoders_0": vectors, "text_encoders_1": wide})
        self.check_same(self.draw("--embedding", file, **xl), want, moved=plain)
        for name in ("emb_params", "zorbyx"):  # diffusers' two files have the token's name
            halves = [self.save("e/zorbyx.safetensors", {name: vectors}), self.save("e/zorbyx_2.safetensors", {name: wide})]
            self.check_same(self.draw("--embedding", halves[0], "--embedding", halves[1], **xl), want, moved=plain)
        self.refused(["text_encoder_2"], "--embedding", halves[0], **xl)
        bad = vectors.clone()
        bad[0, 0] = float("nan")
        self.refused(["nan.safetensors", "finite"], "--embedding", self.save("nan.safetensors", {"emb_params": bad}))

    def test_words_that_are_no_embeddings_are_said(self):
        self.save("zorbyx.safetensors", {"emb_params": torch.randn(2, 64)})
        one = ["--embedding", "@zorbyx.safetensors"]
        self.draw(*one, prompt="a cat, embedding:zorbix", warns=["no embedding 'zorbix'", "'zorbyx'"])
        self.draw(*one, prompt="a cat, zorbix", warns=["embedding 'zorbyx': no prompt has this word"])
        self.draw(prompt="a <cat-toy> in snow", warns=["no embedding '<cat-toy>'"])

    def test_the_cut_end_of_a_prompt_is_said(self):
        long = ", ".join(["a red fox in the snow"] * 30) + ", a green bicycle"
        self.draw(model=None, prompt=long, warns=["these words are cut", "a green bicycle"])
        self.draw(model=None, prompt="a (red fox:1.4)", warns=["'(red fox:1.4)' is read as it is written"])
        self.draw(model=None, prompt="a red fox")
        self.draw(prompt=long)  # CLIP reads it in parts

    def test_prompts_that_change_while_a_picture_is_drawn(self):
        def of(prompt, *flags):
            return self.draw(*flags, prompt=prompt, steps=4)

        cat, dog = of("a cat in snow"), of("a dog in snow")
        for prompt, same in (("a [cat:dog:0] in snow", dog), ("a [cat:dog:9] in snow", cat),
                             ("a [cat:dog:1.0] in snow", cat), ("a [cat|cat] in snow", cat)):
            np.testing.assert_array_equal(of(prompt), same)
        early, late = of("a [cat:dog:1] in snow"), of("a [cat:dog:0.75] in snow")
        self.assertGreater(np.abs(early - late).mean(), OTHER / 10)
        # Heun calls the network twice a step; the level between two steps belongs to the next.
        self.assertGreater(np.abs(of("a [cat:dog:0.5] in snow", "--sampler", "heun") - cat).mean(), OTHER / 10)

    def test_prompts_joined_by_and_add_their_guidance(self):
        cat = self.draw("--guidance", "6", prompt="a cat in snow")
        self.check_same(self.draw("--guidance", "3", prompt="a cat in snow AND a cat in snow"), cat, moved=self.alone)
        self.check_same(self.draw("--guidance", "6", prompt="a cat in snow :1 AND a green bicycle :0"), cat,
                        moved=self.alone)
        other = self.draw("--guidance", "6", prompt="a cat in snow AND a green bicycle :0.5")
        self.assertGreater(np.abs(other - cat).mean(), OTHER)

    def test_edited_prompts_draw_as_diffusers_does_with_its_callback(self):
        steps, prompts = 6, {"first": "a cat in snow", "then": "a green bicycle"}
        pipe = self.pipe
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
        pipe.set_progress_bar_config(disable=True)

        def reference(prompt_of_step):
            embeds = {}
            with torch.no_grad():
                for name, prompt in prompts.items():
                    rows = pipe.encode_prompt(prompt, "cpu", 1, True, negative_prompt="")
                    embeds[name] = torch.cat([rows[1], rows[0]])

                def change(_, step, __, ___):
                    return {"prompt_embeds": embeds[prompt_of_step(min(step + 1, steps - 1))]}

                start = embeds[prompt_of_step(0)]
                picture = pipe(prompt_embeds=start[1:], negative_prompt_embeds=start[:1], num_inference_steps=steps,
                               guidance_scale=5.0, width=64, height=64, eta=0.0,
                               generator=torch.Generator().manual_seed(5), callback_on_step_end=change).images[0]
            return np.asarray(picture, dtype=np.int32)

        flags = ["--sampler", "ddim", "--schedule", "normal", "--guidance", "5", "--noise", "torch-cpu"]
        for prompt, of_step in (("[a cat in snow:a green bicycle:2]", lambda step: "first" if step < 2 else "then"),
                                ("[a cat in snow:a green bicycle:0.5]", lambda step: "first" if step < 3 else "then"),
                                ("[a cat in snow|a green bicycle]", lambda step: ("first", "then")[step % 2])):
            ours = self.draw(*flags, prompt=prompt, steps=steps)
            want = reference(of_step)
            plain = self.draw(*flags, prompt=prompts["then"], steps=steps)
            self.check_same(ours, want, moved=plain)


if __name__ == "__main__":
    unittest.main()
