"""The real clients of other APIs, unmodified, on our server: `openai` and `webuiapi` out of PyPI.

Usage: clients_test.py PROGRAM
"""

import base64
import io
import pathlib
import signal
import sys
import tempfile
import threading
import unittest

from program import reference_imports, run

with reference_imports():
    import numpy
    import openai
    import safetensors.numpy
    import webuiapi
    from PIL import Image

from served import Server, wait_for

ANN = "ann-0123456789abcdef"


def opened(text):
    picture = Image.open(io.BytesIO(base64.b64decode(text)))
    picture.load()
    return picture


def png_file(picture):
    data = io.BytesIO()
    picture.save(data, "PNG")
    data.seek(0)
    return data


def write_lora(path):
    """Of one layer of the model `low`, strong enough to be seen."""
    random = numpy.random.default_rng(1)
    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"  # of `low`: [96, 384]
    safetensors.numpy.save_file({f"{layer}.lora_down.weight": random.normal(size=(4, 384)).astype("float32"),
                                 f"{layer}.lora_up.weight": random.normal(size=(96, 4)).astype("float32"),
                                 f"{layer}.alpha": numpy.array(4, "float32")}, path)


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        keys = cls.folder / "keys"
        keys.write_text(f"ann {ANN}\n")
        loras = cls.loras = cls.folder / "loras"
        loras.mkdir()
        write_lora(loras / "ink.safetensors")
        cls.server = Server(cls.folder / "data", "--api-key-file", keys, "--loras", loras)
        cls.addClassCleanup(lambda: cls.server.end(signal.SIGKILL))

    def drawn(self, *flags):
        """The command line's picture of "a red apple" in two steps of seed 7."""
        out = self.folder / "cli.png"
        done = run("draw", "a red apple", "--seed", 7, "--steps", 2, "--size", "64x64", "--out", out, "--overwrite",
                   "--threads", 1, *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        return Image.open(out).tobytes()


class OpenAi(Clients):
    def setUp(self):
        self.client = openai.OpenAI(base_url=f"http://{self.server.host}:{self.server.port}/v1", api_key=ANN)

    def test_models_are_listed(self):
        self.assertEqual(self.client.models.list().data[0].id, "mini")
        self.assertEqual(self.client.models.retrieve("edges").id, "edges")

    def test_pictures_are_generated_as_the_command_line_draws_them(self):
        made = self.client.images.generate(prompt="a red apple", model="mini", n=2, size="64x64",
                                           extra_body={"seed": 7, "steps": 2})
        self.assertEqual((len(made.data), made.size), (2, "64x64"))
        self.assertEqual(opened(made.data[0].b64_json).tobytes(), self.drawn())
        made = self.client.images.generate(prompt="a red apple", size="64x64", output_format="jpeg",
                                           output_compression=50, response_format="url", extra_body={"steps": 2})
        path = made.data[0].url.split(str(self.server.port), 1)[1]
        self.assertEqual(Image.open(io.BytesIO(self.server.call("GET", path, key=ANN)[1])).format, "JPEG")

    def test_partial_pictures_come_before_the_complete_one(self):
        events = list(self.client.images.generate(prompt="a red apple", size="128x128", stream=True, partial_images=2,
                                                  extra_body={"steps": 8}))
        self.assertEqual([event.type for event in events],
                         ["image_generation.partial_image"] * 2 + ["image_generation.completed"])
        self.assertEqual([event.partial_image_index for event in events[:2]], [0, 1])
        self.assertEqual(opened(events[-1].b64_json).size, (128, 128))

    def test_an_edit_keeps_what_its_mask_does_not_clear(self):
        picture = Image.new("RGB", (128, 128), (200, 30, 30))
        mask = Image.new("RGBA", (128, 128), (255, 255, 255, 255))
        mask.paste((0, 0, 0, 0), (32, 32, 96, 96))
        edited = self.client.images.edit(image=("a.png", png_file(picture), "image/png"),
                                         mask=("m.png", png_file(mask), "image/png"), prompt="a green leaf",
                                         extra_body={"steps": 2, "seed": 1, "mask_blur": 0})
        result = opened(edited.data[0].b64_json)
        self.assertEqual(result.getpixel((4, 4)), (200, 30, 30))
        self.assertNotEqual(result.getpixel((64, 64)), (200, 30, 30))
        varied = self.client.images.create_variation(image=("a.png", png_file(picture), "image/png"), size="64x64")
        self.assertEqual(opened(varied.data[0].b64_json).size, (64, 64))

    def test_what_is_refused_is_not_tried_again(self):
        for wrong, word in (({"model": "gpt-image-1"}, "model"), ({"size": "100x100"}, "width"), ({"n": 11}, "n"),
                            ({"style": "vivid"}, "style"), ({"extra_body": {"stepz": 3}}, "steps"),
                            ({"background": "transparent"}, "background")):
            with self.subTest(wrong=wrong):
                with self.assertRaises(openai.BadRequestError) as refused:
                    self.client.images.generate(prompt="x", **wrong)
                self.assertIn(word, str(refused.exception))
                self.assertEqual(refused.exception.response.headers["x-should-retry"], "false")
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=str(self.client.base_url), api_key="wrong").models.list()


class WebUi(Clients):
    def setUp(self):
        self.api = webuiapi.WebUIApi(host=self.server.host, port=self.server.port, sampler="DPM++ 2M",
                                     scheduler="Karras", steps=2)
        self.api.set_auth("ann", ANN)

    def test_lists_have_what_clients_look_for(self):
        self.assertIn("mini", self.api.util_get_model_names())
        self.assertIn("Euler a", self.api.util_get_sampler_names())
        self.assertIn("Karras", self.api.util_get_scheduler_names())
        self.assertEqual(self.api.util_get_current_model(), "mini")
        for asked in (self.api.get_loras, self.api.get_sd_vae, self.api.get_upscalers, self.api.get_embeddings,
                      self.api.get_prompt_styles, self.api.get_memory, self.api.get_cmd_flags, self.api.get_scripts,
                      self.api.refresh_checkpoints):
            asked()
        self.assertEqual(self.api.get_progress()["progress"], 0)

    def test_a_text_becomes_the_picture_of_the_command_line(self):
        made = self.api.txt2img(prompt="a red apple", seed=7, width=64, height=64, cfg_scale=4.0, n_iter=2)
        self.assertEqual(len(made.images), 2)
        self.assertEqual(made.images[0].tobytes(), self.drawn("--guidance", 4))
        self.assertEqual(made.info["all_seeds"], [7, 8])
        self.assertIn("Steps: 2, Sampler: DPM++ 2M", made.info["infotexts"][0])
        self.assertEqual(made.parameters["prompt"], "a red apple")
        self.assertEqual(self.api.png_info(made.image).info, made.info["infotexts"][0])

    def test_a_picture_with_a_mask_is_drawn_over_inside_of_it(self):
        picture = Image.new("RGB", (128, 128), (200, 30, 30))
        mask = Image.new("RGB", (128, 128))
        mask.paste((255, 255, 255), (32, 32, 96, 96))
        drawing = {"images": [picture], "prompt": "a leaf", "seed": 1, "width": 128, "height": 128, "steps": 4,
                   "denoising_strength": 1.0, "mask_blur": 0}
        inside = self.api.img2img(mask_image=mask, inpainting_mask_invert=0, **drawing).image
        self.assertEqual(inside.getpixel((4, 4)), (200, 30, 30))
        self.assertNotEqual(inside.getpixel((64, 64)), (200, 30, 30))
        outside = self.api.img2img(mask_image=mask, inpainting_mask_invert=1, **drawing).image
        self.assertEqual(outside.getpixel((64, 64)), (200, 30, 30))

    def test_progress_and_interruption_are_of_the_callers_own_job(self):
        results = []
        drawing = threading.Thread(target=lambda: results.append(
            self.api.txt2img(prompt="a red apple", seed=7, width=256, height=256, steps=900)))
        drawing.start()
        progress = wait_for(lambda: next((p for p in [self.api.get_progress()] if p["state"]["sampling_step"] > 3
                                          and p["current_image"]), None), 60, "progress with a picture")
        opened(progress["current_image"])
        self.assertEqual(progress["state"]["sampling_steps"], 900)
        self.api.interrupt()
        drawing.join(20)
        self.assertFalse(drawing.is_alive())
        self.assertEqual(results[0].images, [])

    def test_what_would_change_the_picture_and_is_not_served_is_refused_by_name(self):
        for name, value in (("tiling", True), ("restore_faces", True), ("subseed_strength", 0.5),
                            ("styles", ["x"]), ("script_name", "x/y/z plot"),
                            ("alwayson_scripts", {"ADetailer": {"args": [{"ad_model": "face"}]}})):
            with self.subTest(name=name):
                with self.assertRaises(RuntimeError) as refused:
                    self.api.txt2img(prompt="x", width=64, height=64, **{name: value})
                self.assertIn(name, str(refused.exception))

    def test_a_lora_of_one_request_is_not_in_the_next(self):
        def draw(prompt):
            return self.api.txt2img(prompt=prompt, seed=7, width=64, height=64,
                                    override_settings={"sd_model_checkpoint": "low"}).image.tobytes()
        before = draw("a red apple")
        self.assertEqual([lora["name"] for lora in self.api.get_loras()], ["ink"])
        write_lora(self.loras / "oil.safetensors")
        self.api.refresh_checkpoints()
        self.assertEqual([lora["name"] for lora in self.api.get_loras()], ["ink", "oil"])
        self.assertNotEqual(draw("a red apple <lora:ink:1>"), before)
        self.assertEqual(draw("a red apple"), before)
        with self.assertRaises(RuntimeError) as refused:  # of another model: says so, and not where the file lies
            self.api.txt2img(prompt="a red apple <lora:ink:1>", width=64, height=64)
        self.assertIn("ink.safetensors", str(refused.exception))
        self.assertNotIn(str(self.folder), str(refused.exception))

    def test_a_picture_with_a_lora_is_drawn_again_by_the_command_line(self):
        made = self.api.txt2img(prompt="a red apple <lora:ink:1>", seed=7, width=64, height=64,
                                override_settings={"sd_model_checkpoint": "low"})
        picture = self.folder / "inked.png"
        job = self.server.call("GET", "/v1/jobs?limit=1", key=ANN)[1]["jobs"][0]
        picture.write_bytes(self.server.picture(job, key=ANN))
        again = self.folder / "again.png"
        done = run("draw", "--from", picture, "--lora-dir", self.loras, "--out", again, "--overwrite", "--threads", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(Image.open(again).tobytes(), made.image.tobytes())

    def test_options_choose_the_model(self):
        self.api.set_options({"sd_model_checkpoint": "low"})
        self.assertEqual(self.api.get_options()["sd_model_checkpoint"], "low")
        made = self.api.txt2img(prompt="a red apple", seed=7, width=64, height=64)
        self.assertEqual(made.info["sd_model_name"], "low")
        self.api.set_options({"sd_model_checkpoint": "mini"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
