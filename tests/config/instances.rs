use std::fmt::Write as _;

use sluiced::config::{cycles, describe, never_ending};
use sluiced::model::{Config, WhenFull};

use super::{good, told};

const POOL: &str = "[process.w]\ncommand = [\"cat\"]\ninstances = 3\n[process.one]\ncommand = [\"cat\"]\ninstances = 1\n\
                    [process.p]\ncommand = [\"cat\"]\n";

fn pool(routes: &str) -> Config {
    good(&format!("{POOL}{routes}"))
}

fn ends(config: &Config, route: usize) -> (Vec<String>, Vec<String>) {
    let route = &config.routes[route];
    let from = route.from.iter().map(|from| from.endpoint.to_string());
    let to = route.to.iter().map(|to| to.endpoint.to_string());
    (from.collect(), to.collect())
}

#[test]
fn a_name_means_all_instances_in_order() {
    let config = pool(
        "[route.a]\nfrom = [\"fifo:x\", \"process:w.stdout\", \"process:one.stderr\"]\n\
         to = [\"process:p.stdin\", { process = \"w.stdin\", high-watermark = 8, when-full = \"block\" }, \"null\"]\n\
         [route.b]\nfrom = [\"process:w@3.stderr\", \"process:w@1.stderr\"]\nto = [\"process:one@1.stdin\", \"process:w.fd9\"]\n",
    );
    let (from, to) = ends(&config, 0);
    assert_eq!(
        from,
        [
            "fifo:/run/sluiced/x",
            "process:w@1.stdout",
            "process:w@2.stdout",
            "process:w@3.stdout",
            "process:one@1.stderr"
        ]
    );
    assert_eq!(
        to,
        [
            "process:p.stdin",
            "process:w@1.stdin",
            "process:w@2.stdin",
            "process:w@3.stdin",
            "null"
        ]
    );
    let highs: Vec<u64> = config.routes[0].to.iter().map(|to| to.high_watermark).collect();
    assert_eq!(highs, [65536, 8, 8, 8, 65536]);
    assert!(config.routes[0].to.iter().all(|to| to.when_full == WhenFull::Block));
    let (from, to) = ends(&config, 1);
    assert_eq!(from, ["process:w@3.stderr", "process:w@1.stderr"]);
    assert_eq!(
        to,
        [
            "process:one@1.stdin",
            "process:w@1.fd9",
            "process:w@2.fd9",
            "process:w@3.fd9"
        ]
    );
    assert_eq!(describe(&config), "ok: 3 processes, 2 routes");
}

#[test]
fn a_numbered_descriptor_has_one_direction_in_each_child() {
    let both = "[route.a]\nfrom = \"process:w@1.fd3\"\nto = \"process:w@2.fd3\"\n";
    assert_eq!(told(&format!("{POOL}{both}")), Vec::<String>::new());
    let itself = "[route.a]\nfrom = \"process:p.fd3\"\nto = \"process:p.fd3\"\n";
    let told = told(&format!("{POOL}{itself}"));
    assert!(
        told.len() == 1 && told[0].contains("process:p.fd3 is in this route already"),
        "{told:?}"
    );
}

#[test]
fn only_instances_that_feed_each_other_are_in_a_cycle() {
    let cycles = |routes: &str| -> Vec<String> {
        let warnings = cycles(&pool(routes));
        warnings.iter().map(ToString::to_string).collect()
    };
    let chain = "[route.a]\nfrom = \"process:w@1.stdout\"\nto = \"process:w@2.stdin\"\n\
                 [route.b]\nfrom = \"process:w@2.stdout\"\nto = \"process:w@3.stdin\"\n";
    assert_eq!(cycles(chain), Vec::<String>::new());
    let ring = format!("{chain}[route.c]\nfrom = \"process:w@3.stdout\"\nto = \"process:w@1.stdin\"\n");
    let told = cycles(&ring);
    assert!(
        told.len() == 1 && told[0].contains("(w@1 -> w@2 -> w@3 -> w@1)"),
        "{told:?}"
    );
    let pools = "[route.a]\nfrom = \"process:w.stdout\"\nto = \"process:p.stdin\"\n\
                 [route.b]\nfrom = \"process:p.stdout\"\nto = \"process:w.stdin\"\n";
    let told = cycles(pools);
    assert!(told.len() == 1 && told[0].contains("(p -> w -> p)"), "{told:?}");
    let some = pools.replace("w.stdin", "w@2.stdin");
    let told = cycles(&some);
    assert!(told.len() == 1 && told[0].contains("(p -> w@2 -> p)"), "{told:?}");
}

#[test]
fn instances_that_no_route_feeds_never_end() {
    let subjects = |routes: &str| -> Vec<String> {
        let warnings = never_ending(&pool(routes));
        warnings.iter().map(|warning| warning.subject.to_string()).collect()
    };
    assert_eq!(subjects(""), ["process:w", "process:one", "process:p"]);
    let some = "[route.a]\nfrom = \"process:p.stdout\"\nto = [\"process:w@2.stdin\", \"process:one.fd3\"]\n";
    assert_eq!(subjects(some), ["process:w@1", "process:w@3", "process:p"]);
}

#[test]
fn a_thousand_instances_are_no_matter() {
    let mut text = String::new();
    for i in 0..20 {
        let next = (i + 1) % 20;
        let _ = write!(
            text,
            "[process.p{i}]\ncommand = [\"cat\"]\ninstances = 1000\n\
             [route.r{i}]\nfrom = \"process:p{i}.stdout\"\nto = \"process:p{next}.stdin\"\n"
        );
    }
    let config = good(&text);
    assert_eq!(describe(&config), "ok: 20 processes, 20 routes");
    assert_eq!(config.routes[0].to.len(), 1000);
    assert_eq!(cycles(&config).len(), 1);
}

/// An entry that means a thousand may be written ten thousand times, and is one mistake each time.
#[test]
fn all_instances_again_and_again_are_refused_in_time() {
    let again = "\"process:w.stdin\", ".repeat(10_000);
    let text =
        format!("[process.w]\ncommand = [\"cat\"]\ninstances = 1000\n[route.a]\nfrom = \"fifo:x\"\nto = [{again}]\n");
    assert_eq!(told(&text).len(), 9_999);
}
