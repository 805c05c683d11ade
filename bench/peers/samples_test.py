#!/usr/bin/env python3
"""The statistics of the bench: what is dropped, what is paired, what the pairs say, and what need not be measured again."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cost  # noqa: E402
import samples  # noqa: E402
import table  # noqa: E402

FAST, SLOW = {"conv": 900.0, "registers": 1000.0}, {"conv": 600.0, "registers": 1000.0}


def record(engine, seconds, moment=1, before=FAST, after=FAST, version="1", row="sd15/step/b1"):
    return {"kind": "sample", "run": "today", "round": moment, "row": row, "engine": engine, "version": version,
            "seconds": seconds, "gflop": 900.0, "before": before, "after": after}


def run_record(engine, step_seconds, disturbed=(), whole=3):
    def around(number):
        return {"before": FAST, "after": SLOW if number in disturbed else FAST}

    parts = [{"part": "prepare", "seconds": 1.0, **around("prepare")}]
    parts += [{"part": "step", "seconds": s, **around(i)} for i, s in enumerate(step_seconds)]
    parts.append({"part": "decode", "seconds": 4.0, **around("decode")})
    return {"kind": "run", "run": "today", "round": 1, "row": "sd15/run/b1", "engine": engine, "version": "1",
            "whole_steps": whole, "gflop": 10.0, "start": {"seconds": 0.5, "before": FAST},
            "load": {"seconds": 2.0, "before": FAST, "after": FAST}, "parts": parts, "peak_bytes": 5}


def sample(*arguments, **more):
    return samples.samples_of(record(*arguments, **more))[0]


class Dropping(unittest.TestCase):
    def test_a_sample_between_equal_probes_is_kept_and_one_between_unequal_probes_is_dropped(self):
        self.assertTrue(sample("ours", 1.0).kept())
        self.assertFalse(sample("ours", 1.0, after=SLOW).kept())

    def test_probes_may_differ_by_fifteen_percent_of_the_greater_and_no_more(self):
        self.assertTrue(samples.agree([{"conv": 100, "registers": 1}, {"conv": 85, "registers": 1}]))
        self.assertFalse(samples.agree([{"conv": 100, "registers": 1}, {"conv": 84, "registers": 1}]))

    def test_a_register_loop_that_slows_down_drops_a_sample_too(self):
        self.assertFalse(samples.agree([FAST, {**FAST, "registers": 500.0}]))

    def test_the_share_is_of_the_peak_at_that_moment(self):
        self.assertAlmostEqual(sample("ours", 2.0, before=SLOW, after=SLOW).share(), 900 / 2 / 600)


class Pairing(unittest.TestCase):
    def test_samples_of_one_round_make_a_pair(self):
        ours = [sample("ours", 1.0, 1), sample("ours", 2.0, 2)]
        theirs = [sample("torch", 3.0, 2), sample("torch", 5.0, 7)]
        self.assertEqual([(o.seconds, t.seconds) for o, t in samples.pairs_of(ours, theirs)], [(2.0, 3.0)])

    def test_a_dropped_sample_makes_no_pair(self):
        self.assertEqual(samples.pairs_of([sample("ours", 1.0)], [sample("torch", 2.0, after=SLOW)]), [])

    def test_two_kept_samples_of_different_states_of_the_machine_make_no_pair(self):
        theirs = [sample("torch", 2.0, before=SLOW, after=SLOW)]
        self.assertTrue(theirs[0].kept())
        self.assertEqual(samples.pairs_of([sample("ours", 1.0)], theirs), [])

    def test_the_ratio_is_the_median_over_pairs_and_not_the_ratio_of_medians(self):
        ours = [sample("ours", s, i) for i, s in enumerate((1.0, 2.0, 4.0))]
        theirs = [sample("torch", s, i) for i, s in enumerate((3.0, 3.0, 8.0))]
        ratio = samples.ratio_of(ours, theirs)
        self.assertEqual((ratio.median, ratio.low, ratio.high, ratio.pairs), (2.0, 1.5, 3.0, 3))

    def test_without_pairs_there_is_no_ratio(self):
        self.assertIsNone(samples.ratio_of([], [sample("torch", 1.0)]))


class Interval(unittest.TestCase):
    def test_five_values_give_all_that_was_seen(self):
        self.assertEqual(samples.median_interval([3, 1, 5, 2, 4]), (1, 5))

    def test_six_values_hold_the_median_between_the_least_and_the_greatest(self):
        # 2 / 2^6 = 3.1 % of chance that the median lies outside
        self.assertEqual(samples.median_interval(range(6)), (0, 5))

    def test_nine_values_leave_out_one_at_each_end(self):
        # 2 (1 + 9) / 2^9 = 3.9 %
        self.assertEqual(samples.median_interval(range(9)), (1, 7))

    def test_one_value_is_its_own_interval(self):
        self.assertEqual(samples.median_interval([2.0]), (2.0, 2.0))


class Runs(unittest.TestCase):
    def by_row(self, found):
        return {s.row: s for s in samples.samples_of(found)}

    def test_a_run_gives_load_first_step_picture_and_cold_picture(self):
        found = self.by_row(run_record("ours", (3.0, 2.0, 2.0)))
        self.assertEqual({row: s.seconds for row, s in found.items()},
                         {"sd15/load/b1": 2.0, "sd15/first_step/b1": 6.5, "sd15/picture/b1": 12.0,
                          "sd15/cold_picture/b1": 14.5})

    def test_a_disturbed_step_stands_for_the_median_of_the_others(self):
        picture = self.by_row(run_record("ours", (2.0, 9.0, 2.5), disturbed=(1,)))["sd15/picture/b1"]
        self.assertTrue(picture.kept())
        self.assertEqual((picture.seconds, picture.repaired), (1.0 + 2.0 + 2.25 + 2.5 + 4.0, 1))

    def test_a_picture_of_mostly_disturbed_steps_is_dropped(self):
        self.assertFalse(self.by_row(run_record("ours", (2.0, 2.0, 2.0), disturbed=(0, 1)))["sd15/picture/b1"].kept())

    def test_a_part_that_there_is_once_cannot_be_repaired(self):
        self.assertFalse(self.by_row(run_record("ours", (2.0,) * 3, disturbed=("decode",)))["sd15/picture/b1"].kept())

    def test_fewer_steps_than_people_draw_give_no_picture(self):
        found = self.by_row(run_record("ours", (2.0, 2.0), whole=20))
        self.assertEqual(set(found), {"sd15/load/b1", "sd15/first_step/b1"})

    def test_the_peak_memory_is_the_greatest_of_all_runs(self):
        runs = [run_record("ours", (1.0,)), {**run_record("ours", (1.0,)), "peak_bytes": 7}]
        self.assertEqual(samples.peak_memory_of(runs), {"sd15/peak_memory/b1": {"ours": 7}})


class Summaries(unittest.TestCase):
    def test_a_summary_counts_what_was_kept_and_compares_with_ours(self):
        records = [record("ours", 1.0), record("torch", 2.0), record("torch", 9.0, 2, after=SLOW)]
        ours, torch = samples.summaries_of(records)
        self.assertEqual((ours.kept, ours.measured, ours.seconds, ours.ratio), (1, 1, 1.0, None))
        self.assertEqual((torch.kept, torch.measured, torch.ratio.median), (1, 2, 2.0))

    def test_results_of_an_older_version_are_left_out(self):
        records = [record("ours", 9.0), record("ours", 1.0, 2, version="2")]
        self.assertEqual([(s.measured, s.seconds) for s in samples.summaries_of(records)], [(1, 1.0)])

    def test_a_row_without_a_kept_sample_has_no_numbers(self):
        (found,) = samples.summaries_of([record("ours", 1.0, after=SLOW)])
        self.assertEqual((found.kept, found.measured, found.seconds, found.share), (0, 1, None, None))
        self.assertIn("0 of 1", table.cells_of(found, "ours"))

    def test_numbers_are_shown_with_three_digits(self):
        self.assertEqual([table.number(x) for x in (None, 0.0512, 2.5, 21.44, 374.5)],
                         ["-", "0.051", "2.50", "21.4", "374"])


class Cost(unittest.TestCase):
    def test_a_convolution_counts_at_its_own_level(self):
        shapes = {"conv_in.weight": [8, 4, 3, 3], "down_blocks.0.resnets.0.conv1.weight": [8, 8, 3, 3],
                  "down_blocks.1.resnets.0.conv1.weight": [8, 8, 3, 3]}
        expected = 2 * (8 * 4 * 9 * 64 + 8 * 8 * 9 * 64 + 8 * 8 * 9 * 16) * 1e-9
        self.assertAlmostEqual(cost.unet_gflop(shapes, 8, 8), expected)

    def test_attention_counts_scores_and_the_weighted_sum(self):
        shapes = {"down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q.weight": [8, 8],
                  "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": [8, 6]}
        self.assertAlmostEqual(cost.unet_gflop(shapes, 4, 4, 77), 1e-9 * (2 * 64 * 16 + 2 * 48 * 77 + 4 * 8 * 16 * 77))


if __name__ == "__main__":
    unittest.main()
