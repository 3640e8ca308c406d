# SPDX-License-Identifier: MIT
"""config validate|show, and bad files: cli.md 3, config.md 3."""

from harness import PEER_A, case, expect

GOOD = (
    "identity: {key_file: identity.key}\n"
    "network: {listen_addresses: [/ip4/0.0.0.0/udp/0/quic-v1]}\n"
    "security: {authorized_keys_file: authorized_keys}\n"
)
NO_RELAY = (
    "Warning: peerup.yaml: relay.addresses: no relay is configured: peers are reached by their "
    "addresses only\n"
)


@case
def a_valid_file_is_ok_and_its_oddities_are_warnings(home):
    home.write("peerup.yaml", GOOD)
    home.run("config", "validate", out="OK: peerup.yaml is valid\n", err=NO_RELAY)
    home.write("peerup.yaml", GOOD + "netwrok: {}\n", 0o644)
    home.run("config", "validate", out="OK: peerup.yaml is valid\n",
             err='Warning: peerup.yaml:4: unknown key "netwrok" is ignored; the nearest known key is '
                 '"network"\n' + NO_RELAY)


@case
def what_makes_a_file_unusable_fails_with_file_line_and_key(home):
    rows = [
        ("a: [\n", "failed to parse YAML: peerup.yaml:2: did not find expected node content"),
        ("names: {a: x}\nnames: {}\n",
         'failed to parse YAML: peerup.yaml:2: mapping key "names" already defined at line 1'),
        (GOOD + "relay:\n  reservation_interval: abc\n",
         "peerup.yaml:5: relay.reservation_interval: invalid reservation_interval: time: invalid "
         'duration "abc"'),
        (GOOD + "protocols: {ping_pong: {enabled: 7}}\n",
         'peerup.yaml:4: protocols.ping_pong.enabled: must be true or false, not "7"'),
        ("version: 2\n",
         "peerup.yaml:1: config version too new: version 2 is newer than supported version 1; "
         "please upgrade peerup"),
    ]
    for text, problem in rows:
        home.write("peerup.yaml", text)
        home.run("config", "validate", status=1, out=f"FAIL: {problem}\n",
                 err="Error: invalid config\n")
        home.run("config", "show", status=1, out="", err=f"Error: failed to load config: {problem}\n")
        home.run("status", status=1, err=f"Error: config error: {problem}\n")


@case
def every_error_of_validation_is_listed(home):
    home.write("peerup.yaml", "relay: {addresses: [/ip4/1.2.3.4/tcp/1]}\nservices: {A: {}}\n")
    home.run("config", "validate", status=1, err="Error: validation failed\n",
             out='FAIL: peerup.yaml:1: relay.addresses: must end in /p2p/<peer id>: '
                 '"/ip4/1.2.3.4/tcp/1"\n'
                 'FAIL: peerup.yaml:2: services: invalid service name: "A" must be 1-63 lowercase '
                 "alphanumeric characters or hyphens, starting and ending with alphanumeric\n"
                 "FAIL: peerup.yaml: identity.key_file is required\n"
                 "FAIL: peerup.yaml: network.listen_addresses must contain at least one address\n"
                 "FAIL: peerup.yaml: security.authorized_keys_file is required when connection "
                 "gating is enabled\n")


@case
def a_file_that_others_may_write_is_refused(home):
    home.write("peerup.yaml", GOOD, 0o664)
    text = ("config file peerup.yaml has overly permissive mode <0664>; expected 0600 - fix with: "
            "chmod 600 peerup.yaml")
    home.run("config", "validate", status=1, out=f"FAIL: {text}\n", err="Error: invalid config\n")
    home.run("whoami", status=1, out="", err=f"Error: config error: {text}\n")


@case
def show_prints_the_resolved_config(home):
    home.write("peerup.yaml", GOOD)
    out = home.run("config", "show", err=NO_RELAY)
    expect(out.startswith("# Resolved config from peerup.yaml\nversion: 1\nidentity:\n    key_file: "
                          "identity.key\n"), out)
    expect("    reservation_interval: 2m0s\n" in out, out)
    expect("services" not in out and "names" not in out and "telemetry" not in out, out)
    expect(out.endswith("\n\n# No last-known-good archive (will be created on next successful "
                        "serve)\n"), out)
    home.write(".peerup.last-good.yaml", GOOD)
    out = home.run("config", "show")
    expect(out.endswith("\n\n# Last-known-good archive: .peerup.last-good.yaml\n"), out)


@case
def show_warns_of_what_validation_would_refuse(home):
    home.write("peerup.yaml", GOOD + f"services: {{A: {{allowed_peers: [{PEER_A}]}}}}\n")
    out = home.run("config", "show")
    expect(f"services:\n    A:\n        enabled: false\n        allowed_peers:\n            - {PEER_A}"
           in out, out)
