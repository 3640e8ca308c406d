// SPDX-License-Identifier: MIT

//! Tells the program which libp2p it is built with: the version in Cargo.lock.

fn main() {
    println!("cargo::rerun-if-changed=Cargo.lock");
    let lock = std::fs::read_to_string("Cargo.lock").expect("Cargo.lock");
    let mut lines = lock
        .lines()
        .skip_while(|l| *l != "name = \"libp2p\"")
        .skip(1);
    let version = lines
        .next()
        .and_then(|l| l.split('"').nth(1))
        .expect("libp2p in Cargo.lock");
    println!("cargo::rustc-env=LIBP2P_VERSION={version}");
}
