# SPDX-License-Identifier: MIT
"""The arithmetic of the harness: what the documented figures depend on."""

import unittest

import flights
import report
from contestants import CIRCUITS, DEFAULT, SPLICED, STACKS, TABLE


def rounds(*pairs):
    return [{"peerup": {"up_1_mbit_s": mine}, "golibp2p": {"up_1_mbit_s": theirs}}
            for mine, theirs in pairs]


def run(round_list):
    return {"contestants": ["golibp2p", "peerup"], "rounds": round_list,
            "titles": {"golibp2p": "rival", "peerup": "ours"}}


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
        rows = report.table(run(rounds((4000, 1000))), ["golibp2p", "peerup"])
        self.assertEqual(rows, [["min / median / max", "rival", "ours", "peerup ÷ golibp2p"],
                                ["1 stream up, Mbit/s", "1000", "4000", "4.00"]])

    def test_each_bar_names_a_figure_of_the_table(self):
        known = {name for name, _, _ in report.FIGURES}
        for subject, rival, figure, _, _ in report.LOCAL_BARS + report.LINK_BARS:
            self.assertIn(figure, known)
            self.assertLessEqual({subject, rival} - {None}, set(TABLE))

    def test_each_contestant_stands_in_a_table(self):
        self.assertEqual(set(sum(STACKS.values(), [])), set(TABLE))

    def test_circuits_have_a_section_of_their_own_and_are_not_measured_unasked(self):
        circuits = {"contestants": ["go-relay-2k", "relay"], "link": None, "real_packets": False}
        self.assertEqual(report.section_of(circuits), "circuits")
        self.assertEqual(report.section_of({**circuits, "contestants": DEFAULT}), "offloads")
        self.assertEqual(set(DEFAULT) & set(STACKS[CIRCUITS] + STACKS[SPLICED]), set())

    def test_echoes_beside_a_transfer_have_sections_of_their_own(self):
        loaded = {"contestants": ["relay"], "only": ["loaded"], "link": "rate=50mbit"}
        self.assertEqual(report.section_of(loaded), "loaded")
        self.assertEqual(report.section_of({**loaded, "service_link": "rate=1gbit"}),
                         "loaded-relay")
        self.assertIn("rate=1gbit between it and the service's",
                      report.path_of({**loaded, "service_link": "rate=1gbit"}))

    def test_spliced_paths_have_one_too(self):
        spliced = {"contestants": STACKS[SPLICED], "link": None, "real_packets": False}
        self.assertEqual(report.section_of(spliced), "spliced")

    def test_a_stack_is_shown_with_the_contestants_that_ran(self):
        both = run(rounds((4000, 1000)))
        self.assertEqual(report.stacks(both), [("QUIC", ["golibp2p", "peerup"])])
        self.assertEqual(report.stacks({**both, "contestants": ["direct"]}), [])

    def test_a_section_is_replaced_and_a_missing_one_is_an_error(self):
        document = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n"
        self.assertEqual(report.replace_section(document, "x", "new\n"),
                         "a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb\n")
        with self.assertRaises(ValueError):
            report.replace_section(document, "y", "new\n")


class Flights(unittest.TestCase):
    # A connect and one byte over TCP with 50 ms a direction; the user's side says its byte 20 ms
    # after it could have.
    LOG = """\
        1000000 51000000 b sent tcp 4000 80 60 0 S
        51100000 101100000 a sent tcp 80 4000 60 0 SA
        101200000 151200000 b sent tcp 4000 80 52 0 A
        121200000 171200000 b sent tcp 4000 80 53 1 PA
        171300000 221300000 a sent tcp 80 4000 52 0 A
        171400000 221400000 a sent tcp 80 4000 53 1 PA
        221500000 271500000 b sent tcp 4000 80 52 0 A
    """.strip().splitlines()

    def read(self, lines, until_ms=222):
        return flights.until_answer(flights.parse(lines, 0, 10**9), until_ms * 10**6)

    def test_a_pause_is_no_round_trip(self):
        packets = self.read(self.LOG)
        self.assertEqual([packet.flight for packet in packets], [1, 2, 3, 3, 4, 4])

    def test_what_is_under_way_was_not_heard(self):
        # The second word leaves before the answer to the first is there: the same flight.
        early = [self.LOG[0], self.LOG[1], "101000000 151000000 b sent tcp 4000 80 53 1 PA"]
        self.assertEqual([packet.flight for packet in flights.parse(early, 0, 10**9)], [1, 2, 1])

    def test_lost_packets_and_those_of_another_time_do_not_count(self):
        lost = ["500000 0 b lost tcp 4000 80 60 0 S"]
        self.assertEqual(len(self.read(lost + self.LOG)), 6)
        self.assertEqual(flights.parse(self.LOG, 300 * 10**6, 10**9), [])

    def test_other_dialogues_do_not_count(self):
        other = ["900000 50900000 a sent tcp 80 3999 40 0 R",
                 "900000 50900000 b sent udp 4001 4001 60 32 -"]
        self.assertEqual(len(self.read(other + self.LOG)), 6)

    def test_a_quic_connection_opens_with_a_full_packet(self):
        quic = ["1000000 51000000 b sent udp 4001 4001 60 32 -",
                "2000000 52000000 b sent udp 4001 4001 1228 1200 -"]
        self.assertEqual([packet.payload for packet in flights.parse(quic, 0, 10**9)], [1200])

    def test_without_an_answer_there_is_nothing(self):
        self.assertEqual(self.read(self.LOG, until_ms=150), [])


if __name__ == "__main__":
    unittest.main()
