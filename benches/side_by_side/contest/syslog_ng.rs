//! syslog-ng from pipe sources to a pipe destination, with flow control.

use std::fmt::Write;
use std::process::Stdio;

use super::{Contestant, Load, Relay, start_gen, start_sink};
use crate::support::Stage;

/// Set for throughput, as its administrator's guide says: windows and queues that are large enough not to be the limit.
#[derive(Debug)]
pub struct SyslogNg;

impl Contestant for SyslogNg {
    fn name(&self) -> String {
        "syslog-ng".to_owned()
    }

    fn tool(&self) -> Option<&'static str> {
        Some("syslog-ng")
    }

    fn set_up(&self, stage: &mut Stage, load: &Load) -> Result<Relay, String> {
        let output = stage.fifo("out")?;
        let mut sources = String::new();
        let mut inputs = Vec::new();
        for i in 0..load.sources {
            let input = stage.fifo(&format!("in{i}"))?;
            let _ = writeln!(
                sources,
                "    pipe(\"{}\" flags(no-parse) log-iw-size(10000) log-fetch-limit(1000));",
                input.display()
            );
            inputs.push(input);
        }
        let text = format!(
            "@version: {}\n\
             options {{ threaded(yes); stats-freq(0); use-dns(no); keep-hostname(yes); flush-lines(1000); }};\n\
             source in {{\n{sources}}};\n\
             destination out {{ pipe(\"{}\" template(\"$MESSAGE\\n\") log-fifo-size({})); }};\n\
             log {{ source(in); destination(out); flags(flow-control); }};\n",
            version()?,
            output.display(),
            20_000 * load.sources,
        );
        let config = stage.path("syslog-ng.conf");
        std::fs::write(&config, text).map_err(|error| format!("cannot write its config: {error}"))?;
        start_sink(stage, load, 0, Some(output), Stdio::null())?;
        let mut command = crate::support::quiet("syslog-ng");
        command.args(["--foreground", "--no-caps"]);
        for (option, file) in [
            ("--cfgfile", "syslog-ng.conf"),
            ("--persist-file", "persist"),
            ("--pidfile", "pid"),
            ("--control", "control"),
        ] {
            command.arg(option).arg(stage.path(file));
        }
        let relay = stage.start(&mut command)?;
        for (i, input) in inputs.into_iter().enumerate() {
            start_gen(stage, load, i, Some(input), Stdio::null())?;
        }
        Ok(Relay::Stays(stage.started(relay).pid()))
    }
}

/// Of the config language: its own, so that it warns of nothing and turns nothing old on.
fn version() -> Result<String, String> {
    let output = std::process::Command::new("syslog-ng")
        .arg("--version")
        .output()
        .map_err(|error| format!("it does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().find_map(|line| line.strip_prefix("Config version: "));
    version
        .map(|version| version.trim().to_owned())
        .ok_or("it does not tell its config's version".to_owned())
}
