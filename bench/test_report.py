# SPDX-License-Identifier: MIT
"""The arithmetic of bench/report.py: what the documented figures depend on."""

import unittest

import report


def rounds(*pairs):
    return [{"peerup": {"up_1_mbit_s": mine}, "golibp2p": {"up_1_mbit_s": theirs}}
            for mine, theirs in pairs]


def run(round_list):
    return {"contestants": ["golibp2p", "peerup"], "rounds": round_list, "subject": "peerup",
            "rival": "golibp2p", "titles": {"golibp2p": "rival", "peerup": "ours"}}


class Report(unittest.TestCase):
    def test_ratios_pair_figures_of_the_same_round(self):
        # A slow second round halves both: the ratio must not notice.
        both = rounds((8000, 2000), (4000, 1000))
        self.assertEqual(report.ratios_of(both, "peerup", "golibp2p", "up_1_mbit_s"), [4, 4])

    def test_a_round_without_one_side_gives_no_ratio(self):
        one_sided = rounds((8000, 2000)) + [{"peerup": {"up_1_mbit_s": 1}, "golibp2p": {}}]
        self.assertEqual(report.ratios_of(one_sided, "peerup", "golibp2p", "up_1_mbit_s"), [4])

    def test_spread_is_minimum_median_maximum(self):
        self.assertEqual(report.spread([3, 1, 2, 10], 1), "1.0 / 2.5 / 10.0")
        self.assertEqual(report.spread([7], 0), "7")
        self.assertEqual(report.spread([], 0), "–")

    def test_a_bar_is_met_exactly_at_its_bound_and_missed_below(self):
        self.assertEqual([met for _, met in report.bars(run(rounds((4000, 1000))))], [True])
        self.assertEqual([met for _, met in report.bars(run(rounds((3999, 1000))))], [False])

    def test_figures_that_nobody_has_make_no_row(self):
        rows = report.table(run(rounds((4000, 1000))))
        self.assertEqual(rows, [["min / median / max", "rival", "ours", "peerup ÷ golibp2p"],
                                ["1 stream up, Mbit/s", "1000", "4000", "4.00"]])

    def test_each_bar_names_a_figure_of_the_table(self):
        known = {name for name, _, _ in report.FIGURES}
        self.assertEqual([figure for figure, *_ in report.BARS if figure not in known], [])

    def test_a_section_is_replaced_and_a_missing_one_is_an_error(self):
        document = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n"
        self.assertEqual(report.replace_section(document, "x", "new\n"),
                         "a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb\n")
        with self.assertRaises(ValueError):
            report.replace_section(document, "y", "new\n")


if __name__ == "__main__":
    unittest.main()
