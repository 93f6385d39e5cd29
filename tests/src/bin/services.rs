//! Starts the tests' services for people and benchmarks: `cargo run -p eddyline-tests --bin services -- kafka mariadb`.
//!
//! Prints one `NAME=address` line per service and stays until Ctrl-C or until its standard input's terminal is gone.

use eddyline_tests::services::{kafka, mariadb};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = ["kafka", "mariadb"];
    if wanted.is_empty() || wanted.iter().any(|name| !known.contains(&name.as_str())) {
        eprintln!("usage: services {{kafka|mariadb}} …");
        std::process::exit(2);
    }
    for name in &wanted {
        match name.as_str() {
            "kafka" => {
                let service = kafka::shared();
                println!("KAFKA={}", service.bootstrap());
                println!("KAFKA_SASL={}", service.sasl_bootstrap());
            }
            _ => println!("MYSQL={}", mariadb::shared().jdbc_url()),
        }
    }
    eprintln!("ready; Ctrl-C ends the services");
    loop {
        std::thread::park();
    }
}
