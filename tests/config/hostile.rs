use std::fmt::Write as _;
use std::thread;

use proptest::prelude::*;
use sluiced::config;

use super::{check, good, told};

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = check(&[("a.toml", &text)]).map_err(|d| d.render(false));
    }

    #[test]
    fn no_pieces_of_toml_make_it_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let text = pieces.concat();
        let _ = check(&[("a.toml", &text), ("b.toml", &text)]).map_err(|d| d.render(false));
    }

    #[test]
    fn no_value_makes_it_panic(key in prop::sample::select(KEYS), value in "\\PC{0,12}|[0-9.]{0,30} ?[a-zA-Z]{0,4}(/s)?") {
        let quoted = toml::Value::String(value.clone());
        for value in [quoted.to_string(), value] {
            let text = format!("[process.a]\n{key} = {value}\n[route.r]\n{key} = {value}\n[daemon]\n{key} = {value}\n");
            let _ = check(&[("a.toml", &text)]).map_err(|d| d.render(false));
        }
    }
}

const PIECES: &[&str] = &[
    "[process.a]\n",
    "[route.r]\n",
    "[route.ü]\r\n",
    "[[process]]\n",
    "[daemon]\n",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "\"",
    "'''",
    "\"\"\"",
    "\n",
    "\r\n",
    "#",
    " ",
    "\0",
    "\u{feff}",
    "\u{1b}",
    "é",
    "from = ",
    "to = ",
    "\"process:a.stdin\"",
    "\"fifo:x\"",
    "command = [\"cat\"]\n",
    "limits = { nofile = \"1:2\" }\n",
    "high-watermark = 1\n",
    "low-watermark = 2\n",
    "a.b.c = 1\n",
    "instances = 2\n",
    "1",
    "-1",
    "1e9",
    "nan",
    "1979-05-27",
    "{ fifo = \"x\" }",
    "{ null = true, mode = \"0\" }",
];

const KEYS: &[&str] = &[
    "command",
    "working-directory",
    "umask",
    "nice",
    "success-exit",
    "restart-delay",
    "start-limit",
    "stop-signal",
    "ready",
    "from",
    "to",
    "rate-limit",
    "high-watermark",
    "max-record",
    "runtime-directory",
    "relay-threads",
    "limits",
];

/// What would overflow a stack or take for ever, on the small stack of a thread.
#[test]
fn large_and_deep_files_are_refused_in_time() {
    let texts = [
        "a.".repeat(500_000) + "a = 1\n",
        format!("[{}a]\n", "a.".repeat(500_000)),
        "a = ".to_owned() + &"[".repeat(1 << 20),
        "a = ".to_owned() + &"{a=".repeat(1 << 18),
        "x = ".to_owned() + &"{a.a.a.a.a.a.a.a.a.a.a.a.a.a=".repeat(79) + "1" + &"}".repeat(79) + "\nx = 1\n",
        "]".repeat(1 << 20),
        "[a".to_owned() + &"\n".repeat(1 << 20),
        "[a\n".repeat(1 << 15),
        "[\n \n".repeat(1 << 15),
        "[a]\n".repeat(1 << 15),
        "\"".repeat(1 << 20),
        "x\n".repeat(1 << 15),
        "\u{1}ü".repeat(1 << 18),
        format!("[route.a]\nto = \"null\"\nfrom = [{}]\n", "\"ü\",".repeat(1 << 16)),
        format!("[route.a]\nto = \"null\"\nfrom = [{}]\n", "\"fifo:ü\",".repeat(1 << 15)),
    ];
    let check = move || texts.iter().map(|text| told(text).len()).collect::<Vec<usize>>();
    let counts = thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(check)
        .unwrap()
        .join()
        .unwrap();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn thousands_of_routes_are_no_matter() {
    let mut text = String::new();
    for i in 0..10_000 {
        let next = (i + 1) % 10_000;
        let _ = write!(
            text,
            "[process.p{i}]\ncommand = [\"cat\"]\n[route.r{i}]\nfrom = \"process:p{i}.stdout\"\nto = \"process:p{next}.stdin\"\n"
        );
    }
    let config = good(&text);
    assert_eq!(config::describe(&config), "ok: 10000 processes, 10000 routes");
    assert_eq!(config::cycles(&config).len(), 1);
    let wrong = told(&text.replace("\"process:p", "\"process:q"));
    assert_eq!(wrong.len(), 20_000);
}
