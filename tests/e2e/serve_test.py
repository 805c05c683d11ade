"""The server end to end: jobs, events, pictures, keys, limits, and that nothing is lost when processes are killed.

Usage: serve_test.py PROGRAM
"""

import base64
import json
import os
import pathlib
import signal
import socket
import tempfile
import time
import unittest

from png_file import png_of, png_pixels
from program import ROOT, run
from served import Server, wait_for

SMALL = {"prompt": "a red apple", "seed": 7, "steps": 2, "size": "64x64"}
LONG = {"prompt": "a red apple", "seed": 7, "steps": 1000, "size": "256x256"}
# The promise is two seconds; a machine that runs other tests beside this one gets a few more.
LATEST_S = 6
ANN, BOB, ROOT_KEY = "ann-0123456789abcdef", "bob-0123456789abcdef", "root-0123456789abcdef"


class Served(unittest.TestCase):
    FLAGS = ()

    def drawing(self, job_id):
        wait_for(lambda: (self.server.job(job_id)["progress"] or {}).get("step", 0) > 0, 60, "the first step")

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.server = Server(cls.folder / "data", *cls.flags())
        cls.addClassCleanup(lambda: cls.server.end(signal.SIGKILL))

    @classmethod
    def flags(cls):
        return cls.FLAGS


class Jobs(Served):
    def pixels(self, job):
        path = self.folder / "served.png"
        path.write_bytes(self.server.picture(job))
        return png_pixels(path)

    def test_a_job_draws_what_the_command_line_draws(self):
        job = self.server.finished(self.server.submit(SMALL))
        self.assertEqual(job["state"], "done", job)
        self.assertEqual(job["resolved"]["sampler"], "dpmpp_2m")
        out = self.folder / "cli.png"
        drawn = run("draw", SMALL["prompt"], "--seed", 7, "--steps", 2, "--size", "64x64", "--out", out, "--threads", 1)
        self.assertEqual(drawn.returncode, 0, drawn.stderr)
        self.assertEqual(self.pixels(job), png_pixels(out))

    def test_events_come_in_order_and_go_on_behind_the_last_that_was_seen(self):
        job_id = self.server.submit({**SMALL, "steps": 6, "count": 2}, preview_every=1)
        events = self.server.events(job_id)
        names = [name for _, name, _ in events]
        self.assertEqual(names[0], "state")
        self.assertEqual(names[-1], "done")
        self.assertEqual(names.count("picture"), 2)
        self.assertIn("preview", names)
        steps = [data for _, name, data in events if name == "step"]
        self.assertEqual([step["step"] for step in steps], sorted(step["step"] for step in steps))
        self.assertEqual(steps[-1]["step"], steps[-1]["steps"])
        self.assertEqual(steps[-1]["expert"], "texture")
        numbers = [int(event_id.split("-")[1]) for event_id, _, _ in events]
        self.assertEqual(numbers, sorted(numbers))
        middle = next(i for i, name in enumerate(names) if name == "picture")
        again = [name for _, name, _ in self.server.events(job_id, last=events[middle][0])]
        self.assertEqual([name for name in again if name != "preview"],
                         [name for name in names[middle + 1:] if name != "preview"])
        self.assertEqual([name for _, name, _ in self.server.events(job_id)], ["state", "done"])

    def test_a_cancelled_job_ends_in_time_and_the_next_one_is_drawn(self):
        running = self.server.submit(LONG)
        waiting = self.server.submit(LONG)
        behind = self.server.submit(SMALL)
        wait_for(lambda: self.server.job(running)["progress"] and self.server.job(running)["progress"]["step"] > 1, 60,
                 "the first steps")
        begin = time.monotonic()
        self.assertEqual(self.server.call("POST", f"/v1/jobs/{waiting}/cancel")[1]["state"], "cancelled")
        status, _ = self.server.call("POST", f"/v1/jobs/{running}/cancel")
        self.assertEqual(status, 202)
        self.assertEqual(self.server.finished(running)["state"], "cancelled")
        self.assertLess(time.monotonic() - begin, LATEST_S)
        self.assertEqual(self.server.finished(behind)["state"], "done")
        self.assertEqual(self.server.call("POST", f"/v1/jobs/{running}/cancel")[0], 200)

    def test_what_a_job_cannot_be_is_told_at_once_and_names_the_field(self):
        for body, word in [
                ({"request": {"prompt": "x", "stepz": 3}}, "steps"),
                ({"request": {"prompt": "x", "steps": "3"}}, "steps"),
                ({"request": {"prompt": "x"}, "model": "../mini"}, "model"),
                ({"request": {"prompt": "x"}, "model": str(ROOT / "models/mini")}, "model"),
                ({"request": {"prompt": "x"}, "model": "mimi"}, "mini"),
                ({"request": {"prompt": "x"}, "load": {"lora": "/etc/passwd"}}, "lora"),
                ({"request": {"prompt": "x"}, "load": {"vae": "../models/mini"}}, "vae"),
                ({"request": {"prompt": "x <lora:../../etc/passwd:1>"}}, "lora"),
                ({"request": {"prompt": "x", "init_image": "/etc/hostname"}}, "init_image"),
                ({"request": {"prompt": "x", "control_image": "/etc/hostname,weight=1"}}, "control_image"),
                ({"request": {"prompt": "x", "count": 100000}}, "count"),
                ({"recipe": {"prompt": "x", "bridges": ["/etc"]}}, "bridges"),
                ({"prompt": "x"}, "request"),
                ({"request": {"prompt": "x"}, "preview": 1}, "preview")]:
            with self.subTest(body=body):
                status, answer = self.server.call("POST", "/v1/jobs", body)
                self.assertEqual(status, 400, answer)
                self.assertIn(word, answer["error"]["message"] + answer["error"]["hint"])
        job = self.server.finished(self.server.submit({"prompt": "x", "size": "100x64"}))
        self.assertEqual(job["state"], "failed")
        self.assertIn("width", job["error"]["message"])
        self.assertIn("nearest", job["error"]["hint"])

    def test_a_picture_is_drawn_from_an_upload_and_says_how(self):
        first = self.server.finished(self.server.submit(SMALL))
        upload = self.server.upload(self.server.picture(first))
        self.assertEqual(upload, first["pictures"][0]["id"])
        again = self.server.finished(self.server.submit({"prompt": "a pear", "seed": 3, "steps": 4, "strength": 0.5,
                                                         "init_image": upload}))
        self.assertEqual(again["state"], "done", again)
        self.assertEqual((again["resolved"]["width"], again["resolved"]["init_image"]), (64, upload))
        status, settings = self.server.call("GET", again["pictures"][0]["url"] + "/settings")
        self.assertEqual(status, 200, settings)
        self.assertEqual(settings["model"], "mini")
        self.assertEqual(settings["request"]["init_image"], upload)
        self.assertNotIn(str(self.folder), self.server.picture(again).decode("latin-1"))
        repeated = self.server.finished(self.server.submit(settings["request"], model=settings["model"]))
        self.assertEqual(self.pixels(repeated), self.pixels(again))

    def test_models_draw_together_and_control_pictures_are_made(self):
        first = self.server.finished(self.server.submit(SMALL))
        status, job = self.server.call("POST", first["pictures"][0]["url"] + "/controls", {"kind": "edges"})
        self.assertEqual(status, 202, job)
        edges = self.server.finished(job["id"])["pictures"][0]
        self.assertEqual((edges["width"], edges["height"]), (64, 64))
        recipe = {"prompt": "a red apple", "steps": 2, "seed": 1, "size": "64x64",
                  "member": [{"model": "mini", "hub": True, "weight": 0.6},
                             {"model": "edges", "weight": 0.4, "control_image": edges["id"], "size": "64x64"}]}
        status, job = self.server.call("POST", "/v1/jobs", {"recipe": recipe})
        self.assertEqual(status, 202, job)
        job = self.server.finished(job["id"])
        self.assertEqual(job["state"], "done", job)
        self.assertEqual(job["kind"], "coop")
        self.assertEqual(self.server.call("GET", job["pictures"][0]["url"] + "/settings")[1]["recipe"]["prompt"],
                         "a red apple")

    def test_a_call_that_nobody_waits_for_any_more_is_cancelled(self):
        for path, body in (("/v1/images/generations", {"prompt": "x", "size": "256x256", "steps": 1000}),
                           ("/sdapi/v1/txt2img", {"prompt": "x", "steps": 1000, "width": 256, "height": 256})):
            with self.subTest(path=path):
                sent = json.dumps(body).encode()
                with socket.create_connection((self.server.host, self.server.port)) as connection:
                    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: {self.server.host}:{self.server.port}\r\n"
                                       f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent)
                    running = wait_for(lambda: self.server.call("GET", "/v1/jobs?state=running")[1]["jobs"], 60, "the job")
                    self.drawing(running[0]["id"])
                self.assertEqual(self.server.finished(running[0]["id"], timeout_s=LATEST_S)["state"], "cancelled")

    def test_a_request_that_comes_while_another_is_answered_waits_its_turn(self):
        body = json.dumps({"prompt": "x", "size": "64x64", "steps": 50}).encode()
        host = f"Host: {self.server.host}:{self.server.port}\r\n"
        with socket.create_connection((self.server.host, self.server.port), timeout=60) as connection:
            connection.sendall(f"POST /v1/images/generations HTTP/1.1\r\n{host}Content-Type: application/json\r\n"
                               f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            connection.sendall(f"GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode())
            answers = b""
            while piece := connection.recv(65536):
                answers += piece
        self.assertEqual(answers.count(b"HTTP/1.1 200"), 2)
        self.assertIn(b"b64_json", answers)
        self.assertTrue(answers.rstrip().endswith(b'{"status":"ok"}'), answers[-200:])

    def test_each_members_guess_is_shown_beside_the_picture_where_it_is_asked_for(self):
        edges = self.server.finished(self.server.submit(SMALL))["pictures"][0]["id"]
        recipe = {"prompt": "a red apple", "steps": 6, "seed": 1, "size": "64x64",
                  "member": [{"name": "text", "model": "mini", "hub": True, "weight": 0.6},
                             {"name": "lines", "model": "edges", "weight": 0.4, "control_image": edges, "size": "64x64"}]}
        for asked, members in ((True, {None, "text", "lines"}), (False, {None})):
            status, job = self.server.call("POST", "/v1/jobs", {"recipe": recipe, "member_previews": asked})
            self.assertEqual(status, 202, job)
            previews = [data for _, name, data in self.server.events(job["id"]) if name == "preview"]
            self.assertEqual({preview["member"] for preview in previews}, members)
            for preview in previews:
                self.assertTrue(base64.b64decode(preview["image"]).startswith(b"\xff\xd8"))

    def plan(self, **body):
        status, plan = self.server.call("POST", "/v1/plan", body)
        self.assertEqual(status, 200, plan)
        return plan

    def test_a_plan_says_what_a_job_will_cost_and_draws_nothing(self):
        before = len(self.server.call("GET", "/v1/jobs?limit=200")[1]["jobs"])
        request = {**SMALL, "steps": 8, "styles": ["3d"], "guidance_low": 0, "count": 3}
        plan = self.plan(request=request)
        self.assertEqual((plan["kind"], plan["resolved"]["sampler"], plan["resolved"]["seed"]), ("draw", "dpmpp_2m", 7))
        cost = plan["plan"]["cost"]
        denoisers = {use["network"]: use["rows"] for use in cost["networks"] if use["part"] == "denoiser"}
        self.assertEqual(set(denoisers), {"structure", "texture"})
        # Negative, prompt and style, at every step.
        self.assertEqual(sum(denoisers.values()), 8 * 3)
        self.assertEqual((cost["pictures"], cost["evaluations"]), (3, 3 * 8 * 3))
        self.assertGreater(cost["gflop"], 0)
        self.assertEqual(plan["plan"]["stages"][0]["members"][0]["width"], 64)
        self.assertEqual(len(self.server.call("GET", "/v1/jobs?limit=200")[1]["jobs"]), before)
        self.assertIsNone(self.plan(request={"prompt": "x"})["resolved"]["seed"])
        large = self.plan(request={**SMALL, "hires_scale": 2})["plan"]["stages"]
        self.assertEqual([stage["members"][0]["width"] for stage in large], [64, 128])

    def test_a_plan_of_several_models_says_their_bridges(self):
        first = self.server.finished(self.server.submit(SMALL))
        edges = first["pictures"][0]["id"]
        recipe = {"prompt": "a red apple", "steps": 4, "seed": 1, "size": "64x64", "form": "one_way",
                  "member": [{"model": "mini", "hub": True, "weight": 0.6},
                             {"model": "edges", "weight": 0.4, "control_image": edges, "size": "64x64"}]}
        for kind in ("exact", "learned"):
            plan = self.plan(recipe={**recipe, "bridge": kind})
            self.assertEqual(plan["kind"], "coop")
            stage = plan["plan"]["stages"][0]
            self.assertEqual([member["hub"] for member in stage["members"]], [True, False])
            self.assertNotEqual(*[member["latent_space"] for member in stage["members"]])
            self.assertEqual([bridge["kind"] for bridge in stage["bridges"]], [kind])
            self.assertEqual([bridge["crossings"] for bridge in plan["plan"]["cost"]["bridges"]], [4])
            self.assertNotIn(str(ROOT), str(plan))

    def test_a_plan_estimates_seconds_once_the_model_has_drawn(self):
        request = {**SMALL, "sampler": "euler"}
        self.server.finished(self.server.submit(request))
        seconds = self.plan(request=request)["seconds"]
        self.assertGreater(seconds, 0)
        self.assertLess(seconds, 60)
        self.assertGreater(self.plan(request={**request, "steps": 20})["seconds"], 2 * seconds)

    def test_a_plan_refuses_what_the_job_would_fail_with(self):
        for body, word in [({"request": {"prompt": "x", "size": "100x64"}}, "width"),
                           ({"request": {"prompt": "x", "stepz": 1}}, "steps"),
                           ({"request": {"prompt": "x", "init_image": "0" * 64}}, "picture"),
                           ({"recipe": {"prompt": "x", "member": [{"model": "mini", "hub": True}, {"model": "edges"}]}},
                            "control_image")]:
            with self.subTest(body=body):
                status, answer = self.server.call("POST", "/v1/plan", body)
                self.assertIn(status, (400, 404), answer)
                self.assertIn(word, answer["error"]["message"] + answer["error"]["hint"])
        status, answer = self.server.call("POST", "/v1/plan", {"request": {"prompt": "x", "size": "100x64"}})
        job = self.server.finished(self.server.submit({"prompt": "x", "size": "100x64"}))
        self.assertEqual(answer["error"]["message"], job["error"]["message"])
        self.assertEqual(answer["error"]["hint"], job["error"]["hint"])

    def test_a_request_that_is_sent_twice_is_one_job(self):
        def send(request):
            return self.server.call("POST", "/v1/jobs", {"request": request}, {"Idempotency-Key": "once"})
        status, job = send(SMALL)
        self.assertEqual(status, 202)
        self.assertEqual(send(SMALL)[1]["id"], job["id"])
        self.assertEqual(send({**SMALL, "seed": 8})[0], 409)

    def test_jobs_are_listed_page_by_page_and_forgotten_jobs_are_gone(self):
        ids = [self.server.submit(SMALL) for _ in range(3)]
        for job_id in ids:
            self.server.finished(job_id)
        page = self.server.call("GET", "/v1/jobs?limit=2&state=done,failed")[1]
        self.assertEqual([job["id"] for job in page["jobs"]], [ids[2], ids[1]])
        following = self.server.call("GET", f"/v1/jobs?limit=1&before={page['next']}")[1]
        self.assertEqual(following["jobs"][0]["id"], ids[0])
        self.assertEqual(self.server.call("DELETE", f"/v1/jobs/{ids[0]}")[0], 204)
        self.assertEqual(self.server.call("GET", f"/v1/jobs/{ids[0]}")[0], 410)
        self.assertEqual(self.server.call("GET", "/v1/jobs/none")[0], 404)

    def test_the_server_says_what_it_can_and_how_it_is(self):
        status, models = self.server.call("GET", "/v1/models")
        self.assertEqual(models["data"][0]["id"], "mini")
        self.assertEqual(models["data"][0]["experts"], ["structure", "texture"])
        capabilities = self.server.call("GET", "/v1/capabilities")[1]
        self.assertIn("steps", [field["key"] for field in capabilities["fields"]])
        self.assertEqual(self.server.call("GET", "/healthz")[0], 200)
        metrics = self.server.call("GET", "/metrics")[1].decode()
        self.assertRegex(metrics, r"\npangu_queue_jobs \d")
        self.assertRegex(metrics, r"\npangu_jobs_finished_total\{state=\"done\"\} \d")
        status, headers, page = self.server.request("GET", "/")
        self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
        self.assertTrue(page.startswith(b"<!doctype html>") or page.startswith(b"<!DOCTYPE html>"), page[:50])


class Border(Served):
    """What comes over the wire and is no request that the server takes."""

    FLAGS = ("--set", "receive_seconds=2", "--set", "body_megabytes=1", "--set", "connections=20",
             "--set", "pixels=10000")

    def raw(self, sent, wait_s=10):
        with socket.create_connection((self.server.host, self.server.port), timeout=wait_s) as connection:
            connection.sendall(sent)
            answer = b""
            try:
                while piece := connection.recv(65536):
                    answer += piece
                    if b"\r\n\r\n" in answer:
                        break
            except TimeoutError:
                self.fail(f"no answer and no end within {wait_s} s to {sent[:60]!r}")
            except ConnectionResetError:
                pass
        return answer

    def host(self):
        return f"Host: {self.server.host}:{self.server.port}\r\n".encode()

    def test_a_page_of_another_site_reaches_nothing(self):
        for headers in ({"Host": "evil.test"}, {"Origin": "http://evil.test"}, {"Origin": "null"},
                        {"Sec-Fetch-Site": "cross-site"}):
            with self.subTest(headers=headers):
                status, answer, _ = self.server.request("POST", "/v1/jobs", {"request": SMALL}, headers)
                self.assertEqual(status, 403)
                self.assertNotIn("Access-Control-Allow-Origin", answer)
        plain = {"Content-Type": "text/plain"}
        self.assertEqual(self.server.call("POST", "/v1/jobs", b'{"request": {"prompt": "x"}}', plain)[0], 415)

    def test_what_is_too_large_or_no_http_is_refused(self):
        get = b"GET /healthz HTTP/1.1\r\n"
        self.assertIn(b" 200 ", self.raw(get + self.host() + b"\r\n"))
        self.assertIn(b" 431 ", self.raw(get + self.host() + b"X: " + b"x" * 40000 + b"\r\n\r\n"))
        self.assertIn(b" 400 ", self.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"))
        self.assertIn(b" 400 ", self.raw(b"GET /%00 HTTP/1.1\r\n" + self.host() + b"\r\n"))
        self.assertIn(b" 400 ", self.raw(get + self.host() + self.host() + b"\r\n"))
        self.assertIn(b" 403 ", self.raw(get + b"\r\n"))
        for body in (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", b"Content-Length: -1\r\n\r\n"):
            self.assertIn(b" 400 ", self.raw(b"POST /v1/jobs HTTP/1.1\r\n" + self.host() + body), body)
        self.assertEqual(self.server.call("POST", "/v1/jobs", b"{" + b" " * (2 << 20),
                                          {"Content-Type": "application/json"})[0], 413)
        self.assertEqual(self.server.call("PUT", "/v1/jobs")[0], 405)
        self.assertEqual(self.server.call("GET", "/../etc/passwd")[0], 404)
        self.assertEqual(self.server.call("GET", "/v1/pictures/..%2f..%2fjobs.sqlite")[0], 404)
        self.assertEqual(self.server.call("POST", "/v1/jobs", b"[" * 5000, {"Content-Type": "application/json"})[0], 400)

    def test_an_upload_that_is_no_picture_or_has_too_many_pixels_is_refused(self):
        self.assertEqual(self.server.call("POST", "/v1/pictures", b"GIF89a", {"Content-Type": "image/gif"})[0], 400)
        self.assertEqual(self.server.call("POST", "/v1/pictures", b"x", {"Content-Type": "text/html"})[0], 415)
        large = png_of(101, 100, bytes(3 * 101 * 100))
        self.assertEqual(self.server.call("POST", "/v1/pictures", large, {"Content-Type": "image/png"})[0], 413)

    def test_who_sends_slowly_is_cut_off_and_others_are_served(self):
        slow = [socket.create_connection((self.server.host, self.server.port)) for _ in range(5)]
        for connection in slow[:3]:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nX")
        for connection in slow[3:]:
            connection.sendall(b"POST /v1/jobs HTTP/1.1\r\n" + self.host() +
                               b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        self.assertEqual(self.server.call("GET", "/healthz")[0], 200)
        for connection in slow:
            connection.settimeout(10)
            self.assertEqual(connection.recv(100), b"")
            connection.close()

    def test_more_clients_at_once_than_connections_are_all_answered(self):
        sent = f"GET /v1/models HTTP/1.1\r\n{self.host().decode()}Connection: close\r\n\r\n".encode()
        many = [socket.create_connection((self.server.host, self.server.port), timeout=20) for _ in range(60)]
        for connection in many:
            connection.sendall(sent)
        for connection in many:
            self.assertTrue(connection.recv(12).endswith(b" 200"))
            connection.close()

    def test_who_sends_nothing_makes_way_for_others(self):
        idle = [socket.create_connection((self.server.host, self.server.port)) for _ in range(30)]
        begin = time.monotonic()
        for _ in range(3):
            self.assertEqual(self.server.call("GET", "/healthz")[0], 200)
        self.assertLess(time.monotonic() - begin, 1.5)  # not the seconds in which each may send its request
        for connection in idle:
            connection.close()

    def test_connections_beyond_the_limit_do_not_harm_those_that_are_served(self):
        many = [socket.create_connection((self.server.host, self.server.port)) for _ in range(40)]
        time.sleep(0.2)
        for connection in many:
            connection.close()
        wait_for(lambda: self.server.call("GET", "/healthz")[0] == 200, 5, "room for a connection")


class Keys(Served):
    @classmethod
    def flags(cls):
        keys = cls.folder / "keys"
        keys.write_text(f"ann {ANN}\nbob {BOB}\nroot {ROOT_KEY} admin\n")
        return "--api-key-file", keys, "--set", "queue_per_key=2"

    def setUp(self):
        # Server() waits for /readyz, which wants no key.
        self.call = self.server.call

    def test_without_a_key_there_is_nothing_but_health_and_the_page(self):
        for method, path in (("GET", "/v1/jobs"), ("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/v1/jobs")):
            self.assertEqual(self.call(method, path)[0], 401, path)
            self.assertEqual(self.call(method, path, key="wrong")[0], 401, path)
        for path in ("/", "/healthz", "/readyz"):
            self.assertEqual(self.call("GET", path)[0], 200, path)

    def test_a_key_sees_its_own_alone_and_an_administrator_all(self):
        job = self.server.finished(self.server.submit(SMALL, key=ANN), key=ANN)
        picture = job["pictures"][0]["url"]
        for path in (f"/v1/jobs/{job['id']}", f"/v1/jobs/{job['id']}/events", picture, picture + "/settings"):
            self.assertEqual(self.call("GET", path, key=BOB)[0], 404, path)
        self.assertEqual(self.call("POST", f"/v1/jobs/{job['id']}/cancel", key=BOB)[0], 404)
        self.assertNotIn("ann", [seen["owner"] for seen in self.call("GET", "/v1/jobs", key=BOB)[1]["jobs"]])
        status, answer = self.call("POST", "/v1/jobs", {"request": {"prompt": "x", "init_image": job["pictures"][0]["id"]}},
                                   key=BOB)
        self.assertEqual(status, 404, answer)
        for key in (ANN, ROOT_KEY):
            self.assertEqual(self.call("GET", picture, key=key)[0], 200)
            self.assertEqual(self.call("GET", "/v1/jobs", key=key)[1]["jobs"][0]["id"], job["id"])
        self.assertEqual(self.call("GET", "/metrics", key=ANN)[0], 403)
        self.assertEqual(self.call("GET", "/metrics", key=ROOT_KEY)[0], 200)

    def test_a_session_of_the_page_is_worth_its_key(self):
        self.assertEqual(self.call("POST", "/v1/session", {"key": "wrong"})[0], 401)
        status, headers, _ = self.server.request("POST", "/v1/session", {"key": ANN})
        self.assertEqual(status, 204)
        cookie = {"Cookie": headers["Set-Cookie"].split(";")[0]}
        self.assertEqual(self.call("GET", "/v1/session", headers=cookie)[1]["name"], "ann")
        self.assertEqual(self.call("DELETE", "/v1/session", headers=cookie)[0], 204)
        self.assertEqual(self.call("GET", "/v1/session", headers=cookie)[0], 401)

    def test_a_key_may_fill_its_share_of_the_queue_and_orders_nothing(self):
        ids = [self.server.submit(LONG, key=BOB) for _ in range(3)]  # one of them runs
        status, headers, answer = self.server.request("POST", "/v1/jobs", {"request": LONG}, key=BOB)
        self.assertEqual(status, 429, answer)
        self.assertGreater(int(headers["Retry-After"]), 0)
        self.assertEqual(self.call("POST", "/v1/jobs", {"request": SMALL, "priority": 1}, key=ANN)[0], 403)
        first = self.server.submit(SMALL, key=ROOT_KEY, priority=5)
        self.assertEqual(self.server.job(first, ROOT_KEY)["position"], 1)
        for job_id in ids:
            self.call("POST", f"/v1/jobs/{job_id}/cancel", key=BOB)
        self.assertEqual(self.server.finished(first, ROOT_KEY)["state"], "done")


class Kills(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.server = Server(self.folder / "data")
        self.addCleanup(lambda: self.server.end(signal.SIGKILL))

    def drawing(self, job_id):
        wait_for(lambda: (self.server.job(job_id)["progress"] or {}).get("step", 0) > 0, 60, "the first step")

    def test_a_killed_worker_takes_down_one_job_which_is_drawn_again_and_then_fails(self):
        drawn = self.server.finished(self.server.submit({**SMALL, "steps": 40, "seed": 5}))["pictures"][0]["id"]
        job_id = self.server.submit({**SMALL, "steps": 40, "seed": 5, "count": 5})
        self.drawing(job_id)
        os.kill(self.server.workers()[0], signal.SIGKILL)
        job = self.server.finished(job_id)
        self.assertEqual((job["state"], job["attempts"]), ("done", 2), job)
        self.assertEqual(len(job["pictures"]), 5)
        self.assertEqual(job["pictures"][0]["seed"], 5)
        self.assertEqual(self.server.finished(self.server.submit({**SMALL, "steps": 40, "seed": 5}))["pictures"][0]["id"],
                         drawn)
        doomed = self.server.submit(LONG)
        for _ in range(2):
            self.drawing(doomed)
            os.kill(self.server.workers()[0], signal.SIGKILL)
            wait_for(lambda: not self.server.job(doomed)["progress"], 60, "the server to see it")
        job = self.server.job(doomed)
        self.assertEqual((job["state"], job["error"]["code"]), ("failed", "worker_died"), job)
        self.assertIn("signal 9", job["error"]["message"])
        self.assertEqual(self.server.finished(self.server.submit(SMALL))["state"], "done")

    def test_a_killed_server_loses_no_job_and_draws_the_same(self):
        ids = [self.server.submit({"prompt": "a red apple", "steps": 100, "size": "64x64"}) for _ in range(4)]
        self.drawing(ids[0])
        workers = self.server.workers()
        self.server.end(signal.SIGKILL)
        wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() and
                                 "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]
                                 for pid in workers), 10, "workers to end with their server")
        self.server.start()
        jobs = [self.server.finished(job_id) for job_id in ids]
        self.assertEqual([job["state"] for job in jobs], ["done"] * 4)
        self.assertEqual([job["attempts"] for job in jobs], [2, 1, 1, 1])
        listed = self.server.call("GET", "/v1/jobs")[1]["jobs"]
        self.assertEqual([job["id"] for job in reversed(listed)], ids)

    def test_a_server_that_is_told_to_end_stops_in_time_and_goes_on_later(self):
        job_id = self.server.submit(LONG)
        self.drawing(job_id)
        begin = time.monotonic()
        self.assertEqual(self.server.end(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - begin, LATEST_S + 2)
        self.server.start()
        wait_for(lambda: self.server.job(job_id)["state"] == "running", 60, "the job to go on")
        self.server.call("POST", f"/v1/jobs/{job_id}/cancel")
        self.assertEqual(self.server.finished(job_id)["state"], "cancelled")


if __name__ == "__main__":
    import sys
    unittest.main(argv=sys.argv[:1])
