//! Random choices and moments of a test, which one command repeats.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::services::process::wait_for;

/// Random numbers from `EDDYLINE_SEED`, else from `seed`; prints the command that repeats the test.
pub fn random(what: &str, seed: u64) -> StdRng {
    let seed = std::env::var("EDDYLINE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(seed);
    let test = std::thread::current().name().unwrap_or_default().to_string();
    println!("{what}; repeat with: EDDYLINE_SEED={seed} cargo test --workspace --test main -- --exact {test}");
    StdRng::seed_from_u64(seed)
}

/// Lets a random time pass.
pub fn pass(random: &mut StdRng, most_ms: u64) {
    let until = Instant::now() + Duration::from_millis(random.random_range(0..most_ms));
    wait_for("the moment", Duration::from_secs(60), || (Instant::now() >= until).then_some(()));
}
