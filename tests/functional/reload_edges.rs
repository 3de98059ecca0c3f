//! Reloads at bad moments: in the middle of records, over held or drained routes, of files that are no files, beside other
//! commands and beside a shutdown.

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{CallError, Daemon, make_fifo, stories};

stories!(
    a_config_that_is_no_file_is_refused_at_once,
    a_config_that_has_gone_changes_nothing,
);

fn refused(daemon: &Daemon) -> CallError {
    daemon.call("Reload", json!({})).expect_err("what cannot be a config")
}

/// A FIFO without a writer, a device without an end, a file of 100 MB, a link to itself.
fn a_config_that_is_no_file_is_refused_at_once() {
    let text = "[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n";
    let daemon = Daemon::start(text);
    let config = daemon.place().config();
    let gone = || std::fs::remove_file(&config).expect("removing the config");
    let threads = daemon.probe().threads();
    let says = |what: &str| {
        let error = refused(&daemon);
        assert_eq!(error.name, "io.sluiced.Relay.InvalidConfig", "{what}");
        let message = error.parameters.list("diagnostics")[0].text("message").to_owned();
        assert!(message.contains(what), "{message}");
        let last = daemon.call("GetStatus", json!({})).expect("GetStatus");
        assert!(last.text("lastReloadError").contains(what), "{last}");
        assert_eq!(daemon.routes().len(), 1);
    };
    gone();
    make_fifo(&config);
    says("FIFO");
    gone();
    std::os::unix::fs::symlink("/dev/zero", &config).expect("a link");
    says("more than 16 MiB");
    gone();
    std::os::unix::fs::symlink(&config, &config).expect("a link");
    says("symbolic links");
    gone();
    std::fs::create_dir(&config).expect("a directory");
    says("no *.toml");
    make_fifo(config.join("a.toml"));
    says("FIFO");
    std::fs::remove_dir_all(&config).expect("removing it");
    let large = std::fs::File::create(&config).expect("a file");
    large.set_len(100 << 20).expect("its length");
    says("more than 16 MiB");
    std::fs::write(&config, "[route.a]\nfrom = \"fifo:\0in\"\n").expect("a file");
    says("");
    std::fs::write(&config, [0_u8; 1000]).expect("a file");
    says("");
    std::fs::write(&config, b"# \xff\n").expect("a file");
    says("UTF-8");
    gone();
    assert_eq!(daemon.reload(text), [""; 0]);
    daemon.wait_until("route.a", "as before", |_| daemon.probe().threads() == threads);
}

/// The daemon goes on with what it has.
fn a_config_that_has_gone_changes_nothing() {
    let text = "[route.a]\nfrom = \"fifo:in\"\nto = \"null\"\n";
    let daemon = Daemon::start(text);
    let config = daemon.place().config();
    std::fs::remove_file(&config).expect("removing the config");
    let error = refused(&daemon);
    assert!(
        error.parameters.list("diagnostics")[0]
            .text("message")
            .contains("no such file")
    );
    for signal in [Signal::SIGHUP; 300] {
        daemon.signal(signal);
    }
    daemon.wait_for_log("reload refused");
    daemon.rewrite(text);
    if !nix::unistd::geteuid().is_root() {
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o000)).expect("chmod");
        let message = refused(&daemon).parameters.list("diagnostics")[0]
            .text("message")
            .to_owned();
        assert!(message.contains("denied"), "{message}");
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    }
    assert_eq!(daemon.reload(text), [""; 0]);
    assert_eq!(daemon.routes().len(), 1);
}
