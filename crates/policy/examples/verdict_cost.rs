//! What a verdict costs, in nanoseconds, over paths as they stand in real repositories.
//!
//! ```text
//! cargo run --profile fast -p pinfold-policy --example verdict_cost
//! perf stat -e instructions:u target/fast/examples/verdict_cost
//! valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*decide*' target/fast/examples/verdict_cost
//! ```
#![allow(clippy::print_stdout, reason = "a measurement prints its table")]

use pinfold_policy::{Kind, PathPolicy, PolicySpec, RelPath, RuleSource, UserRule, Verdict};
use std::hint::black_box;
use std::time::Instant;

const PATHS: [&str; 24] = [
    "README.md",
    "Cargo.toml",
    "src/main.rs",
    "crates/core/src/lib.rs",
    "crates/core/src/flags/defs.rs",
    "packages/web/src/components/Button/Button.tsx",
    "packages/web/src/components/Button/index.ts",
    "packages/web/package.json",
    "node_modules/lodash/fp/_mapping.js",
    "node_modules/@babel/core/lib/config/files/configuration.js",
    "node_modules/.bin/tsc",
    "target/debug/deps/libserde-1a2b3c4d5e6f7a8b.rmeta",
    "docs/guide/getting-started.md",
    "drivers/net/ethernet/intel/ixgbe/ixgbe_main.c",
    "include/linux/sched.h",
    "tests/fixtures/data.json",
    "assets/images/logo.png",
    ".gitignore",
    ".github/workflows/ci.yml",
    ".env",
    "config/prod.env",
    "deploy/keys/server.pem",
    ".git/objects/ab/cdef0123456789abcdef0123456789abcdef01",
    "secrets/db/password",
];
const ROUNDS: u32 = 200_000;

fn main() {
    let plain = PathPolicy::default();
    let rules = (0..10).map(|n| UserRule {
        pattern: ["/build/**", "*.local.json", "fixtures/", "!keep.me", "data/*.csv"][n % 5].to_owned(),
        verdict: Verdict::Mask,
        source: RuleSource::User { line: 1 },
    });
    let spec = PolicySpec { rules: rules.collect() };
    let ruled = PathPolicy::new(&spec).expect("the rules are good");

    println!("decide, no rules    {:7.1} ns", cost(|path| plain.decide(path, Kind::File).verdict));
    println!("decide, 10 rules    {:7.1} ns", cost(|path| ruled.decide(path, Kind::File).verdict));
    let parent = plain.folder(RelPath::new(b"packages/web/src/components/Button").expect("a path"));
    println!("decide_in a folder  {:7.1} ns", cost(|path| plain.decide_in(&parent, path, Kind::File).verdict));
    println!("new, no rules       {:7.1} ns", construction(&PolicySpec::default()));
    println!("new, 10 rules       {:7.1} ns", construction(&spec));
    for path in PATHS {
        let path = RelPath::new(path.as_bytes()).expect("a path");
        let ns = time(|| {
            black_box(plain.decide(black_box(path), Kind::File));
        });
        println!("{ns:7.1} ns  {:8} {path}", plain.decide(path, Kind::File).verdict.to_string());
    }
}

fn cost(decide: impl Fn(RelPath<'_>) -> Verdict) -> f64 {
    let paths = PATHS.map(|path| RelPath::new(path.as_bytes()).expect("a path"));
    let round = time(|| {
        for path in paths {
            black_box(decide(black_box(path)));
        }
    });
    round / PATHS.len() as f64
}

fn construction(spec: &PolicySpec) -> f64 {
    time(|| {
        black_box(PathPolicy::new(black_box(spec)).is_ok());
    })
}

fn time(mut work: impl FnMut()) -> f64 {
    let rounds = ROUNDS / 10;
    let start = Instant::now();
    (0..rounds).for_each(|_| work());
    start.elapsed().as_nanos() as f64 / f64::from(rounds)
}
